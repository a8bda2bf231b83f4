"""Estimates to show, and tests that check them: pure functions of arrays."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike

from .evidence import FEWEST_UNITS, LEVEL, ROUNDING, MeanGain, as_array, mean_gain


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval.

    Attributes:
        mean: NaN where there is no unit.
        low: lower end of the interval; NaN where there are too few units.
        high: upper end of the interval; NaN where there are too few units.
        units: number of independent units.
    """

    mean: float
    low: float
    high: float
    units: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def estimate(mean: MeanGain, units: int, level: float = LEVEL) -> Estimate:
    """The mean of independent units with its interval at one level.

    Args:
        mean: of one quantity, shape ().
        units: number of independent units behind it.
        level: confidence level of the two-sided interval, between 0 and 1.
    """
    return Estimate(float(mean.mean), float(mean.low(level)), float(mean.high(level)), units)


def t_interval(values: ArrayLike, level: float = LEVEL) -> Estimate:
    """Mean of independent units with Student's t interval.

    Args:
        values: shape (n,).
        level: confidence level of the two-sided interval, between 0 and 1.
    """
    values = as_array(values)
    return estimate(mean_gain(values), len(values), level)


def bootstrap_t(
    values: Sequence[float] | np.ndarray, rng: np.random.Generator, level: float = LEVEL, resamples: int = 4000
) -> Estimate:
    """Mean with the bootstrap-t interval (Efron and Tibshirani 1993, section 12.5).

    It checks Student's interval without assuming normality. Percentile and BCa intervals, which scipy has, are too
    short for so few units.

    Args:
        values: independent units, shape (n,).
        rng: draws the resamples.
        level: confidence level of the two-sided interval, between 0 and 1.
        resamples: number of bootstrap samples.

    Returns:
        The estimate; without an interval for fewer than three units.
    """
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n < FEWEST_UNITS or values.std() < ROUNDING:
        return t_interval(values, level)
    mean, standard_error = float(values.mean()), values.std(ddof=1) / np.sqrt(n)
    samples = values[rng.integers(n, size=(resamples, n))]
    deviations = samples.std(axis=1, ddof=1)
    varied = deviations > 0  # a sample of one unit repeated has no spread
    pivots = (samples.mean(axis=1)[varied] - mean) / (deviations[varied] / np.sqrt(n))
    low, high = np.quantile(pivots, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(mean, float(mean - high * standard_error), float(mean - low * standard_error), n)


def sign_flip(
    values: Sequence[float] | np.ndarray, rng: np.random.Generator, resamples: int = 20_000
) -> tuple[float, float]:
    """Two-sided sign-flip permutation test that the mean is 0, by scipy.

    Args:
        values: independent units, shape (n,).
        rng: draws the flips where 2ⁿ is greater than `resamples`; otherwise the test is exact.
        resamples: number of random flips; the observed signs are counted in (Phipson and Smyth, 2010).

    Returns:
        p, and the smallest p that is possible with so many units; NaN where there is no unit.
    """
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n < 2:  # scipy needs two
        return (1.0, 1.0) if n else (math.nan, math.nan)
    test = scipy.stats.permutation_test(
        (values,),
        lambda flipped, axis: np.abs(flipped.mean(axis)),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        alternative="greater",
        rng=rng,
    )
    smallest = 2 / 2**n if 2**n <= resamples else 1 / (resamples + 1)
    return float(test.pvalue), smallest
