import dataclasses
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tune_kmixup.core.config import Recipe, Task, Trial, configuration
from tune_kmixup.core.rows import Row
from tune_kmixup.data.augment import crop_flip
from tune_kmixup.data.prepare import Data, Part, input_transforms, prepare
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.models.ensemble import Ensemble, NotBatchable, can_batch
from tune_kmixup.training import loop
from tune_kmixup.training.batches import Batch, batches, pair_batches
from tune_kmixup.training.loop import train, train_to_end
from tune_kmixup.training.state import TrainingState, initial_state

SEEDS = (3, 1, 4)
METHODS = {"erm": {}, "mixup": {"alpha": 1.0}, "kmixup": {"alpha": 1.0, "k": 8}}
SHAPES = {"mlp": (7,), "small_cnn": (1, 8, 8), "lenet": (1, 16, 16)}
STACKABLE = {"mlp", "small_cnn", "lenet", "preact_resnet18", "wide_resnet28_10", "resnet18", "wide_resnet101_2"}
LARGE = {"wide_resnet28_10", "wide_resnet101_2", "densenet_bc_190"}


def slow(names: Iterable[str], which: Container[str]) -> list[Any]:
    """Parameters of a test, some of them marked slow."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in which)) for name in names]


def normed(shape: tuple[int, ...], classes: int) -> nn.Module:
    """The smallest network with a BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, classes),
    )


@pytest.fixture(autouse=True)
def with_a_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "normed", normed)


def shape_of(architecture: str) -> tuple[int, ...]:
    return SHAPES.get(architecture, (3, 32, 32) if architecture == "vgg11" else (3, 8, 8))


@pytest.mark.parametrize("name", slow(ARCHITECTURES, LARGE))
def test_which_architectures_can_be_stacked(name: str) -> None:
    """Dropout, attention and DenseNet's concatenations cannot."""
    assert can_batch(name, shape_of(name), 3) == (name in STACKABLE)


