"""Words and verdicts: by hand, and how often they are wrong by simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import coverage
from benchmarks.coverage import FOLDS, MEASURED
from tune_kmixup.analysis import verdicts
from tune_kmixup.analysis.evidence import MeanGain, TaskErrors, mean_gain

finite = st.floats(-1, 1, allow_subnormal=False).map(lambda value: round(value, 6))
some_gains = st.lists(finite, min_size=3, max_size=12).map(np.array)


def task(seed: int = 0, units: int = 10, mixup: float = 0.0, kmixup: float = 0.0, folds: bool = False) -> TaskErrors:
    """One simulated task; gains are shares of an ERM error of about 1."""
    return coverage.simulate(np.random.default_rng(seed), (), units, mixup, kmixup, FOLDS if folds else MEASURED)


def in_words(gain: MeanGain) -> str:
    return str(verdicts.in_words(gain.mean, gain.p(), verdicts.p_small(gain)))


@pytest.mark.parametrize("units", [0, 1, 2])
def test_fewer_than_three_units_give_no_interval_and_no_verdict(units: int) -> None:
    estimate = mean_gain(np.ones(units), 1.0, 100)
    assert np.isnan([estimate.low(), estimate.high(), estimate.p_above(), estimate.p_below()]).all()
    assert verdicts.judge_improvement(estimate).outcome == "undecided"
    assert in_words(estimate) == "not known"


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
    assert verdicts.judge_improvement(estimate, level).outcome == expected


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
    assert in_words(estimate) == words


@given(some_gains, st.floats(0, 4), st.sampled_from([None, 50, 5000]))
def test_a_gain_is_small_where_its_90_percent_interval_is(
    gains: np.ndarray, row_variance: float, rows: int | None
) -> None:
    estimate = mean_gain(gains, row_variance, rows)
    low, high = float(estimate.low(0.9)), float(estimate.high(0.9))
    if min(abs(low + 0.03), abs(high - 0.03)) < 1e-9:  # on the border rounding decides
        return
    assert (verdicts.p_small(estimate) < 0.05) == (low > -0.03 and high < 0.03)


def test_a_gain_at_the_margin_is_rarely_called_small() -> None:
    rates = [coverage.small_rate(np.random.default_rng(0), 4_000, 20, gain) for gain in (-0.03, 0.03, 0.0)]
    assert max(rates[:2]) <= 0.06 and rates[2] > 0.3  # 5 % and three standard errors


def test_of_many_gains_at_the_margin_rarely_one_is_called_small_after_correction() -> None:
    """Before it, most studies of 22 tasks call one of them small."""
    rng = np.random.default_rng(0)
    tasks = coverage.simulate(rng, (2_000, 22), 20, 0.0, 0.03)
    p = tasks.p_small(verdicts.KMIXUP_OVER_MIXUP)
    before, after = ((values < 0.05).any(-1).mean() for values in (p, verdicts.holm(p)))
    assert before > 0.5 and after < 0.01


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
    found = verdicts.judge_at_least_half(estimate(mixup), estimate(kmixup), estimate(contrast))
    assert found.outcome == outcome
    assert (found.p < 0.05) == (outcome in ("supported", "contradicted"))


@pytest.mark.parametrize(
    ("mixup", "kmixup", "outcome"), [(0.0, 0.1, "supported"), (0.1, 0.1, "undecided"), (-0.2, 0.1, "undecided")]
)
def test_claim_3_needs_all_three(mixup: float, kmixup: float, outcome: str) -> None:
    found = verdicts.judge_where_mixup_fails(task(0, 30, mixup, kmixup))
    assert found.outcome == outcome and (found.p < 0.05) == (outcome == "supported")


def test_holm_by_hand() -> None:
    assert verdicts.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert verdicts.holm([[0.9, 0.9], [0.01, np.nan]]) == pytest.approx(np.array([[1, 1], [0.02, np.nan]]), nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8).map(np.array))
def test_holm_keeps_the_order_and_lowers_nothing(p: np.ndarray) -> None:
    corrected = verdicts.holm(p)
    assert (corrected >= p).all() and (corrected <= len(p) * p + 1e-12).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()


def test_what_holm_takes_away_is_undecided() -> None:
    outcome = np.array(["supported", "contradicted", "void", "undecided"])
    after = verdicts.Verdicts(outcome, np.array([0.03, 0.001, 0.2, 0.5])).after_holm()
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
