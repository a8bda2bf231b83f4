"""Intervals for gains of a tuned method: pure functions of arrays.

A *unit* is one independent run of the whole procedure: search, selection and final seeds, on one outer split. The unit
of a task with an official test set is a *repeat*; all repeats share the test rows, whose luck is a second term of the
variance. The unit of a cross-validated task is a fold, which has test rows of its own.

The estimand is the expected gain of the whole procedure on new rows of the same kind. A gain is the reference's error
minus the method's error, so that positive is better.

Every test is two-sided at the level of the interval: a gain is *shown* where the interval's lower end is above 0. A
p-value of one direction is therefore twice the one-sided one, and p < 0.05 wherever a 95 % interval excludes 0.

All functions work along the last axis and broadcast over the axes before it: one task is an array without those axes,
a simulation has one row for each study. `benchmarks/coverage.py` simulates what is claimed here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from tune_kmixup.core.config import Claims

Array = NDArray[np.float64]
Weights = Mapping[str, float | Array]  # method -> weight of its error

FEWEST_UNITS = 3  # fewer give no interval
LEVEL, DELTA = Claims.level, Claims.delta  # as a suite fixes them unless it says otherwise
ROUNDING = 1e-12  # a standard deviation below it is that of equal errors, which floating point has made differ


def as_array(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=float)


@dataclass(frozen=True)
class MeanGain:
    """A mean with its variance: everything that an interval or a test of it needs.

    Attributes:
        mean: shape (...).
        variance: of the mean, not of the units, shape (...); NaN where there are too few units.
        df: degrees of freedom of `variance`, shape (...); NaN where there are too few units.
    """

    mean: Array
    variance: Array
    df: Array

    def half_width(self, level: float = LEVEL) -> Array:
        """Half the width of Student's t interval; NaN where there are too few units.

        NaN also where nothing varies: errors on few rows are coarse, and a few equal ones say nothing of the spread.
        """
        variance = np.where(self.variance > 0, self.variance, np.nan)
        return np.asarray(special.stdtrit(self.df, (1 + level) / 2) * np.sqrt(variance))

    def low(self, level: float = LEVEL) -> Array:
        """The lower end of the two-sided interval of this level, 0 to 1."""
        return self.mean - self.half_width(level)

    def high(self, level: float = LEVEL) -> Array:
        """Its upper end."""
        return self.mean + self.half_width(level)

    def p_above(self) -> Array:
        """Twice the one-sided p-value of H0: the mean is at most 0. It is below 0.05 where `low(0.95)` is above 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(self.mean == 0, 0.0, self.mean / np.sqrt(self.variance))
        p = np.minimum(1.0, 2 * special.stdtr(self.df, -t))
        return np.where(self.variance > 0, p, np.nan)

    def p_below(self) -> Array:
        """Twice the one-sided p-value of H0: the mean is at least 0. It is below 0.05 where `high(0.95)` is below 0."""
        return MeanGain(-self.mean, self.variance, self.df).p_above()

    def p(self) -> Array:
        """Two-sided p-value of H0: the mean is 0. It is below 0.05 where the 95 % interval leaves out 0."""
        return np.minimum(self.p_above(), self.p_below())


def p_between(plus: MeanGain, minus: MeanGain) -> Array:
    """The larger p-value of two one-sided tests: that a gain plus a margin is above 0, and minus it below."""
    return np.asarray(np.maximum(plus.p_above(), minus.p_below()) / 2)


def stacked(means: Sequence[MeanGain]) -> MeanGain:
    """Several means of shape () as one of shape (n,)."""
    arrays = [np.array([getattr(mean, name) for mean in means], dtype=float) for name in ("mean", "variance", "df")]
    return MeanGain(*arrays)


