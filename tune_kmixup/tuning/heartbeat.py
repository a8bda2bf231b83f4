"""The heartbeat of a launch: signs of life, progress, and the errors of trials that failed."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as RayTrial

from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.store.status import HEARTBEAT_SECONDS
from tune_kmixup.tuning.searcher import SuiteSearcher


class Heartbeat(tune.Callback):  # type: ignore[misc]
    """Writes launch.json every few seconds, shows progress, and keeps the errors of trials that failed."""

    def __init__(self, searcher: SuiteSearcher, run: RunDir, show: Callable[[SuiteSearcher], None]):
        self.searcher, self.run, self.show = searcher, run, show
        self.since = time.time()
        last = run.launch()
        kept = {name: last[name] for name in ("since", "updated", "slots", "shares") if name in last}
        self.earlier = [*last.get("earlier", []), kept] if last else []
        self.last_beat = 0.0

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
            "slots": self.searcher.sharing.slots,
            "shares": self.searcher.sharing.shares,
            "earlier": self.earlier,
            "running": {} if ended else running,
        }
        with self.searcher.stop_on_disk_error():
            self.run.write_launch(heartbeat)
        self.last_beat = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[RayTrial], **info: Any) -> None:
        if time.monotonic() - self.last_beat > HEARTBEAT_SECONDS:
            self.beat()
        self.show(self.searcher)

    def on_trial_error(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        lines = Path(trial.error_file).read_text().strip().splitlines() if trial.error_file else []
        self.searcher.record_error(trial.trial_id, lines[-1] if lines else "its worker died")
