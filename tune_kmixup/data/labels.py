"""Labels in the forms that people store, as numbers of classes from 0, and the names of the classes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tune_kmixup.core.checks import shown
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data.table_files import MANY

MOST_CLASSES = 100  # of whole numbers
ROWS_PER_NUMBER = 10  # a label of more than MANY numbers has at least so many rows for each, or it is a quantity


def check_no_quantity(label: str, values: NDArray[Any], rows: int) -> None:
    """Raises BadInput if a label looks like a quantity to predict.

    Args:
        label: its name, for the message.
        values: its different numbers, ascending.
        rows: number of rows.
    """
    whole = not (values % 1).any()
    classes = whole and rows >= ROWS_PER_NUMBER * len(values) and len(values) <= MOST_CLASSES
    if not classes and len(values) > (MANY if whole else MANY // 2):
        raise BadInput(
            f"{label} has {len(values):,} different numbers, which is regression and not supported: name another "
            "label, or write classes in its place."
        )


def check_classes(label: str, names: NDArray[np.str_], rows: int, missing: int = 0) -> None:
    """Raises BadInput if classes are too many or one alone. `missing` is the number of rows without a label."""
    if len(names) > max(2, rows / 2):
        raise BadInput(f"{label} has {len(names):,} different values in {rows:,} rows: name a label of fewer classes.")
    if len(names) < 2 and missing:
        raise BadInput(
            f"{label} is {str(names[0])!r} where it is not missing, as in {missing:,} rows (NA, null and ? count as "
            "missing): write the other class in another word, or name another label."
        )
    if len(names) < 2:
        raise BadInput(f"{label} is {str(names[0])!r} in every row: name another label, or add another class.")


def alike_classes(names: NDArray[np.str_]) -> list[str]:
    """A warning if names differ in case or blanks alone."""
    plain = pd.Series(names).str.strip().str.lower()
    if not plain.duplicated().any():
        return []
    same = " and ".join(map(repr, names[(plain == plain[plain.duplicated()].iloc[0]).to_numpy()].tolist()))
    return [f"classes {same} differ in case or blanks alone: write them alike if they are one."]


def names_of(values: NDArray[Any]) -> NDArray[np.str_]:
    """Names of classes, from their different values."""
    return np.asarray([f"{value:.15g}" if values.dtype.kind == "f" else str(value) for value in values])


def text(location: str, key: str, values: NDArray[Any]) -> NDArray[Any]:
    """Text of bytes in UTF-8; other values unchanged."""
    if values.dtype.kind != "S":
        return values
    try:
        return np.char.decode(values, "utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{location}: {key} holds bytes that are no UTF-8 ({error}): store text.") from error


def one_per_row(location: str, key: str, y: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Labels as they are stored -> one value per row, and the form that they had, in words.

    Args:
        location: file, for messages.
        key: name of the array.
        y: N or N x 1 numbers, bools, text or bytes, or N x C one-hot rows.

    Raises:
        BadInput: if they are of another form, such as several labels per row, or one is missing.
    """
    named = f"{location}: {key}"
    if y.dtype.kind not in "biufSU" or y.ndim not in (1, 2) or 0 in y.shape:
        raise BadInput(f"{named} is {y.dtype} of shape {y.shape}: store one label per row, or one-hot rows.")
    form = "" if y.ndim == 1 else " N x 1" if y.shape[1] == 1 else " one-hot"
    if y.dtype.kind == "f" and (absent := np.flatnonzero(~np.isfinite(y.reshape(len(y), -1)).all(axis=1))).size:
        raise BadInput(f"{named} row {absent[0]} is {y[absent[0]]}: label the row, or remove it.")
    if form == " one-hot":
        if y.dtype.kind in "SU" or not np.isin(y, (0, 1)).all():
            raise BadInput(f"{named} is {y.dtype} of shape {y.shape} and not one-hot: store one label per row.")
        if (odd := np.flatnonzero(y.sum(axis=1) != 1)).size:
            raise BadInput(
                f"{named} row {odd[0]} has {int(y[odd[0]].sum())} classes, which is multi-label and not supported: "
                "store one class per row."
            )
        return y.argmax(axis=1), f"labels{form}"
    values = text(location, key, y.reshape(len(y)))
    if values.dtype.kind == "U":
        values = np.char.strip(values)
        if (empty := np.flatnonzero(np.isin(values, ("", "nan")))).size:  # astype(str) makes nan of a missing one
            found = values[empty[0]]
            how = ", in another word if that is its class" if found else ""
            raise BadInput(f"{named} row {empty[0]} is {found or 'empty'}: label the row{how}, or remove it.")
    if values.dtype.kind == "f" and not (values % 1).any() and (np.abs(values) < 2**53).all():
        return values.astype(np.int64), f"whole numbers{form} as {y.dtype}"
    return values, f"{'text' if values.dtype.kind == 'U' else y.dtype}{form}"


