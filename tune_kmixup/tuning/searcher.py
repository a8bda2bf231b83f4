"""Which trial runs next: one Ray Tune searcher over all studies of the suite.

The searcher hands out trials of every study, so that the cluster stays full while any study has work. A study that has
spent its search budget compares its shortlist again. Then its selected configuration is trained in final trials. All of
this is one experiment: no study waits for another.
"""

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

from ray.tune.search import Searcher

from tune_kmixup.core.config import Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row
from tune_kmixup.search.study_queue import StudyQueue
from tune_kmixup.store.run_dir import Results, RunDir
from tune_kmixup.store.status import RunningTrial
from tune_kmixup.tuning.slots import Slots


class SuiteSearcher(Searcher):  # type: ignore[misc]
    """Hands out the trials of a suite to Ray Tune, and keeps their rows.

    The configuration that Ray Tune gets for a trial is `{"trial": Trial}`.

    Args:
        suite: what to run.
        run: where rows and proposals are written.
        results: what each study has proposed and finished.
        batched: tasks whose seeds are trained together, see `planning.networks.batched_tasks`.
        slots: which trials can run now.
    """

    def __init__(
        self, suite: Suite, run: RunDir, results: Mapping[str, Results], batched: Collection[str], slots: Slots
    ):
        super().__init__()  # without a metric: the study queues score trials from their rows
        self.suite, self.run, self.slots = suite, run, slots
        self.queues = {
            study.name: StudyQueue(suite, study, run, results[study.name], study.task.base in batched)
            for study in suite.studies
        }
        self.queues_by_task: dict[str, list[StudyQueue]] = {}  # by task without its split
        for queue in self.queues.values():
            self.queues_by_task.setdefault(queue.study.task.base, []).append(queue)
        self.start_times: dict[str, float] = {}  # Ray's trial id -> Unix time
        self.progress: dict[str, float] = {}  # Ray's trial id -> share of the training that is done, once reported
        self.on_suggest: Callable[[], None] = lambda: None  # called first: Ray Tune may do nothing else for minutes
        self.stopping = False  # if set, no further trial is handed out
        self.disk_error: OSError | None = None  # why a file could not be written

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Hands out the next trial: one that fits, of the task with the most work left.

        Args:
            trial_id: the id that Ray Tune gives the trial.

        Returns:
            The trial, as `{"trial": Trial}`; None if none can run now; `Searcher.FINISHED` if nothing is left to run.
        """
        self.on_suggest()
        if self.stopping:
            return str(Searcher.FINISHED)
        fitting = (queue for queue in self.queues.values() if self.slots.fits(queue.study.task.base))
        for queue in sorted(fitting, key=self.priority, reverse=True):
            with self.stop_on_disk_error():
                trial = queue.next_trial(trial_id)
            if self.stopping:
                return str(Searcher.FINISHED)
            if trial:
                self.start_times[trial_id] = time.time()
                self.slots.acquire(trial_id, queue.study.task.base)
                return {"trial": trial}
        return str(Searcher.FINISHED) if self.finished() else None

    @contextmanager
    def stop_on_disk_error(self) -> Iterator[None]:
        """If a file cannot be written, hands out no further trial. Running trials end, and are kept if possible."""
        try:
            yield
        except OSError as error:
            self.stop_for(error)

    def stop_for(self, error: OSError) -> None:
        """Hands out no further trial, as a file cannot be written."""
        self.disk_error, self.stopping = error, True

    def priority(self, queue: StudyQueue) -> tuple[float, float]:
        """Sort key of a queue by its work left, estimated from finished runs of the same task; infinite without any."""
        task = queue.study.task.base
        same_task = self.queues_by_task[task]
        runs = sum(len(other.rows) for other in same_task)
        left = queue.runs_left() * sum(other.seconds for other in same_task) / runs if runs else float("inf")
        return self.slots.priority(task, left)

    def demand(self, most: int) -> list[dict[str, float]]:
        """The resources of each trial that runs or could run now, up to so many trials."""
        tasks = (
            queue.study.task.base
            for queue in self.queues.values()
            for _ in range(len(queue.running) + (0 if self.stopping else queue.ready()))
        )
        return [self.slots.request(task) for task in islice(tasks, most)]

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Takes note of how far a trial is. Its rows come with the last result."""
        self.progress[trial_id] = result.get("progress", 0.0)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Keeps the rows of a trial. After an error, Ray Tune tells the cause to `Heartbeat.on_trial_error`."""
        self.start_times.pop(trial_id, None)
        self.progress.pop(trial_id, None)
        self.slots.release(trial_id)
        queue = self.queue_of(trial_id)
        stopped_row = queue.stopped_rows.pop(trial_id, None)
        if error:
            return
        rows = [Row.from_json(row) for row in (result or {}).get("rows", ())] or ([stopped_row] if stopped_row else [])
        if not rows:  # Ray Tune takes a lost worker for a stopped trial where its last report was a rung
            self.on_error(trial_id, "its worker died")
            return
        with self.stop_on_disk_error():
            queue.finish(trial_id, rows)

    def on_error(self, trial_id: str, error: str, node_lost: bool = False) -> None:
        """Lets a trial run again. If its retries are used up, keeps the last line of its error.

        Args:
            trial_id: Ray's id of the trial.
            error: the last line of its error. Bad input is as bad in a retry.
            node_lost: see `StudyQueue.retry`.
        """
        queue = self.queue_of(trial_id)
        trial = queue.running[trial_id]
        bad_input = re.match(rf"([\w.]+\.)?{BadInput.__name__}: ", error) is not None
        if queue.retry(trial_id, error, node_lost, hopeless=bad_input):
            with self.stop_on_disk_error():
                self.run.write_failure(trial, error)

    def running(self, queue: StudyQueue) -> dict[str, RunningTrial]:
        """How far the trials of a study are, by the name of the trial."""
        return {
            trial.name: RunningTrial(len(trial.seeds), self.progress.get(ray_id, 0.0), time.time() - started)
            for ray_id, trial in list(queue.running.items())  # another thread may ask, when Ray has died
            if (started := self.start_times.get(ray_id)) is not None
        }

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
