"""Figures of the report. Each function takes the rows and returns a figure, or None where there is nothing to draw."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tune_kmixup.core.config import CLAIM_METHODS, SelectBy
from tune_kmixup.core.selection import SELECTED_BY

from .. import gains
from ..gains import COMPARED
from ..search_budget import completed
from .formats import comparison_label, display_scale, display_unit, method_label
from .style import COLOURS, INK, MARKERS, WIDTH, add_legend, method_colour, task_panels

MAX_VECTOR_POINTS = 300  # a scatter plot of more points is drawn as pixels


def forest(rows: pd.DataFrame, level: float = 0.95, metric: str = "test_error") -> Figure | None:
    """Gains per task with their intervals: mixup over ERM, and k-mixup over mixup."""
    tasks = gains.tasks(rows)
    if len(set(CLAIM_METHODS).intersection(gains.methods(rows))) < 2:
        return None
    figure = Figure(figsize=(WIDTH, 1.2 + 0.45 * len(tasks)), layout="constrained")
    axes = figure.subplots()
    for offset, (method, reference) in zip((-0.14, 0.14), COMPARED[:2], strict=True):
        for position, task in enumerate(tasks):
            estimate = gains.gain(rows, task, method, reference, level, metric)
            if math.isnan(estimate.mean):
                continue
            half_width = 0 if math.isnan(estimate.half_width) else estimate.half_width
            axes.errorbar(
                display_scale(metric) * estimate.mean,
                position + offset,
                xerr=display_scale(metric) * half_width,
                fmt=MARKERS[method],
                color=COLOURS[method],
                capsize=3,
                markersize=5,
                label=comparison_label(method, reference),
            )
    axes.axvline(0, color=INK, linewidth=0.8)
    names = [f"{task}, one search" if gains.one_search(rows, task) else task for task in tasks]
    axes.set_yticks(range(len(tasks)), names)
    axes.set_ylim(len(tasks) - 0.5, -0.5)
    axes.set_xlabel(f"gain, {display_unit(metric)}, with {level:.0%} interval (right of 0: better)")
    add_legend(figure)
    return figure


def robustness(rows: pd.DataFrame) -> Figure | None:
    """Test error under Gaussian noise (circles, solid) and under FGSM (crosses, dashed) of growing size, per task."""
    shifts = (("test_error_noise_", "o-", "noise"), ("test_error_fgsm_", "x--", "FGSM"))
    fgsm_columns = [column for column in rows if column.startswith("test_error_fgsm_")]
    tasks = [task for task in gains.tasks(rows) if is_measured(rows, task, fgsm_columns)]
    if not tasks:
        return None
    figure, panels = task_panels(tasks)
    for task, axes in panels:
        for method in gains.methods(rows):
            for prefix, line_format, shift in shifts:
                columns = ["test_error", *(column for column in rows.columns if column.startswith(prefix))]
                sizes = [0.0, *(float(column.removeprefix(prefix)) for column in columns[1:])]
                errors = [100 * gains.mean_metric(rows, task, method, metric=column).mean for column in columns]
                if not math.isnan(errors[0]):
                    axes.plot(
                        sizes,
                        errors,
                        line_format,
                        color=method_colour(method, rows),
                        markersize=3,
                        linewidth=1,
                        label=f"{method_label(method)}, {shift}",
                    )
        axes.set_xlabel("size of noise or step", fontsize=8)
        axes.set_ylabel("test error, %", fontsize=8)
    add_legend(figure)
    return figure


def is_measured(rows: pd.DataFrame, task: str, columns: Sequence[str]) -> bool:
    final = rows[(rows["task"] == task) & rows["selected"].astype(bool)]
    return bool(final[list(columns)].notna().to_numpy().any())


def reliability(rows: pd.DataFrame) -> Figure | None:
    """Accuracy against confidence in 15 bins, over all final runs of a method; a point's area grows with its rows."""
    tasks = [task for task in gains.tasks(rows) if is_measured(rows, task, ["test_reliability"])]
    if not tasks:
        return None
    figure, panels = task_panels(tasks)
    for task, axes in panels:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8)
        for method in gains.methods(rows):
            final = rows[(rows["task"] == task) & (rows["method"] == method) & rows["selected"].astype(bool)]
            bins = pool_bins(final["test_reliability"].dropna())
            if bins.empty:
                continue
            colour = method_colour(method, rows)
            areas = 3 + 60 * bins["rows"] / bins["rows"].sum()
            axes.plot(bins["confidence"], bins["accuracy"], color=colour, linewidth=0.8)
            axes.scatter(bins["confidence"], bins["accuracy"], areas, color=colour, label=method_label(method))
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
        axes.set_xlabel("confidence", fontsize=8)
        axes.set_ylabel("accuracy", fontsize=8)
    add_legend(figure)
    return figure


