"""Runs a suite as one Ray Tune experiment."""

import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import ray
from ray import tune

from tune_kmixup.core.config import Suite
from tune_kmixup.core.errors import LaunchError
from tune_kmixup.data.download import fetch
from tune_kmixup.planning.identity import identified
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.resources import Resources, repeated_options
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.tuning import loggers
from tune_kmixup.tuning.cluster import first_line, ray_connection
from tune_kmixup.tuning.gpu_sharing import GpuSharing
from tune_kmixup.tuning.heartbeat import Heartbeat
from tune_kmixup.tuning.profiling import load_or_measure_speedups, plan_gpu_sharing
from tune_kmixup.tuning.scheduler import SuiteScheduler
from tune_kmixup.tuning.searcher import SuiteSearcher
from tune_kmixup.tuning.worker import TrialActor


@dataclass(frozen=True)
class Outcome:
    """How a launch ended.

    Attributes:
        failures: study/trial -> last line of its error, for the trials that failed.
        finished: whether nothing is left to run but those.
        disk_error: why a file could not be written; None if all were.
    """

    failures: dict[str, str]
    finished: bool
    disk_error: OSError | None


def launch(
    suite: Suite,
    run: RunDir,
    data_dir: Path,
    resources: Resources,
    plugins: Plugins,
    on_progress: Callable[[SuiteSearcher], None] = lambda searcher: None,
    warm_start: Mapping[str, Mapping[str, float]] | None = None,
    log_to: Sequence[str] = (),
    on_death: Callable[[LaunchError], None] | None = None,
) -> Outcome | None:
    """Runs what is missing of a suite. The caller holds the lock of the run directory (`store.lock.run_lock`).

    Args:
        suite: what to run.
        run: where results are written, and which of them exist already.
        data_dir: folder of the data sets; what is missing there is downloaded.
        resources: where trials run, and on how many CPUs and GPUs.
        plugins: the user's own modules, loaded by every worker.
        on_progress: called with the searcher after each step of Ray Tune.
        warm_start: study -> values to propose first, for studies without proposals.
        log_to: names of Ray Tune's loggers to send trials to as well, see `loggers`.
        on_death: called if Ray dies, see `cluster.ray_connection`.

    Returns:
        How the launch ended; None if nothing was missing.

    Raises:
        BadInput: if the suite cannot run with these arguments, or the run directory holds results of other data,
            `--load` files or numbers.
        LaunchError: if Ray or a disk fails.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # otherwise a line per study
    data_dir = data_dir.absolute()  # workers have other working directories
    searcher = SuiteSearcher(suite, run)
    if searcher.finished():
        return None
    background_loggers = loggers.start_loggers(log_to, suite, run)
    for dataset in {study.task.dataset for study in suite.studies}:
        fetch(dataset, data_dir)
    suite = identified(suite, run, data_dir, plugins)
    with failures_in_a_line(), ray_connection(resources, on_death) as slots, temporary_folder() as scratch:
        speedups = load_or_measure_speedups(suite, run, data_dir, plugins, resources)
        sharing = plan_gpu_sharing(suite, run, data_dir, plugins, resources, speedups, slots)
        run.write_suite(suite)  # not before: a suite that cannot run leaves only its measurements behind
        for study, values in (warm_start or {}).items():
            run.write_proposal(study, 0, values)
        searcher = SuiteSearcher(suite, run, speedups, sharing)
        heartbeat = Heartbeat(searcher, run, repeated_options(resources, log_to), on_progress)
        heartbeat.write()
        trainable = tune.with_parameters(
            TrialActor,
            tasks={study.name: study.task for study in suite.studies},
            identity=suite.identity,
            data_dir=data_dir,
            run=RunDir(run.path),
            plugins=plugins,
            resources=resources,
        )
        run_experiment(trainable, searcher, [heartbeat, *background_loggers], resources, scratch)
        heartbeat.write(ended=True)
        for logger in background_loggers:
            logger.finish()
    return Outcome(searcher.failures(), searcher.finished(), searcher.disk_error)


@contextmanager
def failures_in_a_line() -> Iterator[None]:
    """Raises LaunchError for what Ray, its processes and the disks raise."""
    try:
        yield
    except (OSError, ray.exceptions.RayError, tune.TuneError) as error:
        raise LaunchError(
            f"the launch cannot go on ({type(error).__name__}: {first_line(error)}): check the disks, the memory and, "
            "with --address, the cluster."
        ) from error


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for the state of Ray Tune. Raises LaunchError if it cannot be created."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="tune-kmixup-", ignore_cleanup_errors=True)
    except OSError as error:
        raise LaunchError(f"TMPDIR cannot be written ({error}): set TMPDIR to a folder with free space.") from error
    with folder as path:
        yield Path(path)


def run_experiment(
    trainable: Any, searcher: SuiteSearcher, callbacks: list[tune.Callback], resources: Resources, scratch: Path
) -> None:
    """Runs the Ray Tune experiment. Its state goes to `scratch` and is thrown away: the run directory is the record."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # our progress display replaces Ray's
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the launching process writes the rows
    logging.getLogger("ray.tune.tune").setLevel("CRITICAL")  # Ray's summary reports retried trials as failures
    tuner = tune.Tuner(
        tune.with_resources(trainable, resource_request(searcher.suite, resources, searcher.sharing)),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=SuiteScheduler(searcher),
            num_samples=-1,
            max_concurrent_trials=searcher.sharing.max_concurrent,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="suite",
            storage_path=str(scratch),
            callbacks=callbacks,
            # The searcher retries trials: Ray Tune does not if the worker is lost before the first step.
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )
    with sigint_restored():
        tuner.fit()


@contextmanager
def sigint_restored() -> Iterator[None]:
    """Ray Tune leaves its handler of Ctrl-C behind, which would swallow the next one of a notebook or script."""
    if threading.current_thread() is not threading.main_thread():  # where signals cannot be set, Ray sets none
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def resource_request(
    suite: Suite, resources: Resources, sharing: GpuSharing
) -> Callable[[Mapping[str, Any]], tune.PlacementGroupFactory]:
    """The resources that Ray reserves for a trial, by its configuration. Only such a worker runs the trial."""
    bases = {study.name: study.task.base for study in suite.studies}
    gpus = {name: sharing.shares.get(base, resources.gpus_per_trial) for name, base in bases.items()}
    cpus = resources.cpus_per_trial
    return lambda config: tune.PlacementGroupFactory([{"CPU": cpus, "GPU": gpus[config["study"]]}])
