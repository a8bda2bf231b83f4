"""Seeds trained together as an ensemble give the results that each gives alone."""

import dataclasses
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.helpers.batches import joined
from tests.helpers.networks import NETWORKS, TOGETHER
from tests.helpers.suites import without_clock
from tests.helpers.trainings import finish, interrupt
from tune_kmixup.core.config import Recipe, Task, Trial
from tune_kmixup.core.coordinates import configuration
from tune_kmixup.core.rows import Row
from tune_kmixup.data.inputs import Preprocessing
from tune_kmixup.data.prepare import prepare
from tune_kmixup.data.tensors import Data, Part
from tune_kmixup.models.architectures import ARCHITECTURES, mlp
from tune_kmixup.models.ensemble import Ensemble, NotBatchable, can_batch
from tune_kmixup.models.randomness import random_states
from tune_kmixup.training import loop
from tune_kmixup.training.batches import batches, pair_batches
from tune_kmixup.training.loop import Training, train_to_end
from tune_kmixup.training.state import TrainingState, initial_state

SEEDS = (3, 1, 4)
METHODS = {"erm": {}, "mixup": {"alpha": 1.0}, "kmixup": {"alpha": 1.0, "k": 8}}
SHAPES = {"mlp": (7,), "small_cnn": (1, 8, 8), "lenet": (1, 16, 16)}
RESNETS = {"small_resnet", "preact_resnet18", "wide_resnet28_10", "resnet18", "wide_resnet101_2"}
BATCHABLE = {"mlp", "small_cnn", "lenet"} | RESNETS
LARGE = {"wide_resnet28_10", "wide_resnet101_2", "densenet_bc_190"}
SLOW = LARGE | {"preact_resnet18", "resnet18", "vgg11", "vit_tiny"}  # in float64


def thorough(names: Iterable[str], thorough_names: Container[str]) -> list[Any]:
    """Test parameters; those in `thorough_names` are marked thorough."""
    return [pytest.param(name, marks=[pytest.mark.thorough] * (name in thorough_names)) for name in names]


def batch_norm_net(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A small network with a BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, classes),
    )


@pytest.fixture(autouse=True)
def register_batch_norm_net(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "batch_norm_net", batch_norm_net)


def shape_of(architecture: str) -> tuple[int, ...]:
    return SHAPES.get(architecture, (3, 32, 32) if architecture == "vgg11" else (3, 8, 8))


@pytest.mark.parametrize("name", thorough(ARCHITECTURES, SLOW))
def test_which_architectures_can_be_batched(name: str) -> None:
    """Those with dropout, attention or DenseNet's concatenations cannot."""
    assert can_batch(name, shape_of(name), 3) == (name in BATCHABLE)


@pytest.mark.parametrize(
    "name", thorough(["batch_norm_net", *sorted(BATCHABLE - LARGE)], {"resnet18", "preact_resnet18"})
)
def test_an_ensemble_has_the_logits_gradients_and_statistics_of_its_networks(name: str) -> None:
    """In float64, where rounding errors are far smaller than the effect of a bug."""
    torch.manual_seed(0)
    networks, copies = ([ARCHITECTURES[name](shape_of(name), 3) for _ in SEEDS] for _ in range(2))
    ensemble = Ensemble(networks).double()
    for run, copy in enumerate(copies):
        ensemble.copy_to(copy.double(), run)
    x = torch.randn(len(SEEDS), 6, *shape_of(name), dtype=torch.float64)
    expected = torch.stack([copy(rows) for copy, rows in zip(copies, x, strict=True)])
    logits = ensemble(x)
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-10)
    logits.square().sum().backward()
    expected.square().sum().backward()
    gradients = {key: p.grad for key, p in ensemble.body.named_parameters()}
    for run, copy in enumerate(copies):
        for key, p in copy.named_parameters():
            gradient = gradients[key]
            assert gradient is not None and p.grad is not None
            torch.testing.assert_close(gradient.reshape(-1, *p.shape)[run], p.grad, rtol=1e-8, atol=1e-8, msg=key)
        after_step = ARCHITECTURES[name](shape_of(name), 3).double()
        ensemble.copy_to(after_step, run)
        for key, buffer in copy.named_buffers():  # running statistics of BatchNorm
            torch.testing.assert_close(after_step.get_buffer(key), buffer, rtol=1e-10, atol=1e-10)


def test_an_ensemble_refuses_weights_that_it_cannot_combine() -> None:
    with pytest.raises(NotBatchable, match="LayerNorm"):
        Ensemble([nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)) for _ in range(2)])


