"""The search of one study: what Optuna is asked, and what it is told."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from tune_kmixup.core import asha
from tune_kmixup.core.config import SelectBy, Study, Suite, derived_seed
from tune_kmixup.core.rows import Row
from tune_kmixup.core.selection import by_configuration, rung_scores, stopped_configurations, validation_score
from tune_kmixup.search.samplers import make_sampler, space_of
from tune_kmixup.store.run_dir import Results


class Search:
    """Asks Optuna for configurations, and tells it how they did, at rungs and at the end.

    Optuna's study is rebuilt from the run directory. Its trials have the numbers of the configurations. Proposals
    without a result are queued, to be proposed again first. So are missing proposals, to be drawn anew. A study with an
    empty space has one configuration, and asks for nothing.

    Args:
        suite: the suite, for its sampler, seed and the score that it selects by.
        study: one of its studies.
        results: what it has proposed and finished.
    """

    def __init__(self, suite: Suite, study: Study, results: Results):
        self.space = space_of(study)
        self.select_by = suite.select_by
        self.asked: dict[int, optuna.Trial] = {}  # by configuration; a retry of it is the same trial
        self.rungs = asha.StudyRungs()
        runs = by_configuration(results.rows)
        for index, rows in runs.items():
            self.rungs.record(index, rung_scores(rows))
        self.optuna_study = optuna.create_study(
            sampler=make_sampler(
                suite.sampler, derived_seed(suite.seed, study.name), self.space, suite.trial_count(study)
            ),
            pruner=optuna.pruners.NopPruner(),
            study_name=study.name,
            direction="minimize",
        )
        if not self.space:
            return
        for index in range(max(results.proposals, default=-1) + 1):
            values = results.proposals.get(index, {})
            if index in runs:
                self.optuna_study.add_trial(finished_trial(values, self.space, runs[index], self.select_by))
            else:
                self.optuna_study.enqueue_trial(values)

    def ask(self, index: int) -> dict[str, Any]:
        """The values of a configuration's free coordinates, in the order of the numbers."""
        if not self.space:
            return {}
        self.asked[index] = self.optuna_study.ask(self.space)
        return dict(self.asked[index].params)

    def report(self, index: int, rows: Sequence[Row]) -> dict[int, float]:
        """Records the scores at rungs that rows hold, and reports new ones to Optuna.

        Returns:
            Epoch -> score, of the scores that were not recorded before.
        """
        new = self.rungs.record(index, rung_scores(rows))
        if index in self.asked:
            for epoch, score in new.items():
                self.asked[index].report(score, epoch)
        return new

    def should_continue(self, index: int, row: Row) -> bool:
        """Whether a configuration continues past a rung.

        Args:
            index: its number.
            row: the row that it leaves if it is stopped here.
        """
        # If its score was recorded before, it has passed this rung already: its worker was lost, and it was resumed.
        return row.epochs not in self.report(index, [row]) or self.rungs.should_continue(index, row.epochs)

    def tell(self, index: int, rows: Sequence[Row]) -> None:
        """Tells Optuna the score of a configuration, or that it was stopped early, or that it failed.

        Args:
            index: its number.
            rows: its search runs; none if it failed.
        """
        self.report(index, rows)
        if not self.space:
            return
        trial = self.asked.pop(index)
        if not rows:
            self.optuna_study.tell(trial, state=TrialState.FAIL)
        elif stopped_configurations(rows):
            self.optuna_study.tell(trial, state=TrialState.PRUNED)
        else:
            self.optuna_study.tell(trial, validation_score(rows, self.select_by)[0])


def finished_trial(
    values: Mapping[str, Any], space: Mapping[str, BaseDistribution], runs: Sequence[Row], by: SelectBy
) -> FrozenTrial:
    """A configuration with search runs as Optuna was told of it: COMPLETE, or PRUNED if it was stopped early."""
    return create_trial(
        state=TrialState.PRUNED if stopped_configurations(runs) else TrialState.COMPLETE,
        params=dict(values),
        distributions=dict(space),
        value=validation_score(runs, by)[0],
        intermediate_values=rung_scores(runs),
    )
