"""What `tasks` lists and what `report` and `demo` show."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from analysis import report, tables
from analysis.load import Runs
from search_spaces.methods import METHODS
from search_spaces.suites import SUITES
from search_spaces.tasks import TASKS
from tune_kmixup import data
from tune_kmixup.display import table
from tune_kmixup.models import ARCHITECTURES


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
    yield table("methods", ("method", "free"), [(name, ", ".join(METHODS[name]) or "nothing") for name in METHODS])
    yield data_sets(data_dir)
    yield table("architectures", ("architecture",), [(name,) for name in ARCHITECTURES])


def data_sets(data_dir: Path) -> Table:
    rows = []
    for name, known in data.DATASETS.items():
        rows.append((name, known.rows, known.test_rows or "", known.classes, known.source))
    return table("data sets", ("data set", ">rows", ">test rows", ">classes", "source"), rows)


def conclude(console: Console, runs: Runs, out: Path) -> None:
    """Prints the table of gains and what may be concluded, and writes the report."""
    gains = tables.headline(runs.rows)
    console.print(table("test error, %, and gains, points", list(gains.columns), gains.itertuples(index=False)))
    for line in tables.conclusions(runs.rows):
        console.print(line)
    written = report.write(runs, out)
    console.print(f"report: {written.get('html', out)}", soft_wrap=True)
