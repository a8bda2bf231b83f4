"""What is known of a gain, in words and as a mark, before and after correction."""

import math

import numpy as np
import pytest

from benchmarks.report import made_up
from tune_kmixup.analysis import gains
from tune_kmixup.analysis.findings import SATURATED, WORDS, Finding, findings, over_tasks, small_p_value
from tune_kmixup.analysis.stats import Estimate
from tune_kmixup.core.config import Claims


@pytest.mark.parametrize(
    ("gain", "p", "p_small", "words", "mark"),
    [
        (0.02, (0.001, 0.01), (0.9, 1.0), "shown", "▲"),
        (0.02, (0.001, 0.01), (0.01, 0.2), "shown", "▲"),
        (0.02, (0.001, 0.01), (0.01, 0.04), "shown, and shown to be small", "▲≈"),
        (0.02, (0.01, 0.2), (0.9, 1.0), "shown before correction only", "△"),
        (0.02, (0.01, 0.2), (0.01, 0.2), "shown before correction only", "△"),
        (0.02, (0.01, 0.2), (0.001, 0.01), "shown to be small", "△≈"),
        (0.02, (0.3, 1.0), (0.001, 0.01), "shown to be small", "≈"),
        (0.02, (0.3, 1.0), (0.01, 0.2), "shown to be small before correction only", "∼"),
        (0.02, (0.3, 1.0), (0.3, 1.0), "not known", ""),
        (-0.02, (0.001, 0.01), (0.3, 1.0), "loss shown", "▼"),
        (-0.02, (0.001, 0.01), (0.001, 0.01), "loss shown, and shown to be small", "▼≈"),
        (-0.02, (0.01, 0.2), (0.3, 1.0), "loss shown before correction only", "▽"),
        (0.02, (0.001, 0.01), (math.nan, math.nan), "shown", "▲"),
    ],
)
def test_words_and_marks(
    gain: float, p: tuple[float, float], p_small: tuple[float, float], words: str, mark: str
) -> None:
    finding = Finding(Estimate(gain, 0.0, 0.0, 10), *p, *p_small, saturated=False, level=0.95)
    assert (finding.words, finding.mark) == (words, mark) and words in WORDS


def test_a_gain_is_shown_after_correction_for_finished_and_planned_tasks() -> None:
    rows = made_up(np.random.default_rng(6), {"erm": 0.0, "mixup": 0.02}, tasks=["a/mlp", "b/mlp"], splits=8)
    p = {task: gains.p_value(rows, task, "mixup", "erm") for task in ("a/mlp", "b/mlp")}
    first = min(p, key=lambda task: p[task])
    planned = int(0.05 / p[first]) + 2  # the smallest p is no longer below 0.05 after correction
    few, many = (Claims(families={"1": tuple(f"{n}/mlp" for n in range(count))}) for count in (0, planned))
    finished = findings(rows, "mixup", "erm", few, 0.95)[first]
    assert finished.p_holm == pytest.approx(2 * p[first]) and finished.words == "shown"
    with_planned = findings(rows, "mixup", "erm", many, 0.95)[first]
    assert with_planned.p_holm == pytest.approx(min(1.0, (2 + planned) * p[first]))
    assert with_planned.words == "shown before correction only"


def test_a_gain_is_shown_to_be_small_after_correction_for_finished_and_planned_tasks() -> None:
    rows = made_up(np.random.default_rng(6), {"erm": 0.0, "mixup": 0.0}, tasks=["a/mlp"], splits=8)
    p = small_p_value(rows, "a/mlp", "mixup", "erm", delta=0.05)
    fits = int(0.05 / p)  # number of tasks
    for count, words in ((fits, "shown to be small"), (fits + 1, "shown to be small before correction only")):
        claims = Claims(delta=0.05, families={"1": ("a/mlp", *(f"{n}/mlp" for n in range(count - 1)))})
        assert findings(rows, "mixup", "erm", claims, 0.95)["a/mlp"].words == words


def test_tasks_without_the_method_are_not_corrected_for() -> None:
    rows = made_up(np.random.default_rng(6), tasks=["a/mlp", "b/mlp"])
    some = rows[(rows["task"] == "a/mlp") | (rows["method"] != "kmixup")]
    (finding,) = findings(some, "kmixup", "mixup", Claims(), 0.95).values()
    assert finding.p_holm == finding.p == gains.p_value(rows, "a/mlp", "kmixup", "mixup")
    assert finding.gain == gains.gain(rows, "a/mlp", "kmixup", "mixup")


def test_a_gain_in_another_metric_or_without_erm_is_not_called_small() -> None:
    rows = made_up(np.random.default_rng(6), {"mixup": 0.0, "kmixup": 0.0}, tasks=["a/mlp"], splits=8)
    (without_erm,) = findings(rows, "kmixup", "mixup", Claims(delta=0.99), 0.95).values()
    assert math.isnan(without_erm.p_small) and "small" not in without_erm.words
    with_erm = made_up(np.random.default_rng(6), tasks=["a/mlp"], splits=8)
    (finding,) = findings(with_erm, "mixup", "erm", Claims(delta=0.99), 0.95, metric="test_nll").values()
    assert math.isnan(finding.p_small) and "small" not in finding.words


def test_where_no_error_is_left_to_gain_other_metrics_may_gain() -> None:
    rows = made_up(np.random.default_rng(6), {"erm": 0.0, "mixup": 0.0}, tasks=["a/mlp"], splits=8)
    nll = np.where(rows["method"] == "erm", 0.5, 0.1) + 0.01 * np.random.default_rng(0).random(len(rows))
    rows = rows.assign(test_error=rows["test_error"] * 0, test_nll=nll)
    (error,) = findings(rows, "mixup", "erm", Claims(), 0.95).values()
    (other,) = findings(rows, "mixup", "erm", Claims(), 0.95, metric="test_nll").values()
    assert (error.words, error.mark) == (SATURATED, "") and (other.words, other.mark) == ("shown", "▲")


def test_tasks_that_are_finished_and_in_the_family_count_once() -> None:
    claims = Claims(families={"1": ("a/mlp", "b/mlp", "c/mlp")})
    assert over_tasks({"a/mlp": 0.01, "x/mlp": 0.5}, claims) == {"a/mlp": 0.04, "x/mlp": 1.0}
