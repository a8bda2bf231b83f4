"""What the searches show: was the budget enough, how optimistic is selection, how often was it a tie."""

import numpy as np
import pandas as pd
from scipy.special import gammaln

from . import gains
from .gains import STUDY


def completed(rows: pd.DataFrame) -> pd.DataFrame:
    """The search runs of configurations that were not stopped early: the errors of those are of another epoch."""
    return rows[(rows["phase"] == "search") & (rows["status"] != "stopped")]


def configurations(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per configuration not stopped early: task, outer_split, method, trial, val_error (mean over seeds)."""
    return completed(rows).groupby([*STUDY, "trial"], dropna=False, sort=False)["val_error"].mean().reset_index()


def best_so_far(errors: np.ndarray) -> np.ndarray:
    """Least error of the first 1, 2, ... configurations in the order they were proposed."""
    return np.minimum.accumulate(errors)


def expected_best(errors: np.ndarray) -> np.ndarray:
    """Expected least error of n = 1, 2, ..., N draws without replacement from the N errors.

    For random search: unbiased for a budget of n, and smoother than the one order in which they came (Dodge et al.,
    EMNLP 2019, draw with replacement, which is biased). The i-th least is the best of n with probability
    C(N-i, n-1) / C(N, n), and C(N-i, n-1) = 0 where fewer than n-1 are greater.
    """
    errors, total = np.sort(errors), len(errors)
    n, greater = np.arange(1, total + 1)[:, None], np.arange(total - 1, -1, -1)[None]
    enough = greater >= n - 1
    share = np.where(enough, np.exp(log_choose(np.where(enough, greater, n), n - 1) - log_choose(total, n)), 0.0)
    return np.asarray(share @ errors)


def log_choose(n: np.ndarray | int, k: np.ndarray) -> np.ndarray:
    return np.asarray(gammaln(np.add(n, 1)) - gammaln(k + 1) - gammaln(np.subtract(n, k) + 1))


def curves(rows: pd.DataFrame, random: bool) -> pd.DataFrame:
    """Columns task, method, trials, val_error: the best after so many configurations, mean over outer splits.

    Those stopped early do not count.

    `random`: the order of the proposals says nothing, as in random search and in a grid. Only up to the number that
    every outer split has reached.
    """
    lines = []
    for (task, method), found in configurations(rows).groupby(["task", "method"], sort=False):
        studies = [
            s.sort_values("trial")["val_error"].to_numpy() for _, s in found.groupby("outer_split", dropna=False)
        ]
        shortest = min(map(len, studies))
        one = expected_best if random else best_so_far
        mean = np.mean([one(errors)[:shortest] for errors in studies], axis=0)
        lines += [{"task": task, "method": method, "trials": n + 1, "val_error": value} for n, value in enumerate(mean)]
    return pd.DataFrame(lines, columns=["task", "method", "trials", "val_error"])


def selection(rows: pd.DataFrame) -> pd.DataFrame:
    """Per task and method: validation error at selection, of the final runs, and their difference; share of ties.

    The first is the least of many and so optimistic; final runs have fresh seeds, the same validation rows. `ties`:
    share of studies in which the least validation error was reached by more than one configuration.
    """
    searched = configurations(rows).groupby(STUDY, dropna=False, sort=False)["val_error"]
    least = searched.min()
    tied = searched.agg(lambda errors: (errors == errors.min()).sum() > 1)
    final = rows[rows["selected"].astype(bool)].groupby(STUDY, dropna=False)["val_error"].mean()
    table = pd.DataFrame({"at selection": least, "final": final.reindex(least.index), "ties": tied.astype(float)})
    table["optimism"] = table["final"] - table["at selection"]
    order = {task: number for number, task in enumerate(gains.tasks(rows))}
    means = table.groupby(["task", "method"], sort=False).mean().reset_index()
    return means.sort_values("task", key=lambda column: column.map(order), kind="stable", ignore_index=True)
