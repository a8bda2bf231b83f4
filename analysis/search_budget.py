"""What the searches show: whether the budget was enough, how optimistic selection is, and how often it was a tie."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import gammaln

from tune_kmixup.core.config import Suite
from tune_kmixup.core.coordinates import LOG2_K
from tune_kmixup.core.space import Choices, Distribution

from . import gains
from .gains import STUDY_KEY


def completed(rows: pd.DataFrame) -> pd.DataFrame:
    """The search runs of configurations that were not stopped early; errors of an earlier epoch do not compare."""
    return rows[(rows["phase"] == "search") & (rows["status"] != "stopped")]


def infinite_if_missing(rows: pd.DataFrame, score: str) -> pd.DataFrame:
    """The rows with an infinite score where it is not finite, as the selection rule has it."""
    return rows.fillna({score: np.inf})


def configuration_errors(rows: pd.DataFrame, score: str = "val_error") -> pd.DataFrame:
    """Score on validation rows (mean over search seeds) of each configuration that was not stopped early.

    Args:
        rows: runs, as in `load.Runs`.
        score: column of `rows` by which configurations were selected.

    Returns:
        Columns task, outer_split, method, trial and the score. Those whose score is not finite are left out.
    """
    by_configuration = infinite_if_missing(completed(rows), score).groupby(
        [*STUDY_KEY, "trial"], dropna=False, sort=False
    )
    means = by_configuration[score].mean().reset_index()
    return means[np.isfinite(means[score])]


def best_so_far(errors: np.ndarray) -> np.ndarray:
    """Smallest error of the first 1, 2, ... configurations in the order they were proposed."""
    return np.minimum.accumulate(errors)


def expected_best(errors: np.ndarray) -> np.ndarray:
    """Expected smallest error of n = 1, 2, ..., N draws without replacement from the N errors.

    For random search it is unbiased for a budget of n, and smoother than the one order in which the errors came. Dodge
    et al. (EMNLP 2019) draw with replacement, which is biased. The i-th smallest error is the best of n with
    probability C(N-i, n-1) / C(N, n); C(N-i, n-1) = 0 where fewer than n-1 errors are greater.
    """
    errors, total = np.sort(errors), len(errors)
    n, greater = np.arange(1, total + 1)[:, None], np.arange(total - 1, -1, -1)[None]
    enough = greater >= n - 1
    log_probability = log_binomial(np.where(enough, greater, n), n - 1) - log_binomial(total, n)
    return np.asarray(np.where(enough, np.exp(log_probability), 0.0) @ errors)


def log_binomial(n: np.ndarray | int, k: np.ndarray) -> np.ndarray:
    return np.asarray(gammaln(np.add(n, 1)) - gammaln(k + 1) - gammaln(np.subtract(n, k) + 1))


def budget_curves(rows: pd.DataFrame, random_order: bool, score: str = "val_error") -> pd.DataFrame:
    """Score on validation rows of the best configuration after so many trials, averaged over outer splits.

    Configurations stopped early do not count. A curve ends at the number of configurations that every outer split has.

    Args:
        rows: runs, as in `load.Runs`.
        random_order: whether the order of the proposals means nothing, as in random search and in a grid. The curve is
            then the expectation over all orders.
        score: column of `rows` by which configurations were selected.

    Returns:
        Columns task, method, trials and the score.
    """
    records = []
    best = expected_best if random_order else best_so_far
    for (task, method), configurations in configuration_errors(rows, score).groupby(["task", "method"], sort=False):
        errors_by_split = [
            split.sort_values("trial")[score].to_numpy()
            for _, split in configurations.groupby("outer_split", dropna=False)
        ]
        shortest = min(map(len, errors_by_split))
        mean = np.mean([best(errors)[:shortest] for errors in errors_by_split], axis=0)
        records += [
            {"task": task, "method": method, "trials": n, score: value} for n, value in enumerate(mean, start=1)
        ]
    return pd.DataFrame(records, columns=["task", "method", "trials", score])


def selection_bias(rows: pd.DataFrame, score: str = "val_error") -> pd.DataFrame:
    """How much better selection looks than the selected configuration is, one row per task and method.

    The score by which a configuration is selected, over the seeds of search and shortlist, is one of the
    smallest of many and so optimistic. Final runs have fresh seeds and the same validation rows.

    Args:
        rows: runs, as in `load.Runs`.
        score: column of `rows` by which configurations were selected.

    Returns:
        Columns task, method, at selection and final (scores on validation rows of the configuration selected), optimism
        (their difference), ties (share of studies in which more than one configuration reached the smallest score of
        the search).
    """
    rows = infinite_if_missing(rows, score)
    errors = configuration_errors(rows, score)
    by_study = errors.groupby(STUDY_KEY, dropna=False, sort=False)
    least = errors[score] == by_study[score].transform("min")
    tied = least.groupby([errors[key] for key in STUDY_KEY], dropna=False, sort=False).sum() > 1
    scored = rows[rows["phase"].isin(("search", "shortlist")) & (rows["status"] != "stopped")]
    phases = {"at selection": scored, "final": rows[rows["selected"].astype(bool)]}
    at_selection, final = (
        part.groupby([*STUDY_KEY, "trial"], dropna=False)[score].mean().rename(name).reset_index()
        for name, part in phases.items()
    )
    table = tied.astype(float).rename("ties").reset_index().merge(final, on=STUDY_KEY, how="left")
    table = table.merge(at_selection, on=[*STUDY_KEY, "trial"], how="left")
    table["optimism"] = table["final"] - table["at selection"]
    order = {task: number for number, task in enumerate(gains.tasks(rows))}
    columns = ["at selection", "final", "optimism", "ties"]
    means = table.groupby(["task", "method"], sort=False)[columns].mean().reset_index()
    return means.sort_values("task", key=lambda column: column.map(order), kind="stable", ignore_index=True)


NEAR = 0.05  # share of a range: what counts as near its end


@dataclass(frozen=True)
class Range:
    """A range of one coordinate.

    Attributes:
        coordinate: its name; `log2_k` for the binary logarithm of k.
        low: smallest value.
        high: largest value, above `low`.
        log: whether values are compared by their logarithms.
        levels: number of values of a whole-number coordinate; 0 for others.
    """

    coordinate: str
    low: float
    high: float
    log: bool
    levels: int

    @classmethod
    def of(cls, coordinate: str, distribution: Distribution) -> "Range | None":
        """The range of a distribution; None of choices and of a single value."""
        if isinstance(distribution, Choices) or distribution.count == 1:
            return None
        levels = (distribution.count or 0) if distribution.whole else 0
        return cls(coordinate, distribution.low, distribution.high, distribution.log, levels)

    def place(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high end."""
        low, high, value = np.log((self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return float((value - low) / (high - low))

    @property
    def chance(self) -> float:
        """The share of all values that are near one end."""
        return NEAR if not self.levels else (1 + math.floor(NEAR * (self.levels - 1))) / self.levels


def selected_values(rows: pd.DataFrame, suites: Iterable[Suite]) -> pd.DataFrame:
    """What each study selected of every coordinate that it searched in a range.

    Args:
        rows: runs, as in `load.Runs`.
        suites: what was run, with the ranges.

    Returns:
        One row per study and coordinate. Columns task, outer_split (-1: the only one), method, coordinate, value, range
        (a `Range`) and place (where the value lies in it, 0 to 1).
    """
    final = rows[rows["selected"].astype(bool)].drop_duplicates(STUDY_KEY)
    final = final.assign(**{LOG2_K: np.log2(final["k"].astype(float))}, outer_split=final["outer_split"].fillna(-1))
    selected = {(row["task"], int(row["outer_split"]), row["method"]): row for row in final.to_dict("records")}
    records = []
    studies = {study.name: study for suite in suites for study in suite.studies}  # once, however often it is named
    for study in studies.values():
        split = -1 if study.task.outer_split is None else study.task.outer_split
        row = selected.get((study.task.base, split, study.method), {})
        for name, distribution in study.distributions.items():
            found = Range.of(name, distribution)
            if found and name in row:
                value = float(row[name])
                place = found.place(value)
                records.append((study.task.base, split, study.method, name, value, found, place))
    columns = ["task", "outer_split", "method", "coordinate", "value", "range", "place"]
    return pd.DataFrame(records, columns=columns)


def range_ends(values: pd.DataFrame) -> pd.DataFrame:
    """How often the selected value lies near an end of its range, where the best value may lie beyond it.

    Args:
        values: from `selected_values`.

    Returns:
        One row per method and range. Columns method, coordinate, low, high, studies, at low and at high (shares of the
        studies that selected a value within 5 % of the range from that end), and chance (the share of all values that
        lie so near to one end).
    """
    records = [
        {
            "method": method,
            "coordinate": found.coordinate,
            "low": found.low,
            "high": found.high,
            "studies": len(places),
            "at low": float((places <= NEAR).mean()),
            "at high": float((places >= 1 - NEAR).mean()),
            "chance": found.chance,
        }
        for (method, found), places in values.groupby(["method", "range"], sort=False)["place"]
    ]
    columns = ["method", "coordinate", "low", "high", "studies", "at low", "at high", "chance"]
    return pd.DataFrame(records, columns=columns)
