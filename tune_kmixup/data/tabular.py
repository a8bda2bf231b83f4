"""Tables: those inside scikit-learn, those of the UCI repository by way of OpenML, and a user's own CSV.

Loaders return x, float32 N x D in the units of the source, and y, int64 class numbers.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import datasets

from tune_kmixup.core.errors import BadInput

Arrays = dict[str, NDArray[Any]]


def bundled(name: str) -> Callable[[], Arrays]:
    """A table that ships inside scikit-learn."""

    def load() -> Arrays:
        found = getattr(datasets, f"load_{name}")()
        return {"x": found.data.astype(np.float32), "y": found.target.astype(np.int64)}

    return load


def digits() -> Arrays:
    """scikit-learn's 8x8 digits, whose 17 grey levels are spread over 0 to 255: uint8 N x 1 x 8 x 8."""
    found = datasets.load_digits()
    return {"x": (found.images[:, None] * (255 / 16)).round().astype(np.uint8), "y": found.target.astype(np.int64)}


def openml(data_id: int, folder: Path) -> pd.DataFrame:
    """A table from OpenML, its checksum verified by scikit-learn; the target is the last column."""
    found = datasets.fetch_openml(data_id=data_id, data_home=folder, as_frame=True, parser="liac-arff")
    table: pd.DataFrame = pd.concat([found.data, found.target], axis=1)
    return table


def abalone(folder: Path, download: bool) -> Arrays:
    """UCI 1: sex (male, female, infant) one-hot, seven measures; the class is the number of rings."""
    table = openml(183, folder)
    sex = np.stack([table.iloc[:, 0].to_numpy() == letter for letter in "MFI"], axis=1)
    measures = table.iloc[:, 1:-1].to_numpy(np.float32)
    rings = table.iloc[:, -1].astype(int).to_numpy(np.int64)
    return {"x": np.concatenate([sex.astype(np.float32), measures], axis=1), "y": rings}


def phishing(folder: Path, download: bool) -> Arrays:
    """UCI 327: thirty features with values -1, 0 and 1; class 1 is phishing (-1 in the source)."""
    table = openml(4534, folder).astype(int).to_numpy(np.int64)
    return {"x": table[:, :-1].astype(np.float32), "y": (table[:, -1] == -1).astype(np.int64)}


def csv_table(path: Path, label: str = "label") -> Arrays:
    """A CSV with a header row and a column of class names; other columns that are not numbers become one-hot.

    Classes are numbered in the order of their sorted names. Raises BadInput, naming file, row and column, where a
    value is missing or infinite, or where there is no column `label`.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path} cannot be read as CSV ({error}): write a header row and one row per example."
        ) from error
    if label not in table:
        raise BadInput(f"{path} has no column {label!r}, only {', '.join(table.columns)}: name the column of classes.")
    empty = table.isna() | table.isin([np.inf, -np.inf])
    if empty.to_numpy().any():
        row, column = np.argwhere(empty.to_numpy())[0]
        raise BadInput(f"{path} row {row + 2}: column {table.columns[column]!r} is empty or infinite: fill it in.")
    x = pd.get_dummies(table.drop(columns=label), dtype=float).to_numpy(np.float32)
    return {"x": x, "y": np.unique(table[label], return_inverse=True)[1].astype(np.int64)}