def satterthwaite(variances: Sequence[ArrayLike], dfs: Sequence[ArrayLike]) -> tuple[Array, Array]:
    """Sum of independent variance estimates and its degrees of freedom.

    Satterthwaite's formula (Biometrics Bulletin 1946) with the square of each term enlarged by 1 + 2/df. As it stands
    the formula gives most degrees of freedom where a term with few of them is small by chance: with shared test rows
    the interval of three repeats then covers 0.92, of four 0.935. So enlarged, it covers 0.94 or more from three on.

    Args:
        variances: terms of the variance of a mean, each of shape (...), at least 0.
        dfs: degrees of freedom of each term; infinity for one that is known.

    Returns:
        The sum, and its degrees of freedom, never fewer than the fewest in `dfs`; both of shape (...).
    """
    terms, numbers = [as_array(variance) for variance in variances], [as_array(df) for df in dfs]
    total = sum(terms, np.zeros(()))
    fewest = np.minimum.reduce(np.broadcast_arrays(*numbers))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = [term / total for term in terms]
        inverse = sum((share**2 / df * (1 + 2 / df) for share, df in zip(shares, numbers, strict=True)), np.zeros(()))
        df = np.where(total > 0, np.maximum(1 / inverse, fewest), fewest)
    return total, np.where(np.isnan(total), np.nan, df)


def mean_gain(gains: ArrayLike, row_variance: ArrayLike = 0.0, rows: float | None = None) -> MeanGain:
    """Mean gain over independent units, with the luck of the test rows that they share.

    Var(mean) = s²(units) / R + s²(test rows) / n. What single runs add to the variation of test rows is in both terms,
    divided by the number of runs in the second. So the sum is too large on average: by next to nothing for 50 runs on
    2,000 rows; with 6 runs on 200 rows a 95 % interval covers 0.98.

    Args:
        gains: one per unit, averaged over its seeds, shape (..., R).
        row_variance: variance over test rows of the paired difference, averaged over units and seeds, shape (...).
        rows: number n of the shared test rows; None where each unit has test rows of its own (folds, fresh draws).

    Returns:
        The mean and its variance, with degrees of freedom from `satterthwaite`; the variance is NaN for fewer than
        three units.
    """
    gains = as_array(gains)
    units = gains.shape[-1]
    mean = gains.mean(-1) if units else np.full(gains.shape[:-1], np.nan)
    if units < FEWEST_UNITS:
        return MeanGain(mean, np.full(mean.shape, np.nan), np.full(mean.shape, np.nan))
    spread = gains.var(-1, ddof=1)
    terms, dfs = [np.where(spread > ROUNDING**2, spread, 0.0) / units], [units - 1.0]
    if rows is not None:
        terms, dfs = [*terms, as_array(row_variance) / rows], [*dfs, rows - 1.0]
    return MeanGain(mean, *satterthwaite(terms, dfs))


def covariance(values: ArrayLike) -> Array:
    """Unbiased covariance matrix of m quantities over the last axis: shape (..., m, n) to (..., m, m).

    Of the errors by row for `TaskErrors`; of gains by task and unit, divided by R, for `average_tasks`.
    """
    values = as_array(values)
    centred = values - values.mean(-1, keepdims=True)
    return np.asarray(centred @ np.swapaxes(centred, -1, -2) / (values.shape[-1] - 1))


def average_tasks(effects: ArrayLike, sources: Sequence[tuple[ArrayLike, ArrayLike]]) -> MeanGain:
    """Plain mean of the tasks of one data set, with what they share.

    Tasks that have the same units and test rows may as well be averaged unit by unit and row by row before `mean_gain`;
    the result is the same. This form is for tasks with different numbers of units.

    Args:
        effects: mean gain of each task, relative to ERM's error, shape (..., m).
        sources: pairs of a covariance matrix of the m means, shape (..., m, m), and its degrees of freedom. One for
            the repeats that tasks share (`covariance(units) / R`, R - 1) or one for each task that shares none; one
            for shared test rows (`covariance(rows) / n`, n - 1).

    Returns:
        The mean of the m effects, its variance and degrees of freedom from `satterthwaite`.
    """
    effects = as_array(effects)
    terms = [as_array(matrix).mean((-1, -2)) for matrix, _ in sources]
    return MeanGain(effects.mean(-1), *satterthwaite(terms, [df for _, df in sources]))


