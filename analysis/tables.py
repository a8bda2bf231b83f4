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


def scale_of(metric: str) -> float:
    """What a value of a metric is shown times: errors are fractions in rows and per cent in tables."""
    return 100 if "error" in metric or "ece" in metric else 1


def unit_of(metric: str) -> str:
    return f"points of {metric.replace('_', ' ')}" if scale_of(metric) == 100 else metric.replace("_", " ")


def shown(estimate: Estimate, signed: bool = False, metric: str = "test_error") -> str:
    """`12.3 ± 0.4`, errors in per cent; without an interval where there is none; empty where nothing was measured."""
    if math.isnan(estimate.mean):
        return ""
    scale, digits = scale_of(metric), 2 if scale_of(metric) == 100 else 3
    mean = f"{scale * estimate.mean:{'+' if signed else ''}.{digits}f}"
    return mean if math.isnan(estimate.half_width) else f"{mean} ± {scale * estimate.half_width:.{digits}f}"


def headline(rows: pd.DataFrame, level: float = 0.95, metric: str = "test_error") -> pd.DataFrame:
    """One row per task and method: a metric, the gain over the method it extends, the chosen α and k."""
    score = metric.replace("_", " ") + (" %" if scale_of(metric) == 100 else "")
    lines = []
    for task in gains.tasks(rows):
        for method in gains.methods(rows):
            estimate = gains.error(rows, task, method, level, metric)
            if math.isnan(estimate.mean):
                continue
            over = REFERENCE.get(method, "erm") if method != "erm" else ""
            lines.append(
                {
                    "task": task,
                    "method": name(method),
                    score: shown(estimate, metric=metric),
                    "gain over": name(over),
                    "gain": shown(gains.gain(rows, task, method, over, level, metric), True, metric) if over else "",
                    "α": "" if method == "erm" else chosen(rows, task, method, "alpha"),
                    "k": chosen(rows, task, method, "k") if method not in ("erm", "mixup", "placebo") else "",
                }
            )
    columns = ["task", "method", score, "gain over", "gain", "α", "k"]
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


def scores(rows: pd.DataFrame, metrics: dict[str, str], level: float = 0.95) -> pd.DataFrame:
    """One row per task and metric (column -> what to call it): each method's mean, and both gains, paired."""
    lines = []
    for task in gains.tasks(rows):
        for metric, called in metrics.items():
            line = {"task": task, "score": called}
            for method in gains.methods(rows):
                line[name(method)] = shown(gains.error(rows, task, method, level, metric), metric=metric)
            if not any(list(line.values())[2:]):
                continue
            for method, reference in COMPARED[:2]:
                gained = gains.gain(rows, task, method, reference, level, metric)
                line[f"{name(method)} over {name(reference)}"] = shown(gained, signed=True, metric=metric)
            lines.append(line)
    return pd.DataFrame(lines)


def answer(rows: pd.DataFrame, level: float = 0.95) -> str:
    """The comparison in one sentence."""
    parts = []
    for method, reference in COMPARED[:2]:
        found = sorted_by_outcome(rows, method, reference, level)
        total = sum(map(len, found.values()))
        if not total:
            continue
        parts.append(
            f"{name(method)} gained over {name(reference)} on {len(found['gains'])} of {total} tasks "
            f"and lost on {len(found['loses'])}"
        )
    if not parts:
        return "No two methods have final runs yet: there is nothing to be compared."
    rest = f" elsewhere the {level:.0%} interval of the gain holds zero, or there are too few runs for one."
    return f"Each tuned with the same budget, {'; '.join(parts)};{rest}"


def sorted_by_outcome(rows: pd.DataFrame, method: str, reference: str, level: float) -> dict[str, list[str]]:
    """The tasks by what the interval of the gain says."""
    found: dict[str, list[str]] = {
        "gains": [],
        "loses": [],
        "no difference shown": [],
        "too few units for an interval": [],
    }
    for task in gains.tasks(rows):
        estimate = gains.gain(rows, task, method, reference, level)
        if math.isnan(estimate.mean):
            continue
        known = not math.isnan(estimate.low)
        unclear = "no difference shown" if known else "too few units for an interval"
        found["gains" if estimate.low > 0 else "loses" if estimate.high < 0 else unclear].append(task)
    return found


def changes(old: pd.DataFrame, new: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Gains of two reports side by side, and the runs behind them."""
    lines = []
    for task in dict.fromkeys([*gains.tasks(old), *gains.tasks(new)]):
        for method, reference in COMPARED[:2]:
            before, now = (gains.gain(rows, task, method, reference, level) for rows in (old, new))
            if not before.units and not now.units:
                continue
            change = scale_of("test_error") * (now.mean - before.mean)
            runs = [len(gains.paired(rows, task, method, reference)) for rows in (old, new)]
            lines.append(
                {
                    "task": task,
                    "gain of": f"{name(method)} over {name(reference)}",
                    "before": shown(before, signed=True),
                    "now": shown(now, signed=True),
                    "change": "" if math.isnan(change) else f"{change:+.2f}",
                    "pairs before": runs[0],
                    "pairs now": runs[1],
                }
            )
    return pd.DataFrame(lines)


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
        found = sorted_by_outcome(rows, method, reference, level)
        total = sum(map(len, found.values()))
        if not total:
            yield f"{name(method)} over {name(reference)}: not compared; at least one of the two has no final run."
            continue
        parts = [f"{what} on {len(which)} ({', '.join(which)})" for what, which in found.items() if which]
        yield f"{name(method)} over {name(reference)}, of {total} tasks: {'; '.join(parts)}."
