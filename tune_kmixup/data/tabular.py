"""Tables: those that ship with scikit-learn, those of the UCI repository through OpenML, and a user's own CSV.

Loaders return x, float32 N x D in the units of the source, and y, int64 class numbers.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

from tune_kmixup.core.errors import BadInput
from tune_kmixup.data.npz import Arrays


def sklearn_loader(name: str) -> Callable[[], Arrays]:
    """Loader of a table that ships with scikit-learn."""

    def load() -> Arrays:
        bunch = getattr(datasets, f"load_{name}")()
        return {"x": bunch.data.astype(np.float32), "y": bunch.target.astype(np.int64)}

    return load


def load_digits() -> Arrays:
    """scikit-learn's 8x8 digits. The 17 grey levels are spread over 0 to 255: uint8 N x 1 x 8 x 8."""
    bunch = datasets.load_digits()
    return {"x": (bunch.images[:, None] * (255 / 16)).round().astype(np.uint8), "y": bunch.target.astype(np.int64)}


def fetch_openml(data_id: int, folder: Path) -> pd.DataFrame:
    """A table from OpenML, the target in its last column. scikit-learn verifies the checksum."""
    bunch = datasets.fetch_openml(data_id=data_id, data_home=folder, as_frame=True, parser="liac-arff")
    table: pd.DataFrame = pd.concat([bunch.data, bunch.target], axis=1)
    return table


def load_abalone(folder: Path, download: bool) -> Arrays:
    """UCI 1: sex (male, female, infant) one-hot, then seven measurements. The class is the number of rings."""
    table = fetch_openml(183, folder)
    sex = np.stack([table.iloc[:, 0].to_numpy() == letter for letter in "MFI"], axis=1)
    measurements = table.iloc[:, 1:-1].to_numpy(np.float32)
    rings = table.iloc[:, -1].astype(int).to_numpy(np.int64)
    return {"x": np.concatenate([sex.astype(np.float32), measurements], axis=1), "y": rings}


def load_phishing(folder: Path, download: bool) -> Arrays:
    """UCI 327: thirty features with values -1, 0 and 1. Class 1 is phishing (-1 in the source)."""
    table = fetch_openml(4534, folder).astype(int).to_numpy(np.int64)
    return {"x": table[:, :-1].astype(np.float32), "y": (table[:, -1] == -1).astype(np.int64)}


def read_csv(path: Path) -> Arrays:
    """A CSV with a header row and a column `label` of class names. Other columns that are not numbers become one-hot.

    Classes are numbered in the order of their sorted names. Raises BadInput, naming file, row and column, if a value
    is missing or infinite, or if there is no column `label`.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path} cannot be read as CSV ({error}): write a header row and one row per example."
        ) from error
    if "label" not in table:
        raise BadInput(f"{path} has no column 'label', only {', '.join(table.columns)}: name the column of classes so.")
    missing = (table.isna() | table.isin([np.inf, -np.inf])).to_numpy()
    if missing.any():
        row, column = np.argwhere(missing)[0]
        raise BadInput(f"{path} row {row + 2}: column {table.columns[column]!r} is empty or infinite: fill it in.")
    x = pd.get_dummies(table.drop(columns="label"), dtype=float).to_numpy(np.float32)
    return {"x": x, "y": np.unique(table["label"], return_inverse=True)[1].astype(np.int64)}
