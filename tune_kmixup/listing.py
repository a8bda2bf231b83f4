"""What `tasks` lists and what `report` and `demo` show."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from analysis import conclusions, report, tables
from analysis.load import Runs
from search_spaces.methods import METHODS
from search_spaces.suites import SUITES
from search_spaces.tasks import TASKS
from tune_kmixup import data
from tune_kmixup.display import percent, table
from tune_kmixup.models import ARCHITECTURES
from tune_kmixup.study import BadInput


def listing(data_dir: Path) -> Iterator[Table]:
    """Suites, tasks, methods, data sets, architectures."""
    rows = [
        (s.name, len(s.tasks), " ".join(s.methods), s.trials, s.search_seeds, s.final_seeds) for s in SUITES.values()
    ]
    yield table("suites", ("suite", ">tasks", "methods", ">trials", ">search seeds", ">final seeds"), rows)
    tasks = []
    for name, splits in TASKS.items():
        recipe = splits[0].recipe
        split = f"{len(splits)} splits" if splits[0].outer_split is not None else "official"
        tasks.append((name, split, recipe.epochs, recipe.batch_size, f"{recipe.optimizer} {recipe.lr:g}"))
    yield table("tasks", ("task", "test data", ">epochs", ">batch", "optimiser, lr"), tasks)
    yield table(
        "methods",
        ("method", "free"),
        [(name, ", ".join(key.removeprefix("log2_") for key in METHODS[name]) or "nothing") for name in METHODS],
    )
    yield data_sets(data_dir)
    yield table("architectures", ("architecture",), [(name,) for name in ARCHITECTURES])


def data_sets(data_dir: Path) -> Table:
    rows = [
        (
            name,
            known.rows,
            known.test_rows or "",
            known.classes,
            repeats(name, data_dir),
            re.split(r" \(|, ", known.source)[0],
        )
        for name, known in data.DATASETS.items()
    ]
    title = "data sets (repeated: share of rows whose inputs occur more than once; empty where not at hand)"
    return table(title, ("data set", ">rows", ">test", ">classes", ">repeated", "source"), rows)


def repeats(dataset: str, data_dir: Path) -> str:
    """The share of rows that are not alone with their inputs; they stay on one side of every split."""
    try:
        shares = data.repeated(dataset, data_dir)
    except BadInput:  # not at hand yet
        return ""
    return percent(shares.get("rows"))


def conclude(
    console: Console,
    runs: Runs,
    out: Path,
    formats: tuple[str, ...] = (),
    level: float = 0.95,
    metric: str = "test_error",
    compare: Path | None = None,
) -> None:
    """Prints the table of gains and what may be concluded, and writes the report."""
    written = report.write(runs, out, formats, level, metric, compare)
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
