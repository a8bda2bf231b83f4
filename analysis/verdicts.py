"""What intervals show: gains in words, and the verdicts on the paper's claims. Pure functions of arrays.

As in `evidence`, all functions broadcast. `benchmarks/coverage.py` simulates how often a verdict is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .evidence import (
    DELTA,
    LEVEL,
    Array,
    MeanGain,
    TaskErrors,
    as_array,
    gain_of,
    minus_share_of_erm,
    p_between,
)

Words = NDArray[np.str_]

MIXUP_OVER_ERM = gain_of("mixup", "erm")
KMIXUP_OVER_MIXUP = gain_of("kmixup", "mixup")
AT_LEAST_HALF = {"erm": -0.5, "mixup": 1.5, "kmixup": -1.0}  # k-mixup's gain minus half of mixup's


def p_small(gain: MeanGain, delta: float = DELTA) -> Array:
    """`TaskErrors.p_small` of a gain that is relative already, as a mean over data sets is."""
    return p_between(*(MeanGain(gain.mean + shift, gain.variance, gain.df) for shift in (delta, -delta)))


def in_words(gain: ArrayLike, p: ArrayLike, p_small: ArrayLike, level: float = LEVEL) -> Words:
    """What is known of a gain.

    Args:
        gain: its mean, shape (...).
        p: two-sided, of no gain, shape (...).
        p_small: that it is not small, shape (...).
        level: p-values below 1 - level show something.

    Returns:
        "shown" or "loss shown" where there is a gain or a loss, else "not known"; or "shown to be small", which is said
        beside "shown" where both hold. Shape (...).
    """
    with np.errstate(invalid="ignore"):
        significant, small = as_array(p) < 1 - level, as_array(p_small) < 1 - level
    shown, lost = significant & (as_array(gain) > 0), significant & (as_array(gain) < 0)
    cases = [
        (shown & small, "shown, and shown to be small"),
        (lost & small, "loss shown, and shown to be small"),
        (shown, "shown"),
        (lost, "loss shown"),
        (small, "shown to be small"),
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
        kmixup: k-mixup's gain over mixup, of tasks or over data sets.
        level: of the two-sided interval.
    """
    cases = [(kmixup.low(level) > 0, "supported"), (kmixup.high(level) < 0, "contradicted")]
    return Verdicts(_select(cases, "undecided"), kmixup.p())


def judge_at_least_half(mixup: MeanGain, kmixup: MeanGain, contrast: MeanGain, level: float = LEVEL) -> Verdicts:
    """Claim 2: k-mixup's gain over mixup is at least half of mixup's gain over ERM.

    Void unless mixup's gain is shown: half of nothing is no yardstick, and where mixup loses, the contrast is positive
    for a k-mixup that does nothing. Supported if k-mixup's gain and the contrast are both shown to be above 0: an
    intersection-union test (Berger 1982), which needs no correction. Contradicted if the contrast is shown to be below.

    Args:
        mixup: mixup's gain over ERM.
        kmixup: k-mixup's gain over mixup.
        contrast: `kmixup` minus half of `mixup`, the mean of `AT_LEAST_HALF`; over data sets that of the whole family,
            whatever the tasks' own verdicts.
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


def judge_where_mixup_fails(task: TaskErrors, delta: float = DELTA, level: float = LEVEL) -> Verdicts:
    """Claim 3 of each task: mixup gains next to nothing over ERM, and k-mixup gains over both.

    Supported if all three null hypotheses are rejected: mixup gains δ or more, k-mixup gains nothing over ERM, k-mixup
    gains nothing over mixup. The p-value is the largest of theirs (intersection-union, Berger 1982). So no task needs
    to be chosen by its data. No task can contradict the claim, which says that such tasks exist.

    Args:
        task: errors by unit. δ is multiplied by each unit's ERM error.
        delta: share of ERM's error, above 0.
        level: of the two-sided intervals.

    Returns:
        Shape (...). Over a family, the claim is supported where any task of `after_holm` is.
    """
    p = np.maximum.reduce(
        [
            task.mean(minus_share_of_erm(MIXUP_OVER_ERM, delta)).p_below(),
            task.mean(gain_of("kmixup", "erm")).p_above(),
            task.mean(KMIXUP_OVER_MIXUP).p_above(),
        ]
    )
    return Verdicts(_select([(p < 1 - level, "supported")], "undecided"), p)
