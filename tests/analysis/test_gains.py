"""Gains from tables of made-up runs."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from benchmarks.report import made_up
from tune_kmixup.analysis import gains
from tune_kmixup.analysis.findings import findings
from tune_kmixup.core.config import Claims


def test_gains_are_paired_by_split_and_seed() -> None:
    """The gain is reference minus method. Runs without a partner do not count; the order of rows does not matter."""
    rows = made_up(np.random.default_rng(5), tasks=["a/mlp"], splits=3, seeds=4)
    gain = gains.gain(rows, "a/mlp", "mixup", "erm")
    assert gains.gain(rows.sample(frac=1, random_state=0), "a/mlp", "mixup", "erm") == gain
    without_partner = rows[~((rows["method"] == "erm") & (rows["seed"] == 1_000_003))]
    assert len(gains.paired_differences(without_partner, "a/mlp", "mixup", "erm")) == 9
    final = rows[rows["selected"]].set_index(["method", "outer_split", "seed"])["test_error"]
    split_means = (final["erm"] - final["mixup"]).groupby(level=0).mean()
    assert gain.mean == pytest.approx(split_means.mean()) and gain.units == 3


def test_known_effects_are_estimated() -> None:
    effects = {"erm": 0.0, "mixup": 0.02, "kmixup": 0.05}
    rows = made_up(np.random.default_rng(6), effects, tasks=["a/mlp"], splits=25, seeds=2)
    mixup, kmixup = (gains.gain(rows, "a/mlp", *pair) for pair in gains.COMPARED[:2])
    assert mixup.low < 0.02 < mixup.high and kmixup.low < 0.03 < kmixup.high
    assert gains.share_better(rows, "a/mlp", "kmixup", "erm") > 0.9
    assert findings(rows, "mixup", "erm", Claims(), 0.95)["a/mlp"].words == "shown"


@pytest.mark.parametrize("metric", ["test_macro_f1", "test_auroc"])
def test_a_gain_is_positive_where_the_method_is_better_also_if_more_is_better(metric: str) -> None:
    rows = made_up(np.random.default_rng(6), {"erm": 0.0, "mixup": 0.03}, tasks=["a/mlp"], splits=4)
    rows[metric] = 1 - rows["test_error"]
    error, more = (gains.gain(rows, "a/mlp", "mixup", "erm", metric=name) for name in ("test_error", metric))
    assert more.mean == pytest.approx(error.mean) and more.low == pytest.approx(error.low) and error.mean > 0
    assert gains.mean_metric(rows, "a/mlp", "erm", metric=metric).mean > 0.5


def test_ties_count_half() -> None:
    rows = made_up(np.random.default_rng(8), {"erm": 0.0, "mixup": 0.0}, tasks=["a/mlp"])
    assert gains.share_better(rows.assign(test_error=0.1), "a/mlp", "mixup", "erm") == 0.5


def test_missing_methods_give_nan() -> None:
    rows = made_up(np.random.default_rng(7), {"erm": 0.0}, tasks=["a/mlp"])
    assert np.isnan(gains.gain(rows, "a/mlp", "mixup", "erm").mean)
    assert np.isnan(gains.share_better(rows, "a/mlp", "mixup", "erm"))
    assert np.isnan(gains.mean_metric(pd.DataFrame(columns=rows.columns), "a/mlp", "erm").mean)


@pytest.mark.parametrize(("splits", "words"), [(1, "one search"), (2, "2 searches")])
def test_fewer_than_three_searches_have_no_interval(splits: int, words: str) -> None:
    """However many seeds they have: the spread over seeds says nothing about another search."""
    rows = made_up(np.random.default_rng(9), {"erm": 0.0, "mixup": 0.05}, tasks=["a/mlp"], splits=splits, seeds=50)
    gain = gains.gain(rows, "a/mlp", "mixup", "erm")
    assert gain.mean > 0.02 and np.isnan(gain.low) and gain.units == splits
    assert findings(rows, "mixup", "erm", Claims(), 0.95)["a/mlp"].words == words and gains.one_search(rows, "a/mlp")


def test_the_variance_of_a_gain_is_split_by_outer_split_and_seed() -> None:
    rows = made_up(np.random.default_rng(10), tasks=["a/mlp"], splits=5, seeds=4)
    split = gains.variance_split(rows, "a/mlp", "mixup", "erm")
    assert (split.units, split.seeds_per_unit, split.rows) == (5, 4, None)
    half_width = gains.gain(rows, "a/mlp", "mixup", "erm").half_width
    assert np.sqrt(split.expected()[0]) == pytest.approx(half_width / scipy.stats.t.ppf(0.975, 4))
