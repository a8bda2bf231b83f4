"""The comparison over data sets: mean gains, ranks, signed-rank tests, wins and losses.

The tasks of one data set are averaged first: they share rows, and are one piece of evidence about it. Tasks without an
interval (`gains.one_search`) enter no mean, rank or count.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import scipy.stats

from . import gains
from .evidence import FEWEST_UNITS, LEVEL, MeanGain, average_tasks, covariance, gain_of, minus_share_of_erm, stacked
from .meta_analysis import OverDataSets, mean_over_data_sets, prediction_interval
from .stats import Estimate, estimate
from .verdicts import holm

FixedWeights = Mapping[str, float]  # method -> weight of its error in a gain


@dataclass(frozen=True)
class DataSetGains:
    """A gain on several data sets, each a share of ERM's error.

    Attributes:
        tasks: name of the data set -> its tasks, without outer splits.
        gains: mean of its tasks, of K data sets, shape (K,).
        over: the mean over data sets.
    """

    tasks: Mapping[str, Sequence[str]]
    gains: MeanGain
    over: OverDataSets

    @property
    def count(self) -> int:
        """The number of data sets that enter the mean: those whose gain has a variance."""
        return int((self.over.weights > 0).sum())

    def mean(self, level: float = LEVEL) -> Estimate:
        """The mean that verdicts use, with its interval."""
        return estimate(self.over.deciding, self.count, level)

    def weighted_mean(self, level: float = LEVEL) -> Estimate:
        """The random-effects mean, with its interval."""
        return estimate(self.over.random_effects, self.count, level)

    def plain_mean(self, level: float = LEVEL) -> Estimate:
        """The unweighted mean, with Student's interval."""
        return estimate(self.over.plain, self.count, level)

    def prediction(self, level: float = LEVEL) -> tuple[float, float]:
        """Interval for the true gain on a new data set of the same kind."""
        low, high = prediction_interval(self.gains.mean, self.gains.variance, self.gains.df, level)
        return float(low), float(high)


def comparable_tasks(rows: pd.DataFrame, methods: Sequence[str], metric: str = "test_error") -> list[str]:
    """The tasks with enough outer splits in which all of these methods have the metric; without saturated ones."""
    return [
        task
        for task in gains.tasks(rows)
        if len(gains.final_errors(rows, task, methods, metric).by_unit) >= FEWEST_UNITS
        and not gains.is_saturated(rows, task, methods, metric)
    ]


def gains_by_data_set(
    rows: pd.DataFrame, weights: FixedWeights, tasks: Sequence[str], metric: str = "test_error"
) -> DataSetGains:
    """A gain on each data set, relative to ERM's error, and its mean over data sets.

    Args:
        rows: runs, as in `load.Runs`.
        weights: of the methods' errors in the gain, e.g. `evidence.gain_of("mixup", "erm")`.
        tasks: names of tasks, from `comparable_tasks`. Those on which ERM's error is next to 0 are left out.
        metric: column of `rows`.
    """
    by_data_set: dict[str, dict[str, RelativeGain]] = {}
    data_set_of = rows.drop_duplicates("task").set_index("task")["dataset"]
    for task in tasks:
        relative = relative_gain(rows, task, weights, metric)
        if relative is not None:
            by_data_set.setdefault(str(data_set_of[task]), {})[task] = relative
    means = [average_relative_gains(list(of_set.values())) for of_set in by_data_set.values()]
    nothing = MeanGain(*(np.asarray(np.nan) for _ in range(3)))
    found = stacked(means or [nothing])
    over = mean_over_data_sets(found.mean, found.variance, found.df)
    return DataSetGains({name: tuple(of_set) for name, of_set in by_data_set.items()}, found, over)


def compared_gains(rows: pd.DataFrame) -> dict[tuple[str, str], DataSetGains]:
    """Method and reference -> the gain over data sets, for each pair of `gains.COMPARED` that a task has with ERM."""
    comparable = {pair: comparable_tasks(rows, [*pair[::-1], "erm"]) for pair in gains.COMPARED}
    return {pair: gains_by_data_set(rows, gain_of(*pair), tasks) for pair, tasks in comparable.items() if tasks}


@dataclass(frozen=True)
class RelativeGain:
    """A gain of one task as a share of ERM's error, linearised (delta method) so that it can be averaged over tasks.

    Attributes:
        by_unit: by outer split; its mean is the relative gain.
        by_row: by shared test row, shape (test rows kept,); None where outer splits have test rows of their own.
        rows: number of shared test rows.
    """

    by_unit: pd.Series
    by_row: np.ndarray | None
    rows: int | None


def relative_gain(
    rows: pd.DataFrame, task: str, weights: FixedWeights, metric: str = "test_error"
) -> RelativeGain | None:
    """The gain of one task as a share of ERM's error; None where that is below `gains.SATURATED`."""
    errors = gains.final_errors(rows, task, [*weights, "erm"], metric)
    base = errors.by_unit["erm"].mean()
    if not base >= gains.SATURATED:
        return None
    ratio = float(errors.task_errors().relative(weights).mean)
    linearised = pd.Series(minus_share_of_erm(weights, ratio)) / base
    by_row = None if errors.by_row is None else (errors.by_row @ linearised).to_numpy()
    return RelativeGain(errors.by_unit @ linearised + ratio, by_row, errors.rows)


