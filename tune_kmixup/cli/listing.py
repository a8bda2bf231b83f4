"""What `tasks` lists and what `report` and `demo` show."""

import re
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from search_spaces.methods import METHODS
from search_spaces.suites import SUITES
from search_spaces.tasks import TASKS
from tune_kmixup.cli.render import percent, table
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data.prepare import duplicate_shares
from tune_kmixup.data.registry import DATASETS
from tune_kmixup.models.architectures import ARCHITECTURES


def tables_of_choices(data_dir: Path) -> Iterator[Table]:
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
            duplicate_share(name, data_dir),
            re.split(r" \(|, ", known.source)[0],
        )
        for name, known in DATASETS.items()
    ]
    title = "data sets (repeated: share of rows whose inputs occur more than once; empty where not at hand)"
    return table(title, ("data set", ">rows", ">test", ">classes", ">repeated", "source"), rows)


def duplicate_share(dataset: str, data_dir: Path) -> str:
    """The share of rows that are not alone with their inputs; they stay on one side of every split."""
    try:
        shares = duplicate_shares(dataset, data_dir)
    except BadInput:  # not at hand yet
        return ""
    return percent(shares.get("rows"))
