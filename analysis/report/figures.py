"""Figures of the report. Each function takes the rows and returns a figure, or None where there is nothing to draw."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from matplotlib.ticker import NullLocator

from tune_kmixup.core.config import SelectBy
from tune_kmixup.core.methods import KNOWN
from tune_kmixup.core.rows import CALIBRATION_BINS
from tune_kmixup.core.selection import SELECTED_BY

from .. import gains
from ..cross_task import DataSetGains
from ..evidence import LEVEL
from ..gains import COMPARED, STUDY_KEY
from ..search_budget import completed
from ..stats import Estimate
from .formats import comparison_label, display_scale, display_unit
from .style import COLUMN, INK, WIDTH, Looks, legend, line_style, log_x, panel, styled

BINS = 8  # of α or perturbation, each a factor
IN_VIEW = 0.9  # share of errors within the axes or colours: a few that diverge would flatten the others
MOST_LETTERS = 44  # of a task's name
PLACEBO = ("placebo", "mixup")


@styled
def forest(
    rows: pd.DataFrame,
    over: Mapping[tuple[str, str], DataSetGains],
    level: float = LEVEL,
    metric: str = "test_error",
    narrow: bool = False,
) -> Figure | None:
    """Gains per task with their intervals, the mean over data sets as a diamond, and what a placebo gains as a band.

    Args:
        rows: final runs, as in `load.Runs`.
        over: from `cross_task.compared_gains`, for the diamonds.
        level: confidence level of the intervals, between 0 and 1.
        metric: column of `rows`.
        narrow: one panel below the other, a column wide, rather than side by side.

    Returns:
        In per cent of ERM's error, without tasks that are saturated; of another metric, or without ERM, in its own
        units and without diamonds.
    """
    tasks, methods = gains.tasks(rows), set(gains.methods(rows))
    pairs = [pair for pair in COMPARED[:2] if methods.issuperset(pair)] or [COMPARED[2]]
    if not methods.issuperset(pairs[0]):
        return None
    relative = metric == "test_error" and "erm" in methods

    def estimate(task: str, pair: tuple[str, str]) -> Estimate:
        if relative and gains.is_saturated(rows, task, ("erm",)):
            return Estimate(math.nan, math.nan, math.nan, 0)
        if relative:
            found = gains.relative_gain(rows, task, *pair, level)
            # The gain has an interval, and ERM's error is not shown to be above 0.
            if math.isnan(found.low) and not math.isnan(gains.gain(rows, task, *pair, level).low):
                return Estimate(100 * found.mean, -math.inf, math.inf, found.units)
            return scaled(found, 100)
        return scaled(gains.gain(rows, task, *pair, level, metric), display_scale(metric))

    found = {pair: [estimate(task, pair) for task in tasks] for pair in (*pairs, PLACEBO)}
    means = {pair: over[pair] for pair in pairs if relative and pair in over and over[pair].mean(level).low > -math.inf}
    names = [name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…" for name in tasks]
    names += ["mean over data sets"] if means else []
    limit = forest_limit([e for pair in pairs for e in found[pair]], means, level)
    unit = "% of ERM's error" if relative else display_unit(metric)
    figure, panels = forest_panels(names, len(pairs), narrow)
    for axes, pair in zip(panels, pairs, strict=True):
        for place, of_task in enumerate(found[PLACEBO] if pair == COMPARED[1] else ()):
            if math.isfinite(of_task.low):
                width = of_task.high - of_task.low
                axes.add_patch(
                    Rectangle((of_task.low, place - 0.25), width, 0.5, color=KNOWN["placebo"].colour, alpha=0.3, lw=0)
                )
        for place, of_task in enumerate(found[pair]):
            draw_interval(axes, place, of_task, pair[0], limit)
        if pair in means:
            draw_diamond(axes, len(tasks), means[pair], pair[0], level, limit)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_title(
            comparison_label(*pair), loc="left", fontsize=8.5, color=KNOWN[pair[0]].colour, fontweight="bold"
        )
        axes.set(xlim=(-limit, limit), xlabel=f"gain, {unit}")
    return figure


def scaled(estimate: Estimate, factor: float) -> Estimate:
    return Estimate(factor * estimate.mean, factor * estimate.low, factor * estimate.high, estimate.units)


def forest_limit(estimates: Sequence[Estimate], means: Mapping[tuple[str, str], DataSetGains], level: float) -> float:
    """How far the axis goes: all means are on it, and nine of ten intervals. Those that go on have an arrow."""
    ends = [abs(end) for e in estimates for end in (e.low, e.high) if math.isfinite(end)]
    points = [abs(e.mean) for e in estimates if not math.isnan(e.mean)]
    points += [100 * abs(found.mean(level).mean) for found in means.values()]
    return 1.1 * max([*points, float(np.quantile(ends, 0.9)) if ends else 0.0, 1e-9])


def forest_panels(names: Sequence[str], count: int, narrow: bool) -> tuple[Figure, list[Axes]]:
    """Panels of one line per name: side by side with the names on the left, or below each other with names above."""
    bottom, top, right, gap = 0.42, 0.25, 0.1, 0.15  # inches
    left = 0.1 if narrow else 0.066 * max(map(len, names)) + 0.15
    inner = (0.3 if narrow else 0.2) * (len(names) + 0.4)
    width, columns, lines = (COLUMN, 1, count) if narrow else (WIDTH, count, 1)
    each, height = (width - left - right - gap * (columns - 1)) / columns, inner + bottom + top
    figure = Figure(figsize=(width, lines * height))
    panels = []
    for number in range(count):
        x, y = (left, (count - 1 - number) * height) if narrow else (left + number * (each + gap), 0.0)
        axes = figure.add_axes((x / width, (y + bottom) / (lines * height), each / width, inner / (lines * height)))
        axes.set_yticks(() if narrow else range(len(names)), () if narrow else names)
        axes.set_ylim(len(names) - 0.5, -0.9)
        for place, name in enumerate(names if narrow else ()):
            axes.text(0, place - 0.46, name, fontsize=7, va="center", transform=axes.get_yaxis_transform())
        axes.tick_params(axis="y", length=0, labelleft=number == 0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
        panels.append(axes)
    return figure, panels


def draw_interval(axes: Axes, place: float, estimate: Estimate, method: str, limit: float) -> None:
    """A mark and its interval; an arrow where the interval goes on beyond the axis."""
    colour = KNOWN[method].colour
    if math.isnan(estimate.mean):
        return
    axes.plot(estimate.mean, place, KNOWN[method].marker, color=colour, markersize=4.5, fillstyle=fill(estimate))
    if math.isnan(estimate.low):
        return
    low, high = max(estimate.low, -limit), min(estimate.high, limit)
    axes.plot([low, high], [place, place], color=colour, linewidth=1.2)
    for end, inside, arrow in ((estimate.low, low, "<"), (estimate.high, high, ">")):
        beyond = inside != end
        axes.plot(inside, place, arrow if beyond else "|", color=colour, markersize=4 if beyond else 5, clip_on=False)


def fill(estimate: Estimate) -> str:
    """Filled where the interval leaves out 0."""
    return "full" if estimate.low > 0 or estimate.high < 0 else "none"


def draw_diamond(axes: Axes, place: float, found: DataSetGains, method: str, level: float, limit: float) -> None:
    """The mean over data sets, as wide as its interval; the line through it is for one more data set."""
    colour = KNOWN[method].colour
    mean, (low, high) = scaled(found.mean(level), 100), found.prediction(level)
    if not math.isnan(low):
        ends = np.clip([100 * low, 100 * high], -limit, limit)
        axes.plot(ends, [place, place], color=colour, linewidth=1, linestyle=(0, (2, 1.5)))
    corners = [(mean.low, place), (mean.mean, place - 0.3), (mean.high, place), (mean.mean, place + 0.3)]
    axes.add_patch(Polygon(corners, closed=True, edgecolor=colour, facecolor=colour, fill=fill(mean) == "full"))
    axes.axhline(place - 0.75, color=INK, linewidth=0.5)


def by_task(
    rows: pd.DataFrame, curves: pd.DataFrame, task: str, looks: Looks, by: SelectBy = "error"
) -> dict[str, Figure]:
    """The figures of one task: by caption, without those that have nothing to show.

    Args:
        rows: runs of this task, as in `load.Runs`.
        curves: from `search_budget.budget_curves`.
        task: its name, without its outer split.
        looks: of the methods of the report.
        by: the score by which configurations were selected, in the column `val_{by}` of `curves`.
    """
    configurations = mean_by_configuration(rows)
    final = rows[rows["selected"].astype(bool)]
    figures = {
        f"Best {SELECTED_BY[by]} so far": budget(curves[curves["task"] == task], looks, by),
        "Validation error against α": sensitivity(configurations, looks, "alpha", "α"),
        "Median validation error over α and k, of all methods with k > 1": grid(configurations, final),
        "Validation error against perturbation": sensitivity(
            configurations, looks, "perturbation", "expected squared displacement"
        ),
        "Test error under Gaussian noise": shift(final, task, looks, "test_error_noise_", "deviation of the noise"),
        "Test error after an FGSM step": shift(final, task, looks, "test_error_fgsm_", "size of the step"),
        "Reliability": reliability(final, looks),
    }
    return {caption: figure for caption, figure in figures.items() if figure is not None}


def mean_by_configuration(rows: pd.DataFrame) -> pd.DataFrame:
    """Every configuration that was searched and not stopped early: α, k, perturbation, mean validation error in %."""
    keys = [*STUDY_KEY, "trial"]
    means = completed(rows).groupby(keys, dropna=False, sort=False)[["alpha", "k", "perturbation", "val_error"]].mean()
    return means.reset_index().assign(val_error=lambda table: 100 * table["val_error"])


def each_method(table: pd.DataFrame, looks: Looks) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of `table` by method, in the order of every table, with keywords of matplotlib."""
    for method, look in looks.items():
        of_method = table[table["method"] == method]
        if len(of_method):
            yield line_style(look), of_method


