"""Writes the report: one self-contained HTML file, Markdown, LaTeX and CSV, figures, and the rows.

Rows, names and suites may come from others. Each format escapes what it would otherwise obey.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from tune_kmixup.core.errors import BadInput, unwritable_error
from tune_kmixup.core.text import one_line

from ..findings import MARKS
from ..load import ROWS_FILE, TABLE_COLUMNS, Runs, read_entries, save_runs, to_table
from . import conclusions, latex, methods_text, style, tables
from .formats import escape_markdown
from .sections import Report, make_report

FORMATS = ("html", "md", "tex", "csv")
CLASS_METRICS = ("test_balanced_error", "test_macro_f1", "test_auroc")  # earlier versions recorded none
METRICS = ("test_error", "test_nll", "test_brier", "test_ece", *CLASS_METRICS)
UNCERTAINTY = r"( ± [\d.]+|, one search|, 2 searches|, no spread)?( ?\[[-+\d., ]+\])?"
NUMBER = re.compile(rf"[{MARKS} ]*[-+]?[\d.,]+(e[-+]?\d+)?{UNCERTAINTY}")
TITLE = "ERM, mixup and k-mixup, each tuned with the same budget"


class Written(NamedTuple):
    """A report, and the path of its file in each format."""

    report: Report
    paths: dict[str, Path]


def write(
    runs: Runs,
    out: Path,
    formats: Collection[str] = FORMATS,
    level: float | None = None,
    metric: str = "test_error",
    compare: Path | None = None,
) -> Written:
    """Writes the report into a folder.

    In every format it also writes results.parquet with dictionary.md (the meaning of its columns), launches.json,
    methods.md, and figures/gains as SVG, PNG and PDF; for LaTeX also tables/ and report.bib. `load` reads the folder
    again, alone or together with others.

    Args:
        runs: what to report.
        out: the folder; it is created if necessary.
        formats: names from `FORMATS`; empty: all of them.
        level: confidence level of the intervals, between 0.5 and 1; None takes that of the claims.
        metric: metric of the first table and figure, from `METRICS`.
        compare: folder of an earlier report, whose gains are shown beside the new ones.

    Returns:
        What was written, and where.

    Raises:
        BadInput: a format or metric is unknown, a run lacks the metric because an earlier version trained it, `level`
            is outside (0.5, 1), `out` cannot be written, or `compare` is not the folder of a report.
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
    if not 0.5 < level < 1:  # a gain is shown to be small at 2 level - 1
        raise BadInput(f"level={level} is no confidence level: choose one between 0.5 and 1, such as 0.95.")
    report = make_report(runs, level, metric, read_earlier_rows(compare) if compare else None)
    paths = {name: out / ("gains.csv" if name == "csv" else f"report.{name}") for name in FORMATS if name in formats}
    renderers: dict[str, Callable[[], str]] = {
        "html": lambda: html(runs, report),
        "md": lambda: markdown(report),
        "tex": lambda: latex.document(report, methods_text.paragraphs(runs.suites, runs.rows, level)),
        "csv": lambda: csv(tables.gain_estimates(runs.final, level)),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, path in paths.items():
            path.write_text(renderers[name](), encoding="utf-8")
        if "tex" in paths:
            write_beside_latex(report, out)
        if report.forest:
            write_figure(report.forest, out / "figures")
        save_runs(runs, out)
        (out / "dictionary.md").write_text(dictionary(), encoding="utf-8")
        (out / "methods.md").write_text(methods_text.markdown(runs.suites, runs.rows, level), encoding="utf-8")
    except OSError as error:
        raise unwritable_error(out, error) from error
    return Written(report, paths)


def read_earlier_rows(folder: Path) -> pd.DataFrame:
    if not (folder / ROWS_FILE).is_file():
        raise BadInput(f"compare={str(folder)!r} holds no {ROWS_FILE}: name the folder of a report.")
    return to_table(read_entries(folder))


def write_figure(figure: Figure, folder: Path) -> None:
    """Writes the figure of all gains, for Markdown, slides and LaTeX. The page holds it and all others."""
    folder.mkdir(exist_ok=True)
    (folder / "gains.svg").write_text(style.standing_alone(style.svg(figure)), encoding="utf-8")
    (folder / "gains.png").write_bytes(style.png(figure))
    (folder / "gains.pdf").write_bytes(style.pdf(figure))


def write_beside_latex(report: Report, out: Path) -> None:
    """Writes what `report.tex` reads."""
    (out / "tables").mkdir(exist_ok=True)
    for name, text in latex.tables(report).items():
        (out / "tables" / f"{name}.tex").write_text(text, encoding="utf-8")
    (out / "report.bib").write_text(methods_text.BIBLIOGRAPHY, encoding="utf-8")


def markdown(report: Report) -> str:
    """For the README of a repository: the answer, one table and one picture."""
    parts = [f"# {TITLE}", escape_markdown(report.budget), "\n".join(f"- {escape_markdown(s)}" for s in report.answer)]
    parts += ["![Gains by task](figures/gains.svg)"] if report.forest else []
    parts += [markdown_table(report.headline.frame), escape_markdown(report.headline.caption)]
    parts += [escape_markdown(" ".join(report.notes)), "How it was made: [methods.md](methods.md)."]
    return "\n\n".join(parts) + "\n"


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


def html(runs: Runs, report: Report) -> str:
    environment = Environment(
        loader=PackageLoader("tune_kmixup.analysis.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = with_minus_signs
    folder = Path(__file__).parent
    script = (folder / "page.js").read_text(encoding="utf-8")
    marks = {look.label: (look.glyph, look.colour) for look in style.looks_of(runs.rows).values()}
    data_sets = runs.rows.drop_duplicates("task").set_index("task")["dataset"].to_dict()
    svgs, figure_style = style.share_styles(
        {name: page_svg(figure, number) for number, (name, figure) in enumerate(named_figures(report).items())}
    )
    return environment.get_template("template.html.j2").render(
        title=TITLE,
        report=report,
        forest_caption=f"{conclusions.forest_caption(report.level)} Green band: the placebo's gain over mixup.",
        svgs=svgs,
        figure_style=figure_style,
        figure_name=figure_name,
        table_name=lambda table: re.sub(r"[^a-z]+", "-", table.caption.partition(".")[0].lower()).strip("-"),
        kinds_of=kinds_of,
        mark_of=lambda text: marks.get(text.split(",")[0].split(" over ")[0]),
        methods=marks,
        data_sets=data_sets,
        style=(folder / "page.css").read_text(encoding="utf-8"),
        script=script,
        policy=content_policy(script),
        paragraphs=methods_text.paragraphs(runs.suites, runs.rows, report.level),
        versions=sorted(set(runs.rows["versions"].dropna())),
        machines=sorted(set(runs.rows["machine"].dropna())),
        code=sorted(set(runs.rows["code"].dropna())),
    )


def named_figures(report: Report) -> dict[str, Figure]:
    """All figures by the name of the file to save; names of tasks are not in it, as they may be anything."""
    found = {"gains": report.forest, "gains-narrow": report.narrow_forest} if report.forest else {}
    for task, section in enumerate(report.tasks, 1):
        found |= {figure_name(task, number): figure for number, figure in enumerate(section.figures.values(), 1)}
    return {name: figure for name, figure in found.items() if figure is not None}


def figure_name(task: int, number: int) -> str:
    return f"task{task}-figure{number}"


def page_svg(figure: Figure, number: int) -> str:
    return with_prefixed_ids(style.in_text_colour(style.svg(figure)), f"f{number}")


def kinds_of(frame: pd.DataFrame) -> dict[str, str]:
    """The CSS class of each column: `n` for numbers, which are aligned to the right, `text` for long text, or none."""
    kinds = {}
    for column in frame:
        cells = [text for cell in frame[column] if (text := str(cell))]
        if all(NUMBER.fullmatch(cell) for cell in cells):
            kinds[column] = "n"
        elif any("\n" in cell for cell in cells):
            kinds[column] = "lines"
        else:
            kinds[column] = "text" if max(map(len, cells), default=0) > 48 else ""
    return kinds


def with_minus_signs(text: object) -> str:
    """The text with minus signs in place of hyphens before numbers, and intervals that no line break takes apart."""
    return re.sub(r"(?<=\d), (?=[−+][\d.]+\])", ",\u00a0", re.sub(r"(?<![\w.)])-(?=\d)", "−", str(text)))


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
