"""The tables that `tune-kmixup tasks` prints: everything that can be named on the command line."""

import re
from collections.abc import Iterator
from pathlib import Path

from rich.console import Group

from search_spaces.methods import METHODS
from search_spaces.suites import SUITES
from search_spaces.tasks import TASKS
from tune_kmixup.cli.render import format_share, format_space, make_table
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data.prepare import duplicate_shares
from tune_kmixup.data.registry import DATASETS
from tune_kmixup.models.architectures import ARCHITECTURES


def listing_tables(data_dir: Path) -> Iterator[Group]:
    """Suites, tasks, methods, data sets and architectures."""
    suites = [
        (s.name, len(s.tasks), " ".join(s.methods), s.trials, s.search_seeds, s.final_seeds) for s in SUITES.values()
    ]
    yield make_table("suites", ("suite", ">tasks", "methods", ">trials", ">search seeds", ">final seeds"), suites)
    tasks = []
    for name, splits in TASKS.items():
        recipe = splits[0].recipe
        shared = "holdout" if splits[0].holdout else "official"
        test_data = shared if splits[0].outer_split is None else f"{len(splits)} splits"
        tasks.append((name, test_data, recipe.epochs, recipe.batch_size, f"{recipe.optimizer} {recipe.lr:g}"))
    yield make_table("tasks", ("task", "test data", ">epochs", ">batch", "optimiser, lr"), tasks)
    methods = [(name, format_space(space)) for name, space in METHODS.items()]
    yield make_table("methods", ("method", "free"), methods)
    yield dataset_table(data_dir)
    yield make_table("architectures", ("architecture",), [(name,) for name in ARCHITECTURES])


def dataset_table(data_dir: Path) -> Group:
    rows = []
    for name, dataset in DATASETS.items():
        source = re.split(r" \(|, ", dataset.source)[0]
        repeated = duplicate_share(name, data_dir)
        rows.append((name, dataset.rows, dataset.test_rows or "", dataset.classes, repeated, source))
    title = "data sets (repeated: share of rows whose inputs occur more than once; empty if not downloaded)"
    return make_table(title, ("data set", ">rows", ">test", ">classes", ">repeated", "source"), rows)


def duplicate_share(dataset: str, data_dir: Path) -> str:
    """The share of rows whose inputs occur more than once; empty if the data set is not on disk."""
    try:
        shares = duplicate_shares(dataset, data_dir)
    except BadInput:
        return ""
    return format_share(shares.get("rows"))
