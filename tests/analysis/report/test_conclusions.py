"""Sentences about the gains of made-up rows with known effects."""

import numpy as np
import pytest

from benchmarks.report import made_up
from tune_kmixup.analysis.gains import SATURATED_WORDS
from tune_kmixup.analysis.report.conclusions import comparison_sentences, summary, tasks_in_words
from tune_kmixup.core.config import Claims


@pytest.mark.parametrize(("effect", "words"), [(0.05, "shown"), (-0.05, "loss shown"), (0.0, "not known")])
def test_tasks_are_grouped_by_what_is_known(effect: float, words: str) -> None:
    rows = made_up(np.random.default_rng(1), {"erm": 0.0, "mixup": effect})
    assert tasks_in_words(rows, "mixup", "erm", Claims(delta=0.001)) == {words: ["a/mlp", "b/mlp", "c/lenet"]}


def test_a_small_gain_is_shown_to_be_small() -> None:
    rows = made_up(np.random.default_rng(0), {"erm": 0.0, "mixup": 0.0}, splits=25, seeds=20)
    assert set(tasks_in_words(rows, "mixup", "erm", Claims(delta=0.2))) == {"shown to be small"}


def test_saturated_tasks_are_marked() -> None:
    """A task where one of the two methods errs is not saturated."""
    rows = made_up(np.random.default_rng(0))
    rows.loc[(rows["task"] == "a/mlp") & (rows["phase"] == "final"), "test_error"] = 0.0
    rows.loc[(rows["task"] == "b/mlp") & (rows["phase"] == "final") & (rows["method"] == "erm"), "test_error"] = 0.0
    tasks = tasks_in_words(rows, "mixup", "erm", Claims())
    assert tasks[SATURATED_WORDS] == ["a/mlp"] and tasks["loss shown"] == ["b/mlp"]
    assert "saturated (both errors below 0.01 %) on 1 (a/mlp)" in " ".join(comparison_sentences(rows, Claims()))


def test_the_summary_counts_tasks_by_what_is_known() -> None:
    rows = made_up(np.random.default_rng(0), {"erm": 0.0, "mixup": 0.05, "kmixup": 0.0})
    assert "Mixup's gain over ERM, of 3 tasks: shown on 3." in summary(rows, Claims())
    assert "K-mixup's gain over mixup, of 3 tasks: loss shown on 3." in summary(rows, Claims())
    assert "nothing can be compared" in summary(rows[rows["method"] == "erm"], Claims())
