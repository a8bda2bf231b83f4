"""Training state: the networks, optimiser and measurements of the runs that are trained together, one per seed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tune_kmixup.core.config import Task, derived_seed
from tune_kmixup.core.coordinates import Configuration
from tune_kmixup.data.tensors import Data
from tune_kmixup.models.ensemble import Ensemble
from tune_kmixup.models.networks import build_network

# The layout of convolution weights, with channels innermost, which is faster (docs/performance.md). Other weights have
# none. A convolution brings its input into the layout of its weight, so inputs need no conversion of their own.
CONV_LAYOUT = torch.channels_last


@dataclass
class TrainingState:
    """R runs of one configuration in progress, one per seed.

    The numbers of a run do not depend on the other runs, up to the rounding of kernels that compute several at once.
    Checkpoints hold the attributes by name, so renaming one makes earlier checkpoints unreadable.

    Attributes:
        seeds: seeds of the runs.
        model: the networks of all runs.
        network: one network of the architecture; a run's weights are copied into it for evaluation.
        optimizer: optimiser of all networks.
        live: positions of the runs that have not ended.
        loss: training loss of each run, summed over the steps of the current epoch.
        distance: mean squared distance of the pairs of each run, summed over the measured steps.
        self_pairs: share of pairs of a row with itself, summed likewise.
        cross_class: share of pairs of two classes, summed likewise.
        step: number of steps done.
        started: time at which the runs were started, seconds since the epoch.
        pairing_seconds: time spent on pairings, of all runs together.
        seconds: training time, of all runs together.
        rungs: epoch -> score of the first run, for the rungs passed so far; infinite if not finite.
        train_losses: for each epoch, the mean training loss of each run; empty without curves.
        val_errors: for each epoch, the validation error of each run; empty without curves.
    """

    seeds: tuple[int, ...]
    model: Ensemble
    network: nn.Module
    optimizer: torch.optim.Optimizer
    live: list[int]
    loss: Tensor
    distance: Tensor
    self_pairs: Tensor
    cross_class: Tensor
    step: int = 0
    started: float = field(default_factory=time.time)
    pairing_seconds: float = 0.0
    seconds: float = 0.0
    rungs: dict[int, float] = field(default_factory=dict)
    train_losses: list[list[float]] = field(default_factory=list)
    val_errors: list[list[float]] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """The state as tensors and plain values, for a checkpoint."""
        plain = {name: value for name, value in vars(self).items() if name not in ("model", "network", "optimizer")}
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "plain": plain}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        # Fused optimisers read weights and moments in the order of memory, so their layouts must be equal. An earlier
        # checkpoint may have another one.
        for weight, moments in self.optimizer.state.items():
            for name, value in moments.items():
                if value.shape == weight.shape:
                    moments[name] = torch.empty_like(weight).copy_(value)
        for name, value in state["plain"].items():
            setattr(self, name, value.to(self.loss.device) if isinstance(value, Tensor) else value)

    def finish_epoch(self, last: bool) -> list[int]:
        """Ends all runs after the last epoch, else those whose loss is not finite. Returns their positions."""
        finite = self.loss.isfinite().tolist()
        ended = [run for run in self.live if last or not finite[run]]
        self.live = [run for run in self.live if run not in ended]
        return ended

    def add_pairs(self, pairs: Tensor) -> None:
        """Adds what was measured at the pairs of one step: distance, self pairs and pairs of two classes, 3 x R."""
        self.distance += pairs[0]
        self.self_pairs += pairs[1]
        self.cross_class += pairs[2]


def initial_state(task: Task, config: Configuration, data: Data, seeds: Sequence[int]) -> TrainingState:
    """The state before the first step. Initial weights depend on the seed, architecture and data set alone.

    Args:
        task: gives the architecture.
        config: its recipe gives the optimiser.
        data: gives the input shape, the number of classes and the device.
        seeds: one per run. More than one needs an architecture that `can_batch`.

    Raises:
        NotBatchable: if the architecture cannot train several seeds at once.
    """
    device = data.train.x.device
    networks = []
    for seed in seeds:
        network = build_network(task.architecture, data.shape, data.classes, derived_seed(seed, "init"))
        networks.append(network.to(device).to(memory_format=CONV_LAYOUT))
    model = Ensemble(networks).to(memory_format=CONV_LAYOUT)
    recipe = config.recipe
    weights, lr, decay = model.parameters(), recipe.lr, recipe.weight_decay
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "adamw":
        optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=decay, fused=True)
    else:
        optimizer = torch.optim.SGD(weights, lr=lr, weight_decay=decay, momentum=recipe.momentum, fused=True)
    loss, sums = torch.zeros(len(seeds), device=device), torch.zeros(3, len(seeds), dtype=torch.float64, device=device)
    return TrainingState(tuple(seeds), model, networks[0], optimizer, list(range(len(seeds))), loss, *sums)
