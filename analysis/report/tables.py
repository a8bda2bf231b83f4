"""Tables of the report as text for readers: errors in per cent, gains in points. `rows` are those of `load.Runs`."""

import math

import numpy as np
import pandas as pd

from .. import cross_task, gains, stats
from ..gains import COMPARED
from ..stats import Estimate

METHOD_LABELS = {"erm": "ERM", "mixup": "mixup", "kmixup": "k-mixup", "placebo": "placebo"}
REFERENCES = {"mixup": "erm", "kmixup": "mixup", "placebo": "mixup"}  # what a method is compared with; else ERM
NEITHER_BETTER = ("test_ece_floor", "test_fgsm_zero_gradient")  # they help to read other metrics; less is not better


def method_label(method: str) -> str:
    """How the report spells a method: `ERM`, `k-mixup`; a user's own method by its name."""
    return METHOD_LABELS.get(method, method)


def comparison_label(method: str, reference: str) -> str:
    return f"{method_label(method)} over {method_label(reference)}"


def display_scale(metric: str) -> float:
    """The factor from a metric's values to those shown: errors are fractions in rows and per cent in tables."""
    return 100 if "error" in metric or "ece" in metric else 1


def display_unit(metric: str) -> str:
    return f"points of {metric.replace('_', ' ')}" if display_scale(metric) == 100 else metric.replace("_", " ")


def format_estimate(estimate: Estimate, signed: bool = False, metric: str = "test_error") -> str:
    """Formats a mean and the half width of its interval.

    Args:
        estimate: in the metric's own units.
        signed: whether a positive mean has a plus sign.
        metric: column of the rows; errors become per cent.

    Returns:
        `12.3 ± 0.4`; the mean alone where there is no interval; empty where nothing was measured.
    """
    if math.isnan(estimate.mean):
        return ""
    scale, digits = display_scale(metric), 2 if display_scale(metric) == 100 else 3
    mean = f"{scale * estimate.mean:{'+' if signed else ''}.{digits}f}"
    return mean if math.isnan(estimate.half_width) else f"{mean} ± {scale * estimate.half_width:.{digits}f}"


def format_interval(estimate: Estimate, signed: bool = True) -> str:
    sign = "+" if signed else ""
    return "" if math.isnan(estimate.low) else f"[{100 * estimate.low:{sign}.2f}, {100 * estimate.high:{sign}.2f}]"


def format_percent(fraction: float, digits: int = 2) -> str:
    return "" if math.isnan(fraction) else f"{100 * fraction:.{digits}f}"


def format_range(low: float, high: float) -> str:
    return f"{low:.2g}" if low == high else f"{low:.2g}–{high:.2g}"


def headline(rows: pd.DataFrame, level: float = 0.95, metric: str = "test_error") -> pd.DataFrame:
    """One row per task and method: a metric, the gain over the method that it extends, the selected α and k.

    Args:
        rows: runs, as in `load.Runs`.
        level: confidence level of the intervals, between 0 and 1.
        metric: column of `rows`.

    Returns:
        Text. Columns task, method, the metric's name, gain over, gain, α, k.
    """
    metric_name = metric.replace("_", " ") + (" %" if display_scale(metric) == 100 else "")
    records = []
    for task in gains.tasks(rows):
        for method in gains.methods(rows):
            estimate = gains.mean_metric(rows, task, method, level, metric)
            if math.isnan(estimate.mean):
                continue
            reference = "" if method == "erm" else REFERENCES.get(method, "erm")
            gain = gains.gain(rows, task, method, reference, level, metric) if reference else None
            records.append(
                {
                    "task": task,
                    "method": method_label(method),
                    metric_name: format_estimate(estimate, metric=metric),
                    "gain over": method_label(reference),
                    "gain": format_estimate(gain, signed=True, metric=metric) if gain else "",
                    "α": "" if method == "erm" else selected_range(rows, task, method, "alpha"),
                    "k": "" if method in ("erm", "mixup", "placebo") else selected_range(rows, task, method, "k"),
                }
            )
    return pd.DataFrame(records, columns=["task", "method", metric_name, "gain over", "gain", "α", "k"])


