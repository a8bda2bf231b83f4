"""Intervals and verdicts of one task: by hand, against scipy and statsmodels, and by simulation."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower

from benchmarks import coverage
from benchmarks.coverage import FOLDS, MEASURED
from tune_kmixup.analysis import evidence
from tune_kmixup.analysis.evidence import MeanGain, TaskGains, mean_gain

finite = st.floats(-1, 1, allow_subnormal=False).map(lambda value: round(value, 6))
some_gains = st.lists(finite, min_size=3, max_size=12).map(np.array)


def task(seed: int = 0, units: int = 10, mixup: float = 0.0, kmixup: float = 0.0, folds: bool = False) -> TaskGains:
    """One simulated task; gains are shares of an ERM error of about 1."""
    return coverage.simulate(np.random.default_rng(seed), (), units, mixup, kmixup, FOLDS if folds else MEASURED)


def numbers(estimate: MeanGain) -> list[float]:
    return [float(value) for value in (estimate.mean, estimate.variance, estimate.df)]


# ------------------------------------------------------------------------------------------ intervals


@given(some_gains)
def test_folds_have_students_t_interval(gains: np.ndarray) -> None:
    estimate = mean_gain(gains)
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    low, high = scipy.stats.t.interval(0.95, len(gains) - 1, gains.mean(), error) if error else [gains.mean()] * 2
    assert estimate.low() == pytest.approx(low, abs=1e-9) and estimate.high() == pytest.approx(high, abs=1e-9)


@pytest.mark.parametrize("units", [0, 1, 2])
def test_fewer_than_three_units_give_no_interval_and_no_verdict(units: int) -> None:
    estimate = mean_gain(np.ones(units), 1.0, 100)
    assert np.isnan([estimate.low(), estimate.high(), estimate.p_above(), estimate.p_below()]).all()
    assert evidence.judge_improvement(estimate).outcome == "undecided"
    assert evidence.in_words(estimate, evidence.small(estimate)) == "not known"


def test_equal_gains_give_an_interval_of_no_width() -> None:
    for value, p_above in ((0.0, 1.0), (0.1, 0.0), (-0.1, 1.0)):
        estimate = mean_gain(np.full(5, value))
        assert estimate.low() == estimate.high() == value and estimate.p_above() == p_above
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


@given(some_gains, st.floats(0, 4), st.sampled_from([None, 50, 5000]), st.floats(0.5, 0.99))
def test_verdict_interval_and_p_value_agree(
    gains: np.ndarray, row_variance: float, rows: int | None, level: float
) -> None:
    estimate = mean_gain(gains, row_variance, rows)
    above, below = estimate.low(level), estimate.high(level)
    if min(abs(above), abs(below)) < 1e-9:  # on the border rounding decides
        return
    assert (above > 0) == (estimate.p_above() < 1 - level) and (below < 0) == (estimate.p_below() < 1 - level)
    expected = "supported" if above > 0 else "contradicted" if below < 0 else "undecided"
    assert evidence.judge_improvement(estimate, level).outcome == expected


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


# ------------------------------------------------------------------------------------------ variances


def test_variances_are_split_as_they_were_put_together() -> None:
    rng = np.random.default_rng(0)
    gains = 2 * rng.normal(size=(4000, 1)) + 3 * rng.normal(size=(4000, 5))
    split = evidence.split_variances(gains, 7.0, 100)
    assert (split.search, split.seeds) == (pytest.approx(4, rel=0.1), pytest.approx(9, rel=0.05))
    assert sum(split.terms().values()) == pytest.approx(split.expected()[0])
    estimate = mean_gain(gains.mean(1), 7.0, 100)
    assert split.expected() == (pytest.approx(estimate.variance), pytest.approx(estimate.df))


def test_missing_runs_and_units_of_one_seed() -> None:
    gains = np.random.default_rng(1).normal(size=(6, 4))
    gains[0, 1:] = gains[5] = np.nan
    split = evidence.split_variances(gains)
    assert split.units == 5 and split.seeds_per_unit == pytest.approx(1 / np.mean([1, 0.25, 0.25, 0.25, 0.25]))
    alone = evidence.split_variances(gains[:, :1])
    assert np.isnan(alone.seeds) and alone.search == pytest.approx(np.var(gains[:5, 0], ddof=1))
    assert np.isnan(alone.to_halve()["seeds"]) and np.isnan(alone.to_halve()["rows"])
    assert all(np.isnan(number) for number in evidence.split_variances(gains[:2]).to_halve().values())


@given(
    st.floats(0, 2), st.floats(0, 2), st.floats(0, 200), st.integers(3, 20), st.integers(2, 8), st.integers(50, 5000)
)
def test_what_halves_the_interval_is_the_smallest_number_that_does(
    search: float, seeds: float, test_rows: float, units: int, per_unit: int, rows: int
) -> None:
    split = evidence.VarianceSplit(search + 0.01, seeds, test_rows, units, per_unit, rows)

    def width(**numbers: float) -> float:
        variance, df = split.expected(**numbers)
        return float(MeanGain(np.array(0.0), np.array(variance), np.array(df)).half_width())

    for name, number in split.to_halve().items():
        if np.isinf(number):
            assert width(**{name: 1e12}) > width() / 2 or width(**{name: np.inf}) > width() / 2
        else:
            assert width(**{name: number}) <= width() / 2 < width(**{name: number - 1})


def test_more_repeats_do_not_help_where_the_test_rows_prevail() -> None:
    split = evidence.VarianceSplit(0.001, 0.001, 100.0, 10, 5, 1000)
    assert split.to_halve() == {"units": np.inf, "seeds": np.inf, "rows": pytest.approx(4000, rel=0.02)}


# ------------------------------------------------------------------------------------------ power and words


@pytest.mark.parametrize(("units", "power"), [(3, 0.8), (10, 0.8), (20, 0.5), (10, 0.95)])
def test_the_detectable_gain_is_that_of_statsmodels(units: int, power: float) -> None:
    gain = evidence.detectable_gain(4.0 / units, units - 1, power=power) / 2
    assert gain == pytest.approx(TTestPower().solve_power(nobs=units, alpha=0.05, power=power), rel=1e-3)


@pytest.mark.parametrize(("units", "noise"), [(5, MEASURED), (10, MEASURED), (7, FOLDS), (20, FOLDS)])
def test_the_detectable_gain_is_shown_in_80_percent_of_studies(units: int, noise: coverage.Noise) -> None:
    _, shown = coverage.power_at_detectable_gain(np.random.default_rng(units), 4_000, units, noise)
    assert shown == pytest.approx(0.8, abs=0.03)


def test_a_gain_at_the_margin_is_rarely_called_small() -> None:
    rates = [coverage.small_rate(np.random.default_rng(0), 4_000, 20, gain) for gain in (-0.03, 0.03, 0.0)]
    assert max(rates[:2]) <= 0.06 and rates[2] > 0.3  # 5 % and three standard errors


@pytest.mark.parametrize(
    ("mean", "error", "words"),
    [
        (0.02, 0.005, "shown, and shown to be small"),
        (0.05, 0.005, "shown"),
        (0.0, 0.005, "shown to be small"),
        (0.0, 0.05, "not known"),
        (-0.05, 0.005, "loss shown"),
        (-0.02, 0.005, "loss shown, and shown to be small"),
    ],
)
def test_what_is_known_in_words(mean: float, error: float, words: str) -> None:
    estimate = MeanGain(np.array(mean), np.array(error**2), np.array(20.0))
    assert evidence.in_words(estimate, evidence.small(estimate)) == words


# ------------------------------------------------------------------------------------------ gains of a task


@given(st.integers(0, 10**6), st.floats(-0.1, 0.1), st.booleans())
def test_points_shares_and_smallness_agree(seed: int, gain: float, folds: bool) -> None:
    """Fieller's interval excludes 0 where the gain's own does, and lies within ± δ where the gain is small."""
    one = task(seed, 6, kmixup=gain, folds=folds)
    points = one.combination(kmixup=1)
    low, high = one.relative_interval(kmixup=1)
    assert np.sign(low) == np.sign(points.low()) and np.sign(high) == np.sign(points.high())
    inner = one.relative_interval(kmixup=1, level=0.9)
    assert one.small(kmixup=1) == (inner[0] > -0.03 and inner[1] < 0.03)
    assert low < one.relative(kmixup=1).mean < high
    assert high - low == pytest.approx(2 * one.relative(kmixup=1).half_width(), rel=0.1)


def test_rows_enter_a_combination_as_their_own_variance_does() -> None:
    rng = np.random.default_rng(0)
    errors, units = rng.random((3, 500)), rng.random((3, 8))
    gains = np.array([[1.0, -1, 0], [0, 1, -1], [1, 0, 0]])
    one = TaskGains(*(gains @ units), row_covariance=evidence.covariance(gains @ errors), rows=500)
    direct = mean_gain(units[0] - units[2], (errors[0] - errors[2]).var(ddof=1), 500)
    both = one.combination(mixup=1, kmixup=1)
    assert numbers(both) == pytest.approx(numbers(direct))


def test_erm_without_errors_has_no_relative_gain() -> None:
    one = TaskGains(np.zeros(5), np.zeros(5), np.zeros(5))
    assert np.isnan(one.relative(kmixup=1).mean) and np.isnan(one.relative_interval(kmixup=1)).all()


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


def test_log_ratios_are_finite_and_odd() -> None:
    reference, method = np.array([0.1, 0.0, 0.0, 0.02]), np.array([0.05, 0.0, 0.01, 0.0])
    ratios = evidence.log_ratios(reference, method, rows=1000)
    assert ratios == pytest.approx([np.log(2), 0, np.log(0.05), np.log(40)])
    assert evidence.log_ratios(method, reference, rows=1000) == pytest.approx(-ratios)


# ------------------------------------------------------------------------------------------ claims


def estimate(mean: float, error: float = 0.01) -> MeanGain:
    return MeanGain(np.array(mean), np.array(error**2), np.array(9.0))


@pytest.mark.parametrize(
    ("mixup", "kmixup", "contrast", "outcome"),
    [
        (0.0, 0.1, 0.1, "void"),  # mixup's gain is not shown
        (-0.1, 0.0, 0.05, "void"),  # mixup loses: the contrast of an idle k-mixup is positive
        (0.1, 0.1, 0.05, "supported"),
        (0.1, 0.1, 0.0, "undecided"),
        (0.1, 0.0, -0.05, "contradicted"),
        (0.1, 0.01, 0.05, "undecided"),  # k-mixup's own gain is not shown
    ],
)
def test_claim_2_follows_its_three_intervals(mixup: float, kmixup: float, contrast: float, outcome: str) -> None:
    verdicts = evidence.judge_at_least_half(estimate(mixup), estimate(kmixup), estimate(contrast))
    assert verdicts.outcome == outcome
    assert (verdicts.p < 0.05) == (outcome in ("supported", "contradicted"))


@pytest.mark.parametrize(
    ("mixup", "kmixup", "outcome"), [(0.0, 0.1, "supported"), (0.1, 0.1, "undecided"), (-0.2, 0.1, "undecided")]
)
def test_claim_3_needs_all_three(mixup: float, kmixup: float, outcome: str) -> None:
    verdicts = evidence.judge_where_mixup_fails(task(0, 30, mixup, kmixup))
    assert verdicts.outcome == outcome and (verdicts.p < 0.05) == (outcome == "supported")


def test_holm_by_hand() -> None:
    assert evidence.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert evidence.holm([[0.9, 0.9], [0.01, np.nan]]) == pytest.approx(np.array([[1, 1], [0.02, np.nan]]), nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8).map(np.array))
def test_holm_keeps_the_order_and_lowers_nothing(p: np.ndarray) -> None:
    corrected = evidence.holm(p)
    assert (corrected >= p).all() and (corrected <= len(p) * p + 1e-12).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()


def test_what_holm_takes_away_is_undecided() -> None:
    outcome = np.array(["supported", "contradicted", "void", "undecided"])
    after = evidence.Verdicts(outcome, np.array([0.03, 0.001, 0.2, 0.5])).after_holm()
    assert list(after.outcome) == ["undecided", "contradicted", "void", "undecided"]


NULLS = (0.0, 0.02, 0.04, 0.09, -0.1)  # gains of mixup, as shares of ERM's error; k-mixup is mixup
STUDIES = 3_000
LIMIT = 0.025 + 3 * np.sqrt(0.025 * 0.975 / STUDIES)  # one side of 95 %, three standard errors above


@pytest.mark.parametrize("mixup", NULLS)
def test_a_kmixup_that_is_mixup_rarely_gets_a_verdict(mixup: float) -> None:
    rates = coverage.claim_rates(np.random.default_rng(0), STUDIES, mixup, 0.0)
    for claim in ("1 task", "1 family", "1 overall"):
        assert max(rates[claim].supported, rates[claim].contradicted) <= LIMIT
    for claim in ("2 task", "2 family", "2 overall", "3 task", "3 overall"):
        assert rates[claim].supported <= LIMIT
    if mixup <= 0:  # where mixup gains, its k-mixup falls short of half of that: rightly contradicted
        assert max(rates[f"2 {part}"].contradicted for part in ("task", "family", "overall")) <= LIMIT


@pytest.mark.parametrize(
    ("mixup", "kmixup", "between", "claim"),
    [
        (0.0, 0.0, (0.05, 0.05), "1 overall"),  # gains and losses that cancel
        (0.04, 0.02, (0.0, 0.0), "2 task"),  # exactly half
        (0.09, 0.045, (0.05, 0.025), "2 overall"),
        (0.03, 0.15, (0.0, 0.0), "3 task"),  # mixup gains exactly δ
    ],
)
def test_verdicts_on_the_border_are_rarely_wrong(
    mixup: float, kmixup: float, between: tuple[float, float], claim: str
) -> None:
    rates = coverage.claim_rates(np.random.default_rng(1), STUDIES, mixup, kmixup, between=between)[claim]
    assert max(rates.supported, rates.contradicted) <= LIMIT


@pytest.mark.parametrize(
    ("mixup", "kmixup", "data_sets", "units", "claim"),
    [
        (0.0, 0.05, 12, 10, "1 overall"),
        (0.0, 0.06, 1, 10, "1 task"),
        (0.05, 0.08, 12, 10, "2 overall"),
        (0.05, 0.1, 1, 20, "2 task"),
        (0.0, 0.05, 4, 30, "3 overall"),
    ],
)
def test_what_is_true_comes_out_supported(mixup: float, kmixup: float, data_sets: int, units: int, claim: str) -> None:
    rates = coverage.claim_rates(np.random.default_rng(2), 500, mixup, kmixup, data_sets, units)[claim]
    assert rates.supported >= 0.85 and rates.contradicted == 0


@pytest.mark.thorough
@pytest.mark.parametrize(("mixup", "units", "folds"), list(itertools.product(NULLS, (5, 10, 20), (False, True))))
def test_error_rates_hold_for_all_numbers_of_repeats(mixup: float, units: int, folds: bool) -> None:
    rng = np.random.default_rng(units)
    noise = FOLDS if folds else MEASURED
    for between in ((0.0, 0.0), (0.02, 0.0)):
        rates = coverage.claim_rates(rng, 6_000, mixup, 0.0, units=units, between=between, noise=noise)
        wrong = [max(rates[f"1 {part}"].supported, rates[f"1 {part}"].contradicted) for part in ("task", "overall")]
        wrong += [rates[claim].supported for claim in ("2 task", "2 overall", "3 task", "3 overall")]
        assert max(wrong) <= 0.031, (between, rates)  # 2.5 % and three standard errors