def average_relative_gains(tasks: Sequence[RelativeGain]) -> MeanGain:
    """The plain mean of the tasks of one data set, with the outer splits and test rows that they share.

    Equal numbers of outer splits draw from the same rows in every task of a data set. The covariance is estimated on
    the outer splits that all of these tasks have, and divided by the larger number of the two tasks' outer splits.
    """
    effects = np.array([task.by_unit.mean() for task in tasks])
    counts = [len(task.by_unit) for task in tasks]
    common = pd.concat([task.by_unit for task in tasks], axis=1, join="inner").to_numpy().T
    if common.shape[1] < FEWEST_UNITS:
        return MeanGain(effects.mean(), np.asarray(np.nan), np.asarray(np.nan))
    sources = [(covariance(common) / np.maximum.outer(counts, counts), common.shape[1] - 1.0)]
    shared = [(task.by_row, task.rows) for task in tasks if task.by_row is not None and task.rows is not None]
    if shared:  # a task whose outer splits have test rows of their own has no part in the luck of those that are shared
        nothing, rows = np.zeros_like(shared[0][0]), shared[0][1]
        by_row = np.array([nothing if task.by_row is None else task.by_row for task in tasks])
        sources.append((covariance(by_row) / rows, rows - 1.0))
    return average_tasks(effects, sources)


def log_errors(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean logarithm of the test error by data set and method: their differences are log ratios, which are comparable.

    Differences of errors rank a data set by how hard it is; ratios rank it by how much is gained.

    Args:
        rows: runs, as in `load.Runs`.

    Returns:
        Data sets x methods. A method is left out that has no more than half of the tasks left. The table holds the
        tasks that have all of the others, and enough outer splits. An error of 0 counts as half of the smallest error
        that a method has on the task.
    """
    methods = gains.methods(rows)
    tasks = {
        method: [t for t in gains.tasks(rows) if len(gains.final_errors(rows, t, [method]).by_unit) >= FEWEST_UNITS]
        for method in methods
    }
    most = max(map(len, tasks.values()), default=0)
    common, kept = set(gains.tasks(rows)), []
    for method in methods:
        if 2 * len(common.intersection(tasks[method])) > most:
            common.intersection_update(tasks[method])
            kept.append(method)
    methods = kept
    records = []
    for task in comparable_tasks(rows, methods) if methods else ():
        means = np.array([gains.mean_metric(rows, task, method).mean for method in methods])
        logs = np.log(np.maximum(means, means[means > 0].min() / 2))
        data_set = str(rows.loc[(rows["task"] == task).to_numpy(), "dataset"].iloc[0])
        records.append({"dataset": data_set, **dict(zip(methods, logs, strict=True))})
    table = pd.DataFrame(records, columns=["dataset", *methods])
    return table.groupby("dataset", sort=False)[methods].mean()


@dataclass(frozen=True)
class Ranks:
    """Ranks of the methods over data sets.

    Attributes:
        mean: mean rank by method; 1 is best.
        p: p of Friedman's test that all methods rank alike.
    """

    mean: pd.Series
    p: float


def rank_methods(logs: pd.DataFrame) -> Ranks | None:
    """Ranks the methods on each data set (Demšar, JMLR 2006).

    Args:
        logs: data sets x methods, from `log_errors`.

    Returns:
        The ranks; None for fewer than two data sets or three methods.
    """
    data_sets, methods = logs.shape
    if data_sets < 2 or methods < 3:
        return None
    ranks = logs.rank(axis=1)
    all_tied = not ranks.to_numpy().std()  # Friedman's statistic is then 0/0
    p = 1.0 if all_tied else float(scipy.stats.friedmanchisquare(*(logs[method] for method in logs)).pvalue)
    return Ranks(ranks.mean(), p)


def signed_ranks(logs: pd.DataFrame) -> pd.DataFrame:
    """Wilcoxon's two-sided signed-rank test over data sets, on log ratios, one row per pair of methods.

    Args:
        logs: data sets x methods, from `log_errors`.

    Returns:
        Columns method, reference, better, worse, p, p_holm (corrected for the number of pairs) and smallest_p. With n
        data sets p cannot fall below `smallest_p` = 2/2ⁿ, whatever the data; p_holm cannot fall below that times the
        number of pairs.
    """
    records = []
    for reference, method in combinations(logs.columns, 2):
        ratios = (logs[reference] - logs[method]).to_numpy()
        unequal = ratios[ratios != 0]
        p = float(scipy.stats.wilcoxon(unequal).pvalue) if len(unequal) else 1.0
        better, worse = int((ratios > 0).sum()), int((ratios < 0).sum())
        records.append({"method": method, "reference": reference, "better": better, "worse": worse, "p": p})
    table = pd.DataFrame(records, columns=["method", "reference", "better", "worse", "p"])
    return table.assign(p_holm=holm(table["p"].to_numpy(dtype=float)), smallest_p=min(1.0, 2 / 2 ** len(logs)))


def count_outcomes(rows: pd.DataFrame, method: str, reference: str, level: float = LEVEL) -> dict[str, int]:
    """Counts tasks by the interval of the gain.

    Args:
        rows: runs, as in `load.Runs`.
        method: name of the method.
        reference: name of the method that it is compared with.
        level: confidence level of the intervals, between 0 and 1.

    Returns:
        wins (interval above zero), losses (below), ties (neither). Tasks without an interval, and saturated ones, are
        left out.
    """
    counts = {"wins": 0, "losses": 0, "ties": 0}
    for task in gains.tasks(rows):
        found = gains.gain(rows, task, method, reference, level)
        if not math.isnan(found.low) and not gains.is_saturated(rows, task, (reference, method)):
            counts["wins" if found.low > 0 else "losses" if found.high < 0 else "ties"] += 1
    return counts
