"""Means of independent units with intervals, and tests on them: pure functions of arrays."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

FEWEST_UNITS = 3  # fewer units give no interval


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

    def __add__(self, other: float) -> "Estimate":
        return Estimate(self.mean + other, self.low + other, self.high + other, self.units)


def t_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Estimate:
    """Mean with Student's t interval; the interval of equal values has no width (scipy's would be NaN).

    Args:
        values: independent units, shape (n,).
        level: confidence level of the two-sided interval, between 0 and 1.

    Returns:
        The estimate; without an interval for fewer than three units.
    """
    values = np.asarray(values, dtype=float)
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    if n < FEWEST_UNITS:
        return Estimate(mean, math.nan, math.nan, n)
    half = float(scipy.stats.t.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)


def bootstrap_t(
    values: Sequence[float] | np.ndarray, rng: np.random.Generator, level: float = 0.95, resamples: int = 4000
) -> Estimate:
    """Mean with the bootstrap-t interval (Efron and Tibshirani 1993, section 12.5).

    It checks `t_interval` without assuming normality. Percentile and BCa intervals, which scipy has, are too short for
    so few units.

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
    if n < FEWEST_UNITS or values.std() == 0:
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


def one_sided(values: np.ndarray) -> float:
    """p of Student's one-sided t test that the mean is not above 0.

    Args:
        values: independent units, shape (n,), n at least 2.

    Returns:
        p; 0 or 1 where all values are equal.
    """
    if values.std() == 0:
        return 0.0 if values.mean() > 0 else 1.0
    return float(scipy.stats.ttest_1samp(values, 0, alternative="greater").pvalue)


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """Corrects p-values for their number, step down (Holm 1979).

    Args:
        p_values: p-value by name of the hypothesis.

    Returns:
        Corrected p-value by name, smallest first.
    """
    corrected, largest = {}, 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p))
        corrected[name] = largest
    return corrected


def interquartile_mean(values: np.ndarray) -> float:
    """Mean of the middle half (Agarwal et al., NeurIPS 2021); NaN where there is no value."""
    return float(scipy.stats.trim_mean(values, 0.25)) if len(values) else math.nan
