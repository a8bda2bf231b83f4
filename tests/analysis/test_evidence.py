"""Intervals of one task: by hand, against scipy, and by simulation."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import coverage
from benchmarks.coverage import FOLDS, MEASURED
from tune_kmixup.analysis import evidence
from tune_kmixup.analysis.evidence import MeanGain, TaskErrors, gain_of, mean_gain
from tune_kmixup.analysis.stats import bootstrap_t
from tune_kmixup.analysis.verdicts import KMIXUP_OVER_MIXUP

finite = st.floats(-1, 1, allow_subnormal=False).map(lambda value: round(value, 6))
some_gains = st.lists(finite, min_size=3, max_size=12).map(np.array)


def numbers(estimate: MeanGain) -> list[float]:
    return [float(value) for value in (estimate.mean, estimate.variance, estimate.df)]


# ------------------------------------------------------------------------------------------ intervals


@given(some_gains)
def test_folds_have_students_t_interval(gains: np.ndarray) -> None:
    estimate = mean_gain(gains)
    if not np.ptp(gains):  # their standard deviation is 1e-16, by rounding
        assert np.isnan(estimate.half_width())
        return
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    low, high = scipy.stats.t.interval(0.95, len(gains) - 1, gains.mean(), error)
    assert estimate.low() == pytest.approx(low, abs=1e-9) and estimate.high() == pytest.approx(high, abs=1e-9)


def test_equal_gains_show_nothing() -> None:
    """Five folds of thirty rows often tie. That a gain is 0 in all of them does not show that it is small."""
    for value in (0.0, 0.1, -0.1):
        estimate = mean_gain(np.full(5, value))
        assert np.isnan([estimate.low(), estimate.high(), estimate.p_above(), estimate.p_below()]).all()
    errors = TaskErrors({"erm": np.array([0.1, 0.2, 0.3]), "mixup": np.array([0.1, 0.2, 0.3])})
    assert np.isnan(errors.p_small(gain_of("mixup", "erm")))
    erm, mixup = (np.mean([[1 - (30 - n) / 30 for n in (low, low, low + 1, low, low)]] * 5, 1) for low in (2, 1))
    wrong = erm - mixup, np.array([0.1, np.nextafter(0.1, 1), 0.1, 0.1, 0.1])
    for gains in wrong:
        assert np.isnan(mean_gain(gains).p()), "equal but for rounding"
    assert np.ptp(wrong[1]) > 0 and math.isnan(bootstrap_t(wrong[1], np.random.default_rng(0)).low)
    with_rows = mean_gain(np.full(5, 0.1), 0.04, 100)
    assert with_rows.variance == pytest.approx(0.04 / 100) and with_rows.half_width() > 0


@given(some_gains, st.floats(0, 4), st.integers(10, 10**6))
def test_shared_test_rows_add_their_variance(gains: np.ndarray, row_variance: float, rows: int) -> None:
    estimate = mean_gain(gains, row_variance, rows)
    assert estimate.variance == pytest.approx(gains.var(ddof=1) / len(gains) + row_variance / rows)
    assert min(len(gains), rows) - 1 <= estimate.df <= len(gains) + rows - 2


def test_a_variance_that_is_known_has_infinite_degrees_of_freedom() -> None:
    variance, df = evidence.satterthwaite([0.0, 2.0], [4.0, np.inf])
    assert variance == 2 and df == np.inf
    assert MeanGain(np.array(0.0), variance, df).half_width() == pytest.approx(1.95996 * np.sqrt(2), rel=1e-4)


@given(some_gains, st.floats(0.01, 100))
def test_an_interval_follows_unit_and_sign(gains: np.ndarray, factor: float) -> None:
    estimate, scaled = mean_gain(gains, 0.5, 1000), mean_gain(-factor * gains, factor**2 * 0.5, 1000)
    assert scaled.low() == pytest.approx(-factor * estimate.high(), abs=1e-9 * factor)
    assert scaled.p_below() == pytest.approx(estimate.p_above(), abs=1e-9)


@pytest.mark.parametrize(
    ("units", "test_rows"), [*itertools.product((3, 5, 10, 20), (0.0, 0.011)), (3, 0.02), (4, 0.005), (10, 0.03)]
)
def test_the_interval_covers(units: int, test_rows: float) -> None:
    """Under search, seed and test-row variance: the interval of the gain, and the one relative to ERM's error."""
    noise = replace(MEASURED, test_rows=test_rows)
    both, without, relative = coverage.interval_coverage(np.random.default_rng(units), 4_000, units, noise)
    assert both >= 0.93 and relative >= 0.93
    assert without < 0.9 or test_rows < 0.011 or units < 10


