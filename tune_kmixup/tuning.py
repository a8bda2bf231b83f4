"""Runs a suite as one Ray Tune experiment. With `scheduling`, the only room that knows Ray."""

import logging
import os
import secrets
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # our own display in place of Ray's
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # rows are kept by the launching process
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
import torch
from ray import tune
from ray.tune.experiment import Trial as RayTrial

import search_spaces
import tune_kmixup
from tune_kmixup import data, loggers
from tune_kmixup.extensions import Extensions
from tune_kmixup.measuring import measured, packing
from tune_kmixup.packing import Packing
from tune_kmixup.patient import Patient
from tune_kmixup.resources import Resources
from tune_kmixup.results import RunDir
from tune_kmixup.scheduling import SuiteSearcher
from tune_kmixup.status import HEARTBEAT_SECONDS
from tune_kmixup.study import BadInput, Suite
from tune_kmixup.worker import TrialActor

logging.getLogger("ray.tune.tune").setLevel("CRITICAL")  # its last word counts trials that ended well when tried again


@dataclass(frozen=True)
class Outcome:
    """How a launch ended: the trials that failed and why, and whether nothing is left to be run but those.

    `refused`: what the disk said, where a file could not be written.
    """

    failures: dict[str, str]
    finished: bool
    refused: OSError | None


class Heart(tune.Callback):  # type: ignore[misc]
    """Writes the heartbeat, shows progress, and keeps the errors of trials that failed."""

    def __init__(self, searcher: SuiteSearcher, run: RunDir, show: Callable[[SuiteSearcher], None]):
        self.searcher, self.run, self.show = searcher, run, show
        self.since = time.time()
        last = run.launch()
        kept = {name: last[name] for name in ("since", "updated", "slots", "shares") if name in last}
        self.earlier = [*last.get("earlier", []), kept] if last else []
        self.beaten = 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles callbacks for its own Tuner.restore, which is not used

    def beat(self, ended: bool = False) -> None:
        running = {
            f"{trial.study}/{trial.name}": {"since": self.searcher.started[ray_id], "seeds": len(trial.seeds)}
            for queue in self.searcher.queues.values()
            for ray_id, trial in queue.running.items()
        }
        heartbeat = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": self.since,
            "updated": time.time(),
            "ended": ended,
            "slots": self.searcher.packing.slots,
            "shares": self.searcher.packing.shares,
            "earlier": self.earlier,
            "running": {} if ended else running,
        }
        with self.searcher.writing():
            self.run.write_launch(heartbeat)
        self.beaten = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[RayTrial], **info: Any) -> None:
        if time.monotonic() - self.beaten > HEARTBEAT_SECONDS:
            self.beat()
        self.show(self.searcher)

    def on_trial_error(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        lines = Path(trial.error_file).read_text().strip().splitlines() if trial.error_file else []
        self.searcher.explain(trial.trial_id, lines[-1] if lines else "its worker died")


def connect(address: str) -> None:
    """Joins a Ray cluster. The code travels with the job, so that no node runs another version of it."""
    code = [str(Path(package.__path__[0])) for package in (tune_kmixup, search_spaces)]
    try:
        with warnings.catch_warnings(action="ignore"):  # what Ray warns of here, it raises as well
            ray.init(address, runtime_env={"py_modules": code}, log_to_driver=False, logging_level="error")
    except ImportError as error:
        raise BadInput(
            f"address={address!r} is Ray's client, which needs a package: pip install ray[client]"
        ) from error
    except (ConnectionError, RuntimeError, ValueError) as error:  # whichever it is, Ray's own words say why
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadInput(
            f"address={address!r} gives no connection to a Ray cluster ({why}): "
            "start one with `ray start --head`, name its HOST:PORT (ray://HOST:10001 from outside), "
            "and give its token if it asks for one (RAY_AUTH_MODE=token)."
        ) from error


@contextmanager
def cluster(resources: Resources) -> Iterator[int]:
    """A connection to Ray; gives the number of trials that fit at once."""
    if resources.address is None:
        # Refused before Ray starts. A local Ray of one's own: never attach to a stale one left on the machine.
        cpus, gpus = os.cpu_count() or 1, torch.cuda.device_count()
        resources.slots(cpus, gpus)
        # Its ports are open to the network, so it asks for a token, of this launch alone. Left to itself Ray keeps one
        # in the home directory, where it may not be allowed to, and from then on every `ray start` asks for it.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        ray.init(
            "local", num_cpus=cpus, num_gpus=gpus, include_dashboard=False, log_to_driver=False, logging_level="error"
        )
    else:
        connect(resources.address)
    try:
        there = ray.cluster_resources()
        yield resources.slots(there.get("CPU", 0), there.get("GPU", 0))
    finally:
        ray.shutdown()


Needed = Callable[[Mapping[str, Any]], tune.PlacementGroupFactory]


def needed(suite: Suite, resources: Resources, packed: Packing) -> Needed:
    """What a trial asks of Ray, by its configuration. Ray Tune gives it a worker that was begun with just that."""
    bases = {study.name: study.task.base for study in suite.studies}
    gpus = {name: packed.shares.get(base, resources.gpus_per_trial) for name, base in bases.items()}
    cpus = resources.cpus_per_trial
    return lambda config: tune.PlacementGroupFactory([{"CPU": cpus, "GPU": gpus[config["study"]]}])


def launch(
    suite: Suite,
    run: RunDir,
    data_dir: Path,
    resources: Resources,
    extensions: Extensions,
    show: Callable[[SuiteSearcher], None] = lambda searcher: None,
    first: Mapping[str, Mapping[str, float]] | None = None,
    log_to: Sequence[str] = (),
) -> Outcome | None:
    """Runs what is missing of a suite; where nothing is, does nothing and gives None.

    `first`: study -> the values to be proposed first, of studies that have proposed nothing yet.
    `log_to`: names of Ray Tune's loggers that are told as well, see `loggers`.
    The caller holds the run directory (`holding.held`). Raises BadInput for what cannot run.
    """
    searcher = SuiteSearcher(suite, run)
    if searcher.finished():
        return None
    opened = loggers.opened(log_to, suite, run)
    for dataset in {study.task.dataset for study in suite.studies}:
        data.fetch(dataset, data_dir)
    with cluster(resources) as slots, tempfile.TemporaryDirectory(prefix="tune-kmixup-") as scratch:
        speedups = measured(suite, run, data_dir, extensions, resources)
        packed = packing(suite, run, data_dir, extensions, resources, speedups, slots)
        run.write_suite(suite)  # only now: what cannot run leaves nothing behind but what was measured
        for study, values in (first or {}).items():
            run.write_proposal(study, 0, values)
        searcher = SuiteSearcher(suite, run, speedups, packed)
        heart = Heart(searcher, run, show)
        heart.beat()
        actor = tune.with_parameters(
            TrialActor,
            tasks={study.name: study.task for study in suite.studies},
            data_dir=data_dir,
            run=RunDir(run.path.absolute()),
            extensions=extensions,
            resources=resources,
        )
        tuner = tune.Tuner(
            tune.with_resources(actor, needed(suite, resources, packed)),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=Patient(searcher),
                num_samples=-1,
                max_concurrent_trials=packed.at_once,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="suite",
                storage_path=scratch,  # Ray's own state is not kept: the run directory is the store
                callbacks=[heart, *opened],
                # Retries are the searcher's: Ray Tune's leave out a trial whose worker is lost before its first step.
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        tuner.fit()
        heart.beat(ended=True)
        for logger in opened:
            logger.finish()
    return Outcome(searcher.failures(), searcher.finished(), searcher.refused)
