"""Metrics and paired gains of the final runs, with intervals, from tables with one row per run.

The unit of a task with several outer splits is the split: its seeds are averaged first, since runs that share training
and test rows are not independent. Repeats of a task with an official test set share their test rows. The luck of these
rows is in every repeat, so the interval of an error or of its difference has a second term for it
(`evidence.mean_gain`); of other metrics, whose values per test row are not kept, it is over repeats alone. The unit of
a task with one split is the seed, and the estimand is the expected error of that one search. Intervals are Student's t
on the units; fewer than three units give none.

`rows` are those of `load.Runs`. A gain is the reference's metric minus the method's, so that positive is better.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tune_kmixup.core import bitset

from .evidence import mean_gain
from .stats import FEWEST_UNITS, Estimate, t_interval

STUDY_KEY = ["task", "outer_split", "method"]  # the columns that identify a study
METHODS = ("erm", "mixup", "kmixup", "placebo")  # in the order of every table; a user's own come after
COMPARED = (("mixup", "erm"), ("kmixup", "mixup"), ("kmixup", "erm"))  # (method, reference)


def final_metric(rows: pd.DataFrame, task: str, method: str, metric: str = "test_error") -> pd.Series:
    """The metric of the final runs of the selected configuration.

    Args:
        rows: runs, as in `load.Runs`.
        task: name of the task, without its outer split.
        method: name of the method.
        metric: column of `rows`.

    Returns:
        One value per run, indexed by (outer split, seed); split -1 is the official one.
    """
    final = rows[(rows["task"] == task) & (rows["method"] == method) & rows["selected"].astype(bool)]
    index = [final["outer_split"].fillna(-1).astype(int), final["seed"]]
    return pd.Series(final[metric].to_numpy(dtype=float), index=index).sort_index()


def unit_values(values: pd.Series) -> np.ndarray:
    """One value per independent unit.

    Args:
        values: one value per run, indexed by (outer split, seed).

    Returns:
        Means per outer split where there are several, else the values per seed; shape (units,).
    """
    splits = values.groupby(level=0).mean()
    return np.asarray(splits if len(splits) > 1 else values, dtype=float)


@dataclass(frozen=True)
class SharedTestRows:
    """Test rows that all outer splits of a task share.

    Attributes:
        variance: over test rows, of what is estimated, averaged over runs.
        count: number of test rows.
    """

    variance: float
    count: int


def shared_test_rows(
    rows: pd.DataFrame, task: str, weights: Mapping[str, float], runs: pd.Index, metric: str
) -> SharedTestRows | None:
    """The variance that the luck of shared test rows causes in a weighted sum of the methods' errors.

    Args:
        rows: runs, as in `load.Runs`.
        task: name of the task, without its outer split.
        weights: method -> its weight, e.g. 1 for the reference and -1 for the method of a gain.
        runs: (outer split, seed) of the runs to average over.
        metric: column of `rows`.

    Returns:
        None where outer splits have test rows of their own, or the metric is not the test error.
    """
    if metric != "test_error" or runs.empty or not share_test_rows(rows, task):
        return None
    final = rows[(rows["task"] == task) & rows["selected"].astype(bool)]
    total = np.zeros(0)
    for method, weight in weights.items():
        of_method = final[final["method"] == method]
        index = pd.MultiIndex.from_arrays([of_method["outer_split"].fillna(-1).astype(int), of_method["seed"]])
        wrong = [unpacked(text) for text in of_method["test_wrong"][index.isin(runs)]]
        total = weight * np.mean(wrong, axis=0) + (total if len(total) else 0.0)
    return SharedTestRows(float(total.var(ddof=1)), int(final["test_rows"].iloc[0]))


def share_test_rows(rows: pd.DataFrame, task: str) -> bool:
    """Whether the outer splits of a task are repeats that share their test rows; not so in rows of version 0.1.0."""
    of_task = rows[rows["task"] == task]
    return "shared_test" in of_task and bool(of_task["shared_test"].eq(True).all())


def unpacked(text: str) -> np.ndarray:
    """Which test rows a run classified wrongly: shape (test rows kept,), 0 or 1."""
    count, packed = bitset.decode(text)
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=count).astype(float)


def interval(units: np.ndarray, shared: SharedTestRows | None, level: float) -> Estimate:
    """The mean of independent units with its interval, with the luck of the test rows that they share.

    Args:
        units: one value per unit, shape (n,).
        shared: their shared test rows; None where each unit has test rows of its own.
        level: confidence level of the interval, between 0 and 1.
    """
    if shared is None or len(units) < FEWEST_UNITS:
        return t_interval(units, level)
    mean = mean_gain(units, shared.variance, shared.count)
    return Estimate(float(mean.mean), float(mean.low(level)), float(mean.high(level)), len(units))


def mean_metric(
    rows: pd.DataFrame, task: str, method: str, level: float = 0.95, metric: str = "test_error"
) -> Estimate:
    """Mean of a metric of one method on one task.

    Args:
        rows: runs, as in `load.Runs`.
        task: name of the task, without its outer split.
        method: name of the method.
        level: confidence level of the interval, between 0 and 1.
        metric: column of `rows`.

    Returns:
        The estimate, in the metric's own units; its mean is NaN where nothing was measured.
    """
    values = final_metric(rows, task, method, metric).dropna()
    return interval(unit_values(values), shared_test_rows(rows, task, {method: 1}, values.index, metric), level)


def paired_differences(
    rows: pd.DataFrame, task: str, method: str, reference: str, metric: str = "test_error"
) -> pd.Series:
    """The gain of each pair of runs with the same outer split and seed.

    Args:
        rows: runs, as in `load.Runs`.
        task: name of the task, without its outer split.
        method: name of the method.
        reference: name of the method that it is compared with.
        metric: column of `rows`.

    Returns:
        Reference minus method, indexed by (outer split, seed). Runs without a partner are left out.
    """
    difference = final_metric(rows, task, reference, metric) - final_metric(rows, task, method, metric)
    return difference.dropna()


def gain(
    rows: pd.DataFrame, task: str, method: str, reference: str, level: float = 0.95, metric: str = "test_error"
) -> Estimate:
    """Mean of `paired_differences` over units, with an interval.

    Args:
        rows: runs, as in `load.Runs`.
        task: name of the task, without its outer split.
        method: name of the method.
        reference: name of the method that it is compared with.
        level: confidence level of the interval, between 0 and 1.
        metric: column of `rows`.

    Returns:
        The estimate, in the metric's own units; its mean is NaN where there is no pair.
    """
    difference = paired_differences(rows, task, method, reference, metric)
    shared = shared_test_rows(rows, task, {reference: 1, method: -1}, difference.index, metric)
    return interval(unit_values(difference), shared, level)


def relative_gain(
    rows: pd.DataFrame, task: str, method: str, reference: str, level: float = 0.95, metric: str = "test_error"
) -> Estimate:
    """`gain` divided by the reference's mean, with the interval of the linearised ratio (delta method).

    The arguments are those of `gain`. NaN where the reference's mean is not positive.
    """
    difference = paired_differences(rows, task, method, reference, metric)
    values = unit_values(difference)
    base = unit_values(final_metric(rows, task, reference, metric).reindex(difference.index))
    if not len(values) or base.mean() <= 0:
        return Estimate(math.nan, math.nan, math.nan, len(values))
    quotient = float(values.mean() / base.mean())
    weights = {reference: (1 - quotient) / base.mean(), method: -1 / base.mean()}
    shared = shared_test_rows(rows, task, weights, difference.index, metric)
    return interval((values - quotient * base) / base.mean(), shared, level) + quotient


def share_better(rows: pd.DataFrame, task: str, method: str, reference: str, metric: str = "test_error") -> float:
    """Share of paired runs in which the method is better than the reference; ties count half. NaN without pairs."""
    difference = paired_differences(rows, task, method, reference, metric).to_numpy()
    return float(((difference > 0) + 0.5 * (difference == 0)).mean()) if len(difference) else math.nan


def tasks(rows: pd.DataFrame) -> list[str]:
    """Names of the tasks, in the order of the rows."""
    return [str(task) for task in rows["task"].unique()]


def methods(rows: pd.DataFrame) -> list[str]:
    """Names of the methods, in the order of every table."""
    names = [str(method) for method in rows["method"].unique()]
    return [name for name in METHODS if name in names] + [name for name in names if name not in METHODS]
