"""The heartbeat of a launch: follows the cluster, writes launch.json, reports progress, keeps the errors of trials."""

import errno
import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import RayError
from ray.tune.experiment import Trial as RayTrial

from tune_kmixup.core.errors import LaunchError
from tune_kmixup.store import notes
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.store.status import HEARTBEAT_SECONDS
from tune_kmixup.tuning.capacity import POLL_SECONDS, Capacity, misfit
from tune_kmixup.tuning.searcher import SuiteSearcher
from tune_kmixup.tuning.signals import StopSignals

LOW_MEMORY = "running low on memory"  # how Ray explains that it killed a worker
# How it says that a node was lost, the second before it knows. Of none of them a trial is the cause, as a rule.
NODE_LOST = ("its node has died", "is temporarily unavailable", LOW_MEMORY)
LASTING = (errno.ENOENT, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)  # what waiting does not mend
OUTAGE_SECONDS = 300.0  # that a disk or store may refuse launch.json, which is written again and again


class Heartbeat(tune.Callback):  # type: ignore[misc]
    """Follows the cluster, writes launch.json, reports progress, and keeps the errors of failed trials.

    Args:
        searcher: what has been handed out.
        run: the run directory.
        capacity: the nodes on which trials run.
        signals: what may stop the launch from outside.
        options: options of the launch that `resume` needs again.
        on_progress: called with the searcher about once a second.

    Attributes:
        error: why the launch cannot go on; None if it can.
    """

    def __init__(
        self,
        searcher: SuiteSearcher,
        run: RunDir,
        capacity: Capacity,
        signals: StopSignals,
        options: Sequence[str],
        on_progress: Callable[[SuiteSearcher], None],
    ):
        self.searcher, self.run, self.capacity, self.signals = searcher, run, capacity, signals
        self.options, self.on_progress = list(options), on_progress
        self.error: LaunchError | None = None
        self.launched = time.time()
        previous = run.heartbeat()
        self.earlier = (*previous.earlier, previous.period) if previous else ()
        self.slot_seconds = 0.0  # that were there so far
        self.beaten = self.last_tried = self.last_written = self.last_slot = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles callbacks for its own Tuner.restore, which we do not use

    def must_stop(self) -> bool:
        """Whether the launch has to end now, with trials in progress."""
        return self.signals.received is not None or self.error is not None

    def beat(self) -> None:
        """Does once a second what is due. Ray Tune calls it between its steps, and while it waits for a trial."""
        if self.must_stop():
            self.searcher.stopping = True
        now = time.monotonic()
        if now - self.beaten < POLL_SECONDS:
            return
        self.follow_cluster(now)
        self.on_progress(self.searcher)
        if now - self.last_tried > HEARTBEAT_SECONDS:
            self.write()

    def follow_cluster(self, now: float) -> None:
        """Takes note of the nodes that are there, and asks for what trials could use beside them."""
        slots = self.searcher.slots
        self.slot_seconds += slots.slots * (now - self.beaten)
        self.beaten = now
        try:
            slots.follow(nodes := self.capacity.nodes())
            self.capacity.ask(self.searcher.demand(self.capacity.most))
        except RayError:  # a cluster's server that is away may come back; `cluster.watch_cluster` knows when it is lost
            return
        if slots.slots:
            self.last_slot = now
        elif now - self.last_slot > (seconds := self.capacity.wait_seconds()):
            self.error = LaunchError(misfit(self.capacity.resources, nodes, seconds))

    def write(self, ended: bool = False) -> None:
        """Writes launch.json.

        Args:
            ended: whether this is the last heartbeat of the launch.
        """
        now = time.time()
        running = {
            f"{queue.study.name}/{name}": notes.Running(now - trial.seconds, trial.seeds, trial.share)
            for queue in self.searcher.queues.values()
            for name, trial in self.searcher.running(queue).items()
        }
        heartbeat = notes.Heartbeat(
            host=socket.gethostname(),
            pid=os.getpid(),
            since=self.launched,
            updated=now,
            ended=ended,
            slots=self.searcher.slots.slots,
            slot_seconds=self.slot_seconds,
            shares=dict(self.searcher.slots.shares),
            options=self.options,
            earlier=self.earlier,
            running={} if ended else running,
        )
        try:
            self.run.write_heartbeat(heartbeat)
            self.last_written = time.monotonic()
        except OSError as error:
            if ended or error.errno in LASTING or time.monotonic() - self.last_written > OUTAGE_SECONDS:
                self.searcher.stop_for(error)
        self.last_tried = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[RayTrial], **info: Any) -> None:
        self.beat()

    def on_trial_error(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        text = Path(trial.error_file).read_text().strip() if trial.error_file else ""
        lines = text.splitlines() or ["its worker died"]
        if LOW_MEMORY in text:
            lines = ["Ray killed its worker, as its node ran low on memory: run fewer trials at once."]
        self.searcher.on_error(trial.trial_id, lines[-1], node_lost=any(words in text for words in NODE_LOST))
