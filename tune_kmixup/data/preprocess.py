"""Turns the raw columns of a table into inputs of a network. What it learns, it learns from training rows alone.

Raw columns are float64: numbers in their own units, and categories as numbers from 0. NaN is missing. What was learned
is kept as plain numbers, which a saved model holds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tune_kmixup.core.checks import check_fields
from tune_kmixup.core.errors import BadInput

MAX_LEVELS = 20  # inputs of one category; rarer levels share the last of them
MIN_ROWS = 2  # training rows of a level of its own
LARGEST = 1e6  # deviations of the training rows


@dataclass(frozen=True)
class Levels:
    """What a category becomes: an input for each of some levels, and perhaps one for all others.

    Attributes:
        own: numbers of the levels with an input of their own; None: a missing value.
        pooled: whether all others share a last input. Without it they have none.
    """

    own: tuple[int | None, ...]
    pooled: bool

    def __post_init__(self) -> None:
        check_fields(self)

    def one_hot(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """N numbers of levels, NaN where missing -> N x inputs."""
        inputs = np.zeros((len(codes), len(self.own) + 1))
        for number, code in enumerate(self.own):
            inputs[:, number] = np.isnan(codes) if code is None else codes == code
        inputs[:, -1] = 1 - inputs.sum(axis=1)
        return inputs if self.pooled else inputs[:, :-1]


@dataclass(frozen=True)
class TableScaling:
    """What was learned from the training rows of a table.

    Attributes:
        categorical: whether each column is a category, D values.
        medians: of each number, in place of missing values.
        means: of each number.
        scales: the standard deviation of each number, or 1.
        indicators: whether each number has an input that says where it is missing.
        levels: of each category.

    Raises:
        BadInput: if a value is of another type, or their numbers differ.
    """

    categorical: tuple[bool, ...]
    medians: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    indicators: tuple[bool, ...]
    levels: tuple[Levels, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        per_number = {len(self.medians), len(self.means), len(self.scales), len(self.indicators)}
        if per_number != {self.categorical.count(False)} or len(self.levels) != self.categorical.count(True):
            raise BadInput("medians, means, scales, indicators and levels do not fit categorical")

    @property
    def inputs(self) -> int:
        """The number of inputs of a row."""
        one_hot = sum(len(levels.own) + levels.pooled for levels in self.levels)
        return len(self.medians) + sum(self.indicators) + one_hot

    def transform(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Raw columns N x D -> inputs of a network N x inputs."""
        categorical = np.asarray(self.categorical)
        numbers, categories = x[:, ~categorical].astype(np.float64), x[:, categorical].T
        missing = np.isnan(numbers)
        scaled = (np.where(missing, self.medians, numbers) - self.means) / self.scales
        one_hot = [levels.one_hot(codes) for levels, codes in zip(self.levels, categories, strict=True)]
        inputs = np.concatenate([scaled, missing[:, np.asarray(self.indicators, bool)], *one_hot], axis=1)
        # A number far out of the training rows' range must not become infinite, here or in a network.
        return inputs.clip(-LARGEST, LARGEST).astype(np.float32)


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


def learned_scaling(train: NDArray[Any], categorical: NDArray[np.bool_]) -> TableScaling:
    """What `preprocessor` learns from training rows.

    Args:
        train: raw columns, float64 N x D.
        categorical: whether each column is a category, shape (D,).
    """
    fitted = preprocessor(categorical).fit(train).named_transformers_
    medians, means, scales, indicators, levels = np.empty(0), np.empty(0), np.empty(0), np.empty(0, bool), []
    if not categorical.all():
        imputer, scaler = (step for _, step in fitted["numbers"].steps)
        medians, means, scales = np.nan_to_num(imputer.statistics_), scaler.mean_, scaler.scale_
        indicators = np.isin(np.arange(len(medians)), fitted["missing"].features_)
    if categorical.any():
        encoder = fitted["categories"]
        for all_codes, rare in zip(encoder.categories_, encoder.infrequent_categories_, strict=True):
            pooled = set(map(code_or_none, () if rare is None else rare))
            own = tuple(code for code in map(code_or_none, all_codes) if code not in pooled)
            levels.append(Levels(own, bool(pooled)))
    return TableScaling(
        tuple(categorical.tolist()),
        tuple(medians.tolist()),
        tuple(means.tolist()),
        tuple(scales.tolist()),
        tuple(indicators.tolist()),
        tuple(levels),
    )


def code_or_none(code: float) -> int | None:
    return None if np.isnan(code) else int(code)


def standard_scaling(train: NDArray[Any]) -> TableScaling:
    """Scales numbers, none of them missing, to mean 0 and standard deviation 1. Columns constant in `train` become 0.

    Args:
        train: N x D.
    """
    train = train.astype(np.float64)
    mean, std = train.mean(0), train.std(0)
    std[std <= 1e-12 * np.abs(mean)] = 1
    means, no = tuple(mean.tolist()), (False,) * len(mean)
    return TableScaling(no, means, means, tuple(std.tolist()), no)
