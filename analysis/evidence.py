"""Intervals and verdicts for gains of a tuned method: pure functions of arrays.

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

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Array = NDArray[np.float64]
Words = NDArray[np.str_]

FEWEST_UNITS = 3  # fewer give no interval
LEVEL = 0.95
POWER = 0.8
DELTA = 0.03  # margin of equivalence, a share of ERM's error


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
        """Half the width of Student's t interval; 0 where nothing varies, NaN where there are too few units."""
        return np.asarray(special.stdtrit(self.df, (1 + level) / 2) * np.sqrt(self.variance))

    def low(self, level: float = LEVEL) -> Array:
        return self.mean - self.half_width(level)

    def high(self, level: float = LEVEL) -> Array:
        return self.mean + self.half_width(level)

    def p_above(self) -> Array:
        """Twice the one-sided p-value of H0: the mean is at most 0. It is below 0.05 where `low(0.95)` is above 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(self.mean == 0, 0.0, self.mean / np.sqrt(self.variance))
        p = np.minimum(1.0, 2 * special.stdtr(self.df, -t))
        return np.where(np.isnan(self.variance), np.nan, p)

    def p_below(self) -> Array:
        """Twice the one-sided p-value of H0: the mean is at least 0. It is below 0.05 where `high(0.95)` is below 0."""
        return MeanGain(-self.mean, self.variance, self.df).p_above()


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
    terms, dfs = [gains.var(-1, ddof=1) / units], [units - 1.0]
    if rows is not None:
        terms, dfs = [*terms, as_array(row_variance) / rows], [*dfs, rows - 1.0]
    return MeanGain(mean, *satterthwaite(terms, dfs))


def covariance(values: ArrayLike) -> Array:
    """Unbiased covariance matrix of m quantities over the last axis: shape (..., m, n) to (..., m, m).

    Of the per-row differences for `TaskGains`; of gains by task and unit, divided by R, for `average_tasks`.
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


@dataclass(frozen=True)
class TaskGains:
    """The gains of one task by unit, and how its shared test rows vary: all that the claims need.

    Attributes:
        mixup: gain of mixup over ERM by unit, shape (..., R).
        kmixup: gain of k-mixup over mixup by unit, shape (..., R).
        erm: ERM's error by unit, shape (..., R).
        row_covariance: `covariance` over the n shared test rows of these three, each averaged over units and seeds,
            shape (..., 3, 3); None where units have test rows of their own.
        rows: n.
    """

    mixup: Array
    kmixup: Array
    erm: Array
    row_covariance: Array | None = None
    rows: int | None = None

    def combination(self, mixup: ArrayLike = 0.0, kmixup: ArrayLike = 0.0, erm: ArrayLike = 0.0) -> MeanGain:
        """Mean of a weighted sum: mixup=1, kmixup=1 is k-mixup's gain over ERM. Weights have shape (...)."""
        weights = np.stack(np.broadcast_arrays(as_array(mixup), as_array(kmixup), as_array(erm)), -1)
        columns = (self.mixup, self.kmixup, self.erm)
        values = sum((weights[..., number, None] * column for number, column in enumerate(columns)), np.zeros(()))
        if self.row_covariance is None:
            return mean_gain(values)
        variance = np.einsum("...i,...ij,...j->...", weights, self.row_covariance, weights)
        return mean_gain(values, np.maximum(variance, 0.0), self.rows)

    def relative(self, mixup: float = 0.0, kmixup: float = 0.0) -> MeanGain:
        """`combination` divided by ERM's mean error, its variance by the delta method: what enters a mean over tasks.

        NaN where ERM makes no error. For an interval to print, see `relative_interval`.
        """
        base, gain = self.erm.mean(-1), self.combination(mixup, kmixup)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(base > 0, gain.mean / base, np.nan)
            linearised = self.combination(mixup, kmixup, -ratio)
            return MeanGain(ratio, linearised.variance / base**2, linearised.df)

    def relative_interval(self, mixup: float = 0.0, kmixup: float = 0.0, level: float = LEVEL) -> tuple[Array, Array]:
        """Interval of the gain divided by ERM's error, as Fieller has it (JRSS B 1954).

        It holds every ratio ρ for which gain - ρ x ERM's error is not shown to differ from 0. So it excludes 0 where
        the interval of the gain itself does, and lies within ± δ where `small` says so; an interval by the delta method
        may disagree with both.

        Returns:
            Lower and upper end, each of shape (...); NaN where ERM's error is not shown to be above 0.
        """
        relative = self.relative(mixup, kmixup)
        step = np.maximum(np.nan_to_num(relative.half_width(level)), 1e-9)
        bounded = self.combination(erm=1.0).low(level) > 0

        def end(sign: float) -> Array:
            def outside(ratio: Array) -> NDArray[np.bool_]:
                return np.asarray(self.combination(-sign * mixup, -sign * kmixup, sign * ratio).low(level) > 0)

            near, far = relative.mean, relative.mean + sign * step
            for _ in range(40):
                reached = outside(far)
                if reached.all():
                    break
                far = np.where(reached, far, 2 * far - near)
            for _ in range(60):
                middle = (near + far) / 2
                beyond = outside(middle)
                near, far = np.where(beyond, near, middle), np.where(beyond, middle, far)
            return np.where(bounded, (near + far) / 2, np.nan)

        return end(-1.0), end(1.0)

    def small(
        self, mixup: float = 0.0, kmixup: float = 0.0, delta: float = DELTA, level: float = LEVEL
    ) -> NDArray[np.bool_]:
        """Whether a gain is shown to be small: two one-sided tests (Schuirmann 1987) of gain ± δ x ERM's error.

        Args:
            mixup: weight of mixup's gain over ERM, as in `combination`.
            kmixup: weight of k-mixup's gain over mixup.
            delta: margin of equivalence, a share of ERM's error, above 0.
            level: 0.95 asks whether the 90 % interval lies within the margin.

        Returns:
            Shape (...); False where there is no interval.
        """
        inner = 2 * level - 1
        above = self.combination(mixup, kmixup, delta).low(inner) > 0
        return np.asarray(above & (self.combination(mixup, kmixup, -delta).high(inner) < 0))


