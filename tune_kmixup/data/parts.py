"""The parts of a data set, the names that people give them, and the arrays that hold them."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

TRAIN, VAL, TEST = 0, 1, 2  # values of the array `part`
PARTS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("validation", "val", "valid", "dev"), VAL),
    **dict.fromkeys(("test", "testing"), TEST),
}  # names of files, folders and arrays, in lower case -> part
PART_NAMES = {TRAIN: "train", VAL: "validation", TEST: "test"}
FITTING = ({TRAIN, TEST}, {TRAIN, VAL, TEST})  # parts that a data set may be divided into


def part_of(name: str) -> int | None:
    """The part that a folder or a word means, in any case; None if it means none."""
    word = name.lower().removesuffix("set").removesuffix("data")  # training_set, test-data
    return PARTS.get(word.rstrip(" _-."))


def part_advice(parts: Iterable[int | None]) -> str:
    """What is to be done about parts that do not fit."""
    lacking = [PART_NAMES[part] for part in (TRAIN, TEST) if part not in parts]
    return f"add {' and '.join(lacking)} rows, or leave them undivided: then they are cross-validated"


def part_arrays(x: NDArray[Any], y: NDArray[np.int64], rows: Mapping[int, int]) -> dict[str, Any]:
    """The arrays of a data set.

    Args:
        x: inputs of all parts, one after the other.
        y: their classes.
        rows: part -> number of its rows, in the order of `x`. One part alone is cross-validated.
    """
    if rows.keys() != {TRAIN, TEST}:
        part = {"part": np.repeat(list(rows), list(rows.values()))} if len(rows) > 1 else {}
        return {"x": x, "y": y, **part}
    train = rows[TRAIN]
    return {"x_train": x[:train], "y_train": y[:train], "x_test": x[train:], "y_test": y[train:]}


def has_test_rows(arrays: Mapping[str, Any]) -> bool:
    """Whether a data set comes with official test rows: in arrays of their own, or named by `part`."""
    return "x_test" in arrays or "part" in arrays


def row_arrays(arrays: Mapping[str, Any]) -> tuple[str, str]:
    """The names of the arrays that training rows are taken from: inputs and labels."""
    return ("x_train", "y_train") if "x_test" in arrays else ("x", "y")
