"""What a task would train, validate and test on, found out without training."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tune_kmixup.core.config import Study, Task
from tune_kmixup.core.coordinates import shown, symbol
from tune_kmixup.data.download import read_data
from tune_kmixup.data.npz import whole
from tune_kmixup.data.parts import row_arrays
from tune_kmixup.data.prepare import InputForm, duplicate_shares, prepare, split_rows
from tune_kmixup.data.registry import DATASETS
from tune_kmixup.data.splits import duplicate_groups
from tune_kmixup.data.tables import Table
from tune_kmixup.data.tensors import Data, Part
from tune_kmixup.planning.networks import check_training

PARTS = ("train", "validation", "test")
UNEVEN = 5  # a largest class of so many times the rows of the smallest is warned of
MAJORITY = 0.8  # so is one with such a share of all rows


@dataclass(frozen=True)
class Inspection:
    """What a task would use.

    Attributes:
        task: its first outer split.
        splits: number of outer splits.
        classes: names of the classes, or their numbers.
        counts: part -> rows of each class, in the first outer split.
        shape: shape of one input of the network.
        repeated: share of rows whose inputs occur more than once; None for toy sets.
        irreducible: error that no classifier of these inputs can avoid, on the official test rows or else on all rows;
            None for toy sets.
        largest_k: largest k that k-mixup searches; None if it is not among the methods.
        groups: number of groups whose rows stay together; None if there are none but equal rows.
        table: the data as they were read; None for toy sets.
        warnings: what may be wrong, one line each, with the remedy.
    """

    task: Task
    splits: int
    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    shape: tuple[int, ...]
    repeated: float | None
    irreducible: float | None
    largest_k: int | None
    groups: int | None
    table: Table | None
    warnings: tuple[str, ...]


def inspect_task(studies: list[Study], data_dir: Path) -> Inspection:
    """Reads and prepares the data of a task.

    Args:
        studies: all studies of the task.
        data_dir: folder of the data sets, into which those of the task have been fetched.

    Raises:
        BadInput: if the data cannot be trained on.
    """
    tasks = list(dict.fromkeys(study.task for study in studies))
    task, dataset = tasks[0], DATASETS.get(tasks[0].dataset)
    table = None if dataset and dataset.generate else read_data(task.dataset, data_dir)
    arrays = table.arrays if table else {}
    data = prepare(task, data_dir, test=True)
    assert data.preprocessing is not None  # as `prepare` returns it
    check_training(studies, InputForm(data.preprocessing.kind, data.shape, data.classes))
    names = data.preprocessing.classes
    counts = {name: class_counts(part, data.classes) for name, part in zip(PARTS, data_parts(data), strict=True)}
    shares, test_in_train = duplicate_shares(task.dataset, data_dir), test_rows_in_train(task, arrays)
    return Inspection(
        task,
        len(tasks),
        names,
        counts,
        data.shape,
        shares.get("rows"),
        shares.get("irreducible"),
        largest_k(studies),
        len(np.unique(arrays["group"])) if "group" in arrays else None,
        table,
        (*(table.warnings if table else ()), *part_warnings(names, counts, test_in_train)),
    )


def largest_k(studies: list[Study]) -> int | None:
    found = [
        shown(name, distribution.largest)
        for study in studies
        for name, distribution in study.distributions.items()
        if symbol(name) == "k"
    ]
    return max(found, default=None)


def data_parts(data: Data) -> tuple[Part, Part, Part]:
    assert data.test is not None
    return data.train, data.val, data.test


def class_counts(part: Part, classes: int) -> tuple[int, ...]:
    return tuple(np.bincount(part.y.numpy(), minlength=classes).tolist())


def test_rows_in_train(task: Task, arrays: dict[str, Any]) -> int:
    """How many test rows have the inputs of a training row, as they are stored: preprocessing makes some rows equal."""
    if not arrays:
        return 0
    rows, x = split_rows(task, arrays), arrays[row_arrays(arrays)[0]]
    parts = [x[rows.train], whole(arrays["x_test"]) if rows.test is None else x[rows.test]]
    train, test = np.split(duplicate_groups(parts), [len(parts[0])])
    return int(np.isin(test, train).sum())


def part_warnings(classes: tuple[str, ...], counts: dict[str, tuple[int, ...]], test_in_train: int) -> Iterator[str]:
    for part, rows in counts.items():
        absent = [name for name, count in zip(classes, rows, strict=True) if not count]
        if absent:
            listed = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
            yield f"in the first split no {part} row is of class {listed}: join classes so rare, or remove them."
    yield from imbalance_warnings(classes, counts["train"])
    if test_in_train:
        yield (
            f"{test_in_train:,} of {sum(counts['test']):,} test rows also occur among the training rows, so test "
            "errors are too low: remove them."
        )


def imbalance_warnings(classes: tuple[str, ...], rows: tuple[int, ...]) -> Iterator[str]:
    present = [(count, name) for name, count in zip(classes, rows, strict=True) if count]
    (fewest, rare), (most, frequent) = min(present), max(present)
    if most > UNEVEN * fewest or most > MAJORITY * sum(rows):
        yield (
            f"class {frequent} has {most / sum(rows):.1%} of the training rows and class {rare} "
            f"{fewest / sum(rows):.1%}, so the error says little of rare classes: to weigh all alike, launch with "
            "--select-by balanced_error, and report --metric test_balanced_error."
        )
