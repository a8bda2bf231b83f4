"""Repeats of a task with an official test set: the luck of the test rows that they share is in every interval."""

import numpy as np
import pandas as pd
import pytest

from tune_kmixup.analysis import claims, cross_task, gains
from tune_kmixup.analysis.evidence import gain_of, mean_gain
from tune_kmixup.analysis.stats import t_interval
from tune_kmixup.core import bitset
from tune_kmixup.core.config import Claims

REPEATS, SEEDS, TEST_ROWS = 6, 3, 400
METHODS = {"erm": 0.20, "mixup": 0.17, "kmixup": 0.15}  # expected errors


def repeats(rng: np.random.Generator, test_rows: int = TEST_ROWS, spread: float = 0.0) -> pd.DataFrame:
    """Runs that each get every test row right or wrong: rows differ in difficulty, repeats in their luck."""
    difficulty = rng.normal(0, 1, test_rows)
    records = []
    for repeat in range(REPEATS):
        for method, error in METHODS.items():
            shift = rng.normal(0, spread)
            chance = np.clip(error + shift + 0.1 * difficulty, 0, 1)
            for seed in range(SEEDS):
                wrong = rng.random(test_rows) < chance
                records.append(
                    {
                        "task": "pooled-200/mlp",
                        "dataset": "pooled",
                        "method": method,
                        "outer_split": repeat,
                        "seed": seed,
                        "selected": True,
                        "shared_test": True,
                        "test_error": wrong.mean(),
                        "test_nll": 2 * wrong.mean(),
                        "test_rows": test_rows,
                        "test_wrong": bitset.encode(wrong.tolist()),
                    }
                )
    return pd.DataFrame(records)


def test_the_interval_of_a_gain_has_a_term_for_the_test_rows() -> None:
    rows = repeats(np.random.default_rng(0), spread=0.01)
    wrong = {
        method: np.array([gains.unpacked(text) for text in rows[rows["method"] == method]["test_wrong"]])
        for method in METHODS
    }
    per_repeat = (wrong["erm"] - wrong["mixup"]).mean(1).reshape(REPEATS, SEEDS).mean(1)
    per_row = (wrong["erm"] - wrong["mixup"]).mean(0)
    expected = mean_gain(per_repeat, per_row.var(ddof=1), TEST_ROWS)
    found = gains.gain(rows, "pooled-200/mlp", "mixup", "erm")
    assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low(), expected.high()))
    without = t_interval(per_repeat)
    assert found.half_width > without.half_width, "wider than over repeats alone"
    nll = gains.gain(rows, "pooled-200/mlp", "mixup", "erm", metric="test_nll")
    assert nll.half_width == pytest.approx(2 * without.half_width), "its values per test row are not kept"


def test_the_gain_relative_to_erms_error_has_it_too() -> None:
    rows = repeats(np.random.default_rng(1), spread=0.01)
    relative = [
        cross_task.gains_by_data_set(table, gain_of("mixup", "erm"), ["pooled-200/mlp"]).gains
        for table in (rows, rows.drop(columns="shared_test"))
    ]
    assert relative[0].mean == relative[1].mean and relative[0].variance > relative[1].variance


def test_verdicts_and_intervals_agree() -> None:
    rows = repeats(np.random.default_rng(2), spread=0.02)
    gain = gains.gain(rows, "pooled-200/mlp", "kmixup", "mixup")
    (verdict,) = (v for v in claims.judge(rows, Claims()) if (v.claim, v.task) == ("1", "pooled-200/mlp"))
    assert verdict.outcome == ("supported" if gain.low > 0 else "undecided")
    assert f"{100 * gain.low:+.2f}" in verdict.reason and f"{100 * gain.high:+.2f}" in verdict.reason


def test_rows_without_the_column_have_test_rows_of_their_own() -> None:
    """Folds, toy sets, and everything of version 0.1.0."""
    rows = repeats(np.random.default_rng(3))
    assert gains.share_test_rows(rows, "pooled-200/mlp")
    assert not gains.share_test_rows(rows.assign(shared_test=False), "pooled-200/mlp")
    assert not gains.share_test_rows(rows.drop(columns="shared_test"), "pooled-200/mlp")
    assert not gains.share_test_rows(rows.assign(shared_test=None), "pooled-200/mlp")


def test_the_interval_covers_the_gain_on_new_rows_of_the_same_kind() -> None:
    """Without the term for test rows it would not. `test_evidence` has many more studies of the interval alone."""
    rng = np.random.default_rng(4)
    truth = METHODS["erm"] - METHODS["kmixup"]
    covered = {True: 0, False: 0}
    for _ in range(100):
        rows = repeats(rng, test_rows=250, spread=0.002)
        for shared in (True, False):
            found = gains.gain(rows.assign(shared_test=shared), "pooled-200/mlp", "kmixup", "erm")
            covered[shared] += found.low <= truth <= found.high
    assert covered[True] >= 89 and covered[False] < covered[True]
