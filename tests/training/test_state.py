"""The layout of weights and moments in memory."""

import copy
from itertools import islice
from pathlib import Path
from typing import Literal

import pytest
import torch

from tune_kmixup.core.config import Recipe, Task, derived_seed
from tune_kmixup.core.coordinates import configuration
from tune_kmixup.data.prepare import prepare
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.training.loop import steps
from tune_kmixup.training.state import TrainingState, initial_state

SEEDS = (3, 1)


def task_of(optimizer: Literal["sgd", "adamw"] = "sgd") -> Task:
    recipe = Recipe(epochs=3, batch_size=30, lr=2e-3, optimizer=optimizer, weight_decay=1e-3)
    return Task("digits", "small_cnn", recipe, outer_split=0, train_size=90)


def state_of(task: Task, seeds: tuple[int, ...]) -> TrainingState:
    return initial_state(task, configuration(task.recipe, {}), prepare(task, Path("nowhere"), test=False), seeds)


@pytest.mark.parametrize("seeds", [SEEDS[:1], SEEDS], ids=["one run", "two runs"])
def test_convolutions_are_in_channels_last_with_the_weights_that_the_seed_draws(seeds: tuple[int, ...]) -> None:
    state = state_of(task_of(), seeds)
    for network in (state.model, state.network):
        weights = [weight for weight in network.parameters() if weight.ndim == 4]
        assert weights and all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
        assert not all(weight.is_contiguous() for weight in weights)
    for run, seed in enumerate(seeds):
        torch.manual_seed(derived_seed(seed, "init"))
        expected = ARCHITECTURES["small_cnn"]((1, 8, 8), 10).state_dict()
        state.model.copy_to(state.network, run)
        for name, value in state.network.state_dict().items():
            assert torch.equal(value, expected[name])


@pytest.mark.parametrize("seeds", [SEEDS[:1], SEEDS], ids=["one run", "two runs"])
def test_the_activations_of_convolutions_are_in_channels_last(seeds: tuple[int, ...]) -> None:
    """Though nothing converts the inputs of the network."""
    state = state_of(task_of(), seeds)
    layouts = []
    last = [layer for layer in state.model.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
    last.register_forward_hook(lambda layer, x, y: layouts.append(y.is_contiguous(memory_format=torch.channels_last)))
    state.model(torch.randn(len(seeds), 5, 1, 8, 8))
    assert layouts == [True]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("seeds", [SEEDS[:1], SEEDS], ids=["one run", "two runs"])
def test_a_checkpoint_of_contiguous_tensors_is_continued_bit_for_bit(
    optimizer: Literal["sgd", "adamw"], seeds: tuple[int, ...]
) -> None:
    """Fused optimisers do not look at layouts, so moments in another layout would be those of other weights."""
    task = task_of(optimizer)
    data, config = prepare(task, Path("nowhere"), test=False), configuration(task.recipe, {})
    uninterrupted = state_of(task, seeds)
    for _ in islice(steps(uninterrupted, config, data), 4):
        pass
    saved = copy.deepcopy(uninterrupted.state_dict())
    for moments in saved["optimizer"]["state"].values():
        for name, value in moments.items():
            moments[name] = value.contiguous()
    saved["model"] = {name: value.contiguous() for name, value in saved["model"].items()}
    resumed = state_of(task, seeds)
    resumed.load_state_dict(saved)
    for state in (uninterrupted, resumed):
        assert sum(1 for _ in steps(state, config, data)) == 5
    for expected, weight in zip(uninterrupted.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(weight, expected)
