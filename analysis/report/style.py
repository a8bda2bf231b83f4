"""How figures look: colours, panels, legends, and a figure as SVG or PNG."""

import io
import math
from collections.abc import Iterator, Sequence

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import gains

# One colour per method everywhere, safe for colour-blind readers (Okabe and Ito).
COLOURS = {"erm": "#555555", "mixup": "#0072B2", "kmixup": "#D55E00", "placebo": "#009E73"}
OTHERS = ("#CC79A7", "#E69F00", "#56B4E9")  # a user's own methods, in order
MARKERS = {"erm": "D", "mixup": "o", "kmixup": "s", "placebo": "^"}
INK = "#888888"  # of axes and text: legible on white and on black
WIDTH = 7.0  # inches: the text width of a paper; the halves of a row of two suit a column


def colour(method: str, rows: pd.DataFrame) -> str:
    others = [m for m in gains.methods(rows) if m not in COLOURS]
    return COLOURS[method] if method in COLOURS else OTHERS[others.index(method) % len(OTHERS)]


def panels(tasks: Sequence[str], columns: int = 3, height: float = 2.1) -> tuple[Figure, Iterator[tuple[str, Axes]]]:
    """A figure of small panels, one per task."""
    lines = math.ceil(len(tasks) / columns)
    figure = Figure(figsize=(WIDTH, 0.5 + height * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for empty in axes[len(tasks) :]:
        empty.remove()
    for task, at in zip(tasks, axes, strict=False):
        at.set_title(task, fontsize=9, color=INK)
    return figure, zip(tasks, axes, strict=False)


def legend(figure: Figure) -> None:
    """One legend for all panels, above them."""
    drawn = [pair for axes in figure.axes for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    found = {label: handle for handle, label in drawn}
    if found:
        figure.legend(found.values(), found.keys(), loc="outside upper center", ncols=4, frameon=False, labelcolor=INK)


def finish(figure: Figure) -> None:
    """In the colours of the report, and laid out, once for all formats."""
    for axes in figure.axes:
        axes.patch.set_visible(False)
        axes.tick_params(colors=INK, labelsize=8)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        for spine in axes.spines.values():
            spine.set_color(INK)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def svg(figure: Figure) -> str:
    """The figure as an SVG element on a transparent ground, its text kept as text."""
    out = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tune-kmixup"}):
        figure.savefig(out, format="svg", dpi=150, transparent=True, metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def png(figure: Figure) -> bytes:
    """The same on a white ground, 200 dots per inch."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=200, facecolor="white")
    return out.getvalue()
