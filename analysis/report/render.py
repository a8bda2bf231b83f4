"""Writes the report: one self-contained HTML file, Markdown, LaTeX and CSV, figures, and the rows.

Rows, names and suites may come from others. Each format escapes what it would otherwise obey.
"""

import base64
import hashlib
from collections.abc import Callable, Collection
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.text import one_line

from ..load import ROWS_FILE, TABLE_COLUMNS, Runs, read_entries, save_runs, to_table
from . import conclusions, methods_text, style, tables
from .formats import escape_markdown
from .sections import Section, make_sections

FORMATS = ("html", "md", "tex", "csv")
CLASS_METRICS = ("test_balanced_error", "test_macro_f1", "test_auroc")  # earlier versions recorded none
METRICS = ("test_error", "test_nll", "test_brier", "test_ece", *CLASS_METRICS)
TITLE = "ERM, mixup and k-mixup, each tuned with the same budget"


def write(
    runs: Runs,
    out: Path,
    formats: Collection[str] = FORMATS,
    level: float | None = None,
    metric: str = "test_error",
    compare: Path | None = None,
) -> dict[str, Path]:
    """Writes the report into a folder.

    In every format it also writes results.parquet with dictionary.md (the meaning of its columns), launches.json,
    methods.md, and figures/ as SVG and PNG. `load` reads the folder again, alone or together with others.

    Args:
        runs: what to report.
        out: the folder; it is created if necessary.
        formats: names from `FORMATS`; empty: all of them.
        level: confidence level of the intervals, between 0 and 1; None takes that of the claims.
        metric: metric of the first table and figure, from `METRICS`.
        compare: folder of an earlier report, whose gains are shown beside the new ones.

    Returns:
        Path of the report by format.

    Raises:
        BadInput: a format or metric is unknown, a run lacks the metric because an earlier version trained it, `level`
            is outside (0, 1), `out` cannot be written, or `compare` is not the folder of a report.
    """
    formats = [name for name in formats if name] or FORMATS
    if unknown := set(formats) - set(FORMATS):
        raise BadInput(f"format={', '.join(sorted(unknown))} is unknown: choose among {', '.join(FORMATS)}.")
    if metric not in METRICS:
        raise BadInput(f"metric={metric!r} is unknown: choose among {', '.join(METRICS)}.")
    if metric in CLASS_METRICS and (lacking := runs.final["test_balanced_error"].isna().sum()):
        raise BadInput(
            f"metric={metric!r} is not in {lacking} of the {len(runs.final)} final runs, which an earlier version "
            "trained: leave out --metric, or launch them again into another --out."
        )
    level = runs.claims.level if level is None else level
    if not 0 < level < 1:
        raise BadInput(f"level={level} is no confidence level: choose one between 0 and 1, such as 0.95.")
    sections = make_sections(runs, level, metric, read_earlier_rows(compare) if compare else None)
    paths = {name: out / ("gains.csv" if name == "csv" else f"report.{name}") for name in FORMATS if name in formats}
    try:
        out.mkdir(parents=True, exist_ok=True)
        svgs = write_figures(sections, out / "figures")
        renderers: dict[str, Callable[[], str]] = {
            "html": lambda: html(runs, sections, level, svgs),
            "md": lambda: markdown(sections),
            "tex": lambda: latex(sections),
            "csv": lambda: csv(tables.gain_estimates(runs.final, level)),
        }
        for name, path in paths.items():
            path.write_text(renderers[name](), encoding="utf-8")
        save_runs(runs, out)
        (out / "dictionary.md").write_text(dictionary(), encoding="utf-8")
        (out / "methods.md").write_text(methods_text.markdown(runs.suites, runs.rows, level), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"out={str(out)!r} cannot be written ({error.strerror}): choose another --out.") from error
    return paths


def read_earlier_rows(folder: Path) -> pd.DataFrame:
    if not (folder / ROWS_FILE).is_file():
        raise BadInput(f"compare={str(folder)!r} holds no {ROWS_FILE}: name the folder of a report.")
    return to_table(read_entries(folder))


