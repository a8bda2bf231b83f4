"""Trainings are reproducible, resumable and equal to plain training without mixing."""

import dataclasses
import os
import threading
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.helpers.batches import joined
from tests.helpers.networks import DRAWING, NETWORKS, TOGETHER
from tests.helpers.suites import without_clock
from tests.helpers.trainings import finish, interrupt
from tune_kmixup.core.config import Recipe, Task, Trial, derived_seed
from tune_kmixup.core.coordinates import configuration
from tune_kmixup.core.rows import COLUMNS
from tune_kmixup.data.prepare import prepare
from tune_kmixup.data.tensors import Data
from tune_kmixup.mixing.pairing import pair
from tune_kmixup.mixing.step import mean_cross_entropy, mix, mixed_cross_entropy
from tune_kmixup.models import ensemble
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.models.ensemble import Ensemble
from tune_kmixup.models.randomness import seed_all
from tune_kmixup.training import batches as training_batches
from tune_kmixup.training import checkpoint, loop, prefetch
from tune_kmixup.training.batches import CHUNK_BYTES, COST_BYTES, MAX_CHUNK, batches, chunk_steps, make_chunk
from tune_kmixup.training.loop import Training, learning_rate, train_to_end
from tune_kmixup.training.state import initial_state

RECIPE = Recipe(epochs=3, batch_size=30, lr=0.05)
TASK = Task("iris", "mlp", RECIPE, outer_split=0)

METHODS = {"erm": {}, "mixup": {"alpha": 1.0}, "kmixup": {"alpha": 1.0, "k": 8}}


def trial_of(method: str, seeds: tuple[int, ...] = (0,), phase: str = "search") -> Trial:
    return Trial(f"{TASK.name}/{method}", 0, phase, METHODS[method], seeds)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def iris() -> Data:
    return prepare(TASK, Path("nowhere"), test=False)


