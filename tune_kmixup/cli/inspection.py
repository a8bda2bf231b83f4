"""What `inspect` prints, and what `plan` and `launch` say about a user's own files."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, Group

from tune_kmixup.cli.render import format_share, make_table
from tune_kmixup.core.config import Suite
from tune_kmixup.core.text import plural
from tune_kmixup.data.columns import Column
from tune_kmixup.data.parts import has_test_rows
from tune_kmixup.planning.inspection import Inspection, inspect_task

MOST_CLASSES, MOST_COLUMNS = 30, 60  # that are listed


def print_inspection(console: Console, inspection: Inspection) -> None:
    for line in heading(inspection):
        console.print(line)
    console.print(class_table(inspection))
    if inspection.table and inspection.table.columns:
        console.print(column_table(inspection.table.columns))
    for line in (*training_lines(inspection), *data_lines(inspection)):
        console.print(line)
    for warning in inspection.warnings:
        console.print(f"warning: {warning}")


def heading(inspection: Inspection) -> Iterator[str]:
    rows = sum(map(sum, inspection.counts.values()))
    shape = " x ".join(map(str, inspection.shape))
    yield (f"{inspection.task.base}: {plural(rows, 'row')}, {len(inspection.classes)} classes, inputs of {shape}")
    if inspection.table:
        yield f"data: {'; '.join(inspection.table.notes)}"
    yield f"splits: {split_words(inspection)}"


def split_words(inspection: Inspection) -> str:
    splits, task = inspection.splits, inspection.task
    if task.overlap is not None:
        test = "a holdout of half the rows" if task.holdout else "the official test rows"
        return f"one repeat with {test}" if splits == 1 else f"{splits} repeats that share {test}; each searches anew"
    return f"{splits} outer splits, each with test rows of its own"


def class_table(inspection: Inspection) -> Group:
    """Rows of each class in each part of the first split."""
    counts = inspection.counts
    rows: list[tuple[object, ...]] = [
        (name, sum(numbers), *numbers) for name, *numbers in zip(inspection.classes, *counts.values(), strict=True)
    ]
    totals = ("all", sum(map(sum, counts.values())), *map(sum, counts.values()))
    left = len(rows) - MOST_CLASSES
    shown = rows[:MOST_CLASSES] + ([(f"... {left} more",)] if left > 0 else [])
    return make_table(
        "rows, in parts of the first split", ("class", ">all", *(f">{part}" for part in counts)), [*shown, totals]
    )


def column_table(columns: tuple[Column, ...]) -> Group:
    rows: list[tuple[str, ...]] = [(column.name, column.role, column.note) for column in columns[:MOST_COLUMNS]]
    if len(columns) > MOST_COLUMNS:
        rows.append((f"... {len(columns) - MOST_COLUMNS} more",))
    title = "columns (--label, --drop, --categorical, --group, --split)"
    return make_table(title, ("column", "becomes", "what it holds, or why"), rows)


def training_lines(inspection: Inspection) -> list[str]:
    """Architecture and recipe of a task, with the options that change them."""
    task, recipe = inspection.task, inspection.task.recipe
    k = f"; k up to {inspection.largest_k}" if inspection.largest_k else ""
    return [
        f"network: {task.architecture} (--architecture){k}",
        f"recipe: {recipe.epochs} epochs (--epochs), batches of {recipe.batch_size} (--batch-size), {recipe.optimizer} "
        f"with learning rate {recipe.lr:g} (--lr)",
    ]


def data_lines(inspection: Inspection) -> Iterator[str]:
    if inspection.groups is not None:
        yield f"groups: {inspection.groups:,}; rows of a group stay on one side of every split"
    elif inspection.repeated:
        yield f"repeated rows: {format_share(inspection.repeated)}; they stay on one side of every split of ours"
    if inspection.irreducible:
        of = "test rows" if inspection.table and has_test_rows(inspection.table.arrays) else "rows"
        yield f"repeated rows differ in class: no error on all {of} can be below {format_share(inspection.irreducible)}"


def own_data_lines(suite: Suite, data_dir: Path) -> Iterator[str]:
    """What was chosen for the files among the tasks of a suite, and what may be wrong with them."""
    names = {source.name for source in suite.identity.sources}
    for studies in suite.studies_by_task().values():
        if studies[0].task.dataset in names:
            inspection = inspect_task(studies, data_dir)
            yield from (*heading(inspection), *training_lines(inspection), *left_out_lines(inspection))
            yield from (f"warning: {warning}" for warning in inspection.warnings)


def left_out_lines(inspection: Inspection) -> Iterator[str]:
    columns = inspection.table.columns if inspection.table else ()
    if names := [column.name for column in columns if column.role == "left out"]:
        yield f"left out: {', '.join(names[:10])}{', ...' if len(names) > 10 else ''} (tune-kmixup inspect says why)"
