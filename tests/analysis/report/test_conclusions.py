"""Sentences about the gains of made-up rows with known effects."""

import numpy as np
import pytest

from benchmarks.report import made_up
from tune_kmixup.analysis.report.conclusions import comparison_sentences, summary, tasks_by_outcome


@pytest.mark.parametrize(("effect", "outcome"), [(0.05, "gains"), (-0.05, "loses"), (0.0, "no difference shown")])
def test_tasks_are_grouped_by_their_intervals(effect: float, outcome: str) -> None:
    rows = made_up(np.random.default_rng(0), {"erm": 0.0, "mixup": effect})
    tasks = tasks_by_outcome(rows, "mixup", "erm", 0.95)
    assert tasks.pop(outcome) == ["a/mlp", "b/mlp", "c/lenet"] and not any(tasks.values())


def test_saturated_tasks_are_marked() -> None:
    """A task where one of the two methods errs is not saturated."""
    rows = made_up(np.random.default_rng(0))
    rows.loc[(rows["task"] == "a/mlp") & (rows["phase"] == "final"), "test_error"] = 0.0
    rows.loc[(rows["task"] == "b/mlp") & (rows["phase"] == "final") & (rows["method"] == "erm"), "test_error"] = 0.0
    tasks = tasks_by_outcome(rows, "mixup", "erm", 0.95)
    assert tasks["saturated (both errors below 0.01 %)"] == ["a/mlp"] and tasks["loses"] == ["b/mlp"]
    assert "saturated (both errors below 0.01 %) on 1 (a/mlp)" in " ".join(comparison_sentences(rows, 0.95))


def test_two_units_are_too_few() -> None:
    rows = made_up(np.random.default_rng(0), splits=2)
    assert len(tasks_by_outcome(rows, "mixup", "erm", 0.95)["too few units for an interval"]) == 3


def test_the_summary_counts_gains_and_losses() -> None:
    rows = made_up(np.random.default_rng(0), {"erm": 0.0, "mixup": 0.05, "kmixup": 0.0})
    assert "mixup gained over ERM on 3 of 3 tasks and lost on 0; k-mixup gained over mixup on 0" in summary(rows)
    assert "k-mixup gained over mixup on 0 of 3 tasks and lost on 3" in summary(rows)
    assert "nothing can be compared" in summary(rows[rows["method"] == "erm"])
