"""The comparison over all tasks: ranks, signed-rank tests, wins and losses. One value per task and method.

Outer splits of a task are averaged first: they share training rows and are one piece of evidence about one data set.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from . import gains
from .claims import holm


def task_means(rows: pd.DataFrame, metric: str = "test_error") -> pd.DataFrame:
    """tasks x methods: the mean of a metric, of the methods that most tasks have, on the tasks that have them all."""
    found = {
        method: {task: gains.error(rows, task, method, metric=metric).mean for task in gains.tasks(rows)}
        for method in gains.methods(rows)
    }
    table = pd.DataFrame(found)
    covered = table.notna().sum()
    return table.loc[:, covered == covered.max()].dropna()


@dataclass(frozen=True)
class Ranks:
    """Mean rank of each method (1 is best), Friedman's test that all are equal, Nemenyi's critical difference."""

    mean: pd.Series
    p: float
    difference: float
    tasks: int


def ranks(means: pd.DataFrame, level: float = 0.95) -> Ranks | None:
    """Of `task_means`, after Demšar (JMLR 2006). None for fewer than two tasks or three methods."""
    tasks, methods = means.shape
    if tasks < 2 or methods < 3:
        return None
    by_task = means.rank(axis=1)
    p = float(stats.friedmanchisquare(*(means[m] for m in means)).pvalue) if by_task.to_numpy().std() else 1.0
    quantile = stats.studentized_range.ppf(level, methods, np.inf) / np.sqrt(2)
    return Ranks(by_task.mean(), p, float(quantile * np.sqrt(methods * (methods + 1) / (6 * tasks))), tasks)


def signed_ranks(means: pd.DataFrame) -> pd.DataFrame:
    """Wilcoxon's signed-rank test of each pair of methods over tasks, two-sided, corrected by Holm.

    Columns method, reference, tasks, better, worse, equal, p, p_holm, least: with n tasks p cannot fall below
    `least` = 2/2ⁿ before, or that times the number of pairs after the correction, whatever the data.
    """
    lines = {}
    for reference, method in combinations(means.columns, 2):
        difference = (means[reference] - means[method]).to_numpy()
        n = int((difference != 0).sum())
        p = float(stats.wilcoxon(difference[difference != 0]).pvalue) if n else 1.0
        lines[f"{method} {reference}"] = {
            "method": method,
            "reference": reference,
            "tasks": len(difference),
            "better": int((difference > 0).sum()),
            "worse": int((difference < 0).sum()),
            "equal": int((difference == 0).sum()),
            "p": p,
        }
    corrected = holm({key: line["p"] for key, line in lines.items()})
    table = pd.DataFrame([{**line, "p_holm": corrected[key]} for key, line in lines.items()])
    return table.assign(least=min(1.0, 2 / 2 ** len(means))) if len(table) else table


def outcomes(rows: pd.DataFrame, method: str, reference: str, level: float = 0.95) -> dict[str, int]:
    """Wins, losses and ties by task: an interval of the gain above zero, below, or neither."""
    found = {"wins": 0, "losses": 0, "ties": 0}
    for task in gains.tasks(rows):
        estimate = gains.gain(rows, task, method, reference, level)
        if not np.isnan(estimate.low):
            found["wins" if estimate.low > 0 else "losses" if estimate.high < 0 else "ties"] += 1
    return found


def interquartile_mean(values: np.ndarray) -> float:
    """Mean of the middle half (Agarwal et al., NeurIPS 2021)."""
    return float(stats.trim_mean(values, 0.25)) if len(values) else float("nan")
