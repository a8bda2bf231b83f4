"""The comparison over all tasks: ranks, signed-rank tests, wins and losses. One value per task and method.

Outer splits of a task are averaged first: they share training rows and are one piece of evidence about one data set.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import pandas as pd
import scipy.stats

from . import gains
from .stats import holm


def task_means(rows: pd.DataFrame, metric: str = "test_error") -> pd.DataFrame:
    """Mean of a metric by task and method.

    Args:
        rows: runs, as in `load.Runs`.
        metric: column of `rows`.

    Returns:
        Tasks x methods. It holds the methods that the most tasks have, and the tasks that have all of these methods.
    """
    means = pd.DataFrame(
        {
            method: {task: gains.mean_metric(rows, task, method, metric=metric).mean for task in gains.tasks(rows)}
            for method in gains.methods(rows)
        }
    )
    tasks_per_method = means.notna().sum()
    return means.loc[:, tasks_per_method == tasks_per_method.max()].dropna()


@dataclass(frozen=True)
class Ranks:
    """Ranks of the methods over tasks.

    Attributes:
        mean: mean rank by method; 1 is best.
        p: p of Friedman's test that all methods rank alike.
    """

    mean: pd.Series
    p: float


def rank_methods(means: pd.DataFrame) -> Ranks | None:
    """Ranks the methods on each task (Demšar, JMLR 2006).

    Args:
        means: tasks x methods, from `task_means`.

    Returns:
        The ranks; None for fewer than two tasks or three methods.
    """
    tasks, methods = means.shape
    if tasks < 2 or methods < 3:
        return None
    ranks = means.rank(axis=1)
    all_tied = not ranks.to_numpy().std()  # Friedman's statistic is then 0/0
    p = 1.0 if all_tied else float(scipy.stats.friedmanchisquare(*(means[method] for method in means)).pvalue)
    return Ranks(ranks.mean(), p)


def signed_ranks(means: pd.DataFrame) -> pd.DataFrame:
    """Wilcoxon's two-sided signed-rank test over tasks, one row per pair of methods.

    Args:
        means: tasks x methods, from `task_means`.

    Returns:
        Columns method, reference, better, worse, p, p_holm (corrected for the number of pairs) and smallest_p. With n
        tasks p cannot fall below `smallest_p` = 2/2ⁿ, whatever the data; p_holm cannot fall below that times the number
        of pairs.
    """
    records = []
    for reference, method in combinations(means.columns, 2):
        difference = (means[reference] - means[method]).to_numpy()
        unequal = difference[difference != 0]
        p = float(scipy.stats.wilcoxon(unequal).pvalue) if len(unequal) else 1.0
        better, worse = int((difference > 0).sum()), int((difference < 0).sum())
        records.append({"method": method, "reference": reference, "better": better, "worse": worse, "p": p})
    table = pd.DataFrame(records, columns=["method", "reference", "better", "worse", "p"])
    pairs = table["method"] + " over " + table["reference"]
    corrected = holm(dict(zip(pairs, table["p"], strict=True)))
    return table.assign(p_holm=pairs.map(corrected), smallest_p=min(1.0, 2 / 2 ** len(means)))


def count_outcomes(rows: pd.DataFrame, method: str, reference: str, level: float = 0.95) -> dict[str, int]:
    """Counts tasks by the interval of the gain.

    Args:
        rows: runs, as in `load.Runs`.
        method: name of the method.
        reference: name of the method that it is compared with.
        level: confidence level of the intervals, between 0 and 1.

    Returns:
        wins (interval above zero), losses (below), ties (neither). Tasks without an interval are left out.
    """
    counts = {"wins": 0, "losses": 0, "ties": 0}
    for task in gains.tasks(rows):
        estimate = gains.gain(rows, task, method, reference, level)
        if not math.isnan(estimate.low):
            counts["wins" if estimate.low > 0 else "losses" if estimate.high < 0 else "ties"] += 1
    return counts