@styled
def budget(curves: pd.DataFrame, looks: Looks, by: SelectBy) -> Figure | None:
    """Score on validation rows of the best configuration so far against the number of configurations tried."""
    if curves.empty:
        return None
    figure, axes = panel("configurations tried", f"{SELECTED_BY[by]}{', %' if by != 'nll' else ''}")
    for style, curve in each_method(curves, looks):
        scores = display_scale(f"val_{by}") * curve[f"val_{by}"]
        if len(curve) > 1:
            axes.plot(curve["trials"], scores, **style, markersize=3.5, markevery=4, linewidth=1.2)
        else:  # nothing to search
            axes.axhline(scores.iloc[0], linewidth=1.2, color=style["color"], label=style["label"])
    legend(axes)
    return figure


@styled
def sensitivity(configurations: pd.DataFrame, looks: Looks, column: str, label: str) -> Figure | None:
    """Validation error of configurations against α or perturbation, by bins: the median, and a band of half of them."""
    mixing = configurations[(configurations["alpha"] > 0) & (configurations[column] > 0)]
    if mixing.empty:
        return None
    figure, axes = panel(label, "validation error, %")
    erm = configurations.loc[configurations["method"] == "erm", "val_error"]
    if len(erm):
        style = line_style(looks["erm"])
        axes.axhline(erm.median(), color=style["color"], linewidth=1.2, linestyle="--", label=style["label"])
    for style, table in each_method(mixing, looks):
        bins = table.groupby(bins_of(mixing[column]).loc[table.index])
        x, errors = bins[column].median(), bins["val_error"]
        axes.fill_between(
            x, errors.quantile(0.25), errors.quantile(0.75), color=style["color"], alpha=0.15, linewidth=0
        )
        axes.plot(x, errors.median(), **style, markersize=3.5, linewidth=1.2)
    log_x(axes)
    axes.set_ylim(top=mixing["val_error"].quantile(IN_VIEW))
    legend(axes)
    return figure


