"""Tables of the comparison, as text for readers. Per cent and points of error."""

import math

import numpy as np
import pandas as pd

from .. import cross_task, gains
from ..gains import COMPARED, Estimate

NAMES = {"erm": "ERM", "mixup": "mixup", "kmixup": "k-mixup", "placebo": "placebo"}
NO_GAIN = ("test_ece_floor", "test_fgsm_zero_gradient")  # say how to read other scores: less is not better
REFERENCE = {"mixup": "erm", "kmixup": "mixup", "placebo": "mixup"}  # what a method's gain is shown over


def method_label(method: str) -> str:
    return NAMES.get(method, method)


def scale_of(metric: str) -> float:
    """What a value of a metric is shown times: errors are fractions in rows and per cent in tables."""
    return 100 if "error" in metric or "ece" in metric else 1


def unit_of(metric: str) -> str:
    return f"points of {metric.replace('_', ' ')}" if scale_of(metric) == 100 else metric.replace("_", " ")


def format_estimate(estimate: Estimate, signed: bool = False, metric: str = "test_error") -> str:
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
                    "method": method_label(method),
                    score: format_estimate(estimate, metric=metric),
                    "gain over": method_label(over),
                    "gain": format_estimate(gains.gain(rows, task, method, over, level, metric), True, metric)
                    if over
                    else "",
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
                line[method_label(method)] = format_estimate(
                    gains.error(rows, task, method, level, metric), metric=metric
                )
            if not any(list(line.values())[2:]):
                continue
            for method, reference in COMPARED[:2]:
                gained = format_estimate(
                    gains.gain(rows, task, method, reference, level, metric), signed=True, metric=metric
                )
                line[f"{method_label(method)} over {method_label(reference)}"] = "" if metric in NO_GAIN else gained
            lines.append(line)
    return pd.DataFrame(lines)


def errors(rows: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """The final test error of every method: mean, standard error and interval over units, median over runs."""
    lines = []
    for task in gains.tasks(rows):
        for method in gains.methods(rows):
            runs = gains.finals(rows, task, method).dropna()
            if runs.empty:
                continue
            values = gains.units(runs)
            error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else math.nan
            lines.append(
                {
                    "task": task,
                    "method": method_label(method),
                    "mean %": f"{100 * values.mean():.2f}",
                    "standard error": "" if math.isnan(error) else f"{100 * error:.2f}",
                    f"{level:.0%} interval": interval(gains.t_interval(values, level), signed=False),
                    "median of runs %": f"{100 * runs.median():.2f}",
                    "units": len(values),
                    "runs": len(runs),
                }
            )
    return pd.DataFrame(lines)


def details(rows: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """All three gains of every task, with what checks them."""
    rng = np.random.default_rng(0)
    lines = []
    for task in gains.tasks(rows):
        for method, reference in COMPARED:
            values = gains.units(gains.paired_differences(rows, task, method, reference))
            if not len(values):
                continue
            checked, (p, least) = gains.bootstrap_t(values, rng, level), gains.sign_flip(values, rng)
            lines.append(
                {
                    "task": task,
                    "gain of": f"{method_label(method)} over {method_label(reference)}",
                    "points": format_estimate(gains.t_interval(values, level), signed=True),
                    "bootstrap-t": interval(checked),
                    "% of reference": format_estimate(
                        gains.relative(rows, task, method, reference, level), signed=True
                    ),
                    "better": f"{gains.improves(rows, task, method, reference):.2f}",
                    "p": f"{p:.3g}",
                    "least p": f"{least:.2g}",
                    "units": len(values),
                }
            )
    return pd.DataFrame(lines)


def interval(estimate: Estimate, signed: bool = True) -> str:
    sign = "+" if signed else ""
    return "" if math.isnan(estimate.low) else f"[{100 * estimate.low:{sign}.2f}, {100 * estimate.high:{sign}.2f}]"


def over_tasks(rows: pd.DataFrame, tests: pd.DataFrame, means: pd.DataFrame, level: float) -> pd.DataFrame:
    """Each pair of methods over all tasks. `tests` and `means` are those of `across`."""
    lines = []
    for test in tests.to_dict("records"):
        method, reference = test["method"], test["reference"]
        counts = cross_task.outcomes(rows, method, reference, level)
        gained = (means[reference] - means[method]).to_numpy()
        lines.append(
            {
                "gain of": f"{method_label(method)} over {method_label(reference)}",
                "mean, points": f"{100 * gained.mean():+.2f}",
                "interquartile mean": f"{100 * cross_task.interquartile_mean(gained):+.2f}",
                "better on": test["better"],
                "worse on": test["worse"],
                "wins, losses, ties by interval": f"{counts['wins']}, {counts['losses']}, {counts['ties']}",
                "p": f"{test['p']:.3g}",
                "p, Holm": f"{test['p_holm']:.3g}",
                "least p": f"{test['least']:.2g}",
            }
        )
    return pd.DataFrame(lines)


def selection(found: pd.DataFrame) -> pd.DataFrame:
    """`searching.selection`, in per cent."""
    table = pd.DataFrame({"task": found["task"], "method": found["method"].map(method_label)})
    for column in ("at selection", "final", "optimism"):
        table[f"{column}, val. error %"] = found[column].map(lambda v: "" if math.isnan(v) else f"{100 * v:.2f}")
    return table.assign(**{"ties, % of studies": found["ties"].map(lambda v: f"{100 * v:.0f}")})


def costs(found: pd.DataFrame) -> pd.DataFrame:
    """`costs.costs`, rounded."""
    table = found.assign(method=found["method"].map(method_label), pairing=found["pairing"].map(lambda v: f"{v:.1%}"))
    for column, digits in (("hours", 2), ("seconds per run", 2), ("over ERM", 2), ("runs per hour", 0)):
        table[column] = found[column].map(lambda v, digits=digits: "" if math.isnan(v) else f"{v:.{digits}f}")
    return table


def equal_seconds(found: pd.DataFrame) -> pd.DataFrame:
    """`costs.equal_seconds`, in per cent."""
    return pd.DataFrame(
        {
            "task": found["task"],
            "method": found["method"].map(method_label),
            "val. error % at equal seconds": found["val_error"].map(lambda v: f"{100 * v:.2f}"),
            "same, % of splits": found["same"].map(lambda v: f"{100 * v:.0f}"),
        }
    )


def changes(old: pd.DataFrame, new: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Gains of two reports side by side, and the runs behind them."""
    lines = []
    for task in dict.fromkeys([*gains.tasks(old), *gains.tasks(new)]):
        for method, reference in COMPARED[:2]:
            before, now = (gains.gain(rows, task, method, reference, level) for rows in (old, new))
            if not before.units and not now.units:
                continue
            change = scale_of("test_error") * (now.mean - before.mean)
            runs = [len(gains.paired_differences(rows, task, method, reference)) for rows in (old, new)]
            lines.append(
                {
                    "task": task,
                    "gain of": f"{method_label(method)} over {method_label(reference)}",
                    "before": format_estimate(before, signed=True),
                    "now": format_estimate(now, signed=True),
                    "change": "" if math.isnan(change) else f"{change:+.2f}",
                    "pairs before": runs[0],
                    "pairs now": runs[1],
                }
            )
    return pd.DataFrame(lines)