@pytest.mark.parametrize("k", [1, 4, 7])
def test_the_batches_of_a_run_do_not_depend_on_the_other_runs(k: int) -> None:
    """Rows, augmentation, partners, λ and pairings are equal bit for bit. k = 7 leaves a remainder in each batch."""
    images = torch.randint(0, 256, (30, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    part = Part(images, torch.arange(30) % 3)
    preprocessing = Preprocessing("image", (1, 8, 8), ("a", "b", "c"), mean=(0.5,), std=(0.3,))
    data = Data(part, part, None, 3, (1, 8, 8), *preprocessing.transforms(), preprocessing)
    recipe = Recipe(epochs=2, batch_size=10, lr=0.1, augment="crop_flip")
    drawn = batches(data, 0.7, recipe, SEEDS)
    batched = joined(pair_batches(part, k, "sqeuclidean") for part in drawn)
    assert len(batched.x) == 6
    for run, seed in enumerate(SEEDS):
        drawn = batches(data, 0.7, recipe, [seed])
        alone = joined(pair_batches(part, k, "sqeuclidean") for part in drawn)
        for all_runs, one_run in zip(batched[1:], alone[1:], strict=True):
            assert torch.equal(all_runs[:, run], one_run[:, 0])


def task_of(architecture: str) -> Task:
    recipe = Recipe(epochs=3, batch_size=30, lr=2e-3, optimizer="adamw", weight_decay=1e-3)
    return Task("iris" if architecture == "mlp" else "digits", architecture, recipe, outer_split=0, train_size=90)


def assert_rows_close(batched: list[Row], alone: list[Row]) -> None:
    for row, expected in zip(batched, alone, strict=True):
        assert row.batched == len(batched) and expected.batched == 1
        for name in ("seed", "alpha", "k", "self_pair_share", "cross_class_share"):
            assert getattr(row, name) == getattr(expected, name)
        for name in ("train_loss", "val_nll", "test_nll", "matched_distance"):
            value = getattr(expected, name)
            assert getattr(row, name) == (value if value is None else pytest.approx(value, rel=5e-4)), name
        assert abs(row.test_error - expected.test_error) < 0.01


@pytest.mark.parametrize(
    "architecture", thorough(["mlp", "small_cnn", "batch_norm_net", "preact_resnet18"], {"preact_resnet18"})
)
@pytest.mark.parametrize("method", METHODS)
def test_batched_runs_end_as_each_does_alone(architecture: str, method: str) -> None:
    task = task_of(architecture)
    if architecture == "preact_resnet18":
        recipe = dataclasses.replace(task.recipe, epochs=1, optimizer="sgd", lr=0.01)
        task = dataclasses.replace(task, recipe=recipe)
    data = prepare(task, Path("nowhere"), test=True)
    trial = Trial(f"{task.name}/{method}", 0, "final", METHODS[method], SEEDS)  # type: ignore[arg-type]
    alone = train_to_end(task, trial, data)
    assert_rows_close(train_to_end(task, dataclasses.replace(trial, batched=True), data), alone)


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("name", NETWORKS)
def test_seeds_of_any_network_train_together_right_or_in_turn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, name, NETWORKS[name])
    task = dataclasses.replace(task_of("mlp"), architecture=name)
    data = prepare(task, Path("nowhere"), test=True)
    states = random_states()
    together = can_batch(name, data.shape, data.classes)
    assert random_states() == states and together == (name in TOGETHER)
    trial = Trial(f"{task.name}/kmixup", 0, "final", METHODS["kmixup"], SEEDS)  # type: ignore[arg-type]
    alone = train_to_end(task, trial, data)
    rows = train_to_end(task, dataclasses.replace(trial, batched=True), data)
    if together:
        assert_rows_close(rows, alone)
    else:
        assert without_clock(rows) == without_clock(alone) and {row.batched for row in rows} == {1}


def test_an_ensemble_keeps_what_its_networks_share_and_freeze() -> None:
    ensemble = Ensemble([NETWORKS["tied_weights"]((4,), 3) for _ in SEEDS])
    assert ensemble.body.get_parameter("1.weight") is ensemble.body.get_parameter("3.weight")
    ensemble = Ensemble([NETWORKS["frozen"]((4,), 3) for _ in SEEDS])
    trained = {name for name, weight in ensemble.body.named_parameters() if weight.requires_grad}
    assert trained == {"2.weight", "4.weight", "4.bias"}


def test_a_network_that_cannot_even_be_built_cannot_be_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(shape: tuple[int, ...], classes: int) -> nn.Module:
        torch.rand(1)
        raise RuntimeError("broken")

    monkeypatch.setitem(ARCHITECTURES, "cannot be built", broken)
    states = random_states()
    assert not can_batch("cannot be built", (4,), 3) and random_states() == states


def test_a_diverging_run_does_not_disturb_the_other_runs() -> None:
    task = task_of("mlp")
    data = prepare(task, Path("nowhere"), test=False)
    config = configuration(task.recipe, METHODS["kmixup"])  # type: ignore[arg-type]

    def run_steps(poison: bool) -> tuple[TrainingState, list[list[int]]]:
        state = initial_state(task, config, data, SEEDS)
        if poison:
            next(state.model.parameters()).data[1] = float("nan")
        return state, list(loop.steps(state, config, data))

    (clean, clean_ends), (poisoned, poisoned_ends) = run_steps(False), run_steps(True)
    assert clean_ends == [[]] * 8 + [[0, 1, 2]]
    assert poisoned_ends == [[], [], [1]] + [[]] * 5 + [[0, 2]]
    for a, b in zip(clean.model.parameters(), poisoned.model.parameters(), strict=True):
        assert torch.equal(a[[0, 2]], b[[0, 2]])


@pytest.mark.parametrize(
    ("architecture", "resume_batched"), [("mlp", True), ("mlp", False), ("tied_weights", True), ("frozen", True)]
)
def test_batched_seeds_resumed_in_the_middle_equal_uninterrupted_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, resume_batched: bool
) -> None:
    """The checkpoint decides that the seeds stay together, whatever the resumed trial says."""
    monkeypatch.setitem(ARCHITECTURES, architecture, {"mlp": mlp, **NETWORKS}[architecture])
    task = dataclasses.replace(task_of("mlp"), architecture=architecture)
    data = prepare(task, Path("nowhere"), test=False)
    trial = Trial("iris-90/mlp@0/kmixup", 0, "search", METHODS["kmixup"], SEEDS, batched=True)  # type: ignore[arg-type]
    expected = train_to_end(task, trial, data)
    assert {row.batched for row in expected} == {len(SEEDS)}
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    path = tmp_path / "trial.pt"
    interrupt(Training(task, trial, data, checkpoint_path=path), 4)
    resumed = finish(Training(task, dataclasses.replace(trial, batched=resume_batched), data, checkpoint_path=path))
    assert without_clock(resumed) == without_clock(expected)
