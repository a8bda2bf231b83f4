"""Runs a suite as one Ray Tune experiment."""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import ray
from ray import tune
from ray.air.execution._internal import actor_manager
from ray.tune.execution import tune_controller

from tune_kmixup.core.checks import MOST
from tune_kmixup.core.config import Suite
from tune_kmixup.core.errors import LaunchError
from tune_kmixup.core.progress import left
from tune_kmixup.core.text import first_line
from tune_kmixup.data.download import fetch
from tune_kmixup.planning.identity import identified
from tune_kmixup.planning.networks import batched_tasks
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.resources import Resources, repeated_options
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.tuning import loggers
from tune_kmixup.tuning.capacity import capacity_of
from tune_kmixup.tuning.cluster import ray_connection
from tune_kmixup.tuning.heartbeat import Heartbeat
from tune_kmixup.tuning.profiling import make_slots
from tune_kmixup.tuning.scheduler import SuiteScheduler
from tune_kmixup.tuning.searcher import SuiteSearcher
from tune_kmixup.tuning.signals import StopSignals
from tune_kmixup.tuning.slots import EqualSlots, Slots
from tune_kmixup.tuning.worker import TrialActor


@dataclass(frozen=True)
class Outcome:
    """How a launch ended.

    Attributes:
        failures: study/trial -> last line of its error, for the trials that failed.
        finished: whether nothing is left to run but those.
        disk_error: why a file could not be written; None if all were.
        stopped_by: number of the signal that stopped it; None if none did.
    """

    failures: dict[str, str]
    finished: bool
    disk_error: OSError | None
    stopped_by: int | None


@dataclass(frozen=True)
class Listeners:
    """Who hears how a launch goes.

    Attributes:
        phase: called with what the launch is doing before its first trial, when that changes.
        progress: called with the searcher about once a second.
        death: called from another thread if Ray dies, with what `launch` would raise, see `cluster.ray_connection`.
    """

    phase: Callable[[str], None] = lambda text: None
    progress: Callable[[SuiteSearcher], None] = lambda searcher: None
    death: Callable[[LaunchError | KeyboardInterrupt], None] = lambda error: None


def launch(
    suite: Suite,
    run: RunDir,
    data_dir: Path,
    resources: Resources,
    plugins: Plugins,
    listeners: Listeners = Listeners(),
    log_to: Sequence[str] = (),
) -> Outcome | None:
    """Runs what is missing of a suite. The caller holds the lock of the run directory (`store.lock.run_lock`).

    Args:
        suite: what to run.
        run: where results are written, and which of them exist already.
        data_dir: folder of the data sets; what is missing there is downloaded.
        resources: where trials run, and on how many CPUs and GPUs.
        plugins: the user's own modules, loaded by every worker.
        listeners: who hears how it goes.
        log_to: names of Ray Tune's loggers to send trials to as well, see `loggers`.

    Returns:
        How the launch ended; None if nothing was missing.

    Raises:
        BadInput: if the suite cannot run with these arguments, a network cannot be trained, or the run directory holds
            results of other data, `--load` files or numbers.
        LaunchError: if Ray or a disk fails, or the cluster loses all its nodes.
        KeyboardInterrupt: with the number of a signal (Ctrl-C, SIGTERM, SIGHUP) that arrives before the first trial,
            or of a second one after. The first one after it stops the launch: running trials save their state. If Ray
            dies meanwhile, with the LaunchError as well.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # otherwise a line per study
    data_dir = data_dir.absolute()  # workers have other working directories
    results = run.results(suite)
    if all(left(suite, study, results[study.name].rows).done for study in suite.studies):
        return None
    background_loggers = loggers.start_loggers(log_to, suite, run)
    listeners.phase("Reading the data sets")
    for dataset in {study.task.dataset for study in suite.studies}:
        fetch(dataset, data_dir)
    suite = identified(suite, run, data_dir, plugins)
    listeners.phase("Trying the networks")
    batched = batched_tasks(suite, data_dir, resources)
    # Before shares of GPUs are measured, a trial needs a whole one.
    slots: Slots = EqualSlots(resources.cpus_per_trial, resources.gpus_to_start)
    searcher = SuiteSearcher(suite, run, results, batched, slots)
    listeners.phase(f"Joining the Ray cluster at {resources.address}" if resources.address else "Starting Ray")
    with (
        StopSignals() as signals,
        failures_in_a_line(signals),
        ray_connection(resources, lambda error: listeners.death(signals.cause(error))),
        capacity_of(resources) as capacity,
        temporary_folder() as scratch,
    ):
        signals.install()
        nodes = capacity.wait_for_node(searcher.demand(capacity.most), listeners.phase)
        if resources.gpus_per_trial == "auto":
            listeners.phase("Measuring the GPU memory of trials")
        searcher.slots = make_slots(suite, run, data_dir, plugins, resources, batched)
        searcher.slots.follow(nodes)
        run.write_suite(suite)  # not before: a suite that cannot run leaves at most measurements behind
        options = repeated_options(resources, log_to)
        heartbeat = Heartbeat(searcher, run, capacity, signals, options, listeners.progress)
        searcher.on_suggest = heartbeat.beat
        heartbeat.write()
        listeners.phase("Starting the first trials")
        trainable = trainable_of(suite, run, data_dir, plugins, resources)
        try:
            run_experiment(trainable, heartbeat, background_loggers, scratch)
        finally:
            heartbeat.write(ended=True)
        seconds = loggers.STOPPED_FLUSH_SECONDS if signals.received else loggers.FLUSH_SECONDS
        loggers.finish(background_loggers, seconds)
    if heartbeat.error:
        raise heartbeat.error
    return Outcome(searcher.failures(), searcher.finished(), searcher.disk_error, signals.received)


@contextmanager
def failures_in_a_line(signals: StopSignals) -> Iterator[None]:
    """Raises LaunchError for what Ray, its processes and the disks raise, see `StopSignals.cause` for Ray's."""
    try:
        yield
    except (OSError, ray.exceptions.RayError, tune.TuneError) as error:
        ended = LaunchError(
            f"the launch cannot go on ({type(error).__name__}: {first_line(error)}): check the disks, the memory and, "
            "with --address, the cluster."
        )
        raise (ended if isinstance(error, OSError) else signals.cause(ended)) from error


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for the state of Ray Tune. Raises LaunchError if it cannot be created."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="tune-kmixup-", ignore_cleanup_errors=True)
    except OSError as error:
        raise LaunchError(f"TMPDIR cannot be written ({error}): set TMPDIR to a folder with free space.") from error
    with folder as path:
        yield Path(path)


