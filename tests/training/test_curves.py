"""`--curves`: training loss and validation error after each epoch, which change nothing else of a training."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers.suites import dropout_network, without_clock
from tests.helpers.trainings import finish, interrupt
from tune_kmixup.core.config import Recipe, Task, Trial
from tune_kmixup.core.rows import Row
from tune_kmixup.data.prepare import prepare
from tune_kmixup.data.tensors import Data
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.training import checkpoint, loop
from tune_kmixup.training.loop import Training, train_to_end

TASK = Task("iris", "mlp", Recipe(epochs=9, batch_size=30, lr=0.05), outer_split=0)
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def iris() -> Data:
    return prepare(TASK, Path("nowhere"), test=False)


def make_trial(batched: bool = False, curves: bool = True, rungs: tuple[int, ...] = ()) -> Trial:
    return Trial(f"{TASK.name}/kmixup", 4, "search", {"alpha": 1.0, "k": 4}, SEEDS, batched, rungs, curves)


def without_curves(rows: Sequence[Row]) -> list[Row]:
    return without_clock(rows, train_loss_by_epoch=None, val_error_by_epoch=None)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("architecture", ["mlp", "dropout"])
def test_curves_change_nothing_else_of_a_row(
    iris: Data, batched: bool, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers whose output depends on random numbers, or on statistics of earlier batches, would notice a scoring."""

    monkeypatch.setitem(ARCHITECTURES, "dropout", dropout_network)
    task = dataclasses.replace(TASK, architecture=architecture)
    plain = train_to_end(task, make_trial(batched, curves=False), iris)
    rows = train_to_end(task, make_trial(batched), iris)
    assert without_curves(rows) == without_clock(plain) and rows[0].batched == (
        3 if batched and architecture == "mlp" else 1
    )
    for row in rows:
        assert row.train_loss_by_epoch is not None and row.val_error_by_epoch is not None
        assert len(row.train_loss_by_epoch) == len(row.val_error_by_epoch) == 9
        assert (row.train_loss_by_epoch[-1], row.val_error_by_epoch[-1]) == (row.train_loss, row.val_error)
    assert len({row.train_loss_by_epoch for row in rows}) == 3, "each seed has its own"


@pytest.mark.parametrize("batched", [False, True])
def test_the_error_after_an_epoch_is_that_at_its_rung(iris: Data, batched: bool) -> None:
    (first, _, _) = train_to_end(TASK, make_trial(batched, rungs=(1, 3)), iris)
    assert first.val_error_by_epoch is not None and len(first.rungs) == 2
    assert all(first.val_error_by_epoch[epoch - 1] == error for epoch, error in first.rungs)


def test_a_stopped_run_has_the_epochs_up_to_its_rung(iris: Data) -> None:
    _, stopped = interrupt(Training(TASK, make_trial(rungs=(1, 3)), iris), 2)
    whole = train_to_end(TASK, make_trial(), iris)[0]
    assert whole.train_loss_by_epoch is not None and whole.val_error_by_epoch is not None
    assert (stopped.epochs, stopped.train_loss_by_epoch) == (3, whole.train_loss_by_epoch[:3])
    assert stopped.val_error_by_epoch == whole.val_error_by_epoch[:3]


@pytest.mark.parametrize("batched", [False, True])
def test_a_run_that_diverges_has_the_epochs_that_it_trained(iris: Data, batched: bool) -> None:
    task = dataclasses.replace(TASK, recipe=dataclasses.replace(TASK.recipe, lr=1e20))
    for row in train_to_end(task, make_trial(batched), iris):
        assert row.status == "diverged" and row.train_loss_by_epoch == (None,)
        assert row.val_error_by_epoch == (row.val_error,)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("after", [1, 9, 14])
def test_resumed_curves_equal_uninterrupted_ones(
    iris: Data, batched: bool, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupts nine epochs of three steps within epochs and at an end. `test_asha` does so after every third step."""
    expected = train_to_end(TASK, make_trial(batched), iris)
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    path = tmp_path / "trial.pt"
    interrupt(Training(TASK, make_trial(batched), iris, checkpoint_path=path), after)
    assert path.exists()
    resumed = finish(Training(TASK, make_trial(batched), iris, checkpoint_path=path))
    assert without_clock(resumed) == without_clock(expected)


def test_a_checkpoint_with_curves_is_that_of_another_trial() -> None:
    assert checkpoint.identity(TASK, make_trial()) != checkpoint.identity(TASK, make_trial(curves=False))
