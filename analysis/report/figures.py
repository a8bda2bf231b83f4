"""Figures of the report: each takes the rows and gives a matplotlib figure, or None where there is nothing to draw."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import gains
from ..gains import COMPARED
from ..search_budget import completed
from .style import COLOURS, INK, MARKERS, WIDTH, colour, legend, panels
from .tables import method_label, scale_of, unit_of

FEW = 300  # points beyond which a scatter is drawn as pixels


def forest(rows: pd.DataFrame, level: float = 0.95, metric: str = "test_error") -> Figure | None:
    """Gains per task with their intervals: mixup over ERM, and k-mixup over mixup."""
    tasks = gains.tasks(rows)
    if len({"erm", "mixup", "kmixup"}.intersection(gains.methods(rows))) < 2:
        return None
    figure = Figure(figsize=(WIDTH, 1.2 + 0.45 * len(tasks)), layout="constrained")
    axes = figure.subplots()
    for offset, (method, reference) in zip((-0.14, 0.14), COMPARED[:2], strict=True):
        for at, task in enumerate(tasks):
            estimate = gains.gain(rows, task, method, reference, level, metric)
            if math.isnan(estimate.mean):
                continue
            half = 0 if math.isnan(estimate.half_width) else estimate.half_width
            axes.errorbar(
                scale_of(metric) * estimate.mean,
                at + offset,
                xerr=scale_of(metric) * half,
                fmt=MARKERS[method],
                color=COLOURS[method],
                capsize=3,
                markersize=5,
                label=f"{method_label(method)} over {method_label(reference)}",
            )
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(tasks)), tasks)
    axes.set_ylim(len(tasks) - 0.5, -0.5)
    axes.set_xlabel(f"gain, {unit_of(metric)}, with {level:.0%} interval (right of 0: better)")
    legend(figure)
    return figure


def robustness(rows: pd.DataFrame) -> Figure | None:
    """Test error under Gaussian noise (circles, solid) and under FGSM (crosses, dashed) of growing size, per task."""
    kinds = (("test_error_noise_", "o-", "noise"), ("test_error_fgsm_", "x--", "FGSM"))
    tasks = [t for t in gains.tasks(rows) if measured(rows, t, [c for c in rows if c.startswith("test_error_fgsm_")])]
    if not tasks:
        return None
    figure, axes = panels(tasks)
    for task, at in axes:
        for method in gains.methods(rows):
            for stem, style, kind in kinds:
                columns = ["test_error", *(c for c in rows.columns if c.startswith(stem))]
                sizes = [0.0, *(float(c.removeprefix(stem)) for c in columns[1:])]
                means = [100 * gains.error(rows, task, method, metric=c).mean for c in columns]
                if not np.isnan(means[0]):
                    label = f"{method_label(method)}, {kind}"
                    at.plot(sizes, means, style, color=colour(method, rows), markersize=3, linewidth=1, label=label)
        at.set_xlabel("size of noise or step", fontsize=8)
        at.set_ylabel("test error, %", fontsize=8)
    legend(figure)
    return figure


def measured(rows: pd.DataFrame, task: str, columns: Sequence[str]) -> bool:
    there = rows[(rows["task"] == task) & rows["selected"].astype(bool)]
    return bool(there[list(columns)].notna().to_numpy().any())


def reliability(rows: pd.DataFrame) -> Figure | None:
    """Accuracy against confidence in 15 bins, over all final runs of a method; the area of a point is its rows."""
    tasks = [task for task in gains.tasks(rows) if measured(rows, task, ["test_reliability"])]
    if not tasks:
        return None
    figure, axes = panels(tasks)
    for task, at in axes:
        at.plot([0, 1], [0, 1], color=INK, linewidth=0.8)
        for method in gains.methods(rows):
            chosen = rows[(rows["task"] == task) & (rows["method"] == method) & rows["selected"].astype(bool)]
            bins = pooled(chosen["test_reliability"].dropna())
            if len(bins):
                at.plot(bins["confidence"], bins["accuracy"], color=colour(method, rows), linewidth=0.8)
                size = 3 + 60 * bins["rows"] / bins["rows"].sum()
                at.scatter(
                    bins["confidence"], bins["accuracy"], size, color=colour(method, rows), label=method_label(method)
                )
        at.set(xlim=(0, 1.02), ylim=(0, 1.02))
        at.set_xlabel("confidence", fontsize=8)
        at.set_ylabel("accuracy", fontsize=8)
    legend(figure)
    return figure


def pooled(cells: pd.Series, bins: int = 15) -> pd.DataFrame:
    """The bins `rows:confidence:accuracy` of several runs as one: rows, mean confidence, accuracy."""
    parts = [tuple(map(float, part.split(":"))) for cell in cells for part in str(cell).split()]
    table = pd.DataFrame(parts, columns=["rows", "confidence", "accuracy"])
    table["bin"] = np.ceil(table["confidence"] * bins).clip(1, bins)
    weighted = table.assign(**{c: table[c] * table["rows"] for c in ("confidence", "accuracy")}).groupby("bin").sum()
    return weighted.assign(**{c: weighted[c] / weighted["rows"] for c in ("confidence", "accuracy")})


def sensitivity(rows: pd.DataFrame, task: str) -> Figure | None:
    """Validation error of configurations not stopped early: against α, over α and k, and against the perturbation."""
    search = completed(rows[rows["task"] == task])
    keys = ["method", "outer_split", "trial"]
    trials = search.groupby(keys, dropna=False, sort=False)[["alpha", "k", "perturbation", "val_error"]].mean()
    trials = trials.reset_index()
    mixing = trials[trials["alpha"] > 0]
    if mixing.empty:
        return None
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    figure.suptitle(task, fontsize=9, color=INK)
    curve, grid, moved = figure.subplots(1, 3)
    erm = 100 * trials[trials["method"] == "erm"]["val_error"].mean()
    for axes, column in ((curve, "alpha"), (moved, "perturbation")):
        if not math.isnan(erm):
            axes.axhline(erm, color=COLOURS["erm"], linewidth=1, label="ERM")
        for method, found in mixing.groupby("method", sort=False):
            points(axes, found[column], 100 * found["val_error"], str(method), rows)
        if mixing[column].notna().any():  # else matplotlib refuses a logarithm
            axes.set_xscale("log")
        axes.set_xlabel({"alpha": "α"}.get(column, "expected squared displacement"), fontsize=8)
        axes.set_ylabel("validation error, %", fontsize=8)
    blocks = mixing[mixing["k"] > 1]
    if len(blocks):
        shown = grid.scatter(
            blocks["alpha"], blocks["k"], 14, 100 * blocks["val_error"], cmap="viridis", rasterized=len(blocks) > FEW
        )
        grid.set_xscale("log")
        grid.set_yscale("log", base=2)
        bar = figure.colorbar(shown, ax=grid)
        bar.ax.tick_params(colors=INK, labelsize=7)
    grid.set_xlabel("α", fontsize=8)
    grid.set_ylabel("k", fontsize=8)
    grid.set_title("validation error, %", fontsize=8, color=INK)
    legend(figure)
    return figure


def points(axes: Axes, x: pd.Series, y: pd.Series, method: str, rows: pd.DataFrame) -> None:
    many = len(x) > FEW
    marker = MARKERS.get(method, "v")
    axes.scatter(
        x, y, 8, color=colour(method, rows), marker=marker, alpha=0.6, label=method_label(method), rasterized=many
    )


def budget(curves: pd.DataFrame, rows: pd.DataFrame) -> Figure | None:
    """Validation error of the best configuration so far against the number tried.

    curves: columns task, method, trials, val_error, one row per point.
    """
    tasks = [task for task in gains.tasks(rows) if task in set(curves["task"])]
    if not tasks:
        return None
    figure, axes = panels(tasks)
    for task, at in axes:
        for method, curve in curves[curves["task"] == task].groupby("method", sort=False):
            single = len(curve) == 1  # nothing was searched
            at.plot(
                [1, curves["trials"].max()] if single else curve["trials"],
                100 * (np.repeat(curve["val_error"], 2) if single else curve["val_error"]),
                color=colour(str(method), rows),
                linewidth=1.2,
                label=method_label(str(method)),
            )
        at.set_xlabel("configurations tried", fontsize=8)
        at.set_ylabel("validation error, %", fontsize=8)
    legend(figure)
    return figure


def critical_difference(ranks: pd.Series, difference: float, rows: pd.DataFrame) -> Figure:
    """Mean ranks on a line (left: better); a bar joins methods whose ranks differ by less than the critical one.

    After Demšar (JMLR 2006), figure 1. ranks: mean rank by method.
    """
    ranks = ranks.sort_values()
    figure = Figure(figsize=(WIDTH / 2 + 1, 0.9 + 0.25 * len(ranks)), layout="constrained")
    axes = figure.subplots()
    for line, (method, rank) in enumerate(ranks.items()):
        axes.plot([rank, rank], [0, -line - 1], color=colour(str(method), rows), linewidth=1)
        axes.annotate(
            f" {method_label(str(method))} {rank:.2f}", (rank, -line - 1), color=colour(str(method), rows), va="center"
        )
    for height, (low, high) in enumerate(cliques(ranks.to_numpy(), difference)):
        axes.plot([low - 0.03, high + 0.03], [0.25 + 0.2 * height] * 2, color=INK, linewidth=4)
    axes.set(xlim=(0.9, len(ranks) + 0.6), yticks=[])
    axes.xaxis.set_label_position("top")
    axes.xaxis.tick_top()
    axes.set_xlabel(f"mean rank; critical difference {difference:.2f}")
    for side in ("left", "right", "bottom"):
        axes.spines[side].set_visible(False)
    return figure


def cliques(ranks: np.ndarray, difference: float) -> Iterator[tuple[float, float]]:
    """The longest stretches of sorted ranks no longer than the critical difference, of two methods or more."""
    last = -1
    for start in range(len(ranks)):
        end = int(np.searchsorted(ranks, ranks[start] + difference, side="right")) - 1
        if end > start and end > last:
            yield float(ranks[start]), float(ranks[end])
        last = max(last, end)