def small(gain: MeanGain, delta: float = DELTA, level: float = LEVEL) -> NDArray[np.bool_]:
    """Whether a gain that is relative already, as a mean over data sets is, has its 90 % interval within ± δ."""
    inner = 2 * level - 1
    return np.asarray((gain.low(inner) > -delta) & (gain.high(inner) < delta))


def in_words(gain: MeanGain, is_small: ArrayLike, level: float = LEVEL) -> Words:
    """What is known of a gain.

    Args:
        gain: shape (...).
        is_small: from `small`, shape (...).
        level: of the two-sided interval.

    Returns:
        "shown" where the interval lies above 0, "loss shown" where it lies below, else "not known"; or "shown to be
        small", which is said beside "shown" where both hold. Shape (...).
    """
    is_small = np.asarray(is_small, dtype=bool)
    shown, lost = gain.low(level) > 0, gain.high(level) < 0
    cases = [
        (shown & is_small, "shown, and shown to be small"),
        (lost & is_small, "loss shown, and shown to be small"),
        (shown, "shown"),
        (lost, "loss shown"),
        (is_small, "shown to be small"),
    ]
    return _select(cases, "not known")


def _select(cases: Sequence[tuple[NDArray[np.bool_], str]], default: str) -> Words:
    """The word of the first condition that holds, shape (...)."""
    return np.select([condition for condition, _ in cases], [word for _, word in cases], default)


@dataclass(frozen=True)
class Verdicts:
    """Outcomes of one claim.

    Attributes:
        outcome: "supported", "contradicted", "undecided" or "void", shape (...).
        p: the p-value behind it, shape (...): below 1 - level where the outcome is "supported" or "contradicted". NaN
            where there is no interval.
    """

    outcome: Words
    p: Array

    def after_holm(self, level: float = LEVEL) -> "Verdicts":
        """The same with p-values corrected over the family, which is the last axis.

        What is no longer significant becomes "undecided".
        """
        p = holm(self.p)
        with np.errstate(invalid="ignore"):
            lost = np.isin(self.outcome, ["supported", "contradicted"]) & ~(p < 1 - level)
        return Verdicts(np.where(lost, "undecided", self.outcome), p)


