"""The trials of one study: which are running, and which runs next."""

import errno
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from tune_kmixup.core.batched_seeds import MAX_BATCHED
from tune_kmixup.core.config import Phase, Study, Suite, Trial
from tune_kmixup.core.progress import due_trials, left
from tune_kmixup.core.rows import Row
from tune_kmixup.search.optuna_study import Search
from tune_kmixup.search.retries import Retries
from tune_kmixup.store import files
from tune_kmixup.store.run_dir import Results, RunDir


class StudyQueue:
    """The trials of one study.

    Its search trials come first, then those that compare the shortlist again, then the final trials of the selected
    configuration: each stage when the one before is done.

    Args:
        suite: the suite, for its budgets, seeds and sampler.
        study: one of its studies.
        run: where proposals and rows are written.
        results: the existing ones.
        batched: whether the seeds of a trial are trained together.
    """

    def __init__(self, suite: Suite, study: Study, run: RunDir, results: Results, batched: bool):
        self.suite, self.study, self.run, self.batched = suite, study, run, batched
        self.rows, self.proposals = list(results.rows), dict(results.proposals)
        self.seconds = sum(row.seconds for row in self.rows)
        self.search, self.retries = Search(suite, study, results), Retries()
        self.unsearched = left(suite, study, self.rows).search  # numbers of the configurations to search next
        self.due: list[Trial] = []  # trials of the stage after the search
        self.later = list(get_args(Phase)[1:])  # stages that have not begun
        self.running: dict[str, Trial] = {}  # by Ray's trial id
        self.stopped_rows: dict[str, Row] = {}  # by Ray's trial id: the row of a trial that is being stopped early
        self.begin_stage()

    @property
    def failed(self) -> dict[str, str]:
        """Trial -> last line of its error, of the trials that failed in this launch."""
        return self.retries.failed

    def runs_left(self) -> int:
        """The number of runs that are not done, including those in progress."""
        later = {
            "shortlist": self.suite.shortlist_count(self.study) * self.suite.shortlist_seeds,
            "final": self.suite.final_seeds,
        }
        started = sum(len(trial.seeds) for trial in (*self.running.values(), *self.retries.waiting, *self.due))
        return len(self.unsearched) * self.suite.search_seeds + started + sum(later[phase] for phase in self.later)

    def ready(self) -> int:
        """The number of trials that could start now."""
        return len(self.retries.waiting) + len(self.unsearched) + len(self.due)

    def begin_stage(self) -> None:
        """Begins the stages whose time has come: the shortlist after the search, the final runs after that."""
        while self.later and not (self.unsearched or self.due or self.running or self.retries.waiting):
            # If batching gains nothing, a final trial gets as many seeds as a search trial, at the same cost.
            seeds = MAX_BATCHED if self.batched else self.suite.search_seeds
            self.due = due_trials(self.suite, self.study, self.later.pop(0), self.rows, self.proposals, seeds)

    def next_trial(self, ray_id: str) -> Trial | None:
        """Takes the next trial to run: a retry, else one of the search, of the shortlist, or a final trial.

        A new proposal is written to the run directory before its trial is returned.

        Args:
            ray_id: the id that Ray Tune gives the trial.

        Returns:
            The trial; None if none can run now.

        Raises:
            OSError: if the proposal cannot be written.
        """
        if self.retries.waiting:
            trial = self.retries.waiting.pop(0)
        elif self.unsearched:
            trial = self.propose(self.unsearched.pop(0))
        elif self.due:
            trial = self.due.pop(0)
        else:
            return None
        self.running[ray_id] = replace(trial, batched=self.batched and len(trial.seeds) > 1)
        return self.running[ray_id]

    def propose(self, index: int) -> Trial:
        """The search trial of a configuration. One that was proposed before keeps its values."""
        values = self.search.ask(index)
        if index not in self.proposals:
            self.run.write_proposal(self.study.name, index, values)
            self.proposals[index] = values
        return self.suite.search_trial(self.study, index, self.proposals[index])

    def should_continue(self, ray_id: str, row: Row) -> bool:
        """Decides whether a trial at a rung continues. If not, `row` is kept as its result.

        Args:
            ray_id: Ray's id of the trial.
            row: the row that the trial leaves if it is stopped here.
        """
        if not self.search.should_continue(self.running[ray_id].index, row):
            self.stopped_rows[ray_id] = row
        return ray_id not in self.stopped_rows

    def finish(self, ray_id: str, rows: Sequence[Row]) -> None:
        """Ends a trial: keeps its models, writes its rows and tells Optuna.

        Args:
            ray_id: Ray's id of the trial.
            rows: its rows.

        Raises:
            OSError: if the rows cannot be written.
        """
        trial = self.running.pop(ray_id)
        if self.suite.save_models and trial.phase == "final":
            if files.exists(self.run.rows_path(trial)):  # of a launch that has taken over, whose models stay
                raise FileExistsError(errno.EEXIST, "it holds rows of another launch", str(self.run.rows_path(trial)))
            self.run.keep_models(trial)
        self.run.write_rows(trial, list(rows))
        self.rows += rows
        self.seconds += sum(row.seconds for row in rows)
        if trial.phase == "search":
            self.search.tell(trial.index, rows)
        self.begin_stage()

    def retry(self, ray_id: str, error: str = "", node_lost: bool = False, hopeless: bool = False) -> bool:
        """Ends a trial without rows, and lets it run again unless its retries are used up; see `Retries.add`.

        Returns:
            Whether it has failed for good.
        """
        trial = self.running.pop(ray_id)
        failed = self.retries.add(trial, error, node_lost, hopeless)
        if failed and trial.phase == "search":
            self.search.tell(trial.index, ())
        self.begin_stage()
        return failed
