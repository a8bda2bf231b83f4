"""Metrics and paired gains of the final runs, with intervals, from tables with one row per run.

The unit is the outer split, one independent run of the whole procedure: search, selection, final seeds. Its seeds are
averaged first. Fewer than three units give no interval: a task with *one search* has a spread over its seeds, which
says nothing about another search.

Repeats of a task with an official test set share their test rows. The luck of these rows is in every repeat, so the
interval of an error, or of a difference of errors, has a second term for it (`evidence.mean_gain`). The values of other
metrics per test row are not kept. So their intervals are conditional on the test rows.

`rows` are those of `load.Runs`. A gain is the reference's metric minus the method's, or of a metric of which more is
better (`MORE_IS_BETTER`) the method's minus the reference's, so that positive is better.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from tune_kmixup.core import bitset
from tune_kmixup.core.methods import KNOWN

from .evidence import FEWEST_UNITS, LEVEL, TaskErrors, covariance, gain_of
from .stats import Estimate, estimate
from .variances import VarianceSplit, split_variances

STUDY_KEY = ["task", "outer_split", "method"]  # the columns that identify a study
SATURATED = 1e-4  # test error below which nothing can be gained: the last digit that tables show
MORE_IS_BETTER = ("test_macro_f1", "test_auroc")
COMPARED = (("mixup", "erm"), ("kmixup", "mixup"), ("kmixup", "erm"))  # (method, reference)


def final_test_errors(rows: pd.DataFrame, task: str, method: str) -> pd.Series:
    """The test errors of the final runs of the selected configuration.

    Args:
        rows: runs, as in `load.Runs`.
        task: name of the task, without its outer split.
        method: name of the method.

    Returns:
        One value per run, indexed by (outer split, seed); split -1 is the official one.
    """
    values = final_values(rows, task, "test_error").get(method, {})
    index = pd.MultiIndex.from_tuples(sorted(values), names=["outer_split", "seed"])
    return pd.Series([values[run] for run in index], index=index, dtype=float)


def final_values(rows: pd.DataFrame, task: str, column: str) -> dict[str, dict[tuple[int, int], Any]]:
    """A column of the final runs of one task: method -> (outer split, seed) -> value.

    In plain dicts, because a report asks some thousand times, and pandas takes ten times as long.
    """
    chosen = (rows["task"] == task).to_numpy() & rows["selected"].to_numpy(dtype=bool)
    names = ("method", "outer_split", "seed", column)
    values: dict[str, dict[tuple[int, int], Any]] = {}
    for method, split, seed, value in zip(*(rows[name].to_numpy()[chosen] for name in names), strict=True):
        values.setdefault(str(method), {})[-1 if pd.isna(split) else int(split), int(seed)] = value
    return values


@dataclass(frozen=True)
class FinalErrors:
    """A metric of several methods on one task, over the final runs that all of them have.

    Attributes:
        by_unit: outer splits x methods; the index is the number of the outer split, -1 for the only one.
        by_row: test rows x methods, each the share of runs that got the row wrong; None where outer splits have test
            rows of their own, or the metric is not the test error.
        rows: number of test rows that outer splits share; `by_row` has 6,000 of them at most.
    """

    by_unit: pd.DataFrame
    by_row: pd.DataFrame | None = None
    rows: int | None = None

    def task_errors(self) -> TaskErrors:
        """The same as arrays, from which intervals and verdicts are made."""
        by_method = {str(method): self.by_unit[method].to_numpy(dtype=float) for method in self.by_unit}
        if self.by_row is None:
            return TaskErrors(by_method)
        return TaskErrors(by_method, covariance(self.by_row.to_numpy().T), self.rows)


def final_errors(rows: pd.DataFrame, task: str, methods: Sequence[str], metric: str = "test_error") -> FinalErrors:
    """A metric of several methods on one task, paired by outer split and seed.

    Args:
        rows: runs, as in `load.Runs`.
        task: name of the task, without its outer split.
        methods: names of the methods. Runs that one of them lacks are left out.
        metric: column of `rows`.

    Returns:
        Without units where the methods share no run.
    """
    values = final_values(rows, task, metric)
    by_method = {method: values.get(method, {}) for method in dict.fromkeys(methods)}
    runs = sorted(run for run in next(iter(by_method.values())) if is_paired(run, by_method.values()))
    splits = sorted({split for split, _ in runs})
    means = {method: unit_means({run: found[run] for run in runs}) for method, found in by_method.items()}
    by_unit = pd.DataFrame(means, index=splits, dtype=float)
    if metric != "test_error" or not runs or not share_test_rows(rows, task):
        return FinalErrors(by_unit)
    wrong = final_values(rows, task, "test_wrong")
    by_row = {method: np.mean([unpacked(wrong[method][run]) for run in runs], axis=0) for method in by_method}
    test_rows = rows.loc[(rows["task"] == task).to_numpy(), "test_rows"].max()
    return FinalErrors(by_unit, pd.DataFrame(by_row), int(test_rows))


def unit_means(values: Mapping[tuple[int, int], float]) -> list[float]:
    """The mean over seeds of each outer split: of values by (outer split, seed), in the order of the splits."""
    by_split: dict[int, list[float]] = {}
    for split, seed in sorted(values):
        by_split.setdefault(split, []).append(values[split, seed])
    return [float(np.mean(found)) for found in by_split.values()]


def is_paired(run: tuple[int, int], by_method: Iterable[Mapping[tuple[int, int], Any]]) -> bool:
    """Whether every method measured this (outer split, seed)."""
    return not any(pd.isna(values.get(run)) for values in by_method)


def share_test_rows(rows: pd.DataFrame, task: str) -> bool:
    """Whether the outer splits of a task are repeats that share their test rows; not so in rows of version 0.1.0."""
    if "shared_test" not in rows:
        return False
    return bool(rows.loc[(rows["task"] == task).to_numpy(), "shared_test"].eq(True).all())


@lru_cache(maxsize=10_000)  # many estimates use the same run; 6 kB each
def unpacked(text: str) -> np.ndarray:
    """Which test rows a run classified wrongly: shape (test rows kept,), 0 or 1. Read only."""
    count, packed = bitset.decode(text)
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=count).astype(np.int8)
    bits.flags.writeable = False
    return bits


def weighted_sum(rows: pd.DataFrame, task: str, weights: Mapping[str, float], level: float, metric: str) -> Estimate:
    """The mean over units of a weighted sum of the methods' values."""
    errors = final_errors(rows, task, list(weights), metric)
    return estimate(errors.task_errors().mean(weights), len(errors.by_unit), level)