@pytest.mark.parametrize("method", METHODS)
def test_a_search_run_has_all_but_test_scores(iris: Data, method: str) -> None:
    (row,) = train_to_end(TASK, trial_of(method), iris)
    unknown = {name for name, value in row.to_json().items() if value in (None, ())}
    pairing = {"matched_distance", "self_pair_share", "cross_class_share"} if method == "erm" else set()
    tests = {name for name in COLUMNS if name.startswith("test_")}
    assert unknown == {"data", "loaded", "rungs", "train_loss_by_epoch", "val_error_by_epoch"} | pairing | tests
    assert row.test_error is None and 0 <= row.val_error <= 1
    assert row.status == "ok"


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_run(iris: Data, method: str) -> None:
    first, second = (train_to_end(TASK, trial_of(method, (0, 1)), iris) for _ in range(2))
    assert without_clock(first) == without_clock(second)
    assert first[0].train_loss != first[1].train_loss
    alone = train_to_end(TASK, trial_of(method, (1,)), iris)
    assert without_clock(alone) == without_clock(first[1:]), "a run does not depend on the other seeds of its trial"


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_seed_gives_the_same_run_of_any_network(
    iris: Data, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was drawn before, and where the run was interrupted."""
    monkeypatch.setitem(ARCHITECTURES, name, NETWORKS[name])
    task, trial = dataclasses.replace(TASK, architecture=name), trial_of("mixup")
    seed_all(1)
    expected = train_to_end(task, trial, iris)
    seed_all(2)
    assert without_clock(train_to_end(task, trial, iris)) == without_clock(expected)
    if name not in (*TOGETHER, *DRAWING, "late_noise"):
        return  # no checkpoint holds what a network keeps in attributes
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    interrupt(Training(task, trial, iris, checkpoint_path=tmp_path / "trial.pt"), 4)
    seed_all(3)
    resumed = finish(Training(task, trial, iris, checkpoint_path=tmp_path / "trial.pt"))
    assert without_clock(resumed) == without_clock(expected)


def test_a_trial_that_ends_while_the_launch_stops_keeps_its_rows(iris: Data, tmp_path: Path) -> None:
    """Ray drops results that it has not handed over, and stops the worker."""
    path, trial = tmp_path / "trial.pt", trial_of("mixup", (0, 1))
    training = Training(TASK, trial, iris, checkpoint_path=path)
    rows = finish(training)
    training.stop()
    again = Training(TASK, trial, iris, checkpoint_path=path)
    assert again.done and without_clock(again.result()) == without_clock(rows)


@pytest.mark.parametrize("live", [[], [1]])
def test_a_half_done_checkpoint_of_an_earlier_version_is_not_continued(
    live: list[int], iris: Data, tmp_path: Path
) -> None:
    """It was saved after an error: a run has ended, and no row is there. It could never end."""
    path, trial = tmp_path / "trial.pt", dataclasses.replace(trial_of("mixup", (0, 1)), batched=True)
    training = Training(TASK, trial, iris, checkpoint_path=path)
    training.begin((0, 1))
    assert training.state
    training.state.live = live
    training.save_checkpoint()
    again = Training(TASK, trial, iris, checkpoint_path=path)
    assert again.saved_state is None and len(finish(again)) == 2


def plain_training(iris: Data, seed: int) -> torch.nn.Module:
    """ERM without any code for mixing."""
    torch.manual_seed(derived_seed(seed, "init"))
    model = ARCHITECTURES["mlp"](iris.shape, iris.classes)
    optimizer = torch.optim.SGD(model.parameters(), lr=RECIPE.lr, momentum=0.9, fused=True)
    per_epoch = len(iris.train.y) // 30
    drawn = joined(batches(iris, 0.0, RECIPE, [seed]))
    for step, (x, y) in enumerate(zip(drawn.x, drawn.y, strict=True)):
        optimizer.param_groups[0]["lr"] = learning_rate(RECIPE, step, per_epoch)
        optimizer.zero_grad()
        F.cross_entropy(model(x[0]), y[0]).backward()
        optimizer.step()
    return model


def test_alpha_zero_is_training_without_mixing_bit_for_bit(iris: Data) -> None:
    expected = plain_training(iris, seed=3)
    config = configuration(RECIPE, {"alpha": 0.0, "k": 8})
    state = initial_state(TASK, config, iris, [3])
    for _ in loop.steps(state, config, iris):
        pass
    for weights, expected_weights in zip(state.model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(weights, expected_weights)


def test_a_method_that_searches_the_augmentation_trains_with_it() -> None:
    """The task's was used for all its values, so that they all trained alike."""
    task = Task("digits", "small_cnn", RECIPE, outer_split=0, train_size=60)
    data = prepare(task, Path("nowhere"), test=False)
    searched = configuration(task.recipe, {"augment": "crop_flip"}).recipe
    of_task, plain, augmented = (next(batches(data, 0.0, one, [0])) for one in (task.recipe, RECIPE, searched))
    assert torch.equal(of_task.x, plain.x) and not torch.equal(augmented.x, plain.x)
    fixed = dataclasses.replace(task, recipe=searched)
    assert torch.equal(augmented.x, next(batches(prepare(fixed, Path("nowhere"), test=False), 0.0, searched, [0])).x)


def test_lambda_one_trains_on_the_clean_batch(iris: Data) -> None:
    """This tests the mixing itself, which α = 0 skips. Inputs and labels are equal bit for bit, losses to rounding."""
    model = Ensemble([ARCHITECTURES["mlp"](iris.shape, iris.classes)])
    clean = next(batches(iris, 0.0, RECIPE, [0]))
    drawn = next(batches(iris, 1.0, RECIPE, [0]))
    config = configuration(RECIPE, {"alpha": 1.0, "k": 8})
    mixed = make_chunk(drawn._replace(lam=torch.ones_like(drawn.lam)), config, iris.classes)
    assert torch.equal(mixed.x, clean.x) and torch.equal(mixed.y, F.one_hot(clean.y, iris.classes).float())
    losses = [mean_cross_entropy(model(batch.x[0]), batch.y[0]) for batch in (clean, mixed)]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(torch.autograd.grad(loss.sum(), list(model.parameters())) for loss in losses))


def test_a_chunk_is_the_mixing_step_of_each_of_its_steps(iris: Data) -> None:
    """Its losses are those of the functions `pair`, `mix` and `mixed_cross_entropy`, step by step."""
    config = configuration(RECIPE, {"alpha": 1.0, "k": 8})
    model = ARCHITECTURES["mlp"](iris.shape, iris.classes)
    (drawn, *_) = batches(iris, 1.0, RECIPE, [0, 1])
    chunk = make_chunk(drawn, config, iris.classes)
    assert drawn.partner is not None and drawn.y_partner is not None and len(drawn.x) > 3
    for step, (x, y) in enumerate(zip(chunk.x, chunk.y, strict=True)):
        for run in range(2):
            batch, partner, lam = drawn.x[step, run], drawn.partner[step, run], drawn.lam[step, run].item()
            sigma = pair(batch, partner, 8)
            y_partner = drawn.y_partner[step, run, sigma]
            expected = mixed_cross_entropy(model(mix(batch, partner[sigma], lam)), drawn.y[step, run], y_partner, lam)
            torch.testing.assert_close(F.cross_entropy(model(x[run]), y[run]), expected)