def write_figures(sections: list[Section], folder: Path) -> dict[str, str]:
    """Writes every figure as SVG and PNG. Returns the SVGs by name, since laying a figure out again is slow."""
    folder.mkdir(exist_ok=True)
    svgs = {}
    for section in sections:
        for name, figure in section.figures.items():
            style.finish(figure)
            svgs[name] = style.svg(figure)
            (folder / f"{name}.svg").write_text(svgs[name], encoding="utf-8")
            (folder / f"{name}.png").write_bytes(style.png(figure))
    return svgs


def markdown(sections: list[Section]) -> str:
    parts = [f"# {TITLE}"]
    for section in sections:
        parts += [f"## {section.title}", "\n".join(f"- {escape_markdown(note)}" for note in section.notes)]
        parts += [f"![{escape_markdown(name)}](figures/{quote(name)}.svg)" for name in section.figures]
        parts += [markdown_table(table) for table in section.tables if len(table)]
    return "\n\n".join(part for part in parts if part) + "\n"


def dictionary() -> str:
    """What is known of each column of `results.parquet`, as a Markdown table."""
    records = [
        {
            "column": f"`{name}`",
            "type": allowed.type,
            "unit": column.unit,
            "range": allowed.range,
            "meaning": column.meaning,
        }
        for name, (_, column, allowed) in TABLE_COLUMNS.items()
    ]
    return markdown_table(pd.DataFrame(records)) + "\n"


def markdown_table(table: pd.DataFrame) -> str:
    rows = [[escape_markdown(str(cell)) for cell in row] for row in (table.columns, *table.values.tolist())]
    rows.insert(1, ["---"] * len(table.columns))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def csv(table: pd.DataFrame) -> str:
    """A table as CSV. Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    return str(table.map(lambda cell: safe_cell(cell) if isinstance(cell, str) else cell).to_csv(index=False))


def safe_cell(text: str) -> str:
    text = one_line(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def latex(sections: list[Section]) -> str:
    r"""Every table with booktabs; `\input` it in a document that loads booktabs and graphicx."""
    return "\n".join(latex_table(table, section.title) for section in sections for table in section.tables)


def latex_table(table: pd.DataFrame, caption: str) -> str:
    head, *rows = (
        " & ".join(escape_latex(str(cell)) for cell in row) + r" \\"
        for row in [list(table.columns), *table.values.tolist()]
    )
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(caption)}}}",
        r"\resizebox{\linewidth}{!}{%",
        rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}",
        r"\toprule",
        head,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def escape_latex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {c: f"\\{c}" for c in "&%$#_{}"}
    special |= {"±": r"$\pm$", "–": "--", "α": r"$\alpha$", "δ": r"$\delta$", "≤": r"$\leq$", "≥": r"$\geq$"}
    special |= {"<": r"$<$", ">": r"$>$", "σ": r"$\sigma$", "ε": r"$\varepsilon$", "×": r"$\times$", "²": r"$^2$"}
    return "".join(special.get(c, c) for c in one_line(text))


def html(runs: Runs, sections: list[Section], level: float, svgs: dict[str, str]) -> str:
    environment = Environment(
        loader=PackageLoader("tune_kmixup.analysis.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    script = (Path(__file__).parent / "sort.js").read_text(encoding="utf-8")
    return environment.get_template("template.html.j2").render(
        title=TITLE,
        sections=sections,
        svgs={name: with_prefixed_ids(svg, f"figure{number}") for number, (name, svg) in enumerate(svgs.items())},
        script=script,
        policy=content_policy(script),
        summary=conclusions.summary(runs.final, runs.claims),
        paragraphs=methods_text.paragraphs(runs.suites, runs.rows, level),
        recipes=methods_text.recipe_lines(runs.suites),
        versions=sorted(set(runs.rows["versions"].dropna())),
        machines=sorted(set(runs.rows["machine"].dropna())),
        code=sorted(set(runs.rows["code"].dropna())),
    )


def content_policy(script: str) -> str:
    """What a browser lets the page do: its styles, its one script, and images within it. It loads nothing."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def with_prefixed_ids(svg: str, prefix: str) -> str:
    """Prefixes the identifiers of an SVG, since all figures share one page."""
    for mark in ('id="', 'href="#', "url(#"):
        svg = svg.replace(mark, f"{mark}{prefix}-")
    return svg
