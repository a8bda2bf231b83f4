"""What may be concluded from the gains and what may not, in words."""

import math
from collections.abc import Iterator

import pandas as pd

from .. import gains
from ..gains import COMPARED
from .tables import method_label, span

SATURATED = 1e-4  # test error below which there is nothing to be gained: the last digit that tables show


def answer(rows: pd.DataFrame, level: float = 0.95) -> str:
    """The comparison in one sentence."""
    parts = []
    for method, reference in COMPARED[:2]:
        found = tasks_by_outcome(rows, method, reference, level)
        total = sum(map(len, found.values()))
        if not total:
            continue
        parts.append(
            f"{method_label(method)} gained over {method_label(reference)} on {len(found['gains'])} of {total} tasks "
            f"and lost on {len(found['loses'])}"
        )
    if not parts:
        return "No two methods have final runs yet: there is nothing to be compared."
    rest = f" elsewhere the {level:.0%} interval of the gain holds zero, or there are too few runs for one."
    return f"Each tuned with the same budget, {'; '.join(parts)};{rest}"


def conclusions(rows: pd.DataFrame, level: float = 0.95) -> list[str]:
    """What the table shows and what it does not, one sentence each."""
    found = list(verdicts(rows, level))
    splits = rows.groupby("task")["outer_split"].nunique()
    seeds = rows[rows["selected"].astype(bool)].groupby(["task", "method", "outer_split"], dropna=False).size()
    found.append(
        f"Intervals are Student's t at {level:.0%}, per task, not corrected for the number of comparisons: "
        + (
            "over the means of outer splits"
            if (splits > 1).all()
            else "over seeds on the one split of each task"
            if (splits <= 1).all()
            else "over the means of outer splits where a task has several, else over seeds on its one split"
        )
        + (f"; {span(seeds.min(), seeds.max())} final runs per split and method." if len(seeds) else ".")
    )
    diverged = int((rows["status"] == "diverged").sum())
    if diverged:
        found.append(f"{diverged} runs diverged; their error counts every prediction that is not finite as wrong.")
    found.append("Nothing here says how the methods compare on other data, networks, training lengths or budgets.")
    return found


def verdicts(rows: pd.DataFrame, level: float) -> Iterator[str]:
    for method, reference in COMPARED[:2]:
        found = tasks_by_outcome(rows, method, reference, level)
        total = sum(map(len, found.values()))
        if not total:
            yield f"{method_label(method)} over {method_label(reference)}: not compared; at least one of the two has no final run."
            continue
        parts = [f"{what} on {len(which)} ({', '.join(which)})" for what, which in found.items() if which]
        yield f"{method_label(method)} over {method_label(reference)}, of {total} tasks: {'; '.join(parts)}."


def tasks_by_outcome(rows: pd.DataFrame, method: str, reference: str, level: float) -> dict[str, list[str]]:
    """The tasks by what the interval of the gain says."""
    found: dict[str, list[str]] = {
        "gains": [],
        "loses": [],
        "no difference shown": [],
        "saturated, both err less than 0.01 %,": [],
        "too few units for an interval": [],
    }
    for task in gains.tasks(rows):
        estimate = gains.gain(rows, task, method, reference, level)
        if math.isnan(estimate.mean):
            continue
        if all(gains.error(rows, task, one).mean < SATURATED for one in (method, reference)):
            outcome = "saturated, both err less than 0.01 %,"
        elif math.isnan(estimate.low):
            outcome = "too few units for an interval"
        else:
            outcome = "gains" if estimate.low > 0 else "loses" if estimate.high < 0 else "no difference shown"
        found[outcome].append(task)
    return found
