"""Checks that arrays must pass before training. Errors name the file, the row (from 0) and the rule."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tune_kmixup.core.errors import BadInput
from tune_kmixup.data.parts import TEST, TRAIN, VAL, row_arrays

LARGEST = 1e100  # of a number: squares of larger ones overflow
INPUT_FORMATS = (
    "numbers N x C x H x W, N x H x W x C or N x H x W for images, N x D for tables, int16 N x samples beside `rate` "
    "for recordings"
)


def check_inputs(location: str, name: str, x: Any, recordings: bool) -> None:
    """Checks that inputs have one of the formats, and at least one row."""
    fits = x.ndim == 2 and x.dtype == np.int16 if recordings else x.ndim in (2, 3, 4) and x.dtype.kind in "fiub"
    if not fits or 0 in x.shape:
        raise BadInput(f"{location}: {name} is {x.dtype} of shape {x.shape}: store {INPUT_FORMATS}.")


def check_companions(location: str, arrays: Mapping[str, Any]) -> None:
    """Checks what a data set holds beside inputs and classes: that there is one value per row, column or class."""
    x, y = (arrays[name] for name in row_arrays(arrays))
    for name in ("group", "part"):
        if name in arrays and arrays[name].shape != y.shape:
            raise BadInput(
                f"{location}: {name} is of shape {arrays[name].shape}, y of {y.shape}: store one number per row."
            )
    if "part" in arrays and (found := np.unique(arrays["part"]).tolist()) != [TRAIN, VAL, TEST]:
        raise BadInput(f"{location}: part holds {found[:5]}: store 0 for training, 1 for validation, 2 for test rows.")
    if "categorical" in arrays and arrays["categorical"].shape != x.shape[1:2]:
        raise BadInput(
            f"{location}: categorical is of shape {arrays['categorical'].shape}: store one value per column of x."
        )
    if "categorical" in arrays and not np.isin(arrays["categorical"], (0, 1)).all():
        raise BadInput(f"{location}: categorical holds {arrays['categorical'].tolist()[:5]}: store true and false.")
    if "classes" in arrays and len(arrays["classes"]) != (count := int(y.max()) + 1):
        raise BadInput(f"{location}: classes has {len(arrays['classes'])} names: store one for each of {count}.")
    if "classes" in arrays and len(np.unique(arrays["classes"])) < len(arrays["classes"]):
        raise BadInput(f"{location}: classes has a name twice: store a different one for each class.")
    if "rate" in arrays and not is_rate(arrays["rate"]):
        raise BadInput(f"{location}: rate is not one number from 100 to 999,999: store the samples per second.")


def is_rate(rate: NDArray[Any]) -> bool:
    return rate.shape == () and rate.dtype.kind in "iuf" and bool(100 <= rate < 10**6)


def check_numbers(
    location: str, x: NDArray[Any], rows: NDArray[np.int64], categorical: NDArray[np.bool_] | None = None
) -> None:
    """Checks that no input is NaN, infinite, or so large that squares overflow, and that categories are whole numbers.

    Args:
        location: file and array, for messages.
        x: some rows of the array.
        rows: their numbers in the file.
        categorical: which columns are categories. With it NaN, a missing value, is allowed.

    Raises:
        BadInput: naming the first that is.
    """
    if x.dtype.kind != "f":
        return
    wrong = ~np.isfinite(x) if categorical is None else np.isinf(x)
    if x.dtype.itemsize > 4:  # smaller types hold no such numbers
        wrong |= np.abs(x) > LARGEST
    if wrong.any():
        row, *place = np.argwhere(wrong)[0]
        where = f"column {place[0]}" if len(place) == 1 else f"pixel {', '.join(map(str, place))}"
        raise BadInput(f"{location} row {rows[row]}: {where} is {x[row, *place]:g}: correct it, or remove the row.")
    if categorical is not None and (fractions := x[:, categorical] % 1 > 0).any():
        row, number = np.argwhere(fractions)[0]
        column = np.flatnonzero(categorical)[number]
        raise BadInput(
            f"{location} row {rows[row]}: column {column} of categories is {x[row, column]:g}: store whole numbers."
        )
