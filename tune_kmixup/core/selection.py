"""The selection rule: which configuration of a study is selected, from its rows."""

import math
from collections.abc import Iterable, Mapping

from tune_kmixup.core.config import SelectBy
from tune_kmixup.core.rows import Row

SELECTED_BY: Mapping[SelectBy, str] = {
    "error": "validation error",
    "nll": "validation NLL",
    "balanced_error": "balanced validation error",
}


def run_score(row: Row, by: SelectBy) -> float:
    """The score of a run on validation data: the smaller, the better.

    A prediction that is not finite counts as wrong. So a diverged run has an error, but no finite NLL.

    Args:
        row: the run.
        by: which score.

    Returns:
        A fraction, or nats; infinite if it is not finite.
    """
    score: float | None = getattr(row, f"val_{by}")
    return math.inf if score is None else score


def rung_scores(runs: Iterable[Row]) -> dict[int, float]:
    """Epoch -> score of the first seed, at the rungs that a configuration has reached; infinite if not finite."""
    return {rung.epoch: math.inf if rung.score is None else rung.score for row in runs for rung in row.rungs}


def validation_score(rows: Iterable[Row], by: SelectBy) -> tuple[float, float]:
    """Scores one configuration on validation data: the smaller, the better.

    Args:
        rows: its search runs, at least one.
        by: the score that decides.

    Returns:
        Means of that score and of the NLL, which decides between equal scores; see `run_score`.
    """
    rows = list(rows)
    return sum(run_score(row, by) for row in rows) / len(rows), sum(run_score(row, "nll") for row in rows) / len(rows)


def by_configuration(rows: Iterable[Row]) -> dict[int, list[Row]]:
    """Groups the search runs of one study by configuration.

    Args:
        rows: rows of the study; shortlist and final runs are left out.

    Returns:
        Index of the configuration -> its search runs.
    """
    groups: dict[int, list[Row]] = {}
    for row in rows:
        if row.phase == "search":
            groups.setdefault(row.trial, []).append(row)
    return groups


def stopped_configurations(rows: Iterable[Row]) -> set[int]:
    """The indices of the configurations that were stopped early. Each has a single row, that of its first seed."""
    return {row.trial for row in rows if row.status == "stopped"}


def completed_configurations(rows: Iterable[Row]) -> dict[int, list[Row]]:
    """Like `by_configuration`, without the configurations that were stopped early."""
    return by_configuration(row for row in rows if row.status != "stopped")


def ranking(rows: Iterable[Row], by: SelectBy) -> list[int]:
    """Ranks the configurations of one study by their search runs. Test data play no part.

    The first is the one with the smallest score on validation data after the last epoch, averaged over the search
    seeds. Ties go to the smaller mean NLL, then to the smaller α, then to the smaller k (the milder regulariser), then
    to the earlier trial.

    Args:
        rows: rows of the study; only search runs of configurations that were not stopped early count.
        by: the score, that of the suite.

    Returns:
        Indices of the configurations, the best one first.
    """
    return ranked(completed_configurations(rows), by)


def ranked(runs: Mapping[int, list[Row]], by: SelectBy) -> list[int]:
    """The configurations in the order of the selection rule, by all of the runs that are given."""
    return sorted(runs, key=lambda i: (*validation_score(runs[i], by), runs[i][0].alpha, runs[i][0].k, i))


def selected(rows: Iterable[Row], shortlist: int, by: SelectBy) -> int | None:
    """The configuration of one study that is selected.

    The best `shortlist` configurations of the search are compared again by all of their runs, those on further seeds
    included: the best of many is partly lucky on the seeds that found it. The shortlist follows from the search rows as
    they are now, so it changes when the search is extended; runs that exist count.

    Args:
        rows: rows of the study; final runs are left out.
        shortlist: number of configurations to compare again, ≥ 1; 1 selects by the search alone.
        by: the score, that of the suite.

    Returns:
        Index of the configuration; None before the search, or no run of the shortlist, is done.
    """
    rows = list(rows)
    runs = completed_configurations(rows)
    candidates = ranked(runs, by)[:shortlist]
    if len(candidates) > 1:
        more: dict[int, list[Row]] = {}
        for row in rows:
            if row.phase == "shortlist":
                more.setdefault(row.trial, []).append(row)
        candidates = ranked({index: runs[index] + more[index] for index in candidates if index in more}, by)
    return candidates[0] if candidates else None


def final_rows(rows: Iterable[Row], shortlist: int, by: SelectBy) -> list[Row]:
    """The final runs of one study that count: those of the configuration that is selected now.

    A larger search budget can change the selection. The final runs of the earlier selection then no longer count.

    Args:
        rows: all rows of the study.
        shortlist: see `selected`.
        by: see `selected`.
    """
    rows = list(rows)
    index = selected(rows, shortlist, by)
    return [row for row in rows if row.phase == "final" and row.trial == index]
