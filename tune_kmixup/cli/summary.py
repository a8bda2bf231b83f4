"""What `report`, `demo` and `best` print: the table of gains, the conclusions, and the selected configurations."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from tune_kmixup.analysis.best import Best
from tune_kmixup.analysis.best_script import script
from tune_kmixup.analysis.load import Runs
from tune_kmixup.analysis.report import conclusions, render
from tune_kmixup.analysis.report.formats import display_scale, display_unit, format_estimate, in_percent, method_label
from tune_kmixup.cli.render import make_table, selection_lines

BEST_FORMATS = ("table", "json", "python")


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
        level: confidence level of the intervals, in (0.5, 1); None takes that of the claims.
        metric: metric of the table.
        compare: folder of an earlier report to compare with.
    """
    report, paths = render.write(runs, out, formats, level, metric, compare)
    headline = report.headline.frame
    unit = f"{metric.replace('_', ' ')}{', %' if display_scale(metric) == 100 else ''}"
    title = f"{unit}; gains in {display_unit(metric)}, {in_percent(report.level)} intervals"
    columns = ("task", *(f">{column.partition(',')[0]}" for column in headline.columns[1:]))
    if len(columns) > 1:
        console.print(make_table(title, columns, terminal_rows(headline)))
        console.print(MARKS)
    for sentence in (*report.answer, *conclusions.direction_sentences(runs, metric)):
        console.print(sentence)
    console.print(f"report: {paths.get('html', out)}", soft_wrap=True)


def terminal_rows(headline: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """The rows of the headline with intervals of gains alone, so that the table fits 80 columns."""
    for row in headline.to_dict("records"):
        cells = (cell if column == "task" or " over " in column else cell.mean for column, cell in row.items())
        yield tuple(str(cell).replace(", one search", " *") for cell in cells)


MARKS = "▲ gain, ▼ loss, ≈ small (△ ▽ ∼: not after Holm's correction), * one search"


def show_best(console: Console, found: Sequence[Best], format: str) -> None:
    """Prints selected configurations.

    Args:
        console: where to print.
        found: what was selected.
        format: one of BEST_FORMATS.

    Raises:
        BadInput: if `format` is python and there are several tasks or methods.
    """
    if format == "json":
        print(json.dumps([to_json(best) for best in found], indent=1))
    elif format == "python":
        print(script(found), end="")
    else:
        columns = ("task, method", ">test error %", ">α", ">k", ">lr", ">weight decay", ">split")
        console.print(make_table("selected configurations", columns, best_rows(found)))
        console.print(
            "Test errors are those of the method as tuned, over all outer splits. Where these selected different "
            "configurations, the one most like the others is shown, with its split."
        )
        for best in found:
            if best.unrecorded:
                names = ", ".join(best.unrecorded)
                console.print(f"{best.task}/{best.method} also tunes {names}: its proposals have the values.")
        for line in selection_lines(found[0].select_by):
            console.print(line)


def to_json(best: Best) -> dict[str, object]:
    """A selected configuration as JSON has it: NaN becomes null."""
    expected = {name: None if value != value else value for name, value in vars(best.expected).items()}
    return dataclasses.asdict(best) | {"expected": expected}


def best_rows(found: Sequence[Best]) -> Iterator[tuple[object, ...]]:
    """Each task's name on a line of its own, so that the table fits 80 columns."""
    task = None
    for best in found:
        if best.task != task:
            task = best.task
            yield (task,)
        yield (
            f"  {method_label(best.method)}",
            format_estimate(best.expected),
            f"{best.alpha:.2g}" if best.alpha else "",
            best.k if best.k > 1 else "",
            f"{best.recipe.lr:.2g}",
            f"{best.recipe.weight_decay:.2g}",
            "" if best.outer_split is None else f"@{best.outer_split}",
        )