def bins_of(values: pd.Series) -> pd.Series:
    """The number of the bin of each value, of BINS bins of equal width on a logarithmic scale."""
    logs = np.log(values)
    width = (logs.max() - logs.min()) / BINS or 1.0
    return ((logs - logs.min()) // width).clip(upper=BINS - 1)


@styled
def grid(configurations: pd.DataFrame, final: pd.DataFrame) -> Figure | None:
    """Median validation error by α and k, and what each outer split selected, of all methods that pair blocks."""
    blocks = configurations[(configurations["k"] > 1) & (configurations["alpha"] > 0)]
    if blocks.empty:
        return None
    alpha_bins, k_bins = bins_of(blocks["alpha"]), np.log2(blocks["k"]).round()
    medians = blocks.groupby([k_bins, alpha_bins])["val_error"].median().unstack()
    medians = medians.reindex(index=np.arange(medians.index.min(), medians.index.max() + 1), columns=range(BINS))
    figure, axes = panel("α", "k", right=0.76)
    low, high = blocks["alpha"].min(), blocks["alpha"].max()
    if low == high:
        medians, edges = medians[[0]], np.array([low / 2, low * 2])
    else:
        edges = np.geomspace(low, high, BINS + 1)
    levels = medians.index.to_numpy()
    image = axes.pcolormesh(
        edges,
        2.0 ** np.append(levels - 0.5, levels[-1] + 0.5),
        medians.to_numpy(),
        cmap="viridis_r",
        vmax=float(np.nanquantile(medians, IN_VIEW)),
        rasterized=True,
    )
    selected = final[(final["k"] > 1) & (final["alpha"] > 0)].drop_duplicates(STUDY_KEY)
    axes.plot(
        selected["alpha"], selected["k"], "o", color="white", markeredgecolor="black", markersize=4, label="selected"
    )
    log_x(axes)
    axes.set_yscale("log", base=2)
    axes.set_yticks(2.0**levels, [f"{2**level:g}" for level in levels])
    axes.yaxis.set_minor_locator(NullLocator())
    colours = figure.colorbar(image, cax=figure.add_axes((0.79, 0.18, 0.03, 0.70)), extend="max")
    colours.set_label("validation error, %")
    colours.outline.set_visible(False)
    legend(axes)
    return figure


@styled
def shift(final: pd.DataFrame, task: str, looks: Looks, prefix: str, label: str) -> Figure | None:
    """Test error against the size of a shift of the test rows, from 0 on."""
    columns = ["test_error", *(c for c in final if c.startswith(prefix) and final[c].notna().any())]
    if len(columns) == 1:
        return None
    figure, axes = panel(label, "test error, %")
    sizes = [0.0, *(float(column.removeprefix(prefix)) for column in columns[1:])]
    for method in gains.methods(final):
        errors = [100 * gains.mean_metric(final, task, method, metric=column).mean for column in columns]
        axes.plot(sizes, errors, **line_style(looks[method]), markersize=3.5, linewidth=1.2)
    legend(axes)
    return figure


@styled
def reliability(final: pd.DataFrame, looks: Looks) -> Figure | None:
    """Accuracy against confidence in 15 bins, over all final runs of a method; a point's area grows with its rows."""
    if not final["test_reliability"].notna().any():
        return None
    figure, axes = panel("confidence", "accuracy")
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.6)
    for style, runs in each_method(final, looks):
        bins = pool_bins(runs["test_reliability"].dropna())
        if len(bins):
            areas = 2 + 50 * bins["rows"] / bins["rows"].sum()
            axes.plot(bins["confidence"], bins["accuracy"], color=style["color"], linewidth=1)
            axes.scatter(bins["confidence"], bins["accuracy"], areas, **style, linewidths=0)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    legend(axes)
    return figure


def pool_bins(runs: pd.Series) -> pd.DataFrame:
    """Pools the reliability bins of several runs.

    Args:
        runs: the column `test_reliability`.

    Returns:
        Columns rows, confidence, accuracy (means weighted by rows), one row per bin that holds rows.
    """
    bins = pd.DataFrame([found for run in runs for found in run], columns=["rows", "confidence", "accuracy"])
    bins["bin"] = np.ceil(bins["confidence"] * CALIBRATION_BINS).clip(1, CALIBRATION_BINS)
    sums = bins.assign(**{c: bins[c] * bins["rows"] for c in ("confidence", "accuracy")}).groupby("bin").sum()
    return sums.assign(**{c: sums[c] / sums["rows"] for c in ("confidence", "accuracy")})