def test_a_chunk_is_bounded_by_its_inputs_and_by_the_costs_of_its_pairings(iris: Data) -> None:
    recipe = dataclasses.replace(RECIPE, batch_size=96)
    assert chunk_steps(iris, RECIPE, 1, 1) == MAX_CHUNK
    assert chunk_steps(iris, recipe, 96, 10) * 10 * 96 * 96 * 8 <= COST_BYTES
    assert chunk_steps(iris, recipe, 1, 100) * 100 * 96 * (4 + 3) * 4 <= CHUNK_BYTES
    assert chunk_steps(iris, recipe, 96, 10**6) == 1


@pytest.mark.parametrize("first_step", [0, 1, 7])
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_how_steps_are_cut_into_chunks_changes_nothing(iris: Data, first_step: int, size: int) -> None:
    expected = joined(batches(iris, 1.0, RECIPE, [0, 1]))
    parts = list(batches(iris, 1.0, RECIPE, [0, 1], first_step, size))
    assert all(len(part.x) <= size for part in parts)
    assert [part.step for part in parts] == list(accumulate([first_step, *(len(part.x) for part in parts[:-1])]))
    for part, whole in zip(joined(parts)[1:], expected[1:], strict=True):
        assert torch.equal(part, whole[first_step:])


def test_k_one_is_mixup(iris: Data) -> None:
    """k = 1 pairs in the given order, so the run equals that of a configuration without k."""
    trial = Trial(f"{TASK.name}/kmixup", 0, "search", {"alpha": 1.0, "k": 1}, (0,))
    kmixup, mixup = train_to_end(TASK, trial, iris), train_to_end(TASK, trial_of("mixup"), iris)
    assert without_clock(kmixup, method="mixup") == without_clock(mixup)


def test_learning_rate_warms_up_and_ends_at_zero() -> None:
    recipe = Recipe(epochs=10, batch_size=1, lr=0.5, warmup_epochs=2)
    rates = [learning_rate(recipe, step, 10) for step in range(100)]
    assert max(rates) == rates[19] == rates[20] == 0.5
    assert rates[:20] == sorted(rates[:20]) and rates[20:] == sorted(rates[20:], reverse=True)
    assert 0 < rates[-1] < 0.001
    assert learning_rate(recipe, 100, 10) == 0


def test_the_incomplete_last_batch_is_dropped(iris: Data) -> None:
    drawn = joined(batches(iris, 1.0, dataclasses.replace(RECIPE, batch_size=50), [0]))
    assert len(iris.train.y) == 96 and drawn.y.shape == (3, 1, 50)


