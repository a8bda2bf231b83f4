"""Mean gains over data sets, with intervals: random effects beside the plain mean. Pure functions of arrays.

The units are data sets: the tasks of one data set are averaged first (`evidence.average_tasks`). As in `evidence`, all
functions work along the last axis, here that of K data sets, and broadcast over the axes before it.
`benchmarks/coverage.py` simulates what is claimed here.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from .evidence import FEWEST_UNITS, LEVEL, Array, MeanGain, as_array

PRIOR_DF = 4.0  # weight of the common variance in the variance of each data set
HEAVY = 1 / 3  # no data set may have more of the weight where the random-effects mean decides
UNEQUAL_WEIGHTS = 5.0  # nor may the largest weight be more times the smallest
STRATA = 100  # of the confidence distribution behind a prediction interval


@dataclass(frozen=True)
class OverDataSets:
    """Mean gain over data sets, of K data sets on the last axis.

    Attributes:
        random_effects: weighted mean with Student's t interval.
        plain: unweighted mean with Student's t interval.
        between: variance of the true gains between data sets (Paule-Mandel), shape (...).
        weights: share of each data set in the weighted mean, shape (..., K).
    """

    random_effects: MeanGain
    plain: MeanGain
    between: Array
    weights: Array

    @property
    def plain_decides(self) -> NDArray[np.bool_]:
        """Whether the plain mean decides, shape (...): for fewer than four data sets, or where weights are too unequal.

        Weights are too unequal where one data set has more than a third, or the largest is more than five times the
        smallest. The random-effects mean is then that of some data sets rather than of the family, and its interval
        covers 0.72 to 0.91 if the gains are related to the precision with which they are measured.
        """
        used = self.weights > 0
        smallest = np.where(used, self.weights, np.inf).min(-1)
        uneven = self.weights.max(-1) > np.minimum(HEAVY, UNEQUAL_WEIGHTS * smallest)
        return np.asarray(uneven | (used.sum(-1) < 4))

    @property
    def deciding(self) -> MeanGain:
        """The mean that verdicts use: the random-effects mean, or the plain one where `plain_decides`."""
        pairs = ((self.plain.mean, self.random_effects.mean), (self.plain.variance, self.random_effects.variance))
        mean, variance = (np.where(self.plain_decides, plain, weighted) for plain, weighted in pairs)
        return MeanGain(mean, variance, self.plain.df)


@dataclass(frozen=True)
class _Usable:
    """Effects and shrunken variances of K data sets; 0 and 1 in place of those that cannot be used."""

    effects: Array
    variances: Array
    used: Array  # 1 or 0
    count: Array  # shape (...)
    varies: NDArray[np.bool_]  # shape (...): whether there is any variance at all


def shrink_variances(variances: ArrayLike, df: ArrayLike, prior_df: float = PRIOR_DF) -> Array:
    """Within-task variances moved towards their common value, as if that had been seen with `prior_df` more.

    As in Smyth (2004), with a fixed number of prior degrees of freedom and a robust common value: the median over
    tasks of the variance divided by the median of χ²(df)/df. Variances of 0 do no harm, nor does one very large one.

    Args:
        variances: shape (..., K); NaN for tasks that are left out.
        df: degrees of freedom of each, shape (..., K) or (K,).
        prior_df: at least 0; 0 changes nothing.

    Returns:
        Shape (..., K); NaN where `variances` is.
    """
    variances = as_array(variances)
    df = np.broadcast_to(as_array(df), variances.shape)
    unbiased = variances * df / special.chdtri(df, 0.5)
    known = ~np.isnan(unbiased)
    ordered = np.sort(np.where(known, unbiased, np.inf), -1)
    count = known.sum(-1, keepdims=True)
    middle = [np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, -1)]
    middle.append(np.take_along_axis(ordered, np.minimum(count // 2, variances.shape[-1] - 1), -1))
    return np.asarray((prior_df * (middle[0] + middle[1]) / 2 + df * variances) / (prior_df + df))


def _usable(effects: ArrayLike, variances: ArrayLike, df: ArrayLike, prior_df: float) -> _Usable:
    effects, variances = np.broadcast_arrays(as_array(effects), as_array(variances))
    used = np.isfinite(effects) & np.isfinite(variances)
    shrunken = shrink_variances(np.where(used, variances, np.nan), np.where(used, df, np.nan), prior_df)
    effects, shrunken = np.where(used, effects, 0.0), np.where(used, shrunken, 0.0)
    count = used.sum(-1)
    divisor = np.maximum(count, 1)
    mean = effects.sum(-1) / divisor
    scale = (shrunken.sum(-1) + (used * (effects - mean[..., None]) ** 2).sum(-1)) / divisor
    varies = scale > 0
    floor = 1e-12 * scale[..., None]  # a variance of 0 would have all the weight
    shrunken = np.where(varies[..., None] & used, np.maximum(shrunken, floor), 1.0)
    return _Usable(effects, shrunken, used.astype(float), count, varies)


def _weighted(sets: _Usable, between: Array) -> tuple[Array, Array, Array, Array]:
    """Weights, their sum, the weighted mean, and weighted squares about it (..., K), for a variance between."""
    weights = sets.used / (sets.variances + between[..., None])
    total = weights.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (weights * sets.effects).sum(-1) / total
    return weights, total, mean, weights * (sets.effects - mean[..., None]) ** 2


def _between(sets: _Usable, target: Array) -> Array:
    """The variance between data sets at which Cochran's generalised Q is `target`; 0 where Q is below it at 0.

    Newton's method from 0: Q is convex and decreasing, so that no step goes too far (DerSimonian and Kacker 2007).
    """
    between = np.zeros(np.broadcast_shapes(target.shape, sets.count.shape))
    for _ in range(200):
        weights, _, _, squares = _weighted(sets, between)
        excess = squares.sum(-1) - target
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(excess > 0, excess / (weights * squares).sum(-1), 0.0)
        between = between + step
        if (step <= 1e-9 * between).all():
            break
    return between


def mean_over_data_sets(
    effects: ArrayLike, variances: ArrayLike, df: ArrayLike, prior_df: float = PRIOR_DF
) -> OverDataSets:
    """Mean of true gains over data sets, of which these are a sample.

    Random effects: within-task variances from `shrink_variances`, the variance between data sets by Paule and Mandel
    (1982), the variance of the mean 1 / Σ weights with K - 1 degrees of freedom. It is that of Hartung and Knapp (2001)
    and Sidik and Jonkman (2002), never below that of the fixed-effect mean: their factor Q / (K - 1) is 1 at Paule and
    Mandel's variance. The true gains are taken to be normal about their mean and unrelated to the precision with which
    they are measured; the plain mean needs no more than the former.

    Args:
        effects: mean gain of each data set, a share of ERM's error, shape (..., K). NaN is left out.
        variances: of these means, shape (..., K). NaN (a task with no interval) is left out.
        df: degrees of freedom of the variances, shape (..., K) or (K,).
        prior_df: see `shrink_variances`.

    Returns:
        Means with intervals; NaN variances for fewer than three data sets.
    """
    sets = _usable(effects, variances, df, prior_df)
    enough = sets.count >= FEWEST_UNITS
    remaining = np.where(enough, sets.count - 1.0, np.nan)
    between = _between(sets, np.maximum(sets.count - 1.0, 1.0))
    weights, total, mean, _ = _weighted(sets, between)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(sets.varies, 1 / total, 0.0)
        plain = sets.effects.sum(-1) / np.where(sets.count > 0, sets.count, np.nan)
        deviations = sets.used * (sets.effects - plain[..., None]) ** 2
        plain_variance = deviations.sum(-1) / remaining / sets.count
        share = weights / total[..., None]
    random_effects = MeanGain(mean, np.where(enough, variance, np.nan), remaining)
    return OverDataSets(random_effects, MeanGain(plain, plain_variance, remaining), between, share)


def prediction_interval(
    effects: ArrayLike,
    variances: ArrayLike,
    df: ArrayLike,
    level: float = LEVEL,
    prior_df: float = PRIOR_DF,
    strata: int = STRATA,
) -> tuple[Array, Array]:
    """Interval for the true gain on a new data set of the same kind.

    Mixes normal distributions over the confidence distribution of the variance between data sets, which is that of
    Cochran's generalised Q, χ² with K - 1 degrees of freedom (Nagashima, Noma and Furukawa 2019, with Q inverted at
    equally likely points in place of a bootstrap). The usual mean ± t √(τ² + variance) takes τ² for known and covers
    0.85 to 0.9 where the spread between data sets is as small as the uncertainty within them. The interval of the mean
    that decides is part of it.

    Args:
        effects: as in `mean_over_data_sets`, and so on.
        variances: of these means.
        df: degrees of freedom of the variances.
        level: probability that it holds the new gain.
        prior_df: see `shrink_variances`.
        strata: number of equally likely points.

    Returns:
        Lower and upper end, shape (...); NaN for fewer than three data sets.
    """
    sets = _usable(effects, variances, df, prior_df)
    enough = sets.count >= FEWEST_UNITS
    points = (np.arange(strata) + 0.5) / strata
    target = special.chdtri(np.maximum(sets.count - 1.0, 1.0)[..., None], points)
    spread = replace(
        sets,
        effects=sets.effects[..., None, :],
        variances=sets.variances[..., None, :],
        used=sets.used[..., None, :],
        count=sets.count[..., None],
    )
    between = _between(spread, target)
    _, total, mean, _ = _weighted(spread, between)
    with np.errstate(divide="ignore"):
        scale = np.sqrt(np.where(sets.varies[..., None], between + 1 / total, 0.0))

    def quantile(p: float) -> Array:
        low, high = (mean - 9 * scale).min(-1), (mean + 9 * scale).max(-1)
        for _ in range(60):
            middle = (low + high) / 2
            with np.errstate(divide="ignore", invalid="ignore"):
                below = special.ndtr((middle[..., None] - mean) / scale).mean(-1) < p
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.where(enough, (low + high) / 2, np.nan)

    known = mean_over_data_sets(effects, variances, df, prior_df).deciding
    return (
        np.minimum(quantile((1 - level) / 2), known.low(level)),
        np.maximum(quantile((1 + level) / 2), known.high(level)),
    )
