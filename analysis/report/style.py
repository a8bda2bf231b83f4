"""How figures look: colours, marks, sizes, and how a figure becomes SVG, PNG or PDF."""

import io
import re
from collections.abc import Mapping
from itertools import cycle
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from tune_kmixup.core.methods import KNOWN, OTHER_COLOURS, OTHER_GLYPH, OTHER_MARKER, Method

from .. import gains

INK = "#222222"  # of axes and text; a page shows them in the colour of its own text
WIDTH, COLUMN = 7.0, 3.4  # inches: the text width of a paper, and a column of one with two

STYLE: Any = {  # of matplotlib
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handletextpad": 0.3,
    "legend.columnspacing": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "legend.labelcolor"), INK
    ),
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "tune-kmixup",
    "pdf.fonttype": 42,
}
styled = matplotlib.rc_context(STYLE)  # decorates functions that make figures


Looks = Mapping[str, Method]  # how each method looks, in the order of every table


def looks_of(rows: pd.DataFrame) -> Looks:
    """How the methods of a report look everywhere in it. A user's own have the remaining colours, in order."""
    colours = cycle(OTHER_COLOURS)
    return {
        name: KNOWN[name] if name in KNOWN else Method(name, "", next(colours), OTHER_MARKER, OTHER_GLYPH)
        for name in gains.methods(rows)
    }


def line_style(look: Method) -> dict[str, Any]:
    """Colour, mark and label of a method, as keywords of matplotlib."""
    return {"color": look.colour, "marker": look.marker, "label": look.label}


def panel(x_label: str, y_label: str, right: float = 0.97) -> tuple[Figure, Axes]:
    """A figure of one panel, a column wide. Its margins are fixed: a layout engine would take most of the time."""
    figure = Figure(figsize=(COLUMN, 2.4))
    axes = figure.add_axes((0.16, 0.18, right - 0.16, 0.70))
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def log_x(axes: Axes) -> None:
    """A logarithmic axis with plain numbers at full decades."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def legend(axes: Axes) -> None:
    """One line above the panel."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = min(4, len(handles))
        axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, ncols=columns)


def svg(figure: Figure) -> str:
    """The figure as a small SVG element with a transparent background; text stays text."""
    out = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(out, format="svg", dpi=100, transparent=True, metadata={"Date": None})
    return compact(out.getvalue()[out.getvalue().index("<svg") :])


def compact(svg: str) -> str:
    """The same SVG without what no browser needs: metadata, comments, unused names, and digits below a tenth."""
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = svg.replace("xlink:href", "href")
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    names = {name: f"n{number}" for number, name in enumerate(used)}
    svg = re.sub(r' id="([^"]*)"', lambda found: f' id="{names[found[1]]}"' if found[1] in names else "", svg)
    svg = re.sub(r'(href="#|url\(#)([^")]+)', lambda found: found[1] + names[found[2]], svg)
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(?<=\d)(\.\d)\d+", r"\1", tag[0]), svg)  # not in text
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(?<=[\d\"])\s*([A-Zz])\s*", r"\1", path[0]), svg)
    svg = re.sub(r"\s*\n\s*", " ", svg).replace("> <", "><")
    svg = re.sub(r' transform="rotate\(-?0 [^"]*"', "", svg)
    for _ in range(3):  # groups without attributes, from the inside
        svg = re.sub(r"<g>((?:(?!</?g\b).)*)</g>", r"\1", svg)
    return svg.replace("; ", ";").replace(": ", ":")


def share_styles(svgs: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Several SVGs of one page with classes in place of their styles, and the rules of these classes."""
    classes: dict[str, str] = {}

    def named(found: re.Match[str]) -> str:
        return f' class="{classes.setdefault(found[1], f"s{len(classes)}")}"'

    everywhere = '<defs><style type="text/css">*{stroke-linejoin:round;stroke-linecap:butt}</style></defs>'
    classes["stroke-linejoin:round;stroke-linecap:butt"] = "drawing"
    shared = {}
    for name, svg in svgs.items():
        bare = svg.replace(everywhere, "").replace("<svg ", '<svg class="drawing" ', 1)
        shared[name] = re.sub(r' style="([^"]*)"', named, bare)
    return shared, "".join(f".{name}{{{style}}}" for style, name in classes.items())


def standing_alone(svg: str) -> str:
    """The SVG for a file of its own: readers in dark mode see light ink."""
    ink = f"<style>svg{{color:{INK}}}@media(prefers-color-scheme:dark){{svg{{color:#ddd}}}}</style>"
    head, end, body = svg.partition(">")
    return head + end + ink + in_text_colour(body)


def in_text_colour(svg: str) -> str:
    """The SVG with its ink in the colour of the text around it."""
    return svg.replace(INK, "currentColor")


def png(figure: Figure) -> bytes:
    """The figure on a white background, 200 dots per inch."""
    return saved(figure, "png", dpi=200)


def pdf(figure: Figure) -> bytes:
    """The figure as vectors, for LaTeX."""
    return saved(figure, "pdf", metadata={"CreationDate": None})


def saved(figure: Figure, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(out, format=kind, facecolor="white", **options)
    return out.getvalue()
