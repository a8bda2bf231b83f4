"""Metrics and paired gains of the final runs, with intervals, from tables with one row per run.

The unit of a task with several outer splits is the split: its seeds are averaged first, since runs that share training
and test rows are not independent. The unit of a task with one split is the seed, and the estimand is the expected
error of that one split. Intervals are Student's t on the units; fewer than three units give none.

`rows` are those of `load.Runs`. A gain is the reference's metric minus the method's, so that positive is better.
"""

import math

import numpy as np
import pandas as pd

from .stats import Estimate, ratio, t_interval

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
    return t_interval(unit_values(final_metric(rows, task, method, metric).dropna()), level)


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
    return t_interval(unit_values(paired_differences(rows, task, method, reference, metric)), level)


def relative_gain(
    rows: pd.DataFrame, task: str, method: str, reference: str, level: float = 0.95, metric: str = "test_error"
) -> Estimate:
    """`gain` divided by the reference's mean, with the interval of `stats.ratio`; the arguments are those of `gain`."""
    difference = paired_differences(rows, task, method, reference, metric)
    base = unit_values(final_metric(rows, task, reference, metric).reindex(difference.index))
    return ratio(unit_values(difference), base, level)


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
