"""Estimates of errors and gains, with intervals: pure functions of tidy tables.

The unit of a task with several outer splits is the split: its seeds are averaged first, since runs that share training
and test rows are not independent. The unit of a task with one split is the seed, and the estimand is the expected
error of that one split. Intervals are Student's t on the units; fewer than three units give none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

STUDY = ["task", "outer_split", "method"]  # the columns that name one
FEWEST_UNITS = 3
METHODS = ("erm", "mixup", "kmixup", "placebo")  # in the order of every table; a user's own come after
COMPARED = (("mixup", "erm"), ("kmixup", "mixup"), ("kmixup", "erm"))


@dataclass(frozen=True)
class Estimate:
    """A mean over `units` and its interval; `low` and `high` are NaN where there are too few units."""

    mean: float
    low: float
    high: float
    units: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    def __add__(self, other: float) -> "Estimate":
        return Estimate(self.mean + other, self.low + other, self.high + other, self.units)


def t_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Estimate:
    """Mean of independent units with Student's t interval at `level` (two-sided)."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    mean = float(values.mean()) if n else float("nan")
    if n < FEWEST_UNITS:
        return Estimate(mean, float("nan"), float("nan"), n)
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)


def finals(rows: pd.DataFrame, task: str, method: str, metric: str = "test_error") -> pd.Series:
    """The metric of the final runs that count, indexed by (outer split, seed); split -1 is the official one."""
    chosen = rows[(rows["task"] == task) & (rows["method"] == method) & rows["selected"].astype(bool)]
    index = [chosen["outer_split"].fillna(-1).astype(int), chosen["seed"]]
    return pd.Series(chosen[metric].to_numpy(dtype=float), index=index).sort_index()


def units(values: pd.Series) -> np.ndarray:
    """Means per outer split where there are several, else the values per seed."""
    splits = values.groupby(level=0).mean()
    return np.asarray(splits if len(splits) > 1 else values, dtype=float)


def error(rows: pd.DataFrame, task: str, method: str, level: float = 0.95, metric: str = "test_error") -> Estimate:
    """Mean of a metric of one method on one task, in the metric's own units."""
    return t_interval(units(finals(rows, task, method, metric).dropna()), level)


def paired_differences(
    rows: pd.DataFrame, task: str, method: str, reference: str, metric: str = "test_error"
) -> pd.Series:
    """Reference minus method, by (outer split, seed), over the runs that both have: positive is better."""
    difference = finals(rows, task, reference, metric) - finals(rows, task, method, metric)
    return difference.dropna()


def gain(
    rows: pd.DataFrame, task: str, method: str, reference: str, level: float = 0.95, metric: str = "test_error"
) -> Estimate:
    """Mean gain of a method over a reference on one task, paired by split and seed."""
    return t_interval(units(paired_differences(rows, task, method, reference, metric)), level)


def relative(
    rows: pd.DataFrame, task: str, method: str, reference: str, level: float = 0.95, metric: str = "test_error"
) -> Estimate:
    """Gain divided by the reference's mean: a ratio of means over units, its error linearised (delta method)."""
    difference = paired_differences(rows, task, method, reference, metric)
    base = units(finals(rows, task, reference, metric).reindex(difference.index))
    return ratio(units(difference), base, level)


def ratio(values: np.ndarray, base: np.ndarray, level: float = 0.95) -> Estimate:
    """mean(values) / mean(base) over the same units, with Student's t interval of the linearised ratio."""
    if not len(values) or base.mean() <= 0:
        return Estimate(float("nan"), float("nan"), float("nan"), len(values))
    found = float(values.mean() / base.mean())
    return t_interval((values - found * base) / base.mean(), level) + found


def improves(rows: pd.DataFrame, task: str, method: str, reference: str, metric: str = "test_error") -> float:
    """Share of paired runs in which the method is better than the reference, ties counting half."""
    difference = paired_differences(rows, task, method, reference, metric).to_numpy()
    return float(((difference > 0) + 0.5 * (difference == 0)).mean()) if len(difference) else float("nan")


def bootstrap_t(
    values: Sequence[float] | np.ndarray, rng: np.random.Generator, level: float = 0.95, draws: int = 4000
) -> Estimate:
    """Mean of independent units with the bootstrap-t interval (Efron and Tibshirani 1993, section 12.5).

    A check of `t_interval` that does not lean on normality. Percentile and BCa intervals of so few units are too short.
    """
    values = np.asarray(values, dtype=float)
    n = len(values)
    mean = float(values.mean()) if n else float("nan")
    if n < FEWEST_UNITS or values.std() == 0:
        return Estimate(
            mean, mean if n >= FEWEST_UNITS else float("nan"), mean if n >= FEWEST_UNITS else float("nan"), n
        )
    samples = values[rng.integers(n, size=(draws, n))]
    spread = samples.std(axis=1, ddof=1)
    known = spread > 0  # a sample of one unit repeated has no spread
    pivots = (samples.mean(axis=1)[known] - mean) / (spread[known] / np.sqrt(n))
    low, high = np.quantile(pivots, [(1 - level) / 2, (1 + level) / 2])
    error = values.std(ddof=1) / np.sqrt(n)
    return Estimate(mean, float(mean - high * error), float(mean - low * error), n)


def sign_flip(
    values: Sequence[float] | np.ndarray, rng: np.random.Generator, draws: int = 20_000
) -> tuple[float, float]:
    """Two-sided sign-flip permutation test that the mean of independent units is 0: (p, the smallest p possible).

    Exact for up to 14 units, else by `draws` random flips (Phipson and Smyth, 2010: the observed one is counted in).
    """
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n == 0:
        return float("nan"), float("nan")
    observed = abs(values.sum()) * (1 - 1e-12)
    if n <= 14:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ values) >= observed).mean()), min(1.0, 2 / 2**n)
    signs = rng.choice((-1, 1), size=(draws, n))
    return float((1 + (np.abs(signs @ values) >= observed).sum()) / (draws + 1)), 1 / (draws + 1)


def tasks(rows: pd.DataFrame) -> list[str]:
    return [str(task) for task in rows["task"].unique()]


def methods(rows: pd.DataFrame) -> list[str]:
    there = [str(method) for method in rows["method"].unique()]
    return [m for m in METHODS if m in there] + [m for m in there if m not in METHODS]
