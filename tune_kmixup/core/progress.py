"""What of a study is done, and what is left to run: one definition for launch, status, resume and report."""

from collections.abc import Iterable
from dataclasses import dataclass

from tune_kmixup.core.config import Study, Suite
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
    best = ranking(rows)[: suite.shortlist_count(study)]
    shortlisted = best if len(best) > 1 else []
    finished = {row.seed for row in final_rows(rows, suite.shortlist)}
    return Left(
        search=[index for index in range(suite.trial_count(study)) if index not in searched],
        shortlisted=shortlisted,
        shortlist=[index for index in shortlisted if index not in compared],
        selected=selected(rows, suite.shortlist),
        final=[seed for seed in suite.seeds(study, "final") if seed not in finished],
    )