@pytest.mark.parametrize("method", METHODS)
def test_resumed_in_the_middle_of_an_epoch_equals_uninterrupted(
    iris: Data, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = trial_of(method, (0, 1, 2))
    expected = train_to_end(TASK, trial, iris)
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    path = tmp_path / "trial.pt"
    for attempt in range(1, 30):  # each one is interrupted after a few steps, until the training ends
        training = Training(TASK, trial, iris, checkpoint_path=path, save_every=0.0)
        interrupt(training, min(attempt, 5))
        if training.done:
            assert without_clock(training.result()) == without_clock(expected)
            assert attempt > 5, "it was interrupted several times"
            return
    pytest.fail("the training starts anew instead of resuming")


@pytest.mark.parametrize("save_every", [0.0, 1e9])
def test_a_training_that_is_killed_goes_on_from_its_last_checkpoint(
    save_every: float, iris: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is saved when it is killed, so it goes on from what it saved before."""
    trial, path = trial_of("mixup"), tmp_path / "trial.pt"
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    killed = Training(TASK, trial, iris, checkpoint_path=path, save_every=save_every)
    for _ in range(4):
        killed.step()
    resumed = Training(TASK, trial, iris, checkpoint_path=path)
    assert (resumed.saved_state is not None) == (save_every == 0.0)
    killed.end_steps()
    assert without_clock(finish(resumed)) == without_clock(train_to_end(TASK, trial, iris))


def test_seeds_that_are_done_are_kept_where_a_training_stops_between_two(
    iris: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, path = trial_of("mixup", (0, 1, 2)), tmp_path / "trial.pt"
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    training = Training(TASK, trial, iris, checkpoint_path=path)
    while len(training.rows) < 2:
        training.step()
    assert training.state is None, "the third has not begun"
    training.stop()
    training = Training(TASK, trial, iris, checkpoint_path=path)
    assert [row.seed for row in training.rows] == [0, 1]
    interrupt(training, 4)
    interrupt(Training(TASK, trial, iris, checkpoint_path=path), 0)  # stopped before its first step
    resumed = Training(TASK, trial, iris, checkpoint_path=path)
    assert resumed.saved_state is not None
    assert without_clock(finish(resumed)) == without_clock(train_to_end(TASK, trial, iris))


@pytest.mark.parametrize(
    ("before", "after"),
    [((0, 1), (0, 1, 2, 3)), ((0, 1, 2), (0, 1)), ((1, 2), (2, 3))],
    ids=["more", "fewer", "others"],
)
@pytest.mark.parametrize("batched", [True, False])
def test_a_checkpoint_helps_a_trial_of_other_seeds(
    before: tuple[int, ...],
    after: tuple[int, ...],
    batched: bool,
    iris: Data,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A launch that is extended divides the final seeds among its trials anew."""
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    path = tmp_path / "trial.pt"
    trials = [dataclasses.replace(trial_of("mixup", seeds), batched=batched) for seeds in (before, after)]
    interrupt(Training(TASK, trials[0], iris, checkpoint_path=path), 9)
    resumed = Training(TASK, trials[1], iris, checkpoint_path=path)
    assert {row.seed for row in resumed.rows} <= {*before} & {*after}
    assert (resumed.saved_state is not None) == ({*before} <= {*after} or (not batched and before[0] in after))
    rows = finish(resumed)
    assert [row.seed for row in rows] == [*after]
    losses = [row.train_loss for row in train_to_end(TASK, trials[1], iris)]
    assert [row.train_loss for row in rows] == pytest.approx(losses, rel=1e-5)  # batched with others: rounded otherwise


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", "another trial", "another recipe"])
def test_a_checkpoint_cut_short_or_of_another_trial_starts_anew(
    iris: Data, tmp_path: Path, content: bytes | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    path = tmp_path / "trial.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        recipe = dataclasses.replace(RECIPE, lr=RECIPE.lr / 2) if content == "another recipe" else RECIPE
        trial = trial_of("kmixup" if content == "another trial" else "mixup")
        interrupt(Training(dataclasses.replace(TASK, recipe=recipe), trial, iris, checkpoint_path=path), 4)
    rows = finish(Training(TASK, trial_of("mixup"), iris, checkpoint_path=path))
    assert without_clock(rows) == without_clock(train_to_end(TASK, trial_of("mixup"), iris))


def test_a_checkpoint_never_runs_code(tmp_path: Path) -> None:
    class RunsCode:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(tmp_path / "executed"),))  # type: ignore[return-value]

    torch.save({"identity": "x", "rows": RunsCode(), "state": None}, tmp_path / "trial.pt")
    assert checkpoint.load(tmp_path / "trial.pt", "x") is None
    assert not (tmp_path / "executed").exists()


def test_a_diverging_run_is_a_result_with_a_status(iris: Data) -> None:
    recipe = dataclasses.replace(RECIPE, lr=1e20)
    (row,) = train_to_end(dataclasses.replace(TASK, recipe=recipe), trial_of("mixup"), iris)
    assert row.status == "diverged"
    assert row.val_error == 1.0 and row.val_nll is None and row.train_loss is None


def test_a_checkpoint_that_cannot_be_written_costs_no_trial(tmp_path: Path) -> None:
    """/dev/full stands in for a full disk: on Linux every write to it fails with ENOSPC."""
    with pytest.raises(OSError, match="No space left"), open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")
    part = tmp_path / f".trial.pt.{os.getpid()}.part"
    part.symlink_to("/dev/full")
    checkpoint.save(tmp_path / "trial.pt", "identity", [], {"tensor": torch.zeros(1000)})
    assert not list(tmp_path.iterdir())
    checkpoint.save(tmp_path / "vanished" / "trial.pt", "identity", [], None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("batched", [False, True])
def test_training_on_a_cpu_neither_initialises_nor_queries_cuda(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, batched: bool
) -> None:
    """With the prefetch thread, an evaluation on test rows and a checkpoint."""

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("CUDA is used by a training on a CPU")

    for name in ("is_available", "device_count", "current_device", "current_stream", "Stream", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, refuse)
    monkeypatch.setattr(torch.cuda, "_lazy_init", refuse)
    # On any device PyTorch's optimisers check whether CUDA captures a graph, under a name that depends on the version.
    for name in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):
        monkeypatch.setattr(torch.optim.Optimizer, name, lambda self: None, raising=False)
    threads = []
    produce = prefetch.produce

    def recording_produce(*args: Any) -> None:
        threads.append(threading.current_thread())
        produce(*args)

    monkeypatch.setattr(prefetch, "produce", recording_produce)
    monkeypatch.setattr(training_batches, "prefetch", prefetch.in_thread)  # as on a GPU
    monkeypatch.setattr(ensemble, "tried", {})
    data = prepare(TASK, Path("nowhere"), test=True)
    trial = dataclasses.replace(trial_of("kmixup", (0, 1), "final"), batched=batched)
    rows = finish(Training(TASK, trial, data, checkpoint_path=tmp_path / "trial.pt", save_every=0.0))
    assert [row.batched for row in rows] == ([2, 2] if batched else [1, 1])
    assert len(threads) == (1 if batched else 2) and threading.main_thread() not in threads
    assert (tmp_path / "trial.pt").exists()
