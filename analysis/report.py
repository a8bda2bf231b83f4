"""The report: tables as Markdown, LaTeX and CSV, the rows as Parquet, and one HTML file that needs nothing else."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from analysis import figures, tables
from analysis.load import Runs
from tune_kmixup.results import COLUMNS
from tune_kmixup.study import BadInput

FORMATS = ("html", "md", "tex", "csv")


def write(runs: Runs, out: Path, formats: Collection[str] = FORMATS, level: float = 0.95) -> dict[str, Path]:
    """Writes the report into the folder `out` and gives the path of each format.

    Raises BadInput for an unknown format, a level outside (0, 1), or a folder that cannot be written.
    """
    if unknown := set(formats) - set(FORMATS):
        raise BadInput(f"format={sorted(unknown)} is unknown: choose among {', '.join(FORMATS)}.")
    if not 0 < level < 1:
        raise BadInput(f"level={level} is no confidence level: choose one between 0 and 1, such as 0.95.")
    texts = {"html": html, "md": markdown, "tex": latex, "csv": csv}
    paths = {kind: out / ("gains.csv" if kind == "csv" else f"report.{kind}") for kind in FORMATS if kind in formats}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for kind, path in paths.items():
            path.write_text(texts[kind](runs, level), encoding="utf-8")
        runs.rows.to_parquet(out / "results.parquet")
    except OSError as error:
        raise BadInput(f"out={str(out)!r} cannot be written ({error.strerror}): choose another --out.") from error
    return paths


def csv(runs: Runs, level: float) -> str:
    return str(tables.estimates(runs.rows, level).to_csv(index=False))


def markdown(runs: Runs, level: float) -> str:
    lines = ["# ERM, mixup and k-mixup, each tuned with the same budget", ""]
    lines += [pipes(tables.headline(runs.rows, level)), ""]
    lines += [f"- {line}" for line in tables.conclusions(runs.rows, level)]
    if len(runs.missing):
        lines += ["", "## Missing", "", pipes(runs.missing)]
    return "\n".join(lines) + "\n"


def dictionary() -> str:
    """What each column of `results.parquet` holds, as a Markdown table."""
    columns = COLUMNS | {"selected": ("bool", "whether this final run counts: it trained the configuration selected")}
    lines = [{"column": f"`{name}`", "type": kind, "meaning": text} for name, (kind, text) in columns.items()]
    return pipes(pd.DataFrame(lines)) + "\n"


def pipes(table: pd.DataFrame) -> str:
    """A Markdown table."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).values.tolist()]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def latex(runs: Runs, level: float) -> str:
    """A booktabs table."""
    table = tables.headline(runs.rows, level).rename(columns={"α": "alpha"})
    escaped = table.map(lambda text: escape(str(text)))
    escaped.columns = [escape(column) for column in table.columns]
    rows = [" & ".join(row) + r" \\" for row in escaped.values.tolist()]
    head = " & ".join(escaped.columns) + r" \\"
    parts = [r"\begin{tabular}{llrlrrr}", r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
    return "\n".join(parts) + "\n"


def escape(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {c: f"\\{c}" for c in "&%$#_{}"}
    special |= {"±": r"$\pm$", "–": "--", "α": r"$\alpha$"}
    return "".join(special.get(c, c) for c in text)


def html(runs: Runs, level: float) -> str:
    environment = Environment(
        loader=PackageLoader("analysis", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    first, *rest = tables.conclusions(runs.rows, level)
    return environment.get_template("report.html.j2").render(
        first=first,
        conclusions=rest,
        headline=tables.headline(runs.rows, level),
        missing=runs.missing,
        forest=figures.forest(runs.rows, level),
        suites=runs.suites,
        versions=sorted(set(runs.rows["versions"].dropna())),
        machines=sorted(set(runs.rows["machine"].dropna())),
        code=sorted(set(runs.rows["code"].dropna())),
    )
