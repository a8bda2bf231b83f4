"""One study: what it has proposed, what of it is done, and what is run next."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import json_to_distribution
from optuna.trial import TrialState

from tune_kmixup.core import asha
from tune_kmixup.core.batched_seeds import MAX_BATCHED, Speedups, pays
from tune_kmixup.core.config import Study, Suite, Trial, derived_seed
from tune_kmixup.core.rows import Row
from tune_kmixup.core.selection import by_configuration, final_rows, ranking, score, stopped
from tune_kmixup.search.export import finished_trial, rung_errors
from tune_kmixup.search.samplers import make_sampler
from tune_kmixup.store.run_dir import RunDir

RETRIES = 2  # of a trial that raised an error, or whose worker or node was lost

optuna.logging.set_verbosity(optuna.logging.WARNING)


class StudyQueue:
    """What one study has proposed, what of it is done, and what is to be run next."""

    def __init__(self, suite: Suite, study: Study, run: RunDir, local_copy: RunDir, speedups: Speedups):
        self.suite, self.study, self.run, self.speedups = suite, study, run, speedups
        self.rows = local_copy.rows(study.name)
        self.seconds = sum(row["seconds"] for row in self.rows)
        self.proposals = local_copy.proposals(study.name)
        self.running: dict[str, Trial] = {}  # by Ray's trial id
        self.attempts: Counter[str] = Counter()  # trial name -> times it went wrong in this launch
        self.retries: list[Trial] = []  # went wrong, and are to be tried once more
        self.failed: dict[str, str] = {}  # trial name -> error, of this launch; an earlier launch's are tried again
        self.stopping: dict[str, Row] = {}  # by Ray's trial id: the row of a trial that is being stopped
        self.rungs = asha.Rungs()
        done = by_configuration(self.rows)
        for index, runs in done.items():
            self.rungs.record(index, rung_errors(runs))
        self.unfinished = [index for index in self.proposals if index not in done]
        self.finals: list[Trial] | None = None  # None until the search has ended
        self.space = {name: json_to_distribution(json.dumps(value)) for name, value in study.space.items()}
        self.optuna_study = self._rebuilt(done) if study.space else None
        self.asked: dict[str, optuna.Trial] = {}  # by name of the trial: Ray's ids change when it is tried again
        self.queue_finals()

    def _rebuilt(self, done: Mapping[int, list[Row]]) -> optuna.Study:
        """Optuna's study, rebuilt in the order of its proposals. Those without a result are asked for again first."""
        seed = derived_seed(self.suite.seed, self.study.name)
        rebuilt = optuna.create_study(
            sampler=make_sampler(self.suite.sampler, seed, self.space, self.suite.trials),
            pruner=optuna.pruners.NopPruner(),
            study_name=self.study.name,
            direction="minimize",
        )
        for index, values in self.proposals.items():
            if index in done:
                rebuilt.add_trial(finished_trial(values, self.space, done[index], {}))
            else:
                rebuilt.enqueue_trial(values)
        return rebuilt

    def runs_left(self) -> int:
        """Runs to be done, those in progress included."""
        search = self.suite.trial_count(self.study) - len(self.proposals) + len(self.unfinished)
        finals = self.suite.final_seeds if self.finals is None else sum(len(trial.seeds) for trial in self.finals)
        begun = sum(len(trial.seeds) for trial in (*self.running.values(), *self.retries))
        return max(0, search) * self.suite.search_seeds + finals + begun

    def queue_finals(self) -> None:
        """Queues the final trials that are missing, once the search has ended."""
        searching = any(trial.phase == "search" for trial in (*self.running.values(), *self.retries))
        if self.finals is None and not searching and not self.unfinished and self.all_proposed:
            self.finals = []
            for best in ranking(self.rows)[:1]:
                done = {row["seed"] for row in final_rows(self.rows)}
                # Where seeds gain nothing from each other, a final trial costs what a search trial does.
                most = min(MAX_BATCHED, self.suite.final_seeds)
                at_once = most if pays(self.speedups, self.study.task, most) else self.suite.search_seeds
                self.finals += self.suite.final_trials(self.study, best, self.proposals[best], done, at_once)

    @property
    def all_proposed(self) -> bool:
        return len(self.proposals) >= self.suite.trial_count(self.study)

    def next_trial(self, ray_id: str) -> Trial | None:
        """The next trial to run; None while there is nothing to hand out. A proposal is on disk before it is run."""
        trial = self.retries.pop(0) if self.retries else self._next_search()
        if trial is None:
            self.queue_finals()
            trial = self.finals.pop(0) if self.finals else None
        if trial:
            self.running[ray_id] = trial = replace(
                trial, batched=pays(self.speedups, self.study.task, len(trial.seeds))
            )
        return trial

    def _next_search(self) -> Trial | None:
        if not self.unfinished and self.all_proposed:
            return None
        index = self.unfinished.pop(0) if self.unfinished else len(self.proposals)
        trial = self.suite.search_trial(self.study, index, self.proposals.get(index, {}))
        values: dict[str, Any] = {}
        if self.optuna_study:
            self.asked[trial.name] = self.optuna_study.ask(self.space)
            values = self.asked[trial.name].params
        if index not in self.proposals:
            self.run.write_proposal(self.study.name, index, values)
            self.proposals[index] = values
        return replace(trial, values=self.proposals[index])

    def should_continue(self, ray_id: str, row: Row) -> bool:
        """Whether a trial that is at a rung goes on. If not, it ends with `row`."""
        trial, epoch = self.running[ray_id], row["epochs"]
        # Where its error was known, it went on before its worker was lost.
        if epoch in self.record_rungs(trial, [row]) and not self.rungs.should_continue(trial.index, epoch):
            self.stopping[ray_id] = row
        return ray_id not in self.stopping

    def record_rungs(self, trial: Trial, rows: list[Row]) -> dict[int, float]:
        """Keeps the errors at rungs that are new here, those passed in an earlier launch too, and tells Optuna."""
        new = self.rungs.record(trial.index, rung_errors(rows))
        if trial.name in self.asked:
            for epoch, error in new.items():
                self.asked[trial.name].report(error, epoch)
        return new

    def finish(self, ray_id: str, rows: list[Row] | None) -> None:
        """Keeps the rows of a trial and tells Optuna. One that went wrong (`rows` None) is tried again, or failed."""
        trial = self.running.pop(ray_id)
        self.attempts[trial.name] += rows is None
        if rows is None and self.attempts[trial.name] <= RETRIES:
            self.retries.append(trial)
            return
        if rows is not None:
            self.run.write_rows(trial, rows)
            self.rows += rows
            self.seconds += sum(row["seconds"] for row in rows)
        else:
            self.failed[trial.name] = ""
        if self.optuna_study and trial.phase == "search":
            self.record_rungs(trial, rows or [])
            asked = self.asked.pop(trial.name)
            if rows is None or stopped(rows):
                self.optuna_study.tell(asked, state=TrialState.FAIL if rows is None else TrialState.PRUNED)
            else:
                self.optuna_study.tell(asked, score(rows)[0])
