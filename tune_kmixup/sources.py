"""Where the data come from: loaders that give plain numpy arrays, and the checks every one of them passes.

Arrays are `x_train, y_train, x_test, y_test` (and `x_val, y_val` where a validation part is official), or `x, y` (and
`group`, rows of one group staying together) where there is no official test set. Images are uint8 N x C x H x W,
tables float32 N x D, labels int64.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets

from tune_kmixup import toys
from tune_kmixup.study import BadInput

Arrays = Mapping[str, NDArray[Any]]
Kind = Literal["toy", "table", "image", "audio"]


@dataclass(frozen=True)
class Dataset:
    """A data set and how to have it. Figures are those of the whole set, before any split."""

    kind: Kind
    rows: int  # without the official test rows
    test_rows: int | None  # of the official test set; None: cross-validated
    classes: int
    shape: tuple[int, ...]  # of one input of the network
    source: str
    licence: str
    size: str = ""  # of the download; empty where nothing is downloaded
    load: Callable[[Path], Arrays] | None = None  # reads it, from the data directory at most; downloads if need be
    generate: Callable[[int, np.random.Generator], toys.Rows] | None = None  # toy sets


def bundled(name: str) -> Callable[[Path], Arrays]:
    """A table that ships inside scikit-learn."""

    def load(data_dir: Path) -> Arrays:
        found = getattr(datasets, f"load_{name}")()
        return {"x": found.data.astype(np.float32), "y": found.target.astype(np.int64)}

    return load


def digits(data_dir: Path) -> Arrays:
    """8x8 images with 17 grey levels; stored as 0 to 255."""
    found = datasets.load_digits()
    return {"x": (found.images[:, None] * (255 / 16)).round().astype(np.uint8), "y": found.target.astype(np.int64)}


def read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz, checked. Raises BadInput naming file, array, row and rule."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except Exception as error:  # a zip cut short fails in many ways
        raise BadInput(f"{path} is no readable .npz ({error}): delete it and fetch it again.") from error
    keys = {"x_train", "y_train", "x_test", "y_test"} if "x_train" in arrays else {"x", "y"}
    if absent := keys - arrays.keys():
        raise BadInput(f"{path} lacks {', '.join(sorted(absent))}: store x, y or x_train, y_train, x_test, y_test.")
    return arrays
