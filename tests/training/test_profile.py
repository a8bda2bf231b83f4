from pathlib import Path

import pytest

from tune_kmixup.core.batched_seeds import pays
from tune_kmixup.core.config import Recipe, Task
from tune_kmixup.data.prepare import prepare
from tune_kmixup.training import profile
from tune_kmixup.training.profile import measure_speedups

TASK = Task("iris", "mlp", Recipe(epochs=1, batch_size=30, lr=0.05), outer_split=0)


def test_the_nearest_size_decides() -> None:
    found = {"iris/mlp": {2: 0.9, 10: 3.0}, "wine/mlp": {}}
    assert [pays(found, TASK, runs) for runs in (1, 2, 5, 7, 10, 50)] == [False, False, False, True, True, True]
    assert not pays(found, Task("wine", "mlp", TASK.recipe), 10)
    assert not pays({}, TASK, 10)


def test_a_measurement_goes_past_the_epochs_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "LONG_STEP", float("inf"))  # however busy this machine is
    found = measure_speedups(TASK, prepare(TASK, Path("nowhere"), test=False), {1, 2, 10})
    assert found.keys() == {2, 10} and all(ratio > 0 for ratio in found.values())


def test_what_cannot_be_stacked_or_is_long_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare(TASK, Path("nowhere"), test=False)
    monkeypatch.setattr(profile, "LONG_STEP", 0.0)
    assert measure_speedups(TASK, prepared, {2}) == {}
    monkeypatch.undo()
    monkeypatch.setattr(profile, "can_batch", lambda *of: False)
    assert measure_speedups(TASK, prepared, {2}) == {}
