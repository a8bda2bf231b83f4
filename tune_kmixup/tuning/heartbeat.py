"""The heartbeat of a launch: writes launch.json, reports progress, and keeps the errors of failed trials."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as RayTrial

from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.store.status import HEARTBEAT_SECONDS
from tune_kmixup.tuning.searcher import SuiteSearcher


class Heartbeat(tune.Callback):  # type: ignore[misc]
    """Writes launch.json every few seconds, reports progress, and keeps the errors of failed trials.

    Args:
        searcher: what has been handed out.
        run: the run directory.
        options: options of the launch that `resume` needs again.
        on_progress: called with the searcher after each step of Ray Tune.
    """

    def __init__(
        self,
        searcher: SuiteSearcher,
        run: RunDir,
        options: Sequence[str],
        on_progress: Callable[[SuiteSearcher], None],
    ):
        self.searcher, self.run, self.options, self.on_progress = searcher, run, list(options), on_progress
        self.launched = time.time()
        previous = run.launch()
        summary = {name: previous[name] for name in ("since", "updated", "slots", "shares") if name in previous}
        self.earlier = [*previous.get("earlier", []), summary] if previous else []
        self.last_written = 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles callbacks for its own Tuner.restore, which we do not use

    def write(self, ended: bool = False) -> None:
        """Writes launch.json.

        Args:
            ended: whether this is the last heartbeat of the launch.
        """
        running = {
            f"{trial.study}/{trial.name}": {"since": self.searcher.start_times[ray_id], "seeds": len(trial.seeds)}
            for queue in self.searcher.queues.values()
            for ray_id, trial in queue.running.items()
        }
        heartbeat = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": self.launched,
            "updated": time.time(),
            "ended": ended,
            "options": self.options,
            "slots": self.searcher.sharing.slots,
            "shares": self.searcher.sharing.shares,
            "earlier": self.earlier,
            "running": {} if ended else running,
        }
        with self.searcher.stop_on_disk_error():
            self.run.write_launch(heartbeat)
        self.last_written = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[RayTrial], **info: Any) -> None:
        if time.monotonic() - self.last_written > HEARTBEAT_SECONDS:
            self.write()
        self.on_progress(self.searcher)

    def on_trial_error(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        lines = Path(trial.error_file).read_text().strip().splitlines() if trial.error_file else []
        self.searcher.record_error(trial.trial_id, lines[-1] if lines else "its worker died")