def selected_range(rows: pd.DataFrame, task: str, method: str, column: str) -> str:
    """The selected value; the least and the greatest where outer splits selected different ones."""
    of_method = rows[(rows["task"] == task) & (rows["method"] == method)]
    selected = of_method[of_method["selected"].astype(bool)][column]
    return "" if pd.isna(selected.min()) else format_range(selected.min(), selected.max())


def gain_estimates(rows: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Every gain as numbers, for `gains.csv`: fractions of error, one row per task and pair of methods."""
    records = []
    for task in gains.tasks(rows):
        for method, reference in COMPARED:
            estimate = gains.gain(rows, task, method, reference, level)
            if estimate.units:
                records.append(
                    {"task": task, "method": method, "reference": reference, "level": level, **vars(estimate)}
                )
    columns = ["task", "method", "reference", "level", "mean", "low", "high", "units"]
    return pd.DataFrame(records, columns=columns)


def metric_means(rows: pd.DataFrame, metrics: dict[str, str], level: float = 0.95) -> pd.DataFrame:
    """One row per task and metric: each method's mean, and the gains of mixup over ERM and of k-mixup over mixup.

    Args:
        rows: runs, as in `load.Runs`.
        metrics: name to show by column of `rows`.
        level: confidence level of the intervals, between 0 and 1.

    Returns:
        Text; without the metrics of a task that no method has.
    """
    records = []
    for task in gains.tasks(rows):
        for metric, metric_name in metrics.items():
            means = {
                method_label(method): format_estimate(
                    gains.mean_metric(rows, task, method, level, metric), metric=metric
                )
                for method in gains.methods(rows)
            }
            if not any(means.values()):
                continue
            paired = {
                comparison_label(method, reference): ""
                if metric in NEITHER_BETTER
                else format_estimate(gains.gain(rows, task, method, reference, level, metric), True, metric)
                for method, reference in COMPARED[:2]
            }
            records.append({"task": task, "metric": metric_name, **means, **paired})
    return pd.DataFrame(records)


def error_means(rows: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """The final test error of every method: mean, standard error and interval over units, median over runs."""
    records = []
    for task in gains.tasks(rows):
        for method in gains.methods(rows):
            errors = gains.final_metric(rows, task, method).dropna()
            if errors.empty:
                continue
            units = gains.unit_values(errors)
            estimate = gains.mean_metric(rows, task, method, level)
            standard_error = units.std(ddof=1) / np.sqrt(len(units)) if len(units) > 1 else math.nan
            records.append(
                {
                    "task": task,
                    "method": method_label(method),
                    "mean %": format_percent(units.mean()),
                    "standard error": format_percent(standard_error),
                    f"{level:.0%} interval": format_interval(estimate, signed=False),
                    "median of runs %": format_percent(errors.median()),
                    "units": len(units),
                    "runs": len(errors),
                }
            )
    return pd.DataFrame(records)


def gain_details(rows: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """All three gains of every task, with a second interval, a share of pairs and a permutation test."""
    rng = np.random.default_rng(0)
    records = []
    for task in gains.tasks(rows):
        for method, reference in COMPARED:
            units = gains.unit_values(gains.paired_differences(rows, task, method, reference))
            if not len(units):
                continue
            bootstrap, (p, smallest_p) = stats.bootstrap_t(units, rng, level), stats.sign_flip(units, rng)
            own_rows = not gains.share_test_rows(rows, task)  # these two know nothing of the luck of shared test rows
            relative = gains.relative_gain(rows, task, method, reference, level)
            records.append(
                {
                    "task": task,
                    "gain of": comparison_label(method, reference),
                    "points": format_estimate(gains.gain(rows, task, method, reference, level), signed=True),
                    "bootstrap-t": format_interval(bootstrap) if own_rows else "",
                    "% of reference": format_estimate(relative, signed=True),
                    "share of pairs better": f"{gains.share_better(rows, task, method, reference):.2f}",
                    "p": f"{p:.3g}" if own_rows else "",
                    "smallest possible p": f"{smallest_p:.2g}" if own_rows else "",
                    "units": len(units),
                }
            )
    return pd.DataFrame(records)


def over_tasks(rows: pd.DataFrame, signed_ranks: pd.DataFrame, means: pd.DataFrame, level: float) -> pd.DataFrame:
    """Each pair of methods over all tasks.

    Args:
        rows: runs, as in `load.Runs`.
        signed_ranks: from `cross_task.signed_ranks`.
        means: tasks x methods, from `cross_task.task_means`.
        level: confidence level of the intervals, between 0 and 1.

    Returns:
        Text.
    """
    records = []
    for test in signed_ranks.to_dict("records"):
        method, reference = test["method"], test["reference"]
        counts = cross_task.count_outcomes(rows, method, reference, level)
        differences = (means[reference] - means[method]).to_numpy()
        records.append(
            {
                "gain of": comparison_label(method, reference),
                "mean, points": f"{100 * differences.mean():+.2f}",
                "interquartile mean": f"{100 * stats.interquartile_mean(differences):+.2f}",
                "better on": test["better"],
                "worse on": test["worse"],
                "wins, losses, ties by interval": f"{counts['wins']}, {counts['losses']}, {counts['ties']}",
                "p": f"{test['p']:.3g}",
                "p, Holm": f"{test['p_holm']:.3g}",
                "smallest possible p": f"{test['smallest_p']:.2g}",
            }
        )
    return pd.DataFrame(records)


def selection_bias(bias: pd.DataFrame) -> pd.DataFrame:
    """The numbers of `search_budget.selection_bias` in per cent."""
    table = pd.DataFrame({"task": bias["task"], "method": bias["method"].map(method_label)})
    for column in ("at selection", "final", "optimism"):
        table[f"{column}, val. error %"] = bias[column].map(format_percent)
    return table.assign(**{"ties, % of studies": bias["ties"].map(lambda share: format_percent(share, 0))})


def run_costs(costs: pd.DataFrame) -> pd.DataFrame:
    """The numbers of `costs.run_costs`, rounded."""
    pairing = costs["pairing"].map(lambda share: f"{share:.1%}")
    table = costs.assign(method=costs["method"].map(method_label), pairing=pairing)
    for column, digits in (("hours", 2), ("seconds per run", 2), ("over ERM", 2), ("runs per hour", 0)):
        table[column] = costs[column].map(lambda v, digits=digits: "" if math.isnan(v) else f"{v:.{digits}f}")
    return table


def equal_seconds(best: pd.DataFrame) -> pd.DataFrame:
    """The numbers of `costs.equal_seconds` in per cent."""
    return pd.DataFrame(
        {
            "task": best["task"],
            "method": best["method"].map(method_label),
            "val. error % at equal seconds": best["val_error"].map(format_percent),
            "same selection, % of splits": best["same"].map(lambda share: format_percent(share, 0)),
        }
    )


def changes(old_rows: pd.DataFrame, new_rows: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Gains of two reports side by side, with their numbers of pairs."""
    records = []
    for task in dict.fromkeys([*gains.tasks(old_rows), *gains.tasks(new_rows)]):
        for method, reference in COMPARED[:2]:
            old, new = (gains.gain(rows, task, method, reference, level) for rows in (old_rows, new_rows))
            if not old.units and not new.units:
                continue
            change = 100 * (new.mean - old.mean)
            pairs = [len(gains.paired_differences(rows, task, method, reference)) for rows in (old_rows, new_rows)]
            records.append(
                {
                    "task": task,
                    "gain of": comparison_label(method, reference),
                    "before": format_estimate(old, signed=True),
                    "now": format_estimate(new, signed=True),
                    "change": "" if math.isnan(change) else f"{change:+.2f}",
                    "pairs before": pairs[0],
                    "pairs now": pairs[1],
                }
            )
    return pd.DataFrame(records)
