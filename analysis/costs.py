"""What the runs cost, and the comparison at equal seconds."""

import math

import pandas as pd

from . import gains
from .gains import STUDY_KEY
from .search_budget import completed, infinite_if_missing

HOUR = 3600.0  # seconds


def run_costs(rows: pd.DataFrame) -> pd.DataFrame:
    """Number of runs and their seconds, one row per task and method.

    Seconds are wall-clock time on the trial's share of a machine: CPU-seconds or GPU-seconds, by `device`. Where the
    share is more than one CPU or a fraction of a GPU, multiply by it.

    Args:
        rows: runs, as in `load.Runs`.

    Returns:
        Columns task, method, device, runs, hours (of all runs), seconds per run (median over search runs), over ERM
        (that divided by ERM's), pairing (share of the seconds), runs per hour (at the median).
    """
    records = []
    for task in gains.tasks(rows):
        for method in gains.methods(rows):
            runs = rows[(rows["task"] == task) & (rows["method"] == method)]
            if runs.empty:
                continue
            seconds = runs["seconds"].sum()
            records.append(
                {
                    "task": task,
                    "method": method,
                    "device": ", ".join(sorted(set(runs["device"].dropna()))),
                    "runs": len(runs),
                    "hours": seconds / HOUR,
                    "seconds per run": completed(runs)["seconds"].median(),
                    "pairing": runs["pairing_seconds"].sum() / seconds if seconds else math.nan,
                }
            )
    columns = ["task", "method", "device", "runs", "hours", "seconds per run", "over ERM", "pairing", "runs per hour"]
    table = pd.DataFrame(records, columns=columns)
    erm = table[table["method"] == "erm"].set_index("task")["seconds per run"]
    table["runs per hour"] = HOUR / table["seconds per run"]
    table["over ERM"] = table["seconds per run"] / table["task"].map(erm)
    return table


def equal_seconds(rows: pd.DataFrame, score: str = "val_error") -> pd.DataFrame:
    """The best score on validation rows within equal seconds of search, one row per task and method.

    In each outer split the budget is the smallest total of search seconds among the methods that searched more than one
    configuration. A method's configurations count in the order proposed, as long as their total stays within the
    budget. Those stopped early cost their seconds and cannot be the best. The first that was not stopped always counts.

    Args:
        rows: runs, as in `load.Runs`.
        score: column of `rows` by which configurations were selected.

    Returns:
        Columns task, method, the score (mean over outer splits), same (share of splits in which the same configuration
        is selected at equal numbers of trials; its final runs then hold at equal seconds as well).
    """
    search = infinite_if_missing(infinite_if_missing(rows[rows["phase"] == "search"], score), "val_nll")
    configurations = search.groupby([*STUDY_KEY, "trial"], dropna=False, sort=False).agg(
        {score: "mean", "val_nll": "mean", "alpha": "first", "k": "first", "seconds": "sum", "status": "first"}
    )
    records = []
    by_split = configurations.reset_index().groupby(["task", "outer_split"], dropna=False, sort=False)
    for (task, _), split in by_split:
        studies = {method: s.sort_values("trial") for method, s in split.groupby("method", sort=False) if len(s) > 1}
        budget = min((study["seconds"].sum() for study in studies.values()), default=0.0)
        for method, study in studies.items():
            affordable = study["seconds"].cumsum() <= budget * (1 + 1e-9)  # sums are rounded
            eligible = study["status"] != "stopped"
            if not eligible.any():  # the launch has not ended
                continue
            candidates = study[affordable & eligible] if (affordable & eligible).any() else study[eligible][:1]
            best, selected = (min(by_rule(some, score)) for some in (candidates, study[eligible]))
            records.append({"task": task, "method": method, score: best[0], "same": best == selected})
    table = pd.DataFrame(records, columns=["task", "method", score, "same"])
    return table.astype({"same": float}).groupby(["task", "method"], sort=False).mean().reset_index()


def by_rule(study: pd.DataFrame, score: str) -> list[tuple[float, ...]]:
    """What the selection rule compares of each configuration, the score first (`core.selection.ranking`)."""
    return list(zip(*(study[name].tolist() for name in (score, "val_nll", "alpha", "k", "trial")), strict=True))
