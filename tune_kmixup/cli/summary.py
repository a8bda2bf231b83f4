"""What `report` and `demo` print: the table of gains, and the conclusions."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from rich.console import Console

from tune_kmixup.analysis.load import Runs
from tune_kmixup.analysis.report import conclusions, render, tables
from tune_kmixup.cli.render import make_table


def show_comparison(
    console: Console,
    runs: Runs,
    out: Path,
    formats: tuple[str, ...] = (),
    level: float | None = None,
    metric: str = "test_error",
    compare: Path | None = None,
) -> None:
    """Writes the report, and prints the table of gains and the conclusions.

    Args:
        console: where to print.
        runs: what to compare.
        out: folder of the report.
        formats: of the report, see `analysis.report.render.write`; empty: all.
        level: confidence level of the intervals, in (0, 1); None takes that of the claims.
        metric: metric of the table.
        compare: folder of an earlier report to compare with.
    """
    paths = render.write(runs, out, formats, level, metric, compare)
    level = runs.claims.level if level is None else level
    headline = tables.headline(runs.final, level, metric)
    columns = ("task, method", f">{headline.columns[2]}", ">gain", ">α", ">k")
    title = f"{metric.replace('_', ' ')} and gains, {level:.0%} intervals"
    console.print(make_table(title, columns, headline_rows(headline)))
    for line in conclusions.conclusions(runs, level):
        console.print(line)
    console.print(f"report: {paths.get('html', out)}", soft_wrap=True)


def headline_rows(headline: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """The rows of the headline, with each task's name on a line of its own, so that the table fits 80 columns."""
    for task, methods in headline.groupby("task", sort=False):
        yield (str(task),)
        for row in methods.to_dict("records"):
            over = f" over {row['gain over']}" if row["gain over"] else ""
            cells = (row[column] for column in (headline.columns[2], "gain", "α", "k"))
            yield (f"  {row['method']}{over}", *cells)
