"""`--log-to`: Ray Tune's own loggers (TensorBoard, MLflow, Weights & Biases), in addition to the result files.

Each logger gets a trial's configuration when the trial starts, and the means over its seeds at rungs and at the end.
With `--curves` it gets those of every epoch at the end.
The result files remain the record of a launch: a logger that fails is dropped, and the launch goes on.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from statistics import fmean
from tempfile import mkdtemp
from threading import Thread
from time import monotonic
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as RayTrial

from tune_kmixup.core.config import Suite, Trial
from tune_kmixup.core.coordinates import configuration
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row, mean_curve
from tune_kmixup.core.text import first_line
from tune_kmixup.store import files
from tune_kmixup.store.run_dir import RunDir

PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}  # what each logger imports
METRICS = (
    "train_loss",
    *("val_error", "val_nll", "val_balanced_error"),
    *("test_error", "test_nll", "test_balanced_error"),
    "seconds",
)
FLUSH_SECONDS = 300.0  # how long the end of a launch waits for all loggers to send what is queued
STOPPED_FLUSH_SECONDS = 5.0  # the same if a signal stopped it: it may be killed soon


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names without repetitions. Raises BadInput if one is unknown or its package is not installed."""
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in PACKAGES:
            raise BadInput(f"log_to={name!r} is unknown: choose tensorboard, mlflow or wandb.")
        if find_spec(PACKAGES[name]) is None:
            raise BadInput(f"log_to={name!r} needs the package {PACKAGES[name]}: pip install {PACKAGES[name]}")
    return names


def start_loggers(names: Sequence[str], suite: Suite, run: RunDir) -> list["BackgroundLogger"]:
    """Starts loggers as callbacks of a launch.

    Args:
        names: any of `PACKAGES`; repeated names count once.
        suite: what is run.
        run: its name becomes that of the experiment or project. The files of a logger go to a subfolder with its name.

    Raises:
        BadInput: if a name is unknown, or a logger cannot start: no package, no server, no key.
    """
    started = []
    for name in check_names(names):
        if name == "tensorboard" and files.is_remote(run.path):
            raise BadInput(f"log_to={name!r} needs a folder on a disk, and out={str(run.path)!r} is not: leave it out.")
        try:
            logger = ray_logger(name, run)
            logger.setup()
        except Exception as error:
            raise BadInput(
                f"log_to={name!r} cannot start ({first_line(error)}): check its settings, or leave it out."
            ) from error
        started.append(BackgroundLogger(name, logger, suite, run))
    return started


def experiment_name(run: RunDir) -> str:
    """The last part of the path or URL of a run directory."""
    return str(run.path).rstrip("/").rpartition("/")[2]


def ray_logger(name: str, run: RunDir) -> Any:
    """Ray Tune's callback of that name. Imports the package of this logger only."""
    if name == "tensorboard":
        from ray.tune.logger import TBXLoggerCallback

        return TBXLoggerCallback()
    if name == "mlflow":
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        uri = os.environ.get("MLFLOW_TRACKING_URI")
        return MLflowLoggerCallback(tracking_uri=uri, experiment_name=experiment_name(run))
    from ray.air.integrations.wandb import WandbLoggerCallback

    class Wandb(WandbLoggerCallback):  # type: ignore[misc]
        """Raises the errors of Ray's logging processes, one per trial, which Ray itself ignores."""

        def _cleanup_logging_actor(self, trial: Any) -> None:
            ray.get(self._trial_logging_futures[trial], timeout=0)
            super()._cleanup_logging_actor(trial)

    # The logging processes have the environment of the cluster, so settings of the launch are passed on.
    settings = {key: os.environ.get(f"WANDB_{key.upper()}") for key in ("mode", "entity")}
    settings = {key: value for key, value in settings.items() if value}
    project = re.sub(r"[/\\#?%:]", "-", experiment_name(run))[:128]  # what W&B allows
    return Wandb(project=project, upload_timeout=int(FLUSH_SECONDS), **settings)


class LoggedTrial:
    """A Ray trial as loggers see it: with the suite's name of it, a flat configuration, and a permanent folder."""

    def __init__(self, ray_trial: RayTrial, suite: Suite, run: RunDir, folder: Path):
        trial: Trial = ray_trial.config["trial"]
        self.ray_trial = ray_trial
        self.name = f"{trial.study}/{trial.name}"
        self.experiment_dir_name = trial.study  # W&B groups by it
        self.folder = folder / trial.study / trial.name
        self.config = self.evaluated_params = flat_config(suite, run, trial)

    def __str__(self) -> str:
        return self.name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ray_trial, name)

    def init_local_path(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def local_path(self) -> str:
        self.init_local_path()
        return str(self.folder)


def flat_config(suite: Suite, run: RunDir, trial: Trial) -> dict[str, Any]:
    """What a trial is and where it belongs, and all of its hyperparameters: numbers and strings only."""
    study = suite.study(trial.study)
    config = configuration(study.task.recipe, trial.values)
    recipe = asdict(config.recipe)
    recipe.pop("source")
    split = {} if study.task.outer_split is None else {"outer_split": study.task.outer_split}
    return {
        "run_dir": str(run.path),
        "study": study.name,
        "task": study.task.base,
        "method": study.method,
        "architecture": study.task.architecture,
        **split,
        "phase": trial.phase,
        "index": trial.index,
        "alpha": config.alpha,
        "k": config.k,
        **recipe,
        "seeds": " ".join(map(str, trial.seeds)),
    }


def mean_metrics(rows: Sequence[Row]) -> dict[str, float]:
    """Means over the runs of a trial, and the number of diverged runs.

    Leaves out metrics that some run does not have: test metrics in search, metrics of a diverged run.
    """
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in METRICS}
    means = {name: fmean(values) for name, values in columns.items() if values and None not in values}
    return means | {"diverged": float([row.status for row in rows].count("diverged"))}


