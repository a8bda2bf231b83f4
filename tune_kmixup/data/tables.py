"""A user's own table as the arrays of a data set, and what was decided about its columns.

`x` holds raw columns, see `preprocess`; `categorical` says which are categories; `classes` names the classes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tune_kmixup.core.checks import check_choice, shown
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.source import Source
from tune_kmixup.data.columns import Column, Role, judge
from tune_kmixup.data.labels import alike_classes, check_classes, check_no_quantity, names_of
from tune_kmixup.data.npz import Arrays
from tune_kmixup.data.parts import TEST, TRAIN, VAL, part_of
from tune_kmixup.data.table_files import MANY, Cells, read_table_file
from tune_kmixup.data.visible import Stamp, stamp_of

FEWEST_ROWS = 20  # five folds, a validation fold and a batch need no fewer


@dataclass(frozen=True)
class Form:
    """How a user has written values, so that new rows are read alike.

    Attributes:
        labels: how each class is written, in the order of the classes; empty where it is their names.
        image_range: values of black and white of images; None if they are 0 to 255.
        decimal_comma: whether numbers in text have one.
    """

    labels: tuple[str, ...] = ()
    image_range: tuple[int, ...] | None = None
    decimal_comma: bool = False


@dataclass(frozen=True)
class Table:
    """A user's own data that have been read and understood.

    Attributes:
        arrays: those of a data set, see `registry`.
        columns: what becomes of each column of a table file, in its order; none of other data.
        notes: what was found out about the file, in words.
        warnings: what may be wrong, one line each, with the remedy.
        form: how values were written.
    """

    arrays: Arrays
    columns: tuple[Column, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    form: Form = Form()


def read_table(source: Source) -> Table:
    """Reads a user's table. One that has not changed is read once per process.

    Args:
        source: the file, and which columns are what.

    Raises:
        BadInput: if the file is no table that can be learned from, in one line with the remedy.
    """
    return cached_table(source, stamp_of(Path(source.path)))


@lru_cache(maxsize=4)
def cached_table(source: Source, stamp: Stamp) -> Table:
    file = read_table_file(Path(source.path))
    cells = {column.name: column for column in file.columns}
    source = with_columns(source, cells)
    labelled = cells[source.label].text != ""
    if not labelled.all():
        cells = {name: rows_of(column, labelled) for name, column in cells.items()}
    y, classes = class_numbers(source, cells[source.label], missing=file.rows - int(labelled.sum()))
    columns = tuple(role_of(source, column) for column in cells.values())
    used = [column for column in columns if column.role in ("number", "category")]
    if not used:
        reasons = [f"{column.name} ({column.note})" for column in columns if column.role == "left out"]
        found = shown("; ".join(reasons) or "the label")
        raise BadInput(f"{source.path} has no column to learn from, only {found}: add some, or --categorical.")
    x = np.stack([raw_values(cells[column.name], column) for column in used], axis=1)
    categorical = np.asarray([column.role == "category" for column in used])
    arrays = {"x": x, "y": y, "categorical": categorical, "classes": classes}
    if source.group:
        arrays["group"] = group_numbers(source, cells[source.group])
    if source.split:
        arrays = official_parts(source, arrays, cells[source.split])
    notes = (*file.notes, f"{file.rows:,} rows, {len(cells)} columns")
    if unlabelled := file.rows - len(y):
        notes += (f"{unlabelled:,} rows without a label are left out",)
    form = Form(decimal_comma=file.decimal_comma)
    return Table(arrays, columns, notes, tuple(table_warnings(columns, classes, x, y)), form)


def role_of(source: Source, cells: Cells) -> Column:
    named: dict[Role, str] = {"group": source.group, "split": source.split, "label": source.label}
    for role, name in named.items():
        if name and cells.name == name:
            return Column(cells.name, role, "")
    if cells.name in source.drop:
        return Column(cells.name, "left out", "--drop")
    return judge(cells, cells.name in source.categorical)


def with_columns(source: Source, cells: dict[str, Cells]) -> Source:
    """The source with its label filled in. Raises BadInput if a column that it names is not there, or named twice."""
    if not source.label and "label" not in cells:
        names = [shown(name) for name in cells]
        names = names if len(names) < 9 else [*names[:5], "...", *names[-3:]]
        name = Path(source.path).name
        raise BadInput(f"{name} has no column label: name the one with the classes with --label: {', '.join(names)}.")
    source = replace(source, label=source.label or "label")
    named = [("label", source.label), ("group", source.group), ("split", source.split)]
    named += [("drop", name) for name in source.drop] + [("categorical", name) for name in source.categorical]
    taken: dict[str, str] = {}
    for option, name in named:
        if not name:
            continue
        check_choice(option, name, cells)
        if name in taken:
            raise BadInput(f"{option}={name!r} is named by --{taken[name]} too: name each column once.")
        taken[name] = option
    return source


def rows_of(cells: Cells, rows: NDArray[np.bool_]) -> Cells:
    numbers = None if cells.numbers is None else cells.numbers[rows]
    return Cells(cells.name, cells.text[rows], numbers, cells.odd, cells.is_date)


def class_numbers(source: Source, label: Cells, missing: int) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """The class of each row, from 0, and the names of the classes: in the order of numbers, or of the alphabet."""
    path, rows = Path(source.path).name, len(label.text)
    if rows < FEWEST_ROWS:
        raise BadInput(f"{path} has {rows} rows with a {source.label}: {FEWEST_ROWS} are the least for five folds.")
    named, numbers = f"label={source.label!r}", None if label.odd else label.numbers
    if numbers is not None and (np.abs(numbers) < 2**53).all():
        values, y = np.unique(numbers, return_inverse=True)
        check_no_quantity(named, values, rows)
        names = names_of(values)
    else:
        names, y = np.unique(label.text.astype(str), return_inverse=True)
    check_classes(named, names, rows, missing)
    return y.astype(np.int64), names


def raw_values(cells: Cells, column: Column) -> NDArray[np.float64]:
    """A column as numbers; the levels of a category are numbered in alphabetical order."""
    if column.role == "number":
        assert cells.numbers is not None
        return cells.numbers
    codes = np.searchsorted(np.asarray(column.levels), cells.text.astype(str)).astype(np.float64)
    return np.where(cells.text == "", np.nan, codes)


def group_numbers(source: Source, group: Cells) -> NDArray[np.int64]:
    if missing := int((group.text == "").sum()):
        raise BadInput(f"group={source.group!r} is empty in {missing:,} rows: fill it in, or remove these rows.")
    text, numbers = group.text.astype(str), group.numbers
    if numbers is not None and not (np.isnan(numbers) | (np.abs(numbers) > 2**53) | (numbers % 1 > 0)).any():
        text = numbers.astype(np.int64).astype(str)  # 7 and 7.0 are one
    return np.unique(text, return_inverse=True)[1].astype(np.int64)


def official_parts(source: Source, arrays: Arrays, split: Cells) -> Arrays:
    """The arrays in the form of a data set with official test rows, and validation rows if the column names some."""
    parts = pd.Series(split.text).map(part_of)
    if parts.isna().any():
        word = split.text[parts.isna().to_numpy()][0]
        raise BadInput(f"split={source.split!r} holds {word!r}: it takes train, validation and test in each row.")
    part = parts.to_numpy(np.int64)
    for number, name in ((TRAIN, "train"), (TEST, "test")):
        if not (part == number).any():
            raise BadInput(f"split={source.split!r} has no {name} rows: add some, or leave out --split.")
    y, classes = arrays["y"], arrays["classes"]
    if absent := sorted(set(y) - set(y[part == TRAIN])):
        raise BadInput(
            f"split={source.split!r} has no training row of class {str(classes[absent[0]])!r}: add one, or drop it."
        )
    if "group" in arrays:
        straddling = pd.Series(part).groupby(arrays["group"]).nunique() > 1
        if count := int(straddling.sum()):
            raise BadInput(
                f"group={source.group!r} has {count:,} groups in two parts of {source.split}: leave one out."
            )
    if (part == VAL).any():
        return {**arrays, "part": part}
    train, test = part == TRAIN, part == TEST
    divided = {name: arrays[name] for name in ("categorical", "classes")}
    divided |= {
        f"{name}_{suffix}": arrays[name][rows] for name in "xy" for suffix, rows in (("train", train), ("test", test))
    }
    return divided | ({"group": arrays["group"][train]} if "group" in arrays else {})


def table_warnings(
    columns: Iterable[Column], classes: NDArray[np.str_], x: NDArray[np.float64], y: NDArray[np.int64]
) -> Iterable[str]:
    columns = list(columns)
    yield from (column.warning for column in columns if column.warning)
    yield from alike_classes(classes)
    used = [column.name for column in columns if column.role in ("number", "category")]
    for name, values in zip(used, x.T, strict=True):
        if tells_class(values, y, len(classes)):
            yield f"column {name} alone tells the class of every row: --drop it if it is not known beforehand."


def tells_class(values: NDArray[np.float64], y: NDArray[np.int64], classes: int) -> bool:
    """Whether each of a few values belongs to one class, or each class to one range of values."""
    of_one_class = (pd.Series(y).groupby(values, dropna=False).nunique() == 1).to_numpy()
    ordered = y[np.argsort(values, kind="stable")]
    ranges = 1 + np.count_nonzero(ordered[1:] != ordered[:-1])
    few = len(of_one_class) <= min(max(MANY, classes), len(y) / 2)
    return bool(of_one_class.all() and (few or ranges == classes))
