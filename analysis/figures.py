"""Figures of the report, as SVG text. One colour per method everywhere, safe for colour-blind readers (Okabe-Ito)."""

import io
import math

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from analysis import gains
from analysis.gains import COMPARED
from analysis.tables import name

COLOURS = {"erm": "#555555", "mixup": "#0072B2", "kmixup": "#D55E00", "placebo": "#009E73"}
INK = "#888888"  # of axes and text: legible on white and on black


def forest(rows: pd.DataFrame, level: float = 0.95) -> str:
    """Gains per task with their intervals: mixup over ERM, and k-mixup over mixup."""
    tasks = gains.tasks(rows)
    figure = Figure(figsize=(7, 1.2 + 0.55 * len(tasks)), layout="constrained")
    axes = figure.subplots()
    for offset, (method, reference) in zip((-0.12, 0.12), COMPARED[:2], strict=True):
        for at, task in enumerate(tasks):
            estimate = gains.gain(rows, task, method, reference, level)
            if math.isnan(estimate.mean):
                continue
            half = 0 if math.isnan(estimate.half_width) else 100 * estimate.half_width
            axes.errorbar(
                100 * estimate.mean,
                at + offset,
                xerr=half,
                fmt="o" if method == "mixup" else "s",
                color=COLOURS[method],
                capsize=3,
                label=f"{name(method)} over {name(reference)}" if at == 0 else None,
            )
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(tasks)), tasks)
    axes.set_ylim(len(tasks) - 0.5, -0.5)
    axes.set_xlabel(f"gain, points of test error, with {level:.0%} interval (right of 0: better)")
    figure.legend(loc="outside upper center", ncols=2, frameon=False, labelcolor=INK)
    return svg(figure)


def svg(figure: Figure) -> str:
    """The figure as an SVG element on a transparent ground, its text kept as text."""
    for axes in figure.axes:
        axes.patch.set_visible(False)
        axes.tick_params(colors=INK)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        for spine in axes.spines.values():
            spine.set_color(INK)
    out = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tune-kmixup"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
