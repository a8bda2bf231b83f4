"""How figures look: colours, panels, legends, and how a figure becomes SVG or PNG."""

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
OTHER_COLOURS = ("#CC79A7", "#E69F00", "#56B4E9")  # for a user's own methods, in order
MARKERS = {"erm": "D", "mixup": "o", "kmixup": "s", "placebo": "^"}
INK = "#888888"  # colour of axes and text: legible on white and on black
WIDTH = 7.0  # inches: the text width of a paper


def method_colour(method: str, rows: pd.DataFrame) -> str:
    others = [name for name in gains.methods(rows) if name not in COLOURS]
    return COLOURS[method] if method in COLOURS else OTHER_COLOURS[others.index(method) % len(OTHER_COLOURS)]


def task_panels(tasks: Sequence[str]) -> tuple[Figure, Iterator[tuple[str, Axes]]]:
    """A figure of small panels, three in a row, and the axes of each task."""
    columns = 3
    panel_rows = math.ceil(len(tasks) / columns)
    figure = Figure(figsize=(WIDTH, 0.5 + 2.1 * panel_rows), layout="constrained")
    panels = figure.subplots(panel_rows, columns, squeeze=False).ravel()
    for unused in panels[len(tasks) :]:
        unused.remove()
    for task, axes in zip(tasks, panels, strict=False):
        axes.set_title(task, fontsize=9, color=INK)
    return figure, zip(tasks, panels, strict=False)


def add_legend(figure: Figure) -> None:
    """One legend for all panels, above them."""
    labelled = [pair for axes in figure.axes for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    handles = {label: handle for handle, label in labelled}
    if handles:
        figure.legend(
            handles.values(), handles.keys(), loc="outside upper center", ncols=4, frameon=False, labelcolor=INK
        )


def finish(figure: Figure) -> None:
    """Sets the colours and computes the layout, once for all formats."""
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
    """The figure as an SVG element with a transparent background; text stays text."""
    out = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tune-kmixup"}):
        figure.savefig(out, format="svg", dpi=150, transparent=True, metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def png(figure: Figure) -> bytes:
    """The figure on a white background, 200 dots per inch."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=200, facecolor="white")
    return out.getvalue()
