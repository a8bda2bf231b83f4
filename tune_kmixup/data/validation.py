"""What every data set must satisfy before it is trained on. Errors name the file, the row (from 0) and the rule."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tune_kmixup.core.errors import BadInput

FORMS = "uint8 N x C x H x W for images, numbers N x D for tables, int16 N x rate beside `rate` for recordings"


def check_arrays(where: str, arrays: Mapping[str, Any]) -> None:
    """Names, shapes, types and labels, without reading inputs. Raises BadInput."""
    stems = ("_train", "_test") if "x_train" in arrays else ("",)
    wanted = [f"{axis}{stem}" for stem in stems for axis in "xy"]
    if absent := [name for name in wanted if name not in arrays]:
        raise BadInput(f"{where} lacks {', '.join(absent)}: store x and y, or x_train, y_train, x_test and y_test.")
    x, y = arrays[f"x{stems[0]}"], arrays[f"y{stems[0]}"]
    for stem in stems:
        inputs, labels = arrays[f"x{stem}"], arrays[f"y{stem}"]
        check_inputs(where, f"x{stem}", inputs, "rate" in arrays)
        if inputs.shape[1:] != x.shape[1:] or inputs.dtype != x.dtype:
            raise BadInput(f"{where}: x_train and x_test differ in shape or type of a row: make them alike.")
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise BadInput(
                f"{where}: y{stem} is {labels.dtype} of shape {labels.shape}: store one whole number per row, from 0."
            )
        if len(labels) != len(inputs):
            raise BadInput(
                f"{where}: x{stem} has {len(inputs)} rows, y{stem} has {len(labels)}: store one label per row."
            )
    for name in ("group", "part"):
        if name in arrays and len(arrays[name]) != len(y):
            raise BadInput(f"{where}: {name} has {len(arrays[name])} rows, y has {len(y)}: store one number per row.")
    check_classes(where, f"y{stems[0]}", y)
    if stems[0]:
        strange = np.flatnonzero((arrays["y_test"] < 0) | (arrays["y_test"] > y.max()))
        if len(strange):
            label = arrays["y_test"][strange[0]]
            raise BadInput(
                f"{where} row {strange[0]}: y_test={label} is not among the classes 0 to {y.max()} of y_train."
            )


def check_inputs(where: str, name: str, x: Any, recordings: bool) -> None:
    """One of the three forms of inputs, with at least one row."""
    image = x.ndim == 4 and x.dtype == np.uint8
    table = x.ndim == 2 and x.dtype.kind in "fiub"
    if not (x.ndim == 2 and x.dtype == np.int16 if recordings else image or table) or 0 in x.shape:
        raise BadInput(f"{where}: {name} is {x.dtype} of shape {x.shape}: store {FORMS}.")


def check_classes(where: str, name: str, y: NDArray[np.int64]) -> None:
    """Class numbers 0 to C-1, each with rows, C at least 2."""
    there = np.unique(y)
    if there[0] < 0:
        raise BadInput(f"{where} row {np.flatnonzero(y < 0)[0]}: {name}={there[0]} is negative: number classes from 0.")
    if len(there) < 2:
        raise BadInput(f"{where}: all rows of {name} are of class {there[0]}: there is nothing to learn; add another.")
    gaps = np.flatnonzero(there != np.arange(len(there)))
    if len(gaps):
        raise BadInput(
            f"{where}: class {gaps[0]} of 0 to {there[-1]} has no row in {name}: number classes without gaps."
        )


def check_finite(where: str, x: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """No NaN and no infinity. `rows` are the numbers of the rows of `x` in the file."""
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise BadInput(
            f"{where} row {rows[row]}: column {column} is {x[row, column]}: fill it in, or leave the row out."
        )
