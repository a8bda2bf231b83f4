"""Runs a suite as one Ray Tune experiment."""

import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from tune_kmixup.core.config import Suite
from tune_kmixup.data.download import fetch
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.resources import Resources
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.tuning import loggers
from tune_kmixup.tuning.cluster import connected
from tune_kmixup.tuning.gpu_sharing import GpuSharing
from tune_kmixup.tuning.heartbeat import Heartbeat
from tune_kmixup.tuning.profiling import load_or_measure_speedups, plan_gpu_sharing
from tune_kmixup.tuning.scheduler import SuiteScheduler
from tune_kmixup.tuning.searcher import SuiteSearcher
from tune_kmixup.tuning.worker import TrialActor

Show = Callable[[SuiteSearcher], None]


@dataclass(frozen=True)
class Outcome:
    """How a launch ended.

    Attributes:
        failures: study/trial -> last line of its error, of the trials that failed.
        finished: whether nothing is left to be run but those.
        disk_error: the error of the disk, where a file could not be written.
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
    show: Show = lambda searcher: None,
    first: Mapping[str, Mapping[str, float]] | None = None,
    log_to: Sequence[str] = (),
) -> Outcome | None:
    """Runs what is missing of a suite. The caller holds the run directory (`store.lock.run_lock`).

    Args:
        suite: what to run.
        run: where results go, and what is finished already.
        data_dir: folder of the data sets; what is missing there is downloaded.
        resources: where and with what trials run.
        plugins: the user's own modules, loaded by every worker.
        show: called with the searcher after each step of Ray Tune.
        first: study -> values proposed first, for studies that have proposed nothing yet.
        log_to: names of Ray Tune's loggers that are told as well, see `loggers`.

    Returns:
        How the launch ended; None where nothing was missing.

    Raises:
        BadInput: for what cannot run.
    """
    searcher = SuiteSearcher(suite, run)
    if searcher.finished():
        return None
    started_loggers = loggers.start(log_to, suite, run)
    for dataset in {study.task.dataset for study in suite.studies}:
        fetch(dataset, data_dir)
    with connected(resources) as slots, tempfile.TemporaryDirectory(prefix="tune-kmixup-") as scratch:
        measured = load_or_measure_speedups(suite, run, data_dir, plugins, resources)
        sharing = plan_gpu_sharing(suite, run, data_dir, plugins, resources, measured, slots)
        run.write_suite(suite)  # only now: what cannot run leaves nothing behind but what was measured
        for study, values in (first or {}).items():
            run.write_proposal(study, 0, values)
        searcher = SuiteSearcher(suite, run, measured, sharing)
        heartbeat = Heartbeat(searcher, run, show)
        heartbeat.beat()
        trainable = tune.with_parameters(
            TrialActor,
            tasks={study.name: study.task for study in suite.studies},
            data_dir=data_dir,
            run=RunDir(run.path.absolute()),
            plugins=plugins,
            resources=resources,
        )
        fit(trainable, searcher, [heartbeat, *started_loggers], resources, Path(scratch))
        heartbeat.beat(ended=True)
        for logger in started_loggers:
            logger.finish()
    return Outcome(searcher.failures(), searcher.finished(), searcher.disk_error)


def fit(
    trainable: Any, searcher: SuiteSearcher, callbacks: list[tune.Callback], resources: Resources, scratch: Path
) -> None:
    """The Ray Tune experiment. Its own state is thrown away: the run directory is the store."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # our own progress in place of Ray's
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # rows are kept by the launching process
    logging.getLogger("ray.tune.tune").setLevel("CRITICAL")  # Ray's summary reports retried trials as failures
    tuner = tune.Tuner(
        tune.with_resources(trainable, demand(searcher.suite, resources, searcher.sharing)),
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
            # Retries are the searcher's: Ray Tune does not retry a trial whose worker is lost before its first step.
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )
    tuner.fit()


def demand(
    suite: Suite, resources: Resources, sharing: GpuSharing
) -> Callable[[Mapping[str, Any]], tune.PlacementGroupFactory]:
    """What a trial asks of Ray, by its configuration. Ray Tune gives it a worker that was started with just that."""
    bases = {study.name: study.task.base for study in suite.studies}
    gpus = {name: sharing.shares.get(base, resources.gpus_per_trial) for name, base in bases.items()}
    cpus = resources.cpus_per_trial
    return lambda config: tune.PlacementGroupFactory([{"CPU": cpus, "GPU": gpus[config["study"]]}])
