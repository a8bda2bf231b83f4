"""Means over data sets: against statsmodels and scipy, by hand, and by simulation."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.meta_analysis import combine_effects

from benchmarks import coverage
from tune_kmixup.analysis import meta_analysis
from tune_kmixup.analysis.evidence import mean_gain
from tune_kmixup.analysis.meta_analysis import mean_over_data_sets, prediction_interval

DF = np.full(9, 9.0)


def study(seed: int = 0, between: float = 0.05, data_sets: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Effects and variances of one study."""
    rng = np.random.default_rng(seed)
    variances = 0.02**2 * rng.uniform(0.3, 3, data_sets)
    return rng.normal(0.03, np.sqrt(variances + between**2)), variances


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("between", [0.0, 0.05])
def test_arithmetic_is_that_of_statsmodels(seed: int, between: float) -> None:
    """Without shrinkage; statsmodels has no floor at the fixed-effect variance."""
    effects, variances = study(seed, between)
    over = mean_over_data_sets(effects, variances, DF, prior_df=0)
    theirs = combine_effects(effects, variances, method_re="iterated", use_t=True, atol=1e-7)
    assert over.between == pytest.approx(theirs.tau2, rel=1e-5)
    assert over.weights == pytest.approx(theirs.weights_rel_re, abs=1e-6)
    assert over.random_effects.mean == pytest.approx(theirs.mean_effect_re, abs=1e-8)
    low, high = theirs.conf_int()[3]  # random effects, HKSJ
    if theirs.tau2 > 0:
        assert (over.random_effects.low(), over.random_effects.high()) == pytest.approx((low, high), abs=1e-6)
    else:
        assert over.random_effects.variance == pytest.approx(max(theirs.var_hksj_re, theirs.sd_eff_w_fe**2))


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.01, 0.1]))
def test_never_narrower_than_the_fixed_effect_interval(seed: int, between: float) -> None:
    effects, variances = study(seed, between)
    over = mean_over_data_sets(effects, variances, DF)
    fixed = 1 / (1 / meta_analysis.shrink_variances(variances, DF)).sum()
    assert over.random_effects.variance >= fixed * (1 - 1e-9)
    assert over.random_effects.half_width() >= 1.96 * np.sqrt(fixed)


def test_the_plain_mean_has_students_t_interval() -> None:
    effects, variances = study()
    plain, t = mean_over_data_sets(effects, variances, DF).plain, scipy.stats.ttest_1samp(effects, 0)
    assert (plain.low(), plain.high()) == pytest.approx(tuple(t.confidence_interval()))


def test_shrinking_keeps_a_common_variance_and_moves_the_others() -> None:
    shrunken = meta_analysis.shrink_variances(np.array([1.0, 2, 2, 2, 90]), np.full(5, 4.0))
    common = 2 * 4 / scipy.stats.chi2.median(4)
    assert shrunken == pytest.approx([(common + 1) / 2, *[(common + 2) / 2] * 3, (common + 90) / 2])


def test_a_data_set_without_an_interval_is_left_out() -> None:
    effects, variances = study()
    variances[2], effects[5] = np.nan, np.nan
    kept = ~np.isnan(effects + variances)
    over, alone = (
        mean_over_data_sets(*arrays)
        for arrays in ((effects, variances, DF), (effects[kept], variances[kept], DF[kept]))
    )
    for one, other in ((over.random_effects, alone.random_effects), (over.plain, alone.plain)):
        assert one.mean == pytest.approx(other.mean) and one.half_width() == pytest.approx(other.half_width())
    assert over.weights[~kept].sum() == 0 and over.weights[kept] == pytest.approx(alone.weights)
    assert np.array(prediction_interval(effects, variances, DF)) == pytest.approx(
        np.array(prediction_interval(effects[kept], variances[kept], DF[kept]))
    )


@pytest.mark.parametrize("data_sets", [0, 1, 2])
def test_fewer_than_three_data_sets_have_no_interval(data_sets: int) -> None:
    effects, variances = study(data_sets=data_sets)
    over = mean_over_data_sets(effects, variances, DF[:data_sets]) if data_sets else None
    ends = [over.deciding.low(), over.random_effects.low()] if over else []
    assert np.isnan(ends).all()
    if data_sets:
        assert np.isnan(prediction_interval(effects, variances, DF[:data_sets])).all()


def test_variances_of_zero_do_not_take_all_the_weight() -> None:
    effects = np.array([0.0, 0.01, 0.02, 0.05, 0.06])
    over = mean_over_data_sets(effects, np.zeros(5), np.full(5, 9.0))
    assert over.weights == pytest.approx(np.full(5, 0.2))
    assert over.random_effects.half_width() == pytest.approx(mean_gain(effects).half_width())
    nothing = mean_over_data_sets(np.zeros(5), np.zeros(5), np.full(5, 9.0))
    assert np.isnan([nothing.random_effects.half_width(), nothing.plain.half_width()]).all()
    assert np.isnan(prediction_interval(np.zeros(5), np.zeros(5), np.full(5, 9.0))).all()
    one = mean_over_data_sets(effects, np.array([0, 1, 1, 1, 1]) * 1e-4, np.full(5, 9.0))
    assert one.weights.max() < 0.5 and one.random_effects.variance > 0


