"""Which trial runs next: one OptunaSearch per study, one Ray Tune searcher over all of them.

The searcher hands out trials of every study, so that the cluster stays full while any study has work. When the search
budget of a study is spent, its selected configuration is handed out as final trials in the same experiment: there is
no barrier between the phases.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.tune.search import Searcher

from tune_kmixup.core.batched_seeds import Speedups
from tune_kmixup.core.config import Suite, Trial
from tune_kmixup.search.study_queue import StudyQueue
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.tuning.gpu_sharing import GpuSharing


class SuiteSearcher(Searcher):  # type: ignore[misc]
    """Ray Tune's view of a suite. A trial's configuration names its study and holds the trial itself."""

    def __init__(self, suite: Suite, run: RunDir, speedups: Speedups | None = None, sharing: GpuSharing | None = None):
        super().__init__()  # no metric: what a trial is worth is known here, from its rows
        self.suite, self.run_dir, self.sharing = suite, run, sharing or GpuSharing()
        with run.local_copy() as here:
            self.queues = {study.name: StudyQueue(suite, study, run, here, speedups or {}) for study in suite.studies}
        self.tasks: dict[str, list[StudyQueue]] = {}  # queues by base name of the task
        for queue in self.queues.values():
            self.tasks.setdefault(queue.study.task.base, []).append(queue)
        self.started: dict[str, float] = {}  # ray id -> Unix time
        self.lost_trials: dict[str, Trial] = {}  # by Ray's trial id
        self.stopping = False  # set to hand out nothing more
        self.disk_error: OSError | None = None  # what the disk said when a file could not be written

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial that fits, of the study with the most work left; None: ask again later; FINISHED: done."""
        if self.stopping:
            return str(Searcher.FINISHED)
        fitting = (queue for queue in self.queues.values() if self.sharing.fits(queue.study.task.base))
        for queue in sorted(fitting, key=self.work_left, reverse=True):
            with self.stop_on_disk_error():
                trial = queue.next_trial(trial_id)
            if self.stopping:
                return str(Searcher.FINISHED)
            if trial:
                self.started[trial_id] = time.time()
                self.sharing.acquire(trial_id, queue.study.task.base)
                return {"study": trial.study, **vars(trial)}
        return str(Searcher.FINISHED) if all(queue.runs_left() == 0 for queue in self.queues.values()) else None

    @contextmanager
    def stop_on_disk_error(self) -> Iterator[None]:
        """Where the disk refuses a file, nothing more is handed out; what is running ends, and is kept if it can be."""
        try:
            yield
        except OSError as error:
            self.disk_error, self.stopping = error, True

    def work_left(self, queue: StudyQueue) -> tuple[float, float]:
        """Estimated from the runs of the same task that are done; unbounded, so first, where there is none."""
        base = queue.study.task.base
        alike = self.tasks[base]
        runs = sum(len(other.rows) for other in alike)
        left = queue.runs_left() * sum(other.seconds for other in alike) / runs if runs else float("inf")
        return self.sharing.priority(base, left)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Progress alone; what counts comes at the end."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.started.pop(trial_id, None)
        self.sharing.release(trial_id)
        queue = self.queue_of(trial_id)
        early = queue.stopping.pop(trial_id, None)
        rows = None if error else (result or {}).get("rows", early and [early])
        if rows is None:
            self.lost_trials[trial_id] = queue.running[trial_id]
        with self.stop_on_disk_error():
            queue.finish(trial_id, rows)

    def record_error(self, trial_id: str, error: str) -> None:
        """Keeps the last line of the error of a trial that failed, its retries included."""
        trial = self.lost_trials.pop(trial_id)
        failed = self.queues[trial.study].failed
        if trial.name in failed:
            failed[trial.name] = error
            with self.stop_on_disk_error():
                self.run_dir.write_failure(trial, error)

    def failures(self) -> dict[str, str]:
        """study/trial -> error, of this launch."""
        return {f"{q.study.name}/{name}": error for q in self.queues.values() for name, error in q.failed.items()}

    def finished(self) -> bool:
        """Whether nothing is left to be run."""
        return all(queue.runs_left() == 0 for queue in self.queues.values())

    def queue_of(self, trial_id: str) -> StudyQueue:
        return next(queue for queue in self.queues.values() if trial_id in queue.running)

    # Ray pickles the searcher for its own Tuner.restore, which is not used: the run directory holds all there is.

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to be kept."""

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("launch again: the run directory holds all there is")
