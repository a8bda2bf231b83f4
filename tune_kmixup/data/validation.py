"""Checks that every data set must pass before training. Errors name the file, the row (from 0) and the rule."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tune_kmixup.core.errors import BadInput

INPUT_FORMATS = "uint8 N x C x H x W for images, numbers N x D for tables, int16 N x rate beside `rate` for recordings"


def check_arrays(location: str, arrays: Mapping[str, Any]) -> None:
    """Checks names, shapes, types and labels without reading the inputs. Raises BadInput naming `location`."""
    suffixes = ("_train", "_test") if "x_train" in arrays else ("",)
    required = [f"{name}{suffix}" for suffix in suffixes for name in "xy"]
    if missing := [name for name in required if name not in arrays]:
        raise BadInput(f"{location} lacks {', '.join(missing)}: store x and y, or x_train, y_train, x_test and y_test.")
    x, y = arrays[f"x{suffixes[0]}"], arrays[f"y{suffixes[0]}"]
    for suffix in suffixes:
        inputs, labels = arrays[f"x{suffix}"], arrays[f"y{suffix}"]
        check_inputs(location, f"x{suffix}", inputs, "rate" in arrays)
        if inputs.shape[1:] != x.shape[1:] or inputs.dtype != x.dtype:
            raise BadInput(f"{location}: x_train and x_test differ in shape or type of a row: make them the same.")
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise BadInput(
                f"{location}: y{suffix} is {labels.dtype} of shape {labels.shape}: "
                "store one whole number per row, from 0."
            )
        if len(labels) != len(inputs):
            raise BadInput(
                f"{location}: x{suffix} has {len(inputs)} rows, y{suffix} has {len(labels)}: store one label per row."
            )
    for name in ("group", "part"):
        if name in arrays and len(arrays[name]) != len(y):
            raise BadInput(
                f"{location}: {name} has {len(arrays[name])} rows, y has {len(y)}: store one number per row."
            )
    if "categorical" in arrays and len(arrays["categorical"]) != x.shape[1]:
        raise BadInput(f"{location}: categorical has {len(arrays['categorical'])} values: store one per column of x.")
    check_classes(location, f"y{suffixes[0]}", y)
    if "classes" in arrays and len(arrays["classes"]) != y.max() + 1:
        raise BadInput(f"{location}: classes has {len(arrays['classes'])} names: store one for each of {y.max() + 1}.")
    if suffixes[0]:
        unknown = np.flatnonzero((arrays["y_test"] < 0) | (arrays["y_test"] > y.max()))
        if len(unknown):
            label = arrays["y_test"][unknown[0]]
            raise BadInput(
                f"{location} row {unknown[0]}: y_test={label} is not among the classes 0 to {y.max()} of y_train: "
                "remove the row, or add the class to y_train."
            )


def check_inputs(location: str, name: str, x: Any, recordings: bool) -> None:
    """Checks that inputs have one of the three formats, and at least one row."""
    image = x.ndim == 4 and x.dtype == np.uint8
    table = x.ndim == 2 and x.dtype.kind in "fiub"
    if not (x.ndim == 2 and x.dtype == np.int16 if recordings else image or table) or 0 in x.shape:
        raise BadInput(f"{location}: {name} is {x.dtype} of shape {x.shape}: store {INPUT_FORMATS}.")


def check_classes(location: str, name: str, y: NDArray[np.int64]) -> None:
    """Checks that the labels are 0 to C - 1, that C is at least 2, and that every class has rows."""
    classes = np.unique(y)
    if classes[0] < 0:
        row = np.flatnonzero(y < 0)[0]
        raise BadInput(f"{location} row {row}: {name}={classes[0]} is negative: number classes from 0.")
    if len(classes) < 2:
        raise BadInput(
            f"{location}: all rows of {name} are of class {classes[0]}: there is nothing to learn; add another class."
        )
    gaps = np.flatnonzero(classes != np.arange(len(classes)))
    if len(gaps):
        raise BadInput(
            f"{location}: class {gaps[0]} of 0 to {classes[-1]} has no row in {name}: number classes without gaps."
        )


def check_finite(location: str, x: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """Checks that no input is NaN or infinite. `rows` are the numbers of the rows of `x` in the file."""
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise BadInput(
            f"{location} row {rows[row]}: column {column} is {x[row, column]}: fill it in, or remove the row."
        )
