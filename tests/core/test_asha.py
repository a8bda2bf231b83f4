"""Early stopping: the rule, and the rungs of a training."""

import dataclasses
import itertools
import math
import random
from collections.abc import Generator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tune_kmixup.core.asha import Rungs, format_rungs, parse_rungs, rungs, should_continue
from tune_kmixup.core.config import Recipe, Task, Trial
from tune_kmixup.core.rows import Row
from tune_kmixup.data.prepare import Data, prepare
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.training import checkpoint, loop
from tune_kmixup.training.loop import TrainingProgress, train, train_to_end

# The rule

ERRORS = st.floats(0, 1) | st.sampled_from([math.inf, math.nan])


@given(st.lists(ERRORS, min_size=1, max_size=40))
def test_the_best_so_far_is_never_stopped_and_neither_is_what_ties_with_it(errors: list[float]) -> None:
    study = Rungs()
    for index, error in enumerate(errors):
        study.record(index, {5: error})
        best = min(math.inf if math.isnan(e) else e for e in errors[: index + 1])
        assert study.should_continue(index, 5) or error > best or (math.isnan(error) and best < math.inf)


@given(st.permutations(range(30)), st.integers(3, 30))
def test_of_distinct_errors_those_in_the_best_third_go_on(order: list[int], count: int) -> None:
    seen = [float(n) for n in order[:count]]
    assert should_continue(seen[-1], seen) == (sorted(seen).index(seen[-1]) < count // 3)


def test_about_one_in_three_goes_on() -> None:
    chance = random.Random(0)
    seen: list[float] = []
    going = []
    for _ in range(900):
        seen.append(chance.random())
        going.append(should_continue(seen[-1], seen))
    assert 0.28 < sum(going) / len(going) < 0.38


def test_what_is_not_finite_is_the_worst() -> None:
    assert not should_continue(math.nan, [0.9, math.nan]) and not should_continue(math.inf, [0.9, math.inf])
    assert should_continue(0.9, [math.nan, math.inf, 0.9])


@given(st.integers(1, 1000))
def test_rungs_lie_below_the_last_epoch(epochs: int) -> None:
    assert all(1 <= epoch < epochs for epoch in rungs(epochs)) and len({*rungs(epochs)}) == len(rungs(epochs))
    assert rungs(45) == (5, 15) and rungs(200) == (23, 67) and rungs(2) == (1,) and rungs(1) == ()


@given(st.dictionaries(st.integers(1, 999), st.floats(0, 1)))
def test_errors_are_written_exactly(errors: dict[int, float]) -> None:
    assert parse_rungs(format_rungs(errors)) == errors


# A training

TASK = Task("iris", "mlp", Recipe(epochs=9, batch_size=30, lr=0.05), outer_split=0)
CLOCK = ("seconds", "pairing_seconds", "started")


@pytest.fixture(scope="module")
def iris() -> Data:
    return prepare(TASK, Path("nowhere"), test=False)


def trial_of(seeds: tuple[int, ...] = (0, 1), batched: bool = False, judged_at: tuple[int, ...] = (1, 3)) -> Trial:
    return Trial(f"{TASK.name}/kmixup", 4, "search", {"alpha": 1.0, "k": 4}, seeds, batched, judged_at)


def to_the_end(steps: Generator[TrainingProgress, None, list[Row]]) -> tuple[list[Row], list[Row]]:
    """The rows of the rungs, and of the runs."""
    seen = []
    while True:
        try:
            seen += [rung] if (rung := next(steps).rung) else []
        except StopIteration as end:
            return seen, end.value


def fixed(rows: list[Row], *names: str) -> list[Row]:
    return [{name: value for name, value in row.items() if name not in (*CLOCK, *names)} for row in rows]


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("architecture", ["mlp", "dropping"])
def test_judging_leaves_training_as_it_is_bit_for_bit(
    iris: Data, batched: bool, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dropping(shape: tuple[int, ...], classes: int) -> torch.nn.Module:
        layers = (torch.nn.Flatten(), torch.nn.Linear(4, 32), torch.nn.BatchNorm1d(32), torch.nn.Dropout(0.3))
        return torch.nn.Sequential(*layers, torch.nn.Linear(32, classes))

    monkeypatch.setitem(ARCHITECTURES, "dropping", dropping)
    task = dataclasses.replace(TASK, architecture=architecture)
    plain = train_to_end(task, trial_of(batched=batched, judged_at=()), iris)
    seen, rows = to_the_end(train(task, trial_of(batched=batched), iris))
    assert fixed(rows, "rungs") == fixed(plain, "rungs")
    assert {row["batched"] for row in rows} == {2 if batched and architecture == "mlp" else 1}
    assert [row["epochs"] for row in seen] == [1, 3] and {row["seed"] for row in seen} == {0}
    assert parse_rungs(rows[0]["rungs"]) == {row["epochs"]: row["val_error"] for row in seen}
    assert rows[1]["rungs"] is None and plain[0]["rungs"] is None


@pytest.mark.parametrize("batched", [False, True])
def test_what_is_judged_is_the_first_seed_alone_however_seeds_are_trained(iris: Data, batched: bool) -> None:
    (alone, _), (seen, _) = (to_the_end(train(TASK, trial_of(s, batched), iris)) for s in ((0,), (0, 1, 2)))
    for a, b in zip(alone, seen, strict=True):
        assert a["val_error"] == b["val_error"] and a["val_nll"] == pytest.approx(b["val_nll"], rel=1e-4)


@pytest.mark.parametrize("batched", [False, True])
def test_a_trial_that_is_stopped_leaves_one_row_and_no_checkpoint(iris: Data, batched: bool, tmp_path: Path) -> None:
    steps = train(TASK, trial_of(batched=batched), iris, saved=tmp_path / "trial.pt")
    rows = [rung for step in itertools.islice((s for s in steps if s.rung), 2) if (rung := step.rung)]
    steps.close()
    assert list(tmp_path.iterdir()) == []
    first, last = rows
    (whole, _) = train_to_end(TASK, trial_of(), iris)
    assert last.keys() == whole.keys()
    assert (last["status"], last["epochs"], last["seed"], last["phase"]) == ("stopped", 3, 0, "search")
    assert last["rungs"] == f"1:{first['val_error']!r} 3:{last['val_error']!r}" and last["test_error"] is None
    assert last["train_loss"] > 0 and last["batched"] == (2 if batched else 1)


def test_a_run_that_diverged_is_not_judged(iris: Data) -> None:
    task = dataclasses.replace(TASK, recipe=dataclasses.replace(TASK.recipe, lr=1e20))
    seen, rows = to_the_end(train(task, trial_of(), iris))
    assert seen == [] and [row["status"] for row in rows] == ["diverged"] * 2 and rows[0]["rungs"] is None


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("after", range(1, 29, 3))
def test_resumed_anywhere_the_rungs_are_the_same(
    iris: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batched: bool, after: int
) -> None:
    """Of nine epochs of three steps, with a checkpoint at each: also at a rung, before anything was decided."""
    seen, rows = to_the_end(train(TASK, trial_of(batched=batched), iris))
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    saved = tmp_path / "trial.pt"
    steps = train(TASK, trial_of(batched=batched), iris, saved=saved, save_every=0.0)
    before = [step for _, step in zip(range(after), steps, strict=False)]
    steps.close()
    again, resumed = to_the_end(train(TASK, trial_of(batched=batched), iris, saved=saved))
    assert fixed(resumed) == fixed(rows)
    told = [step.rung for step in before if step.rung]
    epochs = [row["epochs"] for row in (*told, *again)]
    assert sorted(set(epochs)) == [1, 3], "none is lost"
    assert len(epochs) == 2 + bool(before[-1].rung), "one that was perhaps not heard of is told again"
    assert all(row in fixed(seen) for row in fixed([*told, *again])), "and is the same"


def test_a_checkpoint_belongs_to_its_rungs_and_one_of_an_earlier_version_is_continued() -> None:
    assert checkpoint.identity(TASK, trial_of()) != checkpoint.identity(TASK, trial_of(judged_at=()))
    assert "rungs" not in checkpoint.identity(TASK, trial_of(judged_at=()))