@pytest.mark.parametrize(("units", "rows"), [(3, 500), (5, 200), (10, 500)])
def test_the_interval_covers_where_rows_are_right_or_wrong(units: int, rows: int) -> None:
    assert coverage.right_or_wrong_coverage(np.random.default_rng(units), 500, units, 2, rows)[0] >= 0.93


@pytest.mark.thorough
@pytest.mark.parametrize("units", [3, 4, 5, 7, 10, 20, 30])
def test_the_interval_covers_over_the_whole_grid(units: int) -> None:
    rng = np.random.default_rng(units)
    for test_rows in (0.002, 0.005, 0.008, 0.011, 0.015, 0.02, 0.05):
        noise = replace(MEASURED, test_rows=test_rows, training_rows=0.1)
        both, _, relative = coverage.interval_coverage(rng, 5_000, units, noise)
        assert min(both, relative) >= 0.93, noise


# ------------------------------------------------------------------------------------------ gains of a task


@settings(deadline=None)  # Fieller's intervals are found by bisection
@given(st.integers(0, 10**6), st.floats(-0.1, 0.1), st.booleans())
def test_points_shares_and_smallness_agree(seed: int, gain: float, folds: bool) -> None:
    """Fieller's interval excludes 0 where the gain's own does, and lies within ± δ where the gain is small."""
    one = coverage.simulate(np.random.default_rng(seed), (), 6, 0.0, gain, FOLDS if folds else MEASURED)
    points = one.mean(KMIXUP_OVER_MIXUP)
    low, high = one.relative_interval(KMIXUP_OVER_MIXUP)
    assert np.sign(low) == np.sign(points.low()) and np.sign(high) == np.sign(points.high())
    inner = one.relative_interval(KMIXUP_OVER_MIXUP, level=0.9)
    assert (one.p_small(KMIXUP_OVER_MIXUP) < 0.05) == (inner[0] > -0.03 and inner[1] < 0.03)
    assert low < one.relative(KMIXUP_OVER_MIXUP).mean < high
    assert high - low == pytest.approx(2 * one.relative(KMIXUP_OVER_MIXUP).half_width(), rel=0.1)


def test_rows_enter_a_combination_as_their_own_variance_does() -> None:
    rng = np.random.default_rng(0)
    errors, units = rng.random((3, 500)), rng.random((3, 8))
    by_method = dict(zip(("erm", "mixup", "kmixup"), units, strict=True))
    one = TaskErrors(by_method, row_covariance=evidence.covariance(errors), rows=500)
    direct = mean_gain(units[0] - units[2], (errors[0] - errors[2]).var(ddof=1), 500)
    assert numbers(one.mean(gain_of("kmixup", "erm"))) == pytest.approx(numbers(direct))


def test_erm_without_errors_has_no_relative_gain() -> None:
    one = TaskErrors(dict.fromkeys(("erm", "mixup", "kmixup"), np.zeros(5)))
    assert np.isnan(one.relative(KMIXUP_OVER_MIXUP).mean) and np.isnan(one.relative_interval(KMIXUP_OVER_MIXUP)).all()


def test_a_share_of_erms_error_has_an_interval_where_the_gain_has_one() -> None:
    varying, equal = np.array([0.1, 0.2, 0.3, 0.2, 0.1]), np.full(5, 0.05)
    constant = TaskErrors({"erm": varying, "mixup": varying - equal})
    assert np.isnan(constant.relative_interval(gain_of("mixup", "erm"))).all()
    diverged = TaskErrors({"erm": np.ones(5), "mixup": varying})
    low, high = diverged.relative_interval(gain_of("mixup", "erm"))
    gain = diverged.mean(gain_of("mixup", "erm"))
    assert (low, high) == pytest.approx((gain.low(), gain.high()))


def test_tasks_of_one_data_set_keep_what_they_share() -> None:
    """With the same units and rows, the mean of tasks is the task of means."""
    rng = np.random.default_rng(0)
    units, rows = rng.normal(size=(3, 8)) + rng.normal(size=8), rng.normal(size=(3, 400)) + rng.normal(size=400)
    direct = mean_gain(units.mean(0), rows.mean(0).var(ddof=1), 400)
    sources = [(evidence.covariance(units) / 8, 7), (evidence.covariance(rows) / 400, 399)]
    averaged = evidence.average_tasks(units.mean(1), sources)
    assert numbers(averaged) == pytest.approx(numbers(direct))
    apart = evidence.average_tasks(units.mean(1), [(np.diag(np.diag(matrix)), df) for matrix, df in sources])
    assert apart.variance < averaged.variance
