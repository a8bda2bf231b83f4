"""Early stopping by ASHA: its rule, and the rungs of a training."""

import dataclasses
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.suites import dropout_network, without_clock
from tests.helpers.trainings import interrupt, through_rungs
from tune_kmixup.core.asha import StudyRungs, rung_epochs, should_continue
from tune_kmixup.core.config import Recipe, SelectBy, Task, Trial
from tune_kmixup.data.prepare import prepare
from tune_kmixup.data.tensors import Data
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.training import checkpoint, loop
from tune_kmixup.training.loop import Training, train_to_end

# The rule

ERRORS = st.floats(0, 1) | st.just(math.inf)


@given(st.lists(ERRORS, min_size=1, max_size=40))
def test_the_best_configuration_so_far_and_its_ties_continue(errors: list[float]) -> None:
    study = StudyRungs()
    for index, error in enumerate(errors):
        study.record(index, {5: error})
        assert study.should_continue(index, 5) or error > min(errors[: index + 1])


@given(st.permutations(range(30)), st.integers(3, 30))
def test_distinct_errors_continue_if_they_are_in_the_best_third(order: list[int], count: int) -> None:
    errors = [float(n) for n in order[:count]]
    assert should_continue(errors[-1], errors) == (sorted(errors).index(errors[-1]) < count // 3)


def test_about_one_in_three_continues() -> None:
    rng = random.Random(0)
    errors: list[float] = []
    decisions = []
    for _ in range(900):
        errors.append(rng.random())
        decisions.append(should_continue(errors[-1], errors))
    assert 0.28 < sum(decisions) / len(decisions) < 0.38


def test_errors_that_are_not_finite_are_the_worst() -> None:
    assert not should_continue(math.inf, [0.9, math.inf]) and should_continue(0.9, [math.inf, math.inf, 0.9])


@given(st.integers(1, 1000))
def test_rungs_lie_before_the_last_epoch(epochs: int) -> None:
    rungs = rung_epochs(epochs)
    assert all(1 <= epoch < epochs for epoch in rungs) and sorted(set(rungs)) == list(rungs)


def test_rungs_are_a_ninth_and_a_third_of_the_epochs() -> None:
    assert [rung_epochs(epochs) for epochs in (45, 200, 2, 1)] == [(5, 15), (23, 67), (1,), ()]


# A training

TASK = Task("iris", "mlp", Recipe(epochs=9, batch_size=30, lr=0.05), outer_split=0)


@pytest.fixture(scope="module")
def iris() -> Data:
    return prepare(TASK, Path("nowhere"), test=False)


def make_trial(seeds: tuple[int, ...] = (0, 1), batched: bool = False, rungs: tuple[int, ...] = (1, 3)) -> Trial:
    return Trial(f"{TASK.name}/kmixup", 4, "search", {"alpha": 1.0, "k": 4}, seeds, batched, rungs, curves=True)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("architecture", ["mlp", "dropout"])
def test_judging_changes_no_bit_of_the_training(
    iris: Data, batched: bool, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "dropout", dropout_network)
    task = dataclasses.replace(TASK, architecture=architecture)
    expected = train_to_end(task, make_trial(batched=batched, rungs=()), iris)
    rung_rows, rows = through_rungs(Training(task, make_trial(batched=batched), iris))
    assert without_clock(rows, rungs=()) == without_clock(expected)
    assert {row.batched for row in rows} == {2 if batched and architecture == "mlp" else 1}
    assert [row.epochs for row in rung_rows] == [1, 3] and {row.seed for row in rung_rows} == {0}
    assert dict(rows[0].rungs) == {row.epochs: row.val_error for row in rung_rows}
    assert rows[1].rungs == () and expected[0].rungs == ()


@pytest.mark.parametrize("select_by", ["nll", "balanced_error"])
def test_a_run_is_judged_by_what_the_suite_selects_by(iris: Data, select_by: SelectBy) -> None:
    trial = dataclasses.replace(make_trial(), select_by=select_by)
    rung_rows, rows = through_rungs(Training(TASK, trial, iris))
    assert dict(rows[0].rungs) == {row.epochs: getattr(row, f"val_{select_by}") for row in rung_rows}
    assert checkpoint.identity(TASK, trial) != checkpoint.identity(TASK, make_trial())


@pytest.mark.parametrize("batched", [False, True])
def test_only_the_first_seed_is_judged(iris: Data, batched: bool) -> None:
    one_seed, _ = through_rungs(Training(TASK, make_trial((0,), batched), iris))
    three_seeds, _ = through_rungs(Training(TASK, make_trial((0, 1, 2), batched), iris))
    for a, b in zip(one_seed, three_seeds, strict=True):
        assert a.val_error == b.val_error and a.val_nll == pytest.approx(b.val_nll, rel=1e-4)


@pytest.mark.parametrize("batched", [False, True])
def test_a_stopped_trial_leaves_one_row(iris: Data, batched: bool) -> None:
    first, last = interrupt(Training(TASK, make_trial(batched=batched), iris), 2)
    assert (last.status, last.epochs, last.seed, last.phase) == ("stopped", 3, 0, "search")
    assert last.rungs == ((1, first.val_error), (3, last.val_error)) and last.test_error is None
    assert last.train_loss > 0 and last.batched == (2 if batched else 1)


def test_a_diverged_run_is_not_judged(iris: Data) -> None:
    task = dataclasses.replace(TASK, recipe=dataclasses.replace(TASK.recipe, lr=1e20))
    rung_rows, rows = through_rungs(Training(task, make_trial(), iris))
    assert rung_rows == [] and [row.status for row in rows] == ["diverged"] * 2 and rows[0].rungs == ()


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("after", range(1, 29, 3))
def test_a_resumed_training_has_the_same_rungs(
    iris: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batched: bool, after: int
) -> None:
    """Interrupts nine epochs of three steps after any step, also at a rung before the decision there."""
    expected_rungs, expected = through_rungs(Training(TASK, make_trial(batched=batched), iris))
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    path = tmp_path / "trial.pt"
    training = Training(TASK, make_trial(batched=batched), iris, checkpoint_path=path, save_every=0.0)
    first_rungs = interrupt(training, after)
    resumed_rungs, resumed = through_rungs(Training(TASK, make_trial(batched=batched), iris, checkpoint_path=path))
    assert without_clock(resumed) == without_clock(expected)
    rung_rows = [*first_rungs, *resumed_rungs]
    epochs = [row.epochs for row in rung_rows]
    assert sorted(set(epochs)) == [1, 3], "no rung is lost"
    assert len(epochs) == 2 + bool(training.rung), "a rung whose decision may be lost is reported again"
    assert all(row in without_clock(expected_rungs) for row in without_clock(rung_rows))


def test_a_checkpoint_belongs_to_the_rungs_of_its_trial() -> None:
    assert checkpoint.identity(TASK, make_trial()) != checkpoint.identity(TASK, make_trial(rungs=()))
