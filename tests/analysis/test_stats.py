"""Intervals cover, tests keep their size, and both agree with scipy or with an enumeration."""

import numpy as np
import pytest
import scipy.stats

from tune_kmixup.analysis.stats import bootstrap_t, sign_flip, t_interval


def test_t_interval_is_scipys() -> None:
    values = np.random.default_rng(0).normal(1, 2, 12)
    estimate, expected = t_interval(values, 0.9), scipy.stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))


def test_equal_values_have_no_interval() -> None:
    """As with scipy: a few equal ones say nothing of the spread."""
    for estimate in (t_interval([0.25] * 5), bootstrap_t([0.25] * 5, np.random.default_rng(0))):
        assert (estimate.mean, estimate.units) == (0.25, 5) and np.isnan([estimate.low, estimate.high]).all()


@pytest.mark.parametrize("values", [[], [0.1], [0.1, 0.2], [0.1, 0.1]])
def test_fewer_than_three_units_give_no_interval(values: list[float]) -> None:
    for estimate in (t_interval(values), bootstrap_t(values, np.random.default_rng(0))):
        assert np.isnan(estimate.low) and np.isnan(estimate.high) and estimate.units == len(values)
        assert estimate.mean == pytest.approx(np.mean(values)) if values else np.isnan(estimate.mean)


def exact_p(values: np.ndarray) -> float:
    """Share of all 2ⁿ sign vectors whose sum is at least as far from 0 as the observed one."""
    n = len(values)
    signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    return float((np.abs(signs @ values) >= abs(values.sum()) * (1 - 1e-12)).mean())


@pytest.mark.parametrize("n", range(1, 15))
def test_sign_flip_is_exact_for_up_to_14_units(n: int) -> None:
    """For values in general, with ties, with zeros, and zeros alone."""
    rng = np.random.default_rng(n)
    ties = rng.integers(-3, 6, n) / 8
    zeros = ties * rng.integers(0, 2, n)
    for values in (rng.normal(0.5, 1, n), ties, zeros, np.zeros(n)):
        p, smallest = sign_flip(values, rng)
        assert p == exact_p(values)
        assert smallest == 2 / 2**n <= p


def test_sign_flip_by_random_flips_agrees_with_all_flips() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 15)
    p, smallest = sign_flip(values, np.random.default_rng(1))
    assert p == pytest.approx(exact_p(values), abs=0.02)
    assert smallest == 1 / 20_001
    assert sign_flip(np.ones(20), np.random.default_rng(2))[0] < 0.001


def test_sign_flip_of_no_unit_is_nan() -> None:
    assert np.isnan(sign_flip([], np.random.default_rng(0))).all()


@pytest.mark.parametrize(("splits", "seeds"), [(3, 5), (5, 4), (5, 20), (10, 5), (25, 2)])
def test_intervals_cover_for_the_numbers_of_splits_and_seeds_in_use(splits: int, seeds: int) -> None:
    """Gains with an effect of the split as large as that of the seed; nominal 95 %, at least 93 %.

    The same seeds pooled, as if runs that share test rows were independent, cover far less: this is why the unit is the
    split.
    """
    rng = np.random.default_rng(2)
    studies = 4000
    runs = rng.normal(size=(studies, splits, 1)) + rng.normal(size=(studies, splits, seeds))
    assert coverage(runs.mean(2)) > 0.93
    if splits == 5 and seeds == 20:
        assert coverage(runs.reshape(studies, -1)) < 0.7


def coverage(units: np.ndarray) -> float:
    """Share of rows whose `t_interval` holds the true mean, 0; computed for all rows at once, and checked on one."""
    half_widths = scipy.stats.t.ppf(0.975, units.shape[1] - 1) * units.std(1, ddof=1) / np.sqrt(units.shape[1])
    assert t_interval(units[0]).half_width == pytest.approx(half_widths[0])
    return float((np.abs(units.mean(1)) < half_widths).mean())


@pytest.mark.parametrize(("units", "skewed"), [(5, False), (20, False), (20, True)])
def test_bootstrap_t_covers(units: int, skewed: bool) -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(600):
        values = rng.exponential(size=units) - 1 if skewed else rng.normal(size=units)
        estimate = bootstrap_t(values, rng, resamples=400)
        covered += estimate.low < 0 < estimate.high
    assert covered / 600 > 0.92  # one standard error of this simulation below 93 %
