"""What of a study is done, and what is left to run: one definition for launch, status, resume and report."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tune_kmixup.core.config import Phase, Study, Suite, Trial
from tune_kmixup.core.rows import Row
from tune_kmixup.core.selection import by_configuration, final_rows, ranking, selected


@dataclass(frozen=True)
class Left:
    """What is left to run of a study. It is done when nothing is.

    Attributes:
        search: numbers of the configurations without search runs.
        shortlisted: numbers of the configurations to compare again, best first; of those found so far.
        shortlist: the part of these that has not been compared.
        selected: number of the configuration that is selected now; None before there is one.
        final: seeds of the final runs that it lacks.
    """

    search: list[int]
    shortlisted: list[int]
    shortlist: list[int]
    selected: int | None
    final: list[int]

    @property
    def done(self) -> bool:
        return not (self.search or self.shortlist or self.final)


def left(suite: Suite, study: Study, rows: Iterable[Row]) -> Left:
    """Compares the expected runs of a study with its rows.

    Args:
        suite: the suite, for its budgets and seeds.
        study: one of its studies.
        rows: rows of the study that fit the suite (`store.schema`): the search runs of a configuration, or those that
            compare it again, are all there or none is.
    """
    rows = list(rows)
    searched = by_configuration(rows).keys()
    compared = {row.trial for row in rows if row.phase == "shortlist"}
    best = ranking(rows, suite.select_by)[: suite.shortlist_count(study)]
    shortlisted = best if len(best) > 1 else []
    finished = {row.seed for row in final_rows(rows, suite.shortlist, suite.select_by)}
    return Left(
        search=[index for index in range(suite.trial_count(study)) if index not in searched],
        shortlisted=shortlisted,
        shortlist=[index for index in shortlisted if index not in compared],
        selected=selected(rows, suite.shortlist, suite.select_by),
        final=[seed for seed in suite.seeds(study, "final") if seed not in finished],
    )


def due_trials(
    suite: Suite,
    study: Study,
    phase: Phase,
    rows: Iterable[Row],
    proposals: Mapping[int, Mapping[str, Any]],
    seeds_per_trial: int,
) -> list[Trial]:
    """The trials of a phase after the search that are still to run.

    Args:
        suite: the suite, for its budgets and seeds.
        study: one of its studies.
        phase: `shortlist` or `final`.
        rows: rows of the study; those of the phase before are complete.
        proposals: number of a configuration -> free coordinate -> value.
        seeds_per_trial: largest number of seeds in one final trial, ≥ 1.
    """
    todo = left(suite, study, rows)
    if phase == "shortlist":
        return [suite.shortlist_trial(study, index, proposals[index]) for index in todo.shortlist]
    if todo.selected is None:  # every trial has failed
        return []
    finished = set(suite.seeds(study, "final")) - set(todo.final)
    return list(suite.final_trials(study, todo.selected, proposals[todo.selected], finished, seeds_per_trial))
