"""What `report` and `demo` print: the table of gains, and what may be concluded."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from rich.console import Console

from tune_kmixup.analysis.load import Runs
from tune_kmixup.analysis.report import conclusions, render, tables
from tune_kmixup.cli.render import table


def show_comparison(
    console: Console,
    runs: Runs,
    out: Path,
    formats: tuple[str, ...] = (),
    level: float = 0.95,
    metric: str = "test_error",
    compare: Path | None = None,
) -> None:
    """Prints the table of gains and what may be concluded, and writes the report."""
    written = render.write(runs, out, formats, level, metric, compare)
    headline = tables.headline(runs.rows, level, metric)
    columns = ("task, method", f">{headline.columns[2]}", ">gain", ">α", ">k")
    console.print(table(f"{metric.replace('_', ' ')} and gains, {level:.0%} intervals", columns, grouped(headline)))
    for line in conclusions.conclusions(runs.rows, level):
        console.print(line)
    console.print(f"report: {written.get('html', out)}", soft_wrap=True)


def grouped(headline: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """The headline with each task's name on a line of its own: narrow enough for 80 columns."""
    for task, lines in headline.groupby("task", sort=False):
        yield (str(task),)
        for line in lines.to_dict("records"):
            over = f" over {line['gain over']}" if line["gain over"] else ""
            cells = (line[column] for column in (headline.columns[2], "gain", "α", "k"))
            yield (f"  {line['method']}{over}", *cells)
