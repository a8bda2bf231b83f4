"""Which trial runs next: one Optuna study per study of the suite, and one Ray Tune searcher over all of them.

The searcher hands out trials of every study, so that the cluster stays full while any study has work. As soon as a
study has spent its search budget, its selected configuration is handed out as final trials of the same experiment.
There is no barrier between the two phases.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.tune.search import Searcher

from tune_kmixup.core.batched_seeds import Speedups
from tune_kmixup.core.config import Suite, Trial
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row
from tune_kmixup.search.study_queue import StudyQueue
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.tuning.gpu_sharing import GpuSharing


class SuiteSearcher(Searcher):  # type: ignore[misc]
    """Hands out the trials of a suite to Ray Tune, and keeps their rows.

    The configuration that Ray Tune gets for a trial holds the fields of `core.config.Trial`.

    Args:
        suite: what to run.
        run: where rows and proposals are written, and which of them exist already.
        speedups: gain of training seeds together, see `profiling.load_or_measure_speedups`; None: never together.
        sharing: how trials share GPUs; None: all trials need the same resources.
    """

    def __init__(self, suite: Suite, run: RunDir, speedups: Speedups | None = None, sharing: GpuSharing | None = None):
        super().__init__()  # without a metric: the study queues score trials from their rows
        self.suite, self.run, self.sharing = suite, run, sharing or GpuSharing()
        with run.local_copy() as local:
            results = local.results(suite)
        self.queues = {
            study.name: StudyQueue(suite, study, run, results[study.name], speedups or {}) for study in suite.studies
        }
        self.queues_by_task: dict[str, list[StudyQueue]] = {}  # by task without its split
        for queue in self.queues.values():
            self.queues_by_task.setdefault(queue.study.task.base, []).append(queue)
        self.start_times: dict[str, float] = {}  # Ray's trial id -> Unix time
        self.lost_trials: dict[str, Trial] = {}  # by Ray's trial id: ended without rows, the error not yet recorded
        self.stopping = False  # if set, no further trial is handed out
        self.disk_error: OSError | None = None  # why a file could not be written

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Hands out the next trial: one that fits, of the task with the most work left.

        Args:
            trial_id: the id that Ray Tune gives the trial.

        Returns:
            The fields of the trial; None if none can run now; `Searcher.FINISHED` if nothing is left to run.
        """
        if self.stopping:
            return str(Searcher.FINISHED)
        fitting = (queue for queue in self.queues.values() if self.sharing.fits(queue.study.task.base))
        for queue in sorted(fitting, key=self.priority, reverse=True):
            with self.stop_on_disk_error():
                trial = queue.next_trial(trial_id)
            if self.stopping:
                return str(Searcher.FINISHED)
            if trial:
                self.start_times[trial_id] = time.time()
                self.sharing.acquire(trial_id, queue.study.task.base)
                return {"study": trial.study, **vars(trial)}
        return str(Searcher.FINISHED) if self.finished() else None

    @contextmanager
    def stop_on_disk_error(self) -> Iterator[None]:
        """If a file cannot be written, hands out no further trial. Running trials end, and are kept if possible."""
        try:
            yield
        except OSError as error:
            self.disk_error, self.stopping = error, True

    def priority(self, queue: StudyQueue) -> tuple[float, float]:
        """Sort key of a queue by its work left, estimated from finished runs of the same task; infinite without any."""
        task = queue.study.task.base
        same_task = self.queues_by_task[task]
        runs = sum(len(other.rows) for other in same_task)
        left = queue.runs_left() * sum(other.seconds for other in same_task) / runs if runs else float("inf")
        return self.sharing.priority(task, left)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Ignores intermediate results: the rows come with the last one."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Keeps the rows of a trial. Without any, its study retries it or counts it as failed."""
        self.start_times.pop(trial_id, None)
        self.sharing.release(trial_id)
        queue = self.queue_of(trial_id)
        stopped_row = queue.stopped_rows.pop(trial_id, None)
        finished = [Row.from_json(row) for row in (result or {}).get("rows", ())]
        rows = None if error else finished or ([stopped_row] if stopped_row else None)
        if rows is None:
            self.lost_trials[trial_id] = queue.running[trial_id]
        with self.stop_on_disk_error():
            queue.finish(trial_id, rows)

    def record_error(self, trial_id: str, error: str) -> None:
        """Keeps the last line of a trial's error, if its retries are used up. Bad input is as bad in a retry."""
        trial = self.lost_trials.pop(trial_id)
        queue = self.queues[trial.study]
        if re.match(rf"([\w.]+\.)?{BadInput.__name__}: ", error):
            queue.give_up(trial)
        if trial.name in queue.failed:
            queue.failed[trial.name] = error
            with self.stop_on_disk_error():
                self.run.write_failure(trial, error)

    def failures(self) -> dict[str, str]:
        """study/trial -> last line of its error, for trials that failed in this launch."""
        return {
            f"{queue.study.name}/{trial}": error
            for queue in self.queues.values()
            for trial, error in queue.failed.items()
        }

    def finished(self) -> bool:
        """Whether nothing is left to run, failed trials aside."""
        return all(queue.runs_left() == 0 for queue in self.queues.values())

    def queue_of(self, trial_id: str) -> StudyQueue:
        """The queue of a running trial, by Ray's trial id."""
        return next(queue for queue in self.queues.values() if trial_id in queue.running)

    # Ray pickles the searcher for its own Tuner.restore, which we do not use: the run directory holds all state.

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Saves nothing."""

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("launch again: the run directory holds all state")