@pytest.mark.parametrize("name", slow(["normed", *sorted(STACKABLE - LARGE)], {"resnet18", "preact_resnet18"}))
def test_a_stack_passes_forward_and_back_what_its_networks_do_and_keeps_their_statistics(name: str) -> None:
    """In double precision, where what rounding leaves is far from what a mistake would."""
    torch.manual_seed(0)
    networks, copies = ([ARCHITECTURES[name](shape_of(name), 3) for _ in SEEDS] for _ in range(2))
    stack = Ensemble(networks).double()
    for run, copy in enumerate(copies):
        stack.copy_to(copy.double(), run)
    x = torch.randn(len(SEEDS), 6, *shape_of(name), dtype=torch.float64)
    expected = torch.stack([copy(rows) for copy, rows in zip(copies, x, strict=True)])
    found = stack(x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    found.square().sum().backward()
    expected.square().sum().backward()
    gradients = {key: p.grad for key, p in stack.body.named_parameters()}
    for run, copy in enumerate(copies):
        for key, p in copy.named_parameters():
            together = gradients[key]
            assert together is not None and p.grad is not None
            torch.testing.assert_close(together.reshape(-1, *p.shape)[run], p.grad, rtol=1e-8, atol=1e-8, msg=key)
        after = ARCHITECTURES[name](shape_of(name), 3).double()
        stack.copy_to(after, run)
        for key, buffer in copy.named_buffers():  # running statistics of BatchNorm
            torch.testing.assert_close(after.get_buffer(key), buffer, rtol=1e-10, atol=1e-10)


def test_a_stack_refuses_what_draws_at_random() -> None:
    with pytest.raises(NotBatchable, match="Dropout"):
        Ensemble([nn.Sequential(nn.Linear(2, 2), nn.Dropout()) for _ in range(2)])


def tensors(batch: Batch) -> list[Tensor]:
    return [value for value in batch if isinstance(value, Tensor)]


@pytest.mark.parametrize("k", [1, 4, 7])
def test_the_batches_of_a_run_do_not_depend_on_the_runs_beside_it(tmp_path: Path, k: int) -> None:
    """Rows, augmentation, partners, λ and pairings, bit for bit; 7 leaves a remainder in each batch."""
    images = torch.randint(0, 256, (30, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    part = Part(images, torch.arange(30) % 3)
    decode, normalise, shape = input_transforms(images)
    prepared = Data(part, part, None, 3, shape, decode, normalise, crop_flip)
    recipe = Recipe(epochs=2, batch_size=10, lr=0.1)
    together = list(pair_batches(batches(prepared, 0.7, recipe, SEEDS), k, "sqeuclidean"))
    assert len(together) == 6
    for run, seed in enumerate(SEEDS):
        alone = pair_batches(batches(prepared, 0.7, recipe, [seed]), k, "sqeuclidean")
        for (ours, _), (its, _) in zip(together, alone, strict=True):
            for a, b in zip(tensors(ours), tensors(its), strict=True):
                assert torch.equal(a[run], b[0])


def task_of(architecture: str) -> Task:
    recipe = Recipe(epochs=3, batch_size=30, lr=2e-3, optimizer="adamw", weight_decay=1e-3)
    return Task("iris" if architecture == "mlp" else "digits", architecture, recipe, outer_split=0, train_size=90)


def close(together: list[Row], alone: list[Row]) -> None:
    for ours, its in zip(together, alone, strict=True):
        assert ours["batched"] == len(together) and its["batched"] == 1
        for name in ("seed", "alpha", "k", "self_pair_share", "cross_class_share"):
            assert ours[name] == its[name]
        for name in ("train_loss", "val_nll", "test_nll", "matched_distance"):
            assert ours[name] == (its[name] if its[name] is None else pytest.approx(its[name], rel=5e-4)), name
        assert abs(ours["test_error"] - its["test_error"]) < 0.01


@pytest.mark.parametrize("architecture", slow(["mlp", "small_cnn", "normed", "preact_resnet18"], {"preact_resnet18"}))
@pytest.mark.parametrize("method", METHODS)
def test_fused_runs_end_as_each_does_alone(architecture: str, method: str) -> None:
    task = task_of(architecture)
    if architecture == "preact_resnet18":
        recipe = dataclasses.replace(task.recipe, epochs=1, optimizer="sgd", lr=0.01)
        task = dataclasses.replace(task, recipe=recipe)
    prepared = prepare(task, Path("nowhere"), test=True)
    trial = Trial(f"{task.name}/{method}", 0, "final", METHODS[method], SEEDS)  # type: ignore[arg-type]
    alone = train_to_end(task, trial, prepared)
    close(train_to_end(task, dataclasses.replace(trial, batched=True), prepared), alone)


def test_what_cannot_be_stacked_trains_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        ARCHITECTURES,
        "drops",
        lambda shape, classes: nn.Sequential(nn.Linear(*shape, 8), nn.Dropout(), nn.Linear(8, classes)),
    )
    task = dataclasses.replace(task_of("mlp"), architecture="drops")
    prepared = prepare(task, Path("nowhere"), test=True)
    rows = train_to_end(task, Trial("iris/drops/erm", 0, "final", {}, SEEDS, batched=True), prepared)
    assert [row["batched"] for row in rows] == [1, 1, 1]


def test_a_run_that_diverges_does_not_disturb_its_neighbours() -> None:
    task = task_of("mlp")
    prepared = prepare(task, Path("nowhere"), test=False)
    chosen = configuration(task.recipe, METHODS["kmixup"])  # type: ignore[arg-type]

    def trained(poisoned: bool) -> tuple[TrainingState, list[list[int]]]:
        bundle = initial_state(task, chosen, prepared, SEEDS)
        if poisoned:
            next(bundle.model.parameters()).data[1] = float("nan")
        return bundle, list(loop.steps(bundle, chosen, prepared))

    (clean, normally), (poisoned, early) = trained(False), trained(True)
    assert normally == [[]] * 8 + [[0, 1, 2]]
    assert early == [[], [], [1]] + [[]] * 5 + [[0, 2]]
    for a, b in zip(clean.model.parameters(), poisoned.model.parameters(), strict=True):
        assert torch.equal(a[[0, 2]], b[[0, 2]])


@pytest.mark.parametrize("goes_on_fused", [True, False])
def test_a_bundle_resumed_in_the_middle_equals_one_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goes_on_fused: bool
) -> None:
    """Whatever is chosen when it goes on: the checkpoint says how it began."""
    task = task_of("mlp")
    prepared = prepare(task, Path("nowhere"), test=False)
    trial = Trial("iris-90/mlp@0/kmixup", 0, "search", METHODS["kmixup"], SEEDS, batched=True)  # type: ignore[arg-type]
    expected = train_to_end(task, trial, prepared)
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    begun = train(task, trial, prepared, saved=tmp_path / "trial.pt")
    for _ in range(4):
        next(begun)
    begun.close()
    rest = train(task, dataclasses.replace(trial, batched=goes_on_fused), prepared, saved=tmp_path / "trial.pt")
    with pytest.raises(StopIteration) as end:
        while True:
            next(rest)
    timed = ("seconds", "pairing_seconds", "started")
    for ours, its in zip(end.value.value, expected, strict=True):
        assert {n: v for n, v in ours.items() if n not in timed} == {n: v for n, v in its.items() if n not in timed}
