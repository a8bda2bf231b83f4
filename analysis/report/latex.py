r"""The report as LaTeX: a document that compiles alone, and tables to `\input` in a paper. Needs siunitx 3 (2021)."""

import math
import re
from collections.abc import Iterable, Sequence

from tune_kmixup.core.text import one_line

from ..gains import MORE_IS_BETTER
from . import conclusions
from .formats import Measured
from .sections import Report, Table
from .tables import Places

PREAMBLE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[margin=2.5cm]{geometry}
% What the tables need:
\usepackage{amsmath,amssymb,booktabs,etoolbox,siunitx,tabularx}
\robustify\bfseries
\sisetup{
  uncertainty-mode = separate, retain-explicit-plus = true,
  reset-text-series = false, text-series-to-math = true, table-align-text-after = false,
}
\usepackage{graphicx}
\extrafloats{500}  % a table of many rows is several
"""

# How much of a table fits on a page: letters of \footnotesize in a line, and lines beside head and caption.
LINE_LETTERS, PAGE_LINES = 105, 50


def document(report: Report, paragraphs: Sequence[str]) -> str:
    """`report.tex`. It reads `tables/`, `figures/gains.pdf` and `report.bib` beside it.

    Args:
        report: what to show.
        paragraphs: how the comparison was made, with references as `[1]`.
    """
    figure = [
        r"\begin{figure}",
        r"\centering",
        r"\includegraphics[width=\linewidth]{figures/gains.pdf}",
        rf"\caption{{{escape(conclusions.forest_caption(report.level))}}}",
        r"\label{fig:gains}",
        r"\end{figure}",
    ]
    parts = [
        PREAMBLE + r"\begin{document}",
        r"\section*{Results}",
        escape(report.budget),
        *map(escape, report.answer),
        *(figure if report.forest else ()),
        *(rf"\input{{tables/{name}}}" for name in named_tables(report)),
        r"\section*{Methods}",
        *(with_citations(escape(paragraph)) + "\n" for paragraph in paragraphs),
        r"\bibliographystyle{plain}",
        r"\bibliography{report}",
        r"\end{document}",
    ]
    return "\n".join(parts) + "\n"


def tables(report: Report) -> dict[str, str]:
    """Name -> the table as a float with a caption and the label `tab:<name>`."""
    return {
        name: measured_table(table, name, report.metric) if name == "gains" else text_table(table, name)
        for name, table in named_tables(report).items()
    }


def named_tables(report: Report) -> dict[str, Table]:
    """The tables over all tasks, by the names of their files."""
    found = {"gains": report.headline}
    for section in report.sections:
        slug = re.sub(r"[^a-z]+", "-", section.title.lower()).strip("-")
        found |= {slug if not number else f"{slug}-{number + 1}": t for number, t in enumerate(section.tables)}
    return found


def measured_table(table: Table, name: str, metric: str) -> str:
    """The headline: numbers with uncertainties in columns of siunitx, the best of each task in bold."""
    frame, best_of = table.frame, max if metric in MORE_IS_BETTER else min
    methods = [column for column in frame.columns[1:] if " over " not in column]
    columns = ["l", *(column_of_numbers(frame[column]) for column in frame.columns[1:])]
    lines = []
    for row in frame.to_dict("records"):
        means = {method: float(row[method].mean) for method in methods if row[method].mean}
        best = {method for method, mean in means.items() if mean == best_of(means.values())}
        cells = (measured_cell(row[column], column in best) for column in frame.columns[1:])
        lines.append(" & ".join([escape(row["task"]), *cells]) + r" \\")
    head = " & ".join(f"{{{escape(column)}}}" for column in frame.columns)
    body = [rf"\begin{{tabular}}{{@{{}}{' '.join(columns)}@{{}}}}", *framed(head, lines), r"\end{tabular}"]
    return floated(body, table.caption + " Bold: the best of the task.", name)


def column_of_numbers(cells: Iterable[Measured]) -> str:
    """A column of siunitx with room for the longest number, its uncertainty and its mark."""
    numbers = [cell for cell in cells if is_number(cell)]
    whole = max((len(cell.mean.lstrip("+-").split(".")[0]) for cell in numbers), default=1)
    digits = max((len(cell.mean.partition(".")[2]) for cell in numbers), default=0)
    uncertain = max((len(cell.half_width.replace(".", "").lstrip("0")) for cell in numbers), default=0)
    sign = "+" if any(cell.mean[0] in "+-" for cell in numbers) else ""
    mark = max((cell.mark for cell in numbers), key=len, default="")
    room = f", table-space-text-post={{{escape(mark)}}}" if mark else ""
    return f"S[table-format={sign}{whole}.{digits}{f'({uncertain})' if uncertain else ''}{room}]"


def measured_cell(cell: Measured, bold: bool) -> str:
    if not is_number(cell):
        return f"{{{escape(str(cell))}}}"
    number = cell.mean + (rf" \pm {cell.half_width}" if cell.half_width else "")
    return (r"\bfseries " if bold else "") + number + (f" {{{escape(cell.mark)}}}" if cell.mark else "")


def is_number(cell: Measured) -> bool:
    """Whether siunitx can set it. It cannot set a reason."""
    return bool(cell.mean) and not cell.reason


def text_table(table: Table, name: str) -> str:
    """Any other table: as wide as the text, with cells that break into lines. Pictures are left out.

    One that is longer than a page becomes several, the later ones without a label.
    """
    frame = table.frame
    frame = frame[[c for c in frame if not any(isinstance(cell, Places) for cell in frame[c])]]
    columns = "l" + r">{\raggedright\arraybackslash}X" * (len(frame.columns) - 1)
    head = " & ".join(escape(column) for column in frame.columns)
    floats = []
    pages = by_page([[str(cell) for cell in row] for row in frame.to_numpy(dtype=object)])
    for number, rows in enumerate(pages):
        lines = [" & ".join(map(escape, row)) + r" \\" for row in rows]
        body = [rf"\begin{{tabularx}}{{\linewidth}}{{@{{}}{columns}@{{}}}}", *framed(head, lines), r"\end{tabularx}"]
        part = f" ({number + 1} of {len(pages)})" if len(pages) > 1 else ""
        floats.append(floated(body, table.caption + part, "" if number else name))
    return "\n".join(floats)


def by_page(rows: Sequence[Sequence[str]]) -> list[list[Sequence[str]]]:
    """The rows of a table in parts that fit on a page, by a guess of the lines that each takes."""
    first = max((len(row[0]) for row in rows), default=0)
    width = max(1, (LINE_LETTERS - first) // max(1, len(rows[0]) - 1)) if rows else 1
    pages: list[list[Sequence[str]]] = [[]]
    left = PAGE_LINES
    for row in rows:
        taken = max([1, *(math.ceil(len(cell) / width) for cell in row[1:])])
        if taken > left and pages[-1]:
            pages.append([])
            left = PAGE_LINES
        pages[-1].append(row)
        left -= taken
    return pages


def framed(head: str, lines: Sequence[str]) -> list[str]:
    return [r"\toprule", head + r" \\", r"\midrule", *lines, r"\bottomrule"]


def floated(body: Sequence[str], caption: str, name: str) -> str:
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escape(caption)}}}",
        *([rf"\label{{tab:{name}}}"] if name else []),
        *body,
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def with_citations(text: str) -> str:
    """`[1]` of the methods as a citation of `report.bib`."""
    return re.sub(r"\[(\d)\]", r"\\cite{ref\1}", text)


def escape(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {c: f"\\{c}" for c in "&%$#_{}"}
    special |= {"±": r"$\pm$", "–": "--", "·": r"$\cdot$", "α": r"$\alpha$", "δ": r"$\delta$", "≤": r"$\leq$"}
    special |= {"≥": r"$\geq$", "<": r"$<$", ">": r"$>$", "σ": r"$\sigma$", "ε": r"$\varepsilon$", "×": r"$\times$"}
    special |= {"²": r"$^2$", "▲": r"$\blacktriangle$", "△": r"$\vartriangle$", "▼": r"$\blacktriangledown$"}
    special |= {"▽": r"$\triangledown$", "≈": r"$\approx$", "∼": r"$\sim$", "✓": r"\checkmark{}", "✗": r"$\times$"}
    special |= {"é": r"\'e"}
    text = "".join(special.get(c, c) for c in one_line(text))
    return re.sub(r"(?<![\w.)])-(?=\d)", "$-$", text)