@dataclass(frozen=True)
class TaskErrors:
    """The errors of one task's methods by unit, and how they vary over the test rows that the units share.

    Gains, contrasts and margins are weighted sums of these errors: see `gain_of`.

    Attributes:
        by_method: name of the method -> its error by unit, shape (..., R).
        row_covariance: `covariance` over the n shared test rows of the methods' errors, in the order of `by_method`,
            each averaged over units and seeds, shape (..., M, M); None where units have test rows of their own.
        rows: n.
    """

    by_method: Mapping[str, Array]
    row_covariance: Array | None = None
    rows: int | None = None

    @property
    def units(self) -> int:
        """R, the number of units."""
        return int(next(iter(self.by_method.values())).shape[-1])

    def mean(self, weights: Weights) -> MeanGain:
        """Mean of a weighted sum of the methods' errors. Weights have shape (...); a method that is left out has 0."""
        values = sum(
            (as_array(weight)[..., None] * self.by_method[name] for name, weight in weights.items()), np.zeros(())
        )
        if self.row_covariance is None:
            return mean_gain(values)
        vector = np.stack(np.broadcast_arrays(*(as_array(weights.get(name, 0.0)) for name in self.by_method)), -1)
        variance = np.einsum("...i,...ij,...j->...", vector, self.row_covariance, vector)
        return mean_gain(values, np.maximum(variance, 0.0), self.rows)

    def relative(self, weights: Weights) -> MeanGain:
        """`mean` divided by ERM's mean error, its variance by the delta method: what enters a mean over tasks.

        NaN where ERM makes no error. For an interval to print, see `relative_interval`.
        """
        base, gain = self.by_method["erm"].mean(-1), self.mean(weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(base > 0, gain.mean / base, np.nan)
            linearised = self.mean(minus_share_of_erm(weights, ratio))
            return MeanGain(ratio, linearised.variance / base**2, linearised.df)

    def relative_interval(self, weights: Weights, level: float = LEVEL) -> tuple[Array, Array]:
        """Interval of the gain divided by ERM's error, as Fieller has it (JRSS B 1954).

        It holds every ratio ρ for which gain - ρ x ERM's error is not shown to differ from 0. So it excludes 0 where
        the interval of the gain itself does, and lies within ± δ where `p_small` is below 1 - level; an interval by
        the delta method may disagree with both.

        Returns:
            Lower and upper end, each of shape (...); NaN where ERM's error is not shown to be above 0, or the gain has
            no interval.
        """
        relative, erm = self.relative(weights), self.mean({"erm": 1.0})
        step = np.maximum(np.nan_to_num(relative.half_width(level)), 1e-9)
        bounded = (erm.low(level) > 0) | ((erm.variance == 0) & (erm.mean > 0))
        bounded &= self.mean(weights).variance > 0

        def end(sign: float) -> Array:
            def outside(ratio: Array) -> NDArray[np.bool_]:
                beyond = minus_share_of_erm(weights, ratio)
                return np.asarray(self.mean({name: -sign * weight for name, weight in beyond.items()}).low(level) > 0)

            near, far = relative.mean, relative.mean + sign * step
            for _ in range(40):
                reached = outside(far)
                if reached.all():
                    break
                far = np.where(reached, far, 2 * far - near)
            for _ in range(45):
                middle = (near + far) / 2
                beyond = outside(middle)
                near, far = np.where(beyond, near, middle), np.where(beyond, middle, far)
            return np.where(bounded, (near + far) / 2, np.nan)

        return end(-1.0), end(1.0)

    def p_small(self, weights: Weights, delta: float = DELTA) -> Array:
        """p-value of H0: a gain is not small. Two one-sided tests (Schuirmann 1987) of gain ± δ x ERM's error.

        Args:
            weights: of the gain.
            delta: margin of equivalence, a share of ERM's error, above 0.

        Returns:
            Shape (...), below 0.05 where the 90 % interval lies within the margin, and at most 0.5; NaN where there is
            no interval, or the gain does not vary.
        """
        p = p_between(self.mean(minus_share_of_erm(weights, -delta)), self.mean(minus_share_of_erm(weights, delta)))
        return np.where(self.mean(weights).variance > 0, p, np.nan)


def gain_of(method: str, reference: str) -> dict[str, float]:
    """The weights of a gain: the reference's error minus the method's."""
    return {reference: 1.0, method: -1.0}


def minus_share_of_erm(weights: Weights, share: float | Array) -> Weights:
    """The weights of a gain minus a share of ERM's error."""
    return {**weights, "erm": weights.get("erm", 0.0) - share}