def pool_bins(runs: pd.Series, count: int = 15) -> pd.DataFrame:
    """Pools the reliability bins of several runs.

    Args:
        runs: the column `test_reliability`.
        count: number of bins of equal width.

    Returns:
        Columns rows, confidence, accuracy (means weighted by rows), one row per bin that holds rows.
    """
    bins = pd.DataFrame([found for run in runs for found in run], columns=["rows", "confidence", "accuracy"])
    bins["bin"] = np.ceil(bins["confidence"] * count).clip(1, count)
    sums = bins.assign(**{c: bins[c] * bins["rows"] for c in ("confidence", "accuracy")}).groupby("bin").sum()
    return sums.assign(**{c: sums[c] / sums["rows"] for c in ("confidence", "accuracy")})


def sensitivity(rows: pd.DataFrame, task: str) -> Figure | None:
    """Validation error of configurations not stopped early: against α, over α and k, and against the perturbation."""
    search = completed(rows[rows["task"] == task])
    by_configuration = search.groupby(["method", "outer_split", "trial"], dropna=False, sort=False)
    configurations = by_configuration[["alpha", "k", "perturbation", "val_error"]].mean().reset_index()
    mixing = configurations[configurations["alpha"] > 0]
    if mixing.empty:
        return None
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    figure.suptitle(task, fontsize=9, color=INK)
    alpha_axes, grid_axes, perturbation_axes = figure.subplots(1, 3)
    erm = 100 * configurations[configurations["method"] == "erm"]["val_error"].mean()
    for axes, column in ((alpha_axes, "alpha"), (perturbation_axes, "perturbation")):
        if not math.isnan(erm):
            axes.axhline(erm, color=COLOURS["erm"], linewidth=1, label="ERM")
        for method, of_method in mixing.groupby("method", sort=False):
            scatter_method(axes, of_method[column], 100 * of_method["val_error"], str(method), rows)
        if mixing[column].notna().any():  # otherwise matplotlib refuses a logarithmic scale
            axes.set_xscale("log")
        axes.set_xlabel({"alpha": "α"}.get(column, "expected squared displacement"), fontsize=8)
        axes.set_ylabel("validation error, %", fontsize=8)
    blocks = mixing[mixing["k"] > 1]
    if len(blocks):
        points = grid_axes.scatter(
            blocks["alpha"],
            blocks["k"],
            14,
            100 * blocks["val_error"],
            cmap="viridis",
            rasterized=len(blocks) > MAX_VECTOR_POINTS,
        )
        grid_axes.set_xscale("log")
        grid_axes.set_yscale("log", base=2)
        figure.colorbar(points, ax=grid_axes).ax.tick_params(colors=INK, labelsize=7)
    grid_axes.set_xlabel("α", fontsize=8)
    grid_axes.set_ylabel("k", fontsize=8)
    grid_axes.set_title("validation error, %", fontsize=8, color=INK)
    add_legend(figure)
    return figure


def scatter_method(axes: Axes, x: pd.Series, y: pd.Series, method: str, rows: pd.DataFrame) -> None:
    axes.scatter(
        x,
        y,
        8,
        color=method_colour(method, rows),
        marker=MARKERS.get(method, "v"),
        alpha=0.6,
        label=method_label(method),
        rasterized=len(x) > MAX_VECTOR_POINTS,
    )


def budget(curves: pd.DataFrame, rows: pd.DataFrame, by: SelectBy = "error") -> Figure | None:
    """Score on validation rows of the best configuration so far against the number of configurations tried.

    Args:
        curves: from `search_budget.budget_curves`.
        rows: runs, as in `load.Runs`.
        by: the score by which configurations were selected, in the column `val_{by}` of `curves`.
    """
    score, unit = f"val_{by}", ", %" if by != "nll" else ""
    tasks = [task for task in gains.tasks(rows) if task in set(curves["task"])]
    if not tasks:
        return None
    figure, panels = task_panels(tasks)
    for task, axes in panels:
        for method, curve in curves[curves["task"] == task].groupby("method", sort=False):
            searched = len(curve) > 1  # else the one score is drawn as a line across the panel
            axes.plot(
                curve["trials"] if searched else [1, curves["trials"].max()],
                display_scale(score) * (curve[score] if searched else np.repeat(curve[score], 2)),
                color=method_colour(str(method), rows),
                linewidth=1.2,
                label=method_label(str(method)),
            )
        axes.set_xlabel("configurations tried", fontsize=8)
        axes.set_ylabel(f"{SELECTED_BY[by]}{unit}", fontsize=8)
    add_legend(figure)
    return figure
