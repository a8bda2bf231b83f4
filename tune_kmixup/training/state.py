"""Runs of one configuration that are trained together, one per seed: their networks, optimiser and measurements."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tune_kmixup.core.config import Configuration, Task, derived_seed
from tune_kmixup.data.prepare import Data
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.models.ensemble import Ensemble
from tune_kmixup.training.batches import Batch


@dataclass
class TrainingState:
    """Trainings of a configuration that go on together, one per seed: networks, optimiser, and what is measured.

    The tensors have an entry per run. A run's numbers do not depend on those beside it, up to the rounding of kernels
    that take several at once.
    """

    seeds: tuple[int, ...]
    model: Ensemble
    network: nn.Module  # one of the architecture, into which a run's weights are copied to be evaluated
    optimizer: torch.optim.Optimizer
    live: list[int]  # positions of the runs that have not ended
    loss: Tensor  # summed over the epoch so far
    distance: Tensor  # these three: summed over the measured steps
    self_pairs: Tensor
    cross_class: Tensor
    step: int = 0
    started: float = field(default_factory=time.time)
    pairing_seconds: float = 0.0
    seconds: float = 0.0
    rungs: dict[int, float] = field(default_factory=dict)  # epoch -> validation error of the first run, where judged

    def state(self) -> dict[str, Any]:
        plain = {name: value for name, value in vars(self).items() if name not in ("model", "network", "optimizer")}
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "plain": plain}

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, value in state["plain"].items():
            setattr(self, name, value.to(self.loss.device) if isinstance(value, Tensor) else value)

    def finish_epoch(self, last: bool) -> list[int]:
        """Positions of the runs that end with this epoch: all with the last one, else those whose loss diverged."""
        finite = self.loss.isfinite().tolist()
        gone = [run for run in self.live if last or not finite[run]]
        self.live = [run for run in self.live if run not in gone]
        return gone

    def measure_pairing(self, batch: Batch) -> None:
        """Adds what the pairings of this step look like."""
        if batch.partner is None or batch.partner_rows is None or batch.y_partner is None:
            return
        self.distance += (batch.x - batch.partner).square().flatten(2).sum(2).mean(1)
        self.self_pairs += (batch.rows == batch.partner_rows).double().mean(1)
        self.cross_class += (batch.y != batch.y_partner).double().mean(1)


def initial_state(task: Task, chosen: Configuration, data: Data, seeds: Sequence[int]) -> TrainingState:
    """Fresh runs. Initial weights depend on seed, architecture and data set alone, never on the method."""
    device = data.train.x.device
    networks = []
    for seed in seeds:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(seed, "init"))
            networks.append(ARCHITECTURES[task.architecture](data.shape, data.classes).to(device))
    model = Ensemble(networks)
    recipe = chosen.recipe
    weights, lr, decay = model.parameters(), recipe.lr, recipe.weight_decay
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "adamw":
        optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=decay, fused=True)
    else:
        optimizer = torch.optim.SGD(weights, lr=lr, weight_decay=decay, momentum=recipe.momentum, fused=True)
    loss, sums = torch.zeros(len(seeds), device=device), torch.zeros(3, len(seeds), dtype=torch.float64, device=device)
    return TrainingState(tuple(seeds), model, networks[0], optimizer, list(range(len(seeds))), loss, *sums)
