"""What is said of the gains, on made-up rows of known effects."""

import numpy as np
import pytest

from benchmarks.report import made_up
from tune_kmixup.analysis.report.conclusions import answer, tasks_by_outcome, verdicts


@pytest.mark.parametrize(("effect", "outcome"), [(0.05, "gains"), (-0.05, "loses"), (0.0, "no difference shown")])
def test_tasks_are_sorted_by_what_the_interval_says(effect: float, outcome: str) -> None:
    rows = made_up(np.random.default_rng(0), {"erm": 0.0, "mixup": effect})
    found = tasks_by_outcome(rows, "mixup", "erm", 0.95)
    assert found.pop(outcome) == ["a/mlp", "b/mlp", "c/lenet"] and not any(found.values())


def test_saturated_tasks_are_marked() -> None:
    """Nothing can be gained there; where one of the two errs, something is."""
    rows = made_up(np.random.default_rng(0))
    rows.loc[(rows["task"] == "a/mlp") & (rows["phase"] == "final"), "test_error"] = 0.0
    rows.loc[(rows["task"] == "b/mlp") & (rows["phase"] == "final") & (rows["method"] == "erm"), "test_error"] = 0.0
    found = tasks_by_outcome(rows, "mixup", "erm", 0.95)
    assert found["saturated, both err less than 0.01 %,"] == ["a/mlp"] and found["loses"] == ["b/mlp"]
    assert "saturated, both err less than 0.01 %, on 1 (a/mlp)" in " ".join(verdicts(rows, 0.95))


def test_two_units_give_no_verdict() -> None:
    rows = made_up(np.random.default_rng(0), splits=2)
    assert len(tasks_by_outcome(rows, "mixup", "erm", 0.95)["too few units for an interval"]) == 3


def test_the_answer_counts_gains_and_losses() -> None:
    rows = made_up(np.random.default_rng(0), {"erm": 0.0, "mixup": 0.05, "kmixup": 0.0})
    assert "mixup gained over ERM on 3 of 3 tasks and lost on 0; k-mixup gained over mixup on 0" in answer(rows)
    assert "k-mixup gained over mixup on 0 of 3 tasks and lost on 3" in answer(rows)
    assert "nothing to be compared" in answer(rows[rows["method"] == "erm"])