def test_the_plain_mean_decides_where_weights_are_unequal() -> None:
    even, df = np.array([0.0, 0.02, 0.01, 0.03, 0.02, 0.01]), np.full(6, 1000.0)
    cases = {
        "even": (np.ones(6), False),
        "a third": (np.array([0.1, 1, 1, 1, 1, 1]), True),
        "five times": (np.array([1, 1, 1, 1, 1, 6.0]), True),
    }
    for variances, plain in cases.values():
        over = mean_over_data_sets(even, variances, df)
        assert over.plain_decides == plain
        chosen = over.plain if plain else over.random_effects
        assert (over.deciding.mean, over.deciding.variance) == (chosen.mean, chosen.variance)
    assert mean_over_data_sets(even[:3], np.ones(3), df[:3]).plain_decides


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.03]))
def test_prediction_holds_the_interval_of_the_mean_and_follows_unit_and_sign(seed: int, between: float) -> None:
    effects, variances = study(seed, between)
    low, high = prediction_interval(effects, variances, DF)
    mean = mean_over_data_sets(effects, variances, DF).deciding
    assert low <= mean.low() and mean.high() <= high
    scaled = prediction_interval(-3 * effects, 9 * variances, DF)
    assert scaled == (pytest.approx(-3 * high, rel=1e-6, abs=1e-9), pytest.approx(-3 * low, rel=1e-6, abs=1e-9))


def test_known_equal_variances_give_the_prediction_of_students_t() -> None:
    """With much spread between data sets, where the within-task variance does not matter."""
    effects = np.random.default_rng(0).normal(size=9)
    low, high = prediction_interval(effects, np.full(9, 1e-9), DF, strata=2000)
    half = scipy.stats.t.ppf(0.975, 8) * effects.std(ddof=1) * np.sqrt(1 + 1 / 9)
    assert (low, high) == pytest.approx((effects.mean() - half, effects.mean() + half), rel=0.01)


@pytest.mark.parametrize(
    ("data_sets", "df", "unequal", "between", "arrangement"),
    [
        (8, 4, 5, 0.0, "one precise"),
        (8, 4, 30, 0.02, "ladder"),
        (8, 9, 1, 0.02, "ladder"),
        (13, 4, 1, 0.0, "ladder"),
        (13, 9, 30, 0.1, "one imprecise"),
        (20, 4, 5, 0.02, "ladder"),
        (20, 19, 30, 0.05, "ladder"),
    ],
)
def test_mean_and_prediction_cover(data_sets: int, df: int, unequal: int, between: float, arrangement: str) -> None:
    rng = np.random.default_rng(data_sets + df)
    cell = coverage.mean_coverage(rng, 4_000, data_sets, df, unequal, between, arrangement, predicted=1_500)
    assert min(cell.random_effects, cell.plain, cell.deciding) >= 0.93
    assert cell.predicted >= 0.925  # 0.935 to 0.95; a standard error is 0.006


def test_where_gains_are_related_to_precision_the_plain_mean_decides_and_covers() -> None:
    cell = coverage.mean_coverage(np.random.default_rng(0), 4_000, 13, 19, 30, 0.02, "one imprecise", "related")
    assert cell.random_effects < 0.92 and cell.deciding >= 0.94


@pytest.mark.thorough
@pytest.mark.parametrize(("data_sets", "df"), list(itertools.product((*coverage.DATA_SETS, 4), coverage.DFS)))
def test_mean_and_prediction_cover_over_the_whole_grid(data_sets: int, df: int) -> None:
    rng = np.random.default_rng(data_sets * df)
    for cell in itertools.product(coverage.UNEQUAL, coverage.BETWEEN, coverage.SHAPES):
        predicted = 1_500 if cell[2] == "ladder" else 0
        rates = coverage.mean_coverage(rng, 5_000, data_sets, df, *cell, predicted=predicted)
        assert min(rates.random_effects, rates.plain, rates.deciding) >= 0.93, cell
        assert not predicted or rates.predicted >= 0.92, cell  # 0.933 to 0.95; a standard error is 0.006


@pytest.mark.thorough
@pytest.mark.parametrize("data_sets", [4, 8, 20])
def test_the_deciding_mean_covers_beyond_the_grid(data_sets: int) -> None:
    """Variances that differ up to 900 times, and gains that are related to them."""
    rng = np.random.default_rng(data_sets)
    for df, unequal, between, arrangement in itertools.product(
        (4, 19), (5, 30, 900), (0.01, 0.02, 0.05), coverage.SHAPES
    ):
        for gains in ("normal", "related"):
            cell = coverage.mean_coverage(rng, 5_000, data_sets, df, unequal, between, arrangement, gains)
            assert cell.deciding >= 0.93, (df, unequal, between, arrangement, gains)