def epoch_metrics(rows: Sequence[Row]) -> Iterator[dict[str, float]]:
    """What a trial logs, with the epoch as `training_iteration`: means over its runs.

    Yields:
        Training loss and validation error of each epoch before the last, if the rows have curves; then all metrics.
    """
    curves = {
        "train_loss": mean_curve(row.train_loss_by_epoch for row in rows),
        "val_error": mean_curve(row.val_error_by_epoch for row in rows),
    }
    last = rows[0].epochs
    for epoch in range(1, last):
        if means := {name: curve[epoch] for name, curve in curves.items() if epoch in curve}:
            yield means | {"training_iteration": epoch}
    yield mean_metrics(rows) | {"training_iteration": last}


class BackgroundLogger(tune.Callback):  # type: ignore[misc]
    """Calls a logger from a thread of its own, so that a server that is slow or down does not delay the launch."""

    def __init__(self, name: str, logger: Any, suite: Suite, run: RunDir):
        self.name, self.logger, self.suite, self.run = name, logger, suite, run
        # With an object store there may be no permanent disk: the logger's files are temporary.
        self.folder = Path(mkdtemp(prefix="tune-kmixup-")) if files.is_remote(run.path) else run.path.absolute() / name
        self.running: dict[str, LoggedTrial] = {}  # by Ray's trial id
        self.failed = False
        self.calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.thread = Thread(target=self.run_calls, name=f"log-to-{name}", daemon=True)
        self.thread.start()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles callbacks for its own Tuner.restore, which we do not use

    def run_calls(self) -> None:
        """Makes the queued calls in order, until the end of the launch or an error."""
        try:
            while call := self.calls.get():
                call()
        except Exception as error:
            self.failed = True
            self.warn(f"has failed ({first_line(error)}) and gets no further trials")

    def enqueue(self, call: Callable[[], None]) -> None:
        if not self.failed:
            self.calls.put(call)

    def warn(self, message: str) -> None:
        print(f"log_to={self.name!r} {message}; the results in the run directory are complete.", file=sys.stderr)

    # Callbacks of Ray Tune

    def on_trial_start(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        logged = self.running[trial.trial_id] = LoggedTrial(trial, self.suite, self.run, self.folder)
        self.enqueue(partial(self.logger.log_trial_start, logged))

    def on_trial_result(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """Logs the rows at a rung (the first seed only) and at the end."""
        if not self.suite.curves:  # which lead through the rungs, so they are logged once they are complete
            self.log_rows(iteration, trial, result)

    def log_rows(self, iteration: int, trial: RayTrial, result: dict[str, Any]) -> None:
        if rows := [Row.from_json(row) for row in result.get("rows") or result.get("rung", ())]:
            for metrics in epoch_metrics(rows):
                self.enqueue(partial(self.logger.log_trial_result, iteration, self.running[trial.trial_id], metrics))

    def on_trial_complete(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        if self.suite.curves:
            self.log_rows(iteration, trial, trial.last_result)
        self.end_trial(trial.trial_id, failed=False)

    def on_trial_error(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        self.end_trial(trial.trial_id, failed=True)

    def end_trial(self, trial_id: str, failed: bool) -> None:
        if logged := self.running.pop(trial_id, None):  # absent if its worker was lost before the trial started
            self.enqueue(partial(self.logger.log_trial_end, logged, failed=failed))

    def end(self) -> None:
        """Queues the end of the trials under way and of the launch."""
        for trial_id in list(self.running):  # the launch was interrupted
            self.end_trial(trial_id, failed=True)
        self.enqueue(partial(self.logger.on_experiment_end, trials=[]))
        self.calls.put(None)


def finish(started: Sequence[BackgroundLogger], seconds: float = FLUSH_SECONDS) -> None:
    """Ends loggers, and waits until they have sent everything, but no longer than so many seconds for all.

    Call it before Ray shuts down: W&B's logging processes are Ray actors.
    """
    for logger in started:
        logger.end()
    deadline = monotonic() + seconds
    for logger in started:
        logger.thread.join(max(0, deadline - monotonic()))
        if logger.thread.is_alive():
            logger.warn(f"has not sent everything within {seconds:g} s and is abandoned")
