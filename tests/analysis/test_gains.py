"""Intervals cover, tests keep their size, and each agrees with scipy where scipy has it."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.report import made_up
from tune_kmixup.analysis import gains

RNG = np.random.default_rng(0)


def test_t_interval_is_scipys() -> None:
    values = RNG.normal(1, 2, 12)
    ours, theirs = gains.t_interval(values, 0.9), stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("values", [[], [0.1], [0.1, 0.2]])
def test_fewer_than_three_units_give_no_interval(values: list[float]) -> None:
    assert np.isnan(gains.t_interval(values).low)
    assert np.isnan(gains.bootstrap_t(values, RNG).low)


def test_sign_flip_is_scipys_permutation_test() -> None:
    values = RNG.normal(0.5, 1, 9)
    flipped = stats.permutation_test(
        (values,), lambda v, axis: v.mean(axis), permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    p, least = gains.sign_flip(values, RNG)
    assert p == pytest.approx(flipped.pvalue) and least == 2 / 2**9


def test_sign_flip_by_draws_agrees_with_counting_all() -> None:
    values = RNG.normal(0.3, 1, 15)
    every = 1 - 2 * ((np.arange(2**15)[:, None] >> np.arange(15)) & 1)
    exact = (np.abs(every @ values) >= abs(values.sum()) - 1e-12).mean()
    assert gains.sign_flip(values, np.random.default_rng(1))[0] == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize(("splits", "seeds"), [(1, 10), (1, 20), (5, 4), (5, 20), (25, 2)])
def test_intervals_cover_for_the_numbers_of_splits_and_seeds_in_use(splits: int, seeds: int) -> None:
    """Gains with an effect of the split as large as that of the seed; nominal 95 %, at least 93 %.

    The same seeds pooled, as if runs that share test rows were independent, cover far less: why the unit is the split.
    """
    rng = np.random.default_rng(2)
    draws = 4000
    of_split = rng.normal(size=(draws, splits, 1)) if splits > 1 else 0
    runs = of_split + rng.normal(size=(draws, splits, seeds))
    units = runs.mean(2) if splits > 1 else runs[:, 0]
    assert covered(units) > 0.93
    if splits == 5 and seeds == 20:
        assert covered(runs.reshape(draws, -1)) < 0.7


def covered(units: np.ndarray) -> float:
    """Share of rows whose interval holds the true mean, 0; `t_interval` is what is tested, on some rows one by one."""
    half = stats.t.ppf(0.975, units.shape[1] - 1) * units.std(1, ddof=1) / np.sqrt(units.shape[1])
    one = gains.t_interval(units[0])
    assert one.half_width == pytest.approx(half[0])
    return float((np.abs(units.mean(1)) < half).mean())


@pytest.mark.parametrize(("units", "skewed"), [(5, False), (20, False), (20, True)])
def test_bootstrap_t_covers(units: int, skewed: bool) -> None:
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(600):
        values = rng.exponential(size=units) - 1 if skewed else rng.normal(size=units)
        estimate = gains.bootstrap_t(values, rng, draws=400)
        found += estimate.low < 0 < estimate.high
    assert found / 600 > 0.92  # 93 % less two standard errors of this simulation


def test_the_interval_of_a_ratio_covers() -> None:
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(1500):
        base = rng.normal(1, 0.1, 10)
        estimate = gains.ratio(0.2 * base + rng.normal(0, 0.05, 10), base)
        found += estimate.low < 0.2 < estimate.high
    assert found / 1500 > 0.93


def test_gains_are_paired_by_split_and_seed() -> None:
    """Order of the rows does not matter, runs without a partner do not count, and the gain is reference less method."""
    rows = made_up(np.random.default_rng(5), tasks=["a/mlp"], splits=3, seeds=4)
    expected = gains.gain(rows, "a/mlp", "mixup", "erm")
    assert gains.gain(rows.sample(frac=1, random_state=0), "a/mlp", "mixup", "erm") == expected
    lonely = rows[~((rows["method"] == "erm") & (rows["seed"] == 1_000_003))]
    assert len(gains.paired_differences(lonely, "a/mlp", "mixup", "erm")) == 9
    final = rows[rows["selected"]].set_index(["method", "outer_split", "seed"])["test_error"]
    by_hand = (final["erm"] - final["mixup"]).groupby(level=0).mean()
    assert expected.mean == pytest.approx(by_hand.mean()) and expected.units == 3


def test_known_effects_are_found() -> None:
    effects = {"erm": 0.0, "mixup": 0.02, "kmixup": 0.05}
    rows = made_up(np.random.default_rng(6), effects, tasks=["a/mlp"], splits=25, seeds=2)
    first, second = (gains.gain(rows, "a/mlp", *pair) for pair in gains.COMPARED[:2])
    assert first.low < 0.02 < first.high and second.low < 0.03 < second.high
    assert gains.improves(rows, "a/mlp", "kmixup", "erm") > 0.9
    assert gains.relative(rows, "a/mlp", "mixup", "erm").mean == pytest.approx(
        first.mean / gains.error(rows, "a/mlp", "erm").mean
    )


def test_what_is_not_there_is_nan() -> None:
    rows = made_up(np.random.default_rng(7), {"erm": 0.0}, tasks=["a/mlp"])
    assert np.isnan(gains.gain(rows, "a/mlp", "mixup", "erm").mean)
    assert np.isnan(gains.relative(rows, "a/mlp", "mixup", "erm").mean)
    assert np.isnan(gains.improves(rows, "a/mlp", "mixup", "erm"))
    assert np.isnan(gains.error(pd.DataFrame(columns=rows.columns), "a/mlp", "erm").mean)
