"""The trials of one study: which were proposed, which are done, and which runs next."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import TrialState, create_trial

from tune_kmixup.core import asha
from tune_kmixup.core.batched_seeds import MAX_BATCHED
from tune_kmixup.core.config import Study, Suite, Trial, derived_seed
from tune_kmixup.core.progress import left
from tune_kmixup.core.rows import Row
from tune_kmixup.core.selection import by_configuration, stopped_configurations, validation_score
from tune_kmixup.search.export import rung_errors
from tune_kmixup.search.samplers import make_sampler
from tune_kmixup.store.run_dir import Results, RunDir

RETRIES = 2  # per launch, of a trial that raised an error, or whose worker died
LOST_NODES = 20  # that a trial survives per launch: a trial that brings its node down would never end


def finished_trial(
    values: Mapping[str, Any], space: Mapping[str, BaseDistribution], runs: list[Row]
) -> optuna.trial.FrozenTrial:
    """A configuration with search runs as the sampler was told of it: COMPLETE, or PRUNED if it was stopped early."""
    pruned = bool(stopped_configurations(runs))
    return create_trial(
        state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
        params=dict(values),
        distributions=dict(space),
        value=validation_score(runs)[0],
        intermediate_values=rung_errors(runs),
    )


class StudyQueue:
    """The trials of one study.

    The study is rebuilt from the files of the run directory. Its search trials come first, then those that compare the
    shortlist again, then the final trials of the selected configuration: each stage when the one before is done.

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
        self.running: dict[str, Trial] = {}  # by Ray's trial id
        self.attempts: Counter[str] = Counter()  # trial name -> failed attempts in this launch
        self.lost_nodes: Counter[str] = Counter()  # trial name -> nodes that left under it in this launch
        self.retries: list[Trial] = []  # trials to run again
        self.failed: dict[str, str] = {}  # trial name -> error in this launch; failures of earlier launches run again
        self.stopped_rows: dict[str, Row] = {}  # by Ray's trial id: the row of a trial that is being stopped early
        self.rungs = asha.StudyRungs()
        search_runs = by_configuration(self.rows)
        for index, runs in search_runs.items():
            self.rungs.record(index, rung_errors(runs))
        self.unsearched = left(suite, study, self.rows).search  # numbers of the configurations to search next
        self.shortlisted: list[Trial] | None = None  # None until the search has ended
        self.finals: list[Trial] | None = None  # None until the shortlist has been compared
        self.space = {name: json_to_distribution(json.dumps(value)) for name, value in study.space.items()}
        self.optuna_study = self._rebuild_optuna_study(search_runs) if study.space else None
        self.optuna_trials: dict[str, optuna.Trial] = {}  # by trial name, because a retry has another Ray id
        self.queue_stages()

    def _rebuild_optuna_study(self, search_runs: Mapping[int, list[Row]]) -> optuna.Study:
        """Optuna's study, in which a trial has the number of its configuration.

        Proposals without a result are queued to be proposed again first. So are missing proposals, to be drawn anew.
        """
        seed = derived_seed(self.suite.seed, self.study.name)
        optuna_study = optuna.create_study(
            sampler=make_sampler(self.suite.sampler, seed, self.space, self.suite.trial_count(self.study)),
            pruner=optuna.pruners.NopPruner(),
            study_name=self.study.name,
            direction="minimize",
        )
        for index in range(max(self.proposals, default=-1) + 1):
            values = self.proposals.get(index, {})
            if index in search_runs:
                optuna_study.add_trial(finished_trial(values, self.space, search_runs[index]))
            else:
                optuna_study.enqueue_trial(values)
        return optuna_study

    def runs_left(self) -> int:
        """The number of runs that are not done, including those in progress."""
        shortlist = self.suite.shortlist_count(self.study) * self.suite.shortlist_seeds
        if self.shortlisted is not None:
            shortlist = sum(len(trial.seeds) for trial in self.shortlisted)
        finals = self.suite.final_seeds if self.finals is None else sum(len(trial.seeds) for trial in self.finals)
        started = sum(len(trial.seeds) for trial in (*self.running.values(), *self.retries))
        return len(self.unsearched) * self.suite.search_seeds + shortlist + finals + started

    def ready(self) -> int:
        """The number of trials that could start now."""
        return len(self.retries) + len(self.unsearched) + len(self.shortlisted or ()) + len(self.finals or ())

    def queue_stages(self) -> None:
        """Queues the missing trials of the shortlist if the search has ended, and final trials after those."""
        phases = {trial.phase for trial in (*self.running.values(), *self.retries)}
        if self.shortlisted is None and "search" not in phases and not self.unsearched:
            missing = left(self.suite, self.study, self.rows).shortlist
            self.shortlisted = [
                self.suite.shortlist_trial(self.study, index, self.proposals[index]) for index in missing
            ]
        if self.finals is None and self.shortlisted == [] and "shortlist" not in phases:
            self.finals = []
            todo = left(self.suite, self.study, self.rows)
            if todo.selected is not None:
                # If batching gains nothing, a final trial gets as many seeds as a search trial, at the same cost.
                seeds_per_trial = MAX_BATCHED if self.batched else self.suite.search_seeds
                finished = set(self.suite.seeds(self.study, "final")) - set(todo.final)
                values = self.proposals[todo.selected]
                self.finals += self.suite.final_trials(self.study, todo.selected, values, finished, seeds_per_trial)

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
        trial = self.retries.pop(0) if self.retries else self._next_search_trial()
        if trial is None:
            self.queue_stages()
            stage = self.shortlisted or self.finals
            trial = stage.pop(0) if stage else None
        if trial:
            self.running[ray_id] = trial = replace(trial, batched=self.batched and len(trial.seeds) > 1)
        return trial

    def _next_search_trial(self) -> Trial | None:
        if not self.unsearched:
            return None
        index = self.unsearched.pop(0)
        trial = self.suite.search_trial(self.study, index, self.proposals.get(index, {}))
        values: dict[str, Any] = {}
        if self.optuna_study:
            self.optuna_trials[trial.name] = self.optuna_study.ask(self.space)
            values = self.optuna_trials[trial.name].params
        if index not in self.proposals:
            self.run.write_proposal(self.study.name, index, values)
            self.proposals[index] = values
        return replace(trial, values=self.proposals[index])

    def should_continue(self, ray_id: str, row: Row) -> bool:
        """Decides whether a trial at a rung continues. If not, `row` is kept as its result.

        Args:
            ray_id: Ray's id of the trial.
            row: the row that the trial leaves if it is stopped here.
        """
        trial, epoch = self.running[ray_id], row.epochs
        # If its error was recorded before, it has passed this rung already: its worker was lost, and it was resumed.
        if epoch in self.record_rungs(trial, [row]) and not self.rungs.should_continue(trial.index, epoch):
            self.stopped_rows[ray_id] = row
        return ray_id not in self.stopped_rows

    def record_rungs(self, trial: Trial, rows: list[Row]) -> dict[int, float]:
        """Records the errors at rungs that rows hold, and reports new ones to Optuna.

        Returns:
            Epoch -> error, of the errors that were not recorded before.
        """
        new = self.rungs.record(trial.index, rung_errors(rows))
        if trial.name in self.optuna_trials:
            for epoch, error in new.items():
                self.optuna_trials[trial.name].report(error, epoch)
        return new

    def finish(self, ray_id: str, rows: list[Row]) -> None:
        """Ends a trial: keeps its models, writes its rows and tells Optuna.

        Args:
            ray_id: Ray's id of the trial.
            rows: its rows.

        Raises:
            OSError: if the rows cannot be written.
        """
        trial = self.running.pop(ray_id)
        if self.suite.save_models and trial.phase == "final":
            self.run.keep_models(trial)
        self.run.write_rows(trial, rows)
        self.rows += rows
        self.seconds += sum(row.seconds for row in rows)
        if self.optuna_study and trial.phase == "search":
            self.record_rungs(trial, rows)
            optuna_trial = self.optuna_trials.pop(trial.name)
            if stopped_configurations(rows):
                self.optuna_study.tell(optuna_trial, state=TrialState.PRUNED)
            else:
                self.optuna_study.tell(optuna_trial, validation_score(rows)[0])

    def retry(self, ray_id: str, node_lost: bool = False) -> None:
        """Queues a trial that ended without rows again, unless its retries are used up.

        Args:
            ray_id: Ray's id of the trial.
            node_lost: whether its node left, for which the trial can do nothing.
        """
        trial = self.running.pop(ray_id)
        (self.lost_nodes if node_lost else self.attempts)[trial.name] += 1
        self.retries.append(trial)
        if self.attempts[trial.name] > RETRIES or self.lost_nodes[trial.name] > LOST_NODES:
            self.give_up(trial)

    def give_up(self, trial: Trial) -> None:
        """Counts a trial as failed instead of running it again. Does nothing if it is not waiting to be run again."""
        if trial not in self.retries:
            return
        self.retries.remove(trial)
        self.failed[trial.name] = ""
        if self.optuna_study and trial.phase == "search":
            self.optuna_study.tell(self.optuna_trials.pop(trial.name), state=TrialState.FAIL)
