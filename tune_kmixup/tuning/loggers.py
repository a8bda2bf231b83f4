"""`--log-to`: Ray Tune's own loggers (TensorBoard, MLflow, Weights & Biases), beside the result files.

They are told a trial's configuration when it starts, and the means over its seeds when it ends. The result files stay
the store: a logger that fails is left out from then on, and the launch goes on.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from statistics import fmean
from tempfile import mkdtemp
from threading import Thread
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as RayTrial

from tune_kmixup.core.config import Suite, Trial, configuration
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row
from tune_kmixup.store import files
from tune_kmixup.store.run_dir import RunDir

PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}  # what each logger needs
METRICS = ("val_error", "val_nll", "test_error", "test_nll", "seconds")
LAST_WORDS = 300.0  # seconds that a logger has at the end of a launch for what it has not sent yet


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """The loggers asked for, each once. Raises BadInput for one that is unknown or not installed."""
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in PACKAGES:
            raise BadInput(f"log_to={name!r} is unknown: choose tensorboard, mlflow or wandb.")
        if find_spec(PACKAGES[name]) is None:
            raise BadInput(f"log_to={name!r} needs the package {PACKAGES[name]}: pip install {PACKAGES[name]}")
    return names


def start(names: Sequence[str], suite: Suite, run: RunDir) -> list["BackgroundLogger"]:
    """The loggers as callbacks of a launch. Raises BadInput where one cannot begin: no package, server or key."""
    found = []
    for name in check_names(names):
        if name == "tensorboard" and files.is_remote(run.path):
            raise BadInput(f"log_to={name!r} writes a folder, and out={str(run.path)!r} is none: leave it out.")
        try:
            logger = ray_logger(name, suite)
            logger.setup()
        except Exception as error:
            raise BadInput(
                f"log_to={name!r} cannot begin ({first_line(error)}): mend that, or leave it out."
            ) from error
        found.append(BackgroundLogger(name, logger, suite, run))
    return found


def ray_logger(name: str, suite: Suite) -> Any:
    """Ray Tune's callback of that name; one imports its package alone."""
    if name == "tensorboard":
        from ray.tune.logger import TBXLoggerCallback

        return TBXLoggerCallback()
    if name == "mlflow":
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        return MLflowLoggerCallback(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"), experiment_name=suite.name)
    from ray.air.integrations.wandb import WandbLoggerCallback

    class Wandb(WandbLoggerCallback):  # type: ignore[misc]
        """Ray's, which would not say that a process of its own, one per trial, has failed."""

        def _cleanup_logging_actor(self, trial: Any) -> None:
            ray.get(self._trial_logging_futures[trial], timeout=0)
            super()._cleanup_logging_actor(trial)

    # Those processes have the environment of the cluster, not that of the launch.
    given = {name: os.environ.get(f"WANDB_{name.upper()}") for name in ("mode", "entity")}
    return Wandb(project=suite.name, upload_timeout=int(LAST_WORDS), **{k: v for k, v in given.items() if v})


class LoggedTrial:
    """A Ray trial as loggers are to see it: its own name, a flat configuration, and a folder that stays."""

    def __init__(self, ray_trial: RayTrial, suite: Suite, folder: Path):
        trial = Trial(**{**ray_trial.config, "seeds": tuple(ray_trial.config["seeds"])})
        self.ray_trial = ray_trial
        self.name = f"{trial.study}/{trial.name}"
        self.experiment_dir_name = trial.study  # W&B groups by it
        self.folder = folder / trial.study / trial.name
        self.config = self.evaluated_params = flat_config(suite, trial)

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


def flat_config(suite: Suite, trial: Trial) -> dict[str, Any]:
    """Everything that a trial trains with."""
    chosen = configuration(suite.study(trial.study).task.recipe, trial.values)
    recipe = asdict(chosen.recipe)
    recipe.pop("source")
    named = {"study": trial.study, "phase": trial.phase, "index": trial.index, "alpha": chosen.alpha, "k": chosen.k}
    return named | recipe | {"seeds": " ".join(map(str, trial.seeds))}


def mean_metrics(rows: Sequence[Row]) -> dict[str, float]:
    """Means over the runs of a trial; without those that a run has not: test metrics in search, what diverged."""
    columns: dict[str, list[Any]] = {name: [row.get(name) for row in rows] for name in METRICS}
    found = {name: fmean(values) for name, values in columns.items() if values and None not in values}
    return found | {"diverged": float([row["status"] for row in rows].count("diverged"))}


class BackgroundLogger(tune.Callback):  # type: ignore[misc]
    """Runs a logger in a thread of its own: a server that is slow or away does not hold up the launch."""

    def __init__(self, name: str, logger: Any, suite: Suite, run: RunDir):
        self.name, self.logger, self.suite = name, logger, suite
        # Beside an object store, whose results need no disk, these files have no place to stay.
        self.folder = Path(mkdtemp(prefix="tune-kmixup-")) if files.is_remote(run.path) else run.path.absolute() / name
        self.shown: dict[str, LoggedTrial] = {}  # trials that are running, by Ray's trial id
        self.failed = False
        self.calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.thread = Thread(target=self.work, name=f"log-to-{name}", daemon=True)
        self.thread.start()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles callbacks for its own Tuner.restore, which is not used

    def work(self) -> None:
        """What was asked for, in turn, until that is over or has failed."""
        try:
            while call := self.calls.get():
                call()
        except Exception as error:
            self.failed = True
            self.say(f"has failed ({first_line(error)}) and is left out from here on")

    def log(self, call: Callable[[], None]) -> None:
        if not self.failed:
            self.calls.put(call)

    def say(self, what: str) -> None:
        print(f"log_to={self.name!r} {what}; the results in the run directory are complete.", file=sys.stderr)

    # What Ray Tune tells

    def on_trial_start(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        shown = self.shown[trial.trial_id] = LoggedTrial(trial, self.suite, self.folder)
        self.log(partial(self.logger.log_trial_start, shown))

    def on_trial_result(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """Results at rungs and the last one, reduced to numbers; loggers give them the epochs trained as their step."""
        if rows := result.get("rows") or result.get("rung"):  # at a rung, the first seed's
            shown = self.shown[trial.trial_id]
            told = mean_metrics(rows) | {"training_iteration": rows[0]["epochs"]}
            self.log(partial(self.logger.log_trial_result, iteration, shown, told))

    def on_trial_complete(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        self.end(trial.trial_id, failed=False)

    def on_trial_error(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        self.end(trial.trial_id, failed=True)

    def end(self, trial_id: str, failed: bool) -> None:
        if shown := self.shown.pop(trial_id, None):  # one whose worker did not come up never started
            self.log(partial(self.logger.log_trial_end, shown, failed=failed))

    def finish(self) -> None:
        """Waits for what has not been sent yet. Ray must still be there: W&B's processes are its actors."""
        for trial_id in list(self.shown):  # the launch was interrupted
            self.end(trial_id, failed=True)
        self.log(partial(self.logger.on_experiment_end, trials=[]))
        self.calls.put(None)
        self.thread.join(LAST_WORDS)
        if self.thread.is_alive():
            self.say(f"has not sent everything within {LAST_WORDS:.0f} s and is not waited for")


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