def mean_metric(
    rows: pd.DataFrame, task: str, method: str, level: float = LEVEL, metric: str = "test_error"
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
    return weighted_sum(rows, task, {method: 1.0}, level, metric)


def gain(
    rows: pd.DataFrame, task: str, method: str, reference: str, level: float = LEVEL, metric: str = "test_error"
) -> Estimate:
    """Mean gain over units, paired by outer split and seed.

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
    better, worse = (reference, method) if metric in MORE_IS_BETTER else (method, reference)
    return weighted_sum(rows, task, gain_of(better, worse), level, metric)


def relative_gain(rows: pd.DataFrame, task: str, method: str, reference: str, level: float = LEVEL) -> Estimate:
    """A gain in test error as a share of ERM's error, with Fieller's interval. The arguments are those of `gain`.

    Returns:
        Its mean is NaN without ERM; its interval is NaN with too few units, or where ERM's error is not shown above 0.
    """
    errors, weights = final_errors(rows, task, [reference, method, "erm"]).task_errors(), gain_of(method, reference)
    mean = float(errors.relative(weights).mean) if errors.units else math.nan
    if errors.units < FEWEST_UNITS or math.isnan(mean):
        return Estimate(mean, math.nan, math.nan, errors.units)
    low, high = errors.relative_interval(weights, level)
    return Estimate(mean, float(low), float(high), errors.units)


def p_value(rows: pd.DataFrame, task: str, method: str, reference: str, metric: str = "test_error") -> float:
    """Two-sided p of no gain, below 0.05 where the 95 % interval leaves out 0; NaN without an interval."""
    mean = final_errors(rows, task, [reference, method], metric).task_errors().mean(gain_of(method, reference))
    return float(mean.p())


def paired_differences(rows: pd.DataFrame, task: str, method: str, reference: str) -> pd.Series:
    """The gain in test error of each pair of runs with the same outer split and seed.

    Args:
        rows: runs, as in `load.Runs`.
        task: name of the task, without its outer split.
        method: name of the method.
        reference: name of the method that it is compared with.

    Returns:
        Reference minus method, indexed by (outer split, seed). Runs without a partner are left out.
    """
    difference = final_test_errors(rows, task, reference) - final_test_errors(rows, task, method)
    return difference.dropna()


def variance_split(rows: pd.DataFrame, task: str, method: str, reference: str) -> VarianceSplit:
    """Where the variance of a gain in test error comes from. The arguments are those of `gain`."""
    difference = paired_differences(rows, task, method, reference)
    numbers = difference.groupby(level=0).cumcount()  # seeds differ between outer splits
    by_split = difference.set_axis(pd.MultiIndex.from_arrays([difference.index.get_level_values(0), numbers])).unstack()
    errors = final_errors(rows, task, [reference, method])
    if errors.by_row is None:
        return split_variances(by_split.to_numpy())
    by_row = errors.by_row[reference] - errors.by_row[method]
    return split_variances(by_split.to_numpy(), float(by_row.var(ddof=1)), errors.rows)


def share_better(rows: pd.DataFrame, task: str, method: str, reference: str) -> float:
    """Share of paired runs in which the method errs less than the reference; ties count half. NaN without pairs."""
    difference = paired_differences(rows, task, method, reference).to_numpy()
    return float(((difference > 0) + 0.5 * (difference == 0)).mean()) if len(difference) else math.nan


def tasks(rows: pd.DataFrame) -> list[str]:
    """Names of the tasks, in the order of the rows."""
    return [str(task) for task in rows["task"].unique()]


def methods(rows: pd.DataFrame) -> list[str]:
    """Names of the methods, in the order of every table."""
    names = [str(method) for method in rows["method"].unique()]
    return [name for name in KNOWN if name in names] + [name for name in names if name not in KNOWN]


def comparisons(rows: pd.DataFrame, among: Sequence[str]) -> list[tuple[str, str]]:
    """Each method with the one that it extends, where both are there.

    A method of the user's own extends mixup if it pairs blocks of k > 1 rows, and ERM otherwise. Without mixup, what
    extends it is compared with ERM.

    Args:
        rows: runs, as in `load.Runs`.
        among: names of methods.
    """
    pairs = []
    for name in among:
        pairing = bool((rows.loc[rows["method"] == name, "k"] > 1).any())
        extends = KNOWN[name].extends if name in KNOWN else "mixup" if pairing else "erm"
        pairs.append((name, extends if extends in among else "erm"))
    return [pair for pair in pairs if pair[1] in among and pair[0] != pair[1]]


def compared(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Method and reference of every gain: `COMPARED`, and each of the user's own methods with what it extends."""
    return list(dict.fromkeys([*COMPARED, *comparisons(rows, methods(rows))]))


def compared_at_once(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """The gains of tables with several metrics: `compared`, without k-mixup over ERM where mixup lies between them."""
    found = compared(rows)
    return [pair for pair in found if pair != COMPARED[2]] if "mixup" in methods(rows) else found


def one_search(rows: pd.DataFrame, task: str) -> bool:
    """Whether a task has too few outer splits for an interval of the tuned method: one, mostly."""
    return int(rows.loc[rows["task"] == task, "outer_split"].nunique(dropna=False)) < FEWEST_UNITS


def is_saturated(rows: pd.DataFrame, task: str, methods: Sequence[str], metric: str = "test_error") -> bool:
    """Whether all of these methods err so rarely, by an error in this column, that nothing can be gained."""
    values = final_values(rows, task, metric)
    return all(method in values and np.mean(unit_means(values[method])) < SATURATED for method in methods)


def have_same_runs(rows: pd.DataFrame, task: str, methods: Sequence[str], metric: str = "test_error") -> bool:
    """Whether these methods have the same final runs; otherwise a study is not finished."""
    values = final_values(rows, task, metric)
    runs = [{run for run, value in values.get(method, {}).items() if not pd.isna(value)} for method in methods]
    return all(found == runs[0] for found in runs)


def searches(count: int) -> str:
    """The number of outer splits of a task that has too few for an interval."""
    return "one search" if count == 1 else f"{count} searches"
