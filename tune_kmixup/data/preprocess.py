"""Turns the raw columns of a table into inputs of a network. What it learns, it learns from training rows alone.

Raw columns are float64: numbers in their own units, and categories as numbers from 0. NaN is missing.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

MAX_LEVELS = 20  # inputs of one category; rarer levels share the last of them
MIN_ROWS = 2  # training rows of a level of its own


def preprocessor(categorical: NDArray[np.bool_]) -> ColumnTransformer:
    """Numbers are imputed by the median, centred and scaled; where training rows lack some, an input says which.

    Categories become one-hot. A missing one is a level of its own; a level that no training row has is none, or the
    pooled one.

    Args:
        categorical: whether each column is a category, shape (D,).
    """
    numbers, categories = np.flatnonzero(~categorical), np.flatnonzero(categorical)
    scaled = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=MIN_ROWS, max_categories=MAX_LEVELS, sparse_output=False
    )
    return ColumnTransformer(
        [
            ("numbers", scaled, numbers),
            ("missing", MissingIndicator(error_on_new=False), numbers),
            ("categories", one_hot, categories),
        ]
    )


def preprocess(parts: dict[str, NDArray[Any]], categorical: NDArray[np.bool_]) -> dict[str, NDArray[np.float32]]:
    """Inputs of a network, fitted on the part `train`.

    Args:
        parts: name of a part -> its raw columns, float64 N x D.
        categorical: whether each column is a category, shape (D,).

    Returns:
        Name of the part -> float32 N x inputs. Their number depends on the training rows.
    """
    fitted = preprocessor(categorical).fit(parts["train"])
    largest = np.finfo(np.float32).max  # a number far out of the training rows' range must not become infinite
    return {name: fitted.transform(x).clip(-largest, largest).astype(np.float32) for name, x in parts.items()}
