"""Where the variance of a task's mean gain comes from, and what gain it could have shown: pure functions of arrays."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .evidence import FEWEST_UNITS, LEVEL, Array, as_array, satterthwaite

POWER = 0.8


@dataclass(frozen=True)
class VarianceSplit:
    """Where the variance of one task's mean gain comes from.

    Attributes:
        search: variance of a unit's expected gain: search, selection and split. Includes `seeds` where each unit has
            one seed.
        seeds: variance of one final seed's gain about its unit's expectation; NaN where each unit has one seed.
        test_rows: variance over test rows of the paired difference; NaN where units have test rows of their own.
        units: number R.
        seeds_per_unit: number S; the harmonic mean where units differ.
        rows: number n of the shared test rows; None where units have their own.
    """

    search: float
    seeds: float
    test_rows: float
    units: int
    seeds_per_unit: float
    rows: int | None

    def terms(
        self, units: float | None = None, seeds: float | None = None, rows: float | None = None
    ) -> dict[str, float]:
        """What search, seeds and test rows add to the variance of the mean, as run or with other numbers."""
        units, seeds = units or self.units, seeds or self.seeds_per_unit
        shared = None if self.rows is None else rows or self.rows
        return {
            "search": self.search / units,
            "seeds": 0.0 if np.isnan(self.seeds) else self.seeds / seeds / units,
            "test_rows": 0.0 if shared is None else self.test_rows / shared,
        }

    def expected(
        self, units: float | None = None, seeds: float | None = None, rows: float | None = None
    ) -> tuple[float, float]:
        """Variance of the mean and degrees of freedom to expect, as run or with other numbers of each.

        Args:
            units: independent repeats or folds, at least 3; infinity is allowed, here and below.
            seeds: final seeds of each unit.
            rows: shared test rows; ignored where units have test rows of their own.

        Returns:
            The variance of the mean and its degrees of freedom, for `detectable_gain`.
        """
        terms = self.terms(units, seeds, rows)
        dfs = [(units or self.units) - 1.0, (rows or self.rows or np.inf) - 1.0]
        variance, df = satterthwaite([terms["search"] + terms["seeds"], terms["test_rows"]], dfs)
        return float(variance), float(df)

    def to_halve(self, level: float = LEVEL) -> dict[str, float]:
        """How many units, seeds or test rows would halve the interval, each with the other two as they are.

        Returns:
            "units", "seeds" and "rows": a whole number; infinity where no number of it can; NaN where it is not known
            (seeds of units with one seed, rows of units with test rows of their own, fewer than three units).
        """

        def width(**numbers: float) -> float:
            variance, df = self.expected(**numbers)
            return float(special.stdtrit(df, (1 + level) / 2) * np.sqrt(variance))

        numbers = {"units": float(self.units), "seeds": self.seeds_per_unit, "rows": float(self.rows or 0)}
        unknown = {"units": False, "seeds": np.isnan(self.seeds), "rows": self.rows is None}
        if self.units < FEWEST_UNITS:
            return dict.fromkeys(numbers, float("nan"))

        def fewest(name: str) -> float:
            if unknown[name]:
                return float("nan")
            return _fewest(lambda number: width(**{name: number}), int(np.ceil(numbers[name])), width() / 2)

        return {name: fewest(name) for name in numbers}


def _fewest(width: Callable[[float], float], start: int, target: float) -> float:
    """Smallest whole number from `start` on at which the width is at most `target`; infinity where there is none."""
    if width(float("inf")) > target or width(1e12) > target:
        return float("inf")
    low, high = start, start
    while width(high) > target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if width(middle) > target else (low, middle)
    return float(high)


def split_variances(gains: ArrayLike, row_variance: float = float("nan"), rows: int | None = None) -> VarianceSplit:
    """Splits the variance of one task's gain into search and split, seeds, and test rows.

    Args:
        gains: by unit and final seed, shape (R, S); NaN where a run is missing.
        row_variance: as in `mean_gain`.
        rows: as in `mean_gain`.

    Returns:
        Components by analysis of variance, unweighted over units; a negative one counts as 0.
    """
    gains = as_array(gains)
    gains = gains[~np.isnan(gains).all(-1)]
    counts = (~np.isnan(gains)).sum(-1)
    units = len(gains)
    means = np.nanmean(gains, -1) if units else np.zeros(0)
    between = float(means.var(ddof=1)) if units > 1 else float("nan")
    extra = int(counts.sum()) - units
    seeds = float(np.nansum((gains - means[:, None]) ** 2) / extra) if extra > 0 else float("nan")
    per_unit = float((1 / counts).mean()) if units else float("nan")  # 1/S
    search = max(0.0, between - seeds * per_unit) if extra > 0 and units > 1 else between
    return VarianceSplit(search, seeds, float("nan") if rows is None else row_variance, units, 1 / per_unit, rows)


def detectable_gain(variance: ArrayLike, df: ArrayLike, level: float = LEVEL, power: float = POWER) -> Array:
    """The true gain that is shown with this power, by the noncentral t distribution.

    Args:
        variance: of the mean gain, shape (...), as in `MeanGain` or from `VarianceSplit.expected`.
        df: its degrees of freedom, shape (...).
        level: of the two-sided interval.
        power: probability, above (1 - level) / 2, that the interval's lower end is above 0.

    Returns:
        In the gain's own units, shape (...).
    """
    variance, df = as_array(variance), as_array(df)
    critical = special.stdtrit(df, (1 + level) / 2)
    return np.asarray(special.nctdtrinc(df, 1 - power, critical) * np.sqrt(variance))
