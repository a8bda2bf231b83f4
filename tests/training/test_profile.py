"""Measured speedups decide which seeds are batched."""

from pathlib import Path

import pytest

from tune_kmixup.core.batched_seeds import should_batch
from tune_kmixup.core.config import Recipe, Task
from tune_kmixup.data.prepare import prepare
from tune_kmixup.training import profile
from tune_kmixup.training.profile import measure_speedups

TASK = Task("iris", "mlp", Recipe(epochs=1, batch_size=30, lr=0.05), outer_split=0)


def test_the_nearest_measured_number_of_seeds_decides() -> None:
    speedups = {"iris/mlp": {2: 0.9, 10: 3.0}, "wine/mlp": {}}
    assert not any(should_batch(speedups, TASK, seeds) for seeds in (1, 2, 5))
    assert all(should_batch(speedups, TASK, seeds) for seeds in (7, 10, 50))
    assert not should_batch(speedups, Task("wine", "mlp", TASK.recipe), 10)
    assert not should_batch({}, TASK, 10)


def test_a_measurement_may_take_more_steps_than_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "LONG_STEP", float("inf"))  # also on a busy machine
    speedups = measure_speedups(TASK, prepare(TASK, Path("nowhere"), test=False), {1, 2, 10})
    assert speedups.keys() == {2, 10} and all(speedup > 0 for speedup in speedups.values())


def test_long_steps_and_architectures_that_cannot_be_batched_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    data = prepare(TASK, Path("nowhere"), test=False)
    monkeypatch.setattr(profile, "LONG_STEP", 0.0)
    assert measure_speedups(TASK, data, {2}) == {}
    monkeypatch.undo()
    monkeypatch.setattr(profile, "can_batch", lambda *args: False)
    assert measure_speedups(TASK, data, {2}) == {}
