"""The report: one HTML file that needs nothing else, the same as Markdown, LaTeX and CSV, figures, and the rows."""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import COLUMNS

from ..load import ROWS, Runs, save_runs
from . import conclusions, methods_text, style, tables
from .sections import Section, sections

FORMATS = ("html", "md", "tex", "csv")
METRICS = ("test_error", "test_nll", "test_brier", "test_ece")


def write(
    runs: Runs,
    out: Path,
    formats: Collection[str] = FORMATS,
    level: float = 0.95,
    metric: str = "test_error",
    compare: Path | None = None,
) -> dict[str, Path]:
    """Writes the report into the folder `out` and gives the path of each format.

    Beside it: results.parquet and dictionary.md (what its columns hold), launches.json, methods.md, and figures/ as SVG
    and PNG. `load` reads the folder again, alone or beside others.
    `compare` names the folder of an earlier report, whose gains are shown beside the new ones.
    Raises BadInput for an unknown format or metric, a level outside (0, 1), a folder that cannot be written, or one
    that is no report.
    """
    formats = [name for name in formats if name] or FORMATS
    if unknown := set(formats) - set(FORMATS):
        raise BadInput(f"format={', '.join(sorted(unknown))} is unknown: choose among {', '.join(FORMATS)}.")
    if metric not in METRICS:
        raise BadInput(f"metric={metric!r} is unknown: choose among {', '.join(METRICS)}.")
    if not 0 < level < 1:
        raise BadInput(f"level={level} is no confidence level: choose one between 0 and 1, such as 0.95.")
    found = sections(runs, level, metric, earlier(compare) if compare else None)
    paths = {kind: out / ("gains.csv" if kind == "csv" else f"report.{kind}") for kind in FORMATS if kind in formats}
    try:
        out.mkdir(parents=True, exist_ok=True)
        pictures = draw(found, out / "figures")
        texts: dict[str, Callable[[Runs, list[Section], float], str]]
        texts = {"html": partial(html, pictures=pictures), "md": markdown, "tex": latex, "csv": csv}
        for kind, path in paths.items():
            path.write_text(texts[kind](runs, found, level), encoding="utf-8")
        save_runs(runs, out)
        (out / "dictionary.md").write_text(dictionary(), encoding="utf-8")
        (out / "methods.md").write_text(methods_text.text(runs.suites, runs.rows, level), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"out={str(out)!r} cannot be written ({error.strerror}): choose another --out.") from error
    return paths


def earlier(folder: Path) -> pd.DataFrame:
    """The rows of an earlier report."""
    try:
        return pd.read_parquet(folder / ROWS)
    except (OSError, ValueError) as error:
        raise BadInput(f"compare={str(folder)!r} holds no {ROWS}: name the folder of a report.") from error


def draw(found: list[Section], folder: Path) -> dict[str, str]:
    """Writes every figure as SVG and PNG, and gives the SVGs by name: laying a figure out is what a report costs."""
    folder.mkdir(exist_ok=True)
    pictures = {}
    for section in found:
        for name, figure in section.figures.items():
            style.finish(figure)
            pictures[name] = style.svg(figure)
            (folder / f"{name}.svg").write_text(pictures[name], encoding="utf-8")
            (folder / f"{name}.png").write_bytes(style.png(figure))
    return pictures


def csv(runs: Runs, found: list[Section], level: float) -> str:
    return str(tables.estimates(runs.rows, level).to_csv(index=False))


def markdown(runs: Runs, found: list[Section], level: float) -> str:
    parts = ["# ERM, mixup and k-mixup, each tuned with the same budget"]
    for section in found:
        parts += [f"## {section.title}", *("\n".join(f"- {line}" for line in section.words),)]
        parts += [f"![{name}](figures/{name}.svg)" for name in section.figures]
        parts += [pipes(table) for table in section.tables if len(table)]
    return "\n\n".join(part for part in parts if part) + "\n"


def dictionary() -> str:
    """What each column of `results.parquet` holds, as a Markdown table."""
    columns = COLUMNS | {"selected": ("bool", "whether this final run counts: it trained the configuration selected")}
    lines = [{"column": f"`{name}`", "type": kind, "meaning": text} for name, (kind, text) in columns.items()]
    return pipes(pd.DataFrame(lines)) + "\n"


def pipes(table: pd.DataFrame) -> str:
    """A Markdown table."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).values.tolist()]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def latex(runs: Runs, found: list[Section], level: float) -> str:
    r"""Every table with booktabs; `\input` it in a document that loads booktabs and graphicx."""
    parts = []
    for section in found:
        for table in section.tables:
            rows = [" & ".join(escape(str(cell)) for cell in row) + r" \\" for row in table.values.tolist()]
            head = " & ".join(escape(str(column)) for column in table.columns) + r" \\"
            parts += [
                *(
                    r"\begin{table}",
                    r"\centering",
                    rf"\caption{{{escape(section.title)}}}",
                    r"\resizebox{\linewidth}{!}{%",
                ),
                *(rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}", r"\toprule", head, r"\midrule", *rows),
                *(r"\bottomrule", r"\end{tabular}}", r"\end{table}", ""),
            ]
    return "\n".join(parts)


def escape(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {c: f"\\{c}" for c in "&%$#_{}"}
    special |= {"±": r"$\pm$", "–": "--", "α": r"$\alpha$", "δ": r"$\delta$", "≤": r"$\leq$", "≥": r"$\geq$"}
    special |= {"<": r"$<$", ">": r"$>$", "σ": r"$\sigma$", "ε": r"$\varepsilon$", "×": r"$\times$", "²": r"$^2$"}
    return "".join(special.get(c, c) for c in text)


def html(runs: Runs, found: list[Section], level: float, pictures: dict[str, str]) -> str:
    environment = Environment(
        loader=PackageLoader("tune_kmixup.analysis.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("template.html.j2").render(
        sections=found,
        pictures={name: inline(text, name) for name, text in pictures.items()},
        answer=conclusions.answer(runs.rows, level),
        paragraphs=methods_text.paragraphs(runs.suites, runs.rows, level),
        training=methods_text.training(runs.suites),
        versions=sorted(set(runs.rows["versions"].dropna())),
        machines=sorted(set(runs.rows["machine"].dropna())),
        code=sorted(set(runs.rows["code"].dropna())),
    )


def inline(text: str, name: str) -> str:
    """An SVG for use inside HTML: its identifiers made unique, since all figures share one page."""
    for mark in ('id="', 'href="#', "url(#"):
        text = text.replace(mark, f"{mark}{name}-")
    return text