def encode(
    location: str, labels: Mapping[str, NDArray[Any]], given: NDArray[Any] | None
) -> tuple[dict[str, NDArray[Any]], NDArray[np.str_], NDArray[np.str_], list[str]]:
    """Numbers classes from 0, in the order of their values. Labels that are so numbered already stay as they are.

    Args:
        location: file, for messages.
        labels: key -> values. The first are those of the training rows, or of all.
        given: names of the classes; None takes their values.

    Returns:
        Key -> numbers of the classes; the names of the classes; how each is written; and warnings.

    Raises:
        BadInput: if they look like a quantity, there is one class alone, or a part has a class without training rows.
    """
    first, train = next(iter(labels.items()))
    values = np.unique(train)
    numbers, named = values.dtype.kind in "iuf", f"{location}: {first}"
    numbered = values.dtype.kind in "iu" and values[0] in (0, 1) and values[-1] - values[0] == len(values) - 1
    if numbers and not numbered:
        check_no_quantity(named, values, len(train))
    check_classes(named, names_of(values), len(train))
    codes = {}
    for key, part in labels.items():
        if (part.dtype.kind == "U") != (train.dtype.kind == "U"):
            raise BadInput(f"{location}: {first} is {train.dtype}, {key} is {part.dtype}: store both alike.")
        found = np.searchsorted(values, part).clip(max=len(values) - 1)
        if (unknown := np.flatnonzero(values[found] != part)).size:
            raise BadInput(
                f"{location} row {unknown[0]}: {key}={part[unknown[0]]} is not among the classes of {first}: remove "
                f"the row, or add the class to {first}."
            )
        codes[key] = part if part.dtype.kind in "iu" and np.array_equal(found, part) else found
    names = names_of(values)
    warned: list[str] = []
    if given is not None:
        names, warned = given_names(location, first, values, given)
    if numbers and len(values) > 2 and values[0] == -1 and numbered_from_zero(values[1:]):
        warned.append(f"class -1 of {first} often means that a row has no label: remove these rows if it does.")
    return codes, names, names_of(values), warned


def numbered_from_zero(values: NDArray[Any]) -> bool:
    return np.array_equal(values, np.arange(len(values)))


def given_names(
    location: str, key: str, values: NDArray[Any], given: NDArray[Any]
) -> tuple[NDArray[np.str_], list[str]]:
    """The names of the classes that occur, and warnings.

    Args:
        location: file, for messages.
        key: name of the array of labels.
        values: the labels that occur, sorted.
        given: names in the order of the classes, or numbered from 0. Of labels that are text, they are the same words.

    Raises:
        BadInput: if they do not fit the labels.
    """
    names = np.char.strip(text(location, "classes", given).astype(str))
    if values.dtype.kind == "U":
        if extra := sorted({*values.tolist()} - {*names.tolist()}):
            raise BadInput(
                f"{location}: {key} holds {shown(extra[0])}, which is not among classes: add it, or leave out classes."
            )
        return values.astype(str), []
    if values.dtype.kind in "iu" and values[0] >= 0 and values[-1] < len(names):
        absent = sorted({*range(len(names))} - {*values.tolist()})
        told = (
            f"classes are counted from 0, and no row is of {shown(str(names[absent[0]]))}: check {key}."
            if absent
            else ""
        )
        return names[values], [told] if told else []
    if len(names) != len(values):
        raise BadInput(f"{location}: classes has {len(names)} names: store one for each of {len(values)} classes.")
    return names, []