def holm(p: ArrayLike) -> Array:
    """p-values corrected for the size of their family, step down (Holm 1979).

    Args:
        p: shape (..., F), the family on the last axis. NaN for a member that could not be tested: it counts in the
            family's size, which was fixed before the data.

    Returns:
        Shape (..., F), at most 1; NaN where `p` is.
    """
    p = as_array(p)
    filled = np.where(np.isnan(p), 1.0, p)
    order = np.argsort(filled, -1)
    steps = np.arange(p.shape[-1], 0, -1)
    corrected = np.minimum(1.0, np.maximum.accumulate(steps * np.take_along_axis(filled, order, -1), -1))
    result = np.empty_like(p)
    np.put_along_axis(result, order, corrected, -1)
    return np.where(np.isnan(p), np.nan, result)


def judge_improvement(kmixup: MeanGain, level: float = LEVEL) -> Verdicts:
    """Claim 1: k-mixup improves on mixup. Contradicted where it is shown to lose.

    Args:
        kmixup: k-mixup's gain over mixup: of tasks (`TaskGains.combination(kmixup=1)`) or over data sets.
        level: of the two-sided interval.
    """
    cases = [(kmixup.low(level) > 0, "supported"), (kmixup.high(level) < 0, "contradicted")]
    return Verdicts(_select(cases, "undecided"), np.minimum(kmixup.p_above(), kmixup.p_below()))


def judge_at_least_half(mixup: MeanGain, kmixup: MeanGain, contrast: MeanGain, level: float = LEVEL) -> Verdicts:
    """Claim 2: k-mixup's gain over mixup is at least half of mixup's gain over ERM.

    Void unless mixup's gain is shown: half of nothing is no yardstick, and where mixup loses, the contrast is positive
    for a k-mixup that does nothing. Supported if k-mixup's gain and the contrast are both shown to be above 0: an
    intersection-union test (Berger 1982), which needs no correction. Contradicted if the contrast is shown to be below.

    Args:
        mixup: mixup's gain over ERM.
        kmixup: k-mixup's gain over mixup.
        contrast: `kmixup` minus half of `mixup`: of tasks `TaskGains.combination(mixup=-0.5, kmixup=1)`; over data sets
            the mean of their contrasts over the whole family, whatever the tasks' own verdicts.
        level: of the two-sided intervals.
    """
    void = ~(mixup.low(level) > 0) & ~np.isnan(mixup.variance)
    cases = [
        (void, "void"),
        ((kmixup.low(level) > 0) & (contrast.low(level) > 0), "supported"),
        (contrast.high(level) < 0, "contradicted"),
    ]
    support = np.maximum(kmixup.p_above(), contrast.p_above())
    return Verdicts(_select(cases, "undecided"), np.maximum(mixup.p_above(), np.minimum(support, contrast.p_below())))


def judge_where_mixup_fails(task: TaskGains, delta: float = DELTA, level: float = LEVEL) -> Verdicts:
    """Claim 3 of each task: mixup gains next to nothing over ERM, and k-mixup gains over both.

    Supported if all three null hypotheses are rejected: mixup gains δ or more, k-mixup gains nothing over ERM, k-mixup
    gains nothing over mixup. The p-value is the largest of theirs (intersection-union, Berger 1982). So no task needs
    to be chosen by its data. No task can contradict the claim, which says that such tasks exist.

    Args:
        task: gains by unit. δ is multiplied by each unit's ERM error.
        delta: share of ERM's error, above 0.
        level: of the two-sided intervals.

    Returns:
        Shape (...). Over a family, the claim is supported where any task of `after_holm` is.
    """
    p = np.maximum.reduce(
        [
            task.combination(mixup=1, erm=-delta).p_below(),
            task.combination(mixup=1, kmixup=1).p_above(),
            task.combination(kmixup=1).p_above(),
        ]
    )
    return Verdicts(_select([(p < 1 - level, "supported")], "undecided"), p)


def log_ratios(reference: ArrayLike, method: ArrayLike, rows: ArrayLike = np.inf) -> Array:
    """log(reference's error / method's error) by task, for signed ranks: positive is better.

    Differences of errors rank a task by how hard it is; ratios rank it by how much is gained.

    Args:
        reference: mean errors by task, shape (..., K), at least 0.
        method: mean errors by task, shape (..., K), at least 0.
        rows: number of test rows; an error below half a row counts as half a row.

    Returns:
        Shape (..., K), finite where `rows` is; 0 where both errors are below half a row.
    """
    least = 0.5 / as_array(rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.log(np.maximum(reference, least)) - np.log(np.maximum(method, least))
    return np.where(np.equal(reference, method), 0.0, ratios)
