"""Tables of the comparison, and what may be concluded from them, in words. Per cent and points of error."""

import math
from collections.abc import Iterator

import pandas as pd

from analysis import gains
from analysis.gains import COMPARED, Estimate

NAMES = {"erm": "ERM", "mixup": "mixup", "kmixup": "k-mixup", "placebo": "placebo"}
REFERENCE = {"mixup": "erm", "kmixup": "mixup", "placebo": "mixup"}  # what a method's gain is shown over


def name(method: str) -> str:
    return NAMES.get(method, method)


def shown(estimate: Estimate, signed: bool = False) -> str:
    """`12.3 ± 0.4` in per cent; without an interval where there is none; empty where nothing was measured."""
    if math.isnan(estimate.mean):
        return ""
    mean = f"{100 * estimate.mean:{'+' if signed else ''}.2f}"
    return mean if math.isnan(estimate.half_width) else f"{mean} ± {100 * estimate.half_width:.2f}"


def headline(rows: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """One row per task and method: test error, gain over the method it extends, the chosen α and k."""
    lines = []
    for task in gains.tasks(rows):
        for method in gains.methods(rows):
            estimate = gains.error(rows, task, method, level)
            if math.isnan(estimate.mean):
                continue
            over = REFERENCE.get(method, "erm") if method != "erm" else ""
            lines.append(
                {
                    "task": task,
                    "method": name(method),
                    "test error %": shown(estimate),
                    "gain over": name(over),
                    "points": shown(gains.gain(rows, task, method, over, level), signed=True) if over else "",
                    "α": "" if method == "erm" else chosen(rows, task, method, "alpha"),
                    "k": chosen(rows, task, method, "k") if method not in ("erm", "mixup", "placebo") else "",
                }
            )
    columns = ["task", "method", "test error %", "gain over", "points", "α", "k"]
    return pd.DataFrame(lines, columns=columns)


def chosen(rows: pd.DataFrame, task: str, method: str, column: str) -> str:
    """The selected value; where outer splits chose different ones, the least and the greatest."""
    picked = rows[(rows["task"] == task) & (rows["method"] == method) & rows["selected"].astype(bool)][column]
    low, high = picked.min(), picked.max()
    if pd.isna(low):
        return ""
    return span(low, high)


def span(low: float, high: float) -> str:
    return f"{low:.2g}" if low == high else f"{low:.2g}–{high:.2g}"


def estimates(rows: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Every gain as numbers, for CSV and for whoever computes on: fractions of error, one row per task and pair."""
    lines = []
    for task in gains.tasks(rows):
        for method, reference in COMPARED:
            estimate = gains.gain(rows, task, method, reference, level)
            if estimate.units:
                lines.append({"task": task, "method": method, "reference": reference, "level": level, **vars(estimate)})
    columns = ["task", "method", "reference", "level", "mean", "low", "high", "units"]
    return pd.DataFrame(lines, columns=columns)


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
        better: list[str] = []
        worse: list[str] = []
        open_: list[str] = []
        unmeasured: list[str] = []
        for task in gains.tasks(rows):
            estimate = gains.gain(rows, task, method, reference, level)
            if math.isnan(estimate.mean):
                continue
            known = not math.isnan(estimate.low)
            bucket = better if estimate.low > 0 else worse if estimate.high < 0 else open_ if known else unmeasured
            bucket.append(task)
        if not (better or worse or open_ or unmeasured):
            yield f"{name(method)} over {name(reference)}: not compared; at least one of the two has no final run."
            continue
        parts = [
            f"{what} on {len(which)} ({', '.join(which)})"
            for what, which in (
                ("gains", better),
                ("loses", worse),
                ("no difference shown", open_),
                ("too few units for an interval", unmeasured),
            )
            if which
        ]
        total = len(better) + len(worse) + len(open_) + len(unmeasured)
        yield f"{name(method)} over {name(reference)}, of {total} tasks: {'; '.join(parts)}."