# That a worker or its node was lost. Ray Tune knows the first alone, and ends at the others.
LOST = (
    ray.exceptions.RayActorError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.OutOfDiskError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.NodeDiedError,
)


def not_lost(record: logging.LogRecord) -> bool:
    """Whether a message of Ray Tune is about something else than a worker or node that was lost."""
    return not (record.exc_info and isinstance(record.exc_info[1], LOST))


def understand_lost_workers() -> None:
    """Lets Ray Tune treat all of `LOST` as it treats an actor that died."""
    actor_manager.RayActorError = tune_controller.RayActorError = LOST


class StopWithHeartbeat(tune.Stopper):  # type: ignore[misc]
    """Ends the experiment when the heartbeat says so. Running trials save their state."""

    def __init__(self, heartbeat: Heartbeat):
        self.heartbeat = heartbeat

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.heartbeat.must_stop()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as for the heartbeat


def trainable_of(suite: Suite, run: RunDir, data_dir: Path, plugins: Plugins, resources: Resources) -> Any:
    """The actor that trains trials, with what all of them share."""
    return tune.with_parameters(
        TrialActor,
        tasks={study.name: study.task for study in suite.studies},
        identity=suite.identity,
        data_dir=data_dir,
        run=RunDir(run.path),  # a worker has not written suite.json
        plugins=plugins,
        resources=resources,
        save_models=suite.save_models,
    )


def run_experiment(
    trainable: Any, heartbeat: Heartbeat, background_loggers: Sequence[tune.Callback], scratch: Path
) -> None:
    """Runs the Ray Tune experiment. Its state goes to `scratch` and is thrown away: the run directory is the record.

    The searcher hands out only what fits, so no limit on trials that wait in Ray is needed. Ray's own limit of one
    would start workers one after another.
    """
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # our progress display replaces Ray's
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the launching process writes the rows
    os.environ |= {"TUNE_MAX_PENDING_TRIALS_PG": str(MOST), "TUNE_DISABLE_SIGINT_HANDLER": "1"}
    logging.getLogger("ray.tune.tune").setLevel("CRITICAL")  # Ray's summary reports retried trials as failures
    logging.getLogger("ray.tune.execution.tune_controller").addFilter(not_lost)  # a page for each
    understand_lost_workers()
    searcher, signals = heartbeat.searcher, heartbeat.signals
    requests = {study.name: searcher.slots.request(study.task.base) for study in searcher.suite.studies}
    tuner = tune.Tuner(
        tune.with_resources(trainable, lambda config: tune.PlacementGroupFactory([requests[config["trial"].study]])),
        tune_config=tune.TuneConfig(
            search_alg=searcher, scheduler=SuiteScheduler(searcher), num_samples=-1, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            name="suite",
            storage_path=str(scratch),
            callbacks=[heartbeat, *background_loggers],
            stop=StopWithHeartbeat(heartbeat),
            # The searcher retries trials: Ray Tune does not if the worker is lost before the first step.
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )
    signals.graceful = True
    try:
        tuner.fit()
    finally:
        signals.graceful = False
