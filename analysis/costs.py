"""What the runs cost, and the comparison at equal seconds."""

import numpy as np
import pandas as pd

from . import gains
from .gains import STUDY
from .search_budget import completed

HOUR = 3600.0


def costs(rows: pd.DataFrame) -> pd.DataFrame:
    """Per task and method: runs, hours in all, median seconds per search run (and over ERM's), pairing's share.

    Seconds are wall-clock on the trial's share of a machine: CPU-seconds or GPU-seconds by `device`. Where the share
    is more than one CPU or a fraction of a GPU, multiply by it.
    """
    lines = []
    for task in gains.tasks(rows):
        for method in gains.methods(rows):
            found = rows[(rows["task"] == task) & (rows["method"] == method)]
            if found.empty:
                continue
            total = found["seconds"].sum()
            lines.append(
                {
                    "task": task,
                    "method": method,
                    "device": ", ".join(sorted(set(found["device"].dropna()))),
                    "runs": len(found),
                    "hours": total / HOUR,
                    "seconds per run": completed(found)["seconds"].median(),
                    "pairing": found["pairing_seconds"].sum() / total if total else float("nan"),
                    "runs per hour": HOUR * len(found) / total if total else float("nan"),
                }
            )
    columns = ["task", "method", "device", "runs", "hours", "seconds per run", "over ERM", "pairing", "runs per hour"]
    table = pd.DataFrame(lines, columns=columns)
    erm = table[table["method"] == "erm"].set_index("task")["seconds per run"]
    table["over ERM"] = table["seconds per run"] / table["task"].map(erm)
    return table


def equal_seconds(rows: pd.DataFrame) -> pd.DataFrame:
    """Per task and method: the best validation error within equal seconds of search, mean over outer splits.

    In each outer split the budget is the least total of search seconds among the methods that searched more than one
    configuration; a method's configurations count, in the order proposed, as long as their sum stays within it (the
    first always does); those stopped early cost their seconds and cannot be the best. `same`: share of splits in which
    the selection is the one made at equal numbers of trials, so that the final runs answer for equal seconds as well.
    Columns task, method, val_error, same.
    """
    search = rows[rows["phase"] == "search"]
    trials = search.groupby([*STUDY, "trial"], dropna=False, sort=False).agg(
        {"val_error": "mean", "val_nll": "mean", "alpha": "first", "k": "first", "seconds": "sum", "status": "first"}
    )
    lines = []
    for (task, _), studies in trials.reset_index().groupby(["task", "outer_split"], dropna=False, sort=False):
        searched = {method: s.sort_values("trial") for method, s in studies.groupby("method", sort=False) if len(s) > 1}
        budget = min((s["seconds"].sum() for s in searched.values()), default=0.0)
        for method, study in searched.items():
            within = study[np.maximum(study["seconds"].cumsum(), 0) <= budget * (1 + 1e-9)]
            there = study[study["status"] != "stopped"]
            if there.empty:  # the launch is not over
                continue
            within = there[there["trial"].isin(within["trial"])]
            best, chosen = (best_of(s) for s in (within if len(within) else there[:1], there))
            lines.append(
                {
                    "task": task,
                    "method": method,
                    "val_error": best["val_error"],
                    "same": best["trial"] == chosen["trial"],
                }
            )
    table = pd.DataFrame(lines, columns=["task", "method", "val_error", "same"])
    return table.astype({"same": float}).groupby(["task", "method"], sort=False).mean().reset_index()


def best_of(study: pd.DataFrame) -> pd.Series:
    """By the one selection rule (`selection.ranking`)."""
    filled = study.assign(val_nll=study["val_nll"].fillna(np.inf))
    return filled.sort_values(["val_error", "val_nll", "alpha", "k", "trial"]).iloc[0]
