"""Milliseconds of a whole training step without evaluation: ERM, mixup, k-mixup and other ways of mixing.

    python benchmarks/step.py [--quick]

The steps are those of the suite (batches, pairing, optimiser) on random data of real shapes.
`v2.MixUp` is torchvision's, for images only. It mixes a batch with itself, rolled by one row, so it draws half as much.
`naive` solves one B x B assignment with a prohibitive cost outside the blocks on `scipy.spatial.distance_matrix` costs
in every step, after a clean forward pass of the model, as other code does.

Ratios are medians over rounds of some steps each, with quartiles. All arms run in turn in one process, with one thread.
"""

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2

from benchmarks.pairing import masked_assignment
from benchmarks.timing import advance, describe_machine, print_header, print_row, ratio, time_arms
from tune_kmixup.core.config import Recipe, Task
from tune_kmixup.core.coordinates import configuration
from tune_kmixup.data.prepare import prepare
from tune_kmixup.data.tensors import Data
from tune_kmixup.mixing.step import mix, mixed_cross_entropy
from tune_kmixup.training.batches import MEASURED_STEPS, batches
from tune_kmixup.training.loop import steps
from tune_kmixup.training.state import initial_state

FOREVER = 1_000_000  # epochs
NETWORKS = (
    # architecture, shape of one input, batch size, steps per round
    ("mlp", (30,), 50, 128),
    ("mlp", (30,), 128, 102),
    ("small_cnn", (1, 8, 8), 128, 54),
    ("lenet", (1, 28, 28), 128, 20),
)


def random_data(folder: Path, network: str, shape: tuple[int, ...], batch: int) -> tuple[Task, Data]:
    """A task of random data: 5,120 rows of ten classes, read as the suite reads a user's own."""
    rng = np.random.default_rng(0)
    if len(shape) == 3:
        x = rng.integers(0, 256, (5120, *shape), np.uint8)
    else:
        x = rng.normal(size=(5120, *shape)).astype(np.float32)
    np.savez(folder / f"{network}.npz", x=x, y=np.arange(5120) % 10)
    task = Task(network, network, Recipe(FOREVER, batch, 1e-3), outer_split=0)
    return task, prepare(task, folder, test=False)


def suite_steps(task: Task, data: Data, alpha: float, k: int) -> Iterator[object]:
    chosen = configuration(task.recipe, {"alpha": alpha, "k": k})
    return steps(initial_state(task, chosen, data, [0]), chosen, data)


def other_steps(task: Task, data: Data, alpha: float, loss_of: Callable[..., Tensor]) -> Iterator[object]:
    """The same network, optimiser and clean batches with another way of mixing. α = 0 draws no partner batch."""
    state = initial_state(task, configuration(task.recipe, {}), data, [0])
    for drawn in batches(data, alpha, task.recipe, [0]):
        runs = [tensor[:, 0] for tensor in drawn[1:] if tensor is not None]
        for batch in zip(*runs, strict=True):
            loss = loss_of(state.network, *batch)
            state.optimizer.zero_grad()
            loss.backward()
            state.optimizer.step()
            yield


def naive_loss(
    model: torch.nn.Module, _: Tensor, x: Tensor, y: Tensor, lam: Tensor, __: Tensor, partner: Tensor, y_partner: Tensor
) -> Tensor:
    """Of k = 16."""
    with torch.no_grad():
        model(x)
    sigma = torch.from_numpy(masked_assignment(x.flatten(1), partner.flatten(1), 16))
    logits = model(mix(x, partner[sigma], float(lam)))
    return mixed_cross_entropy(logits, y, y_partner[sigma], float(lam))


def compare_steps(network: str, shape: tuple[int, ...], batch: int, steps_per_round: int, rounds: int) -> None:
    """Prints the rows of one network."""
    with tempfile.TemporaryDirectory() as folder:
        task, data = random_data(Path(folder), network, shape, batch)
    torchvision_mixup = v2.MixUp(alpha=1.0, num_classes=10)

    def torchvision_loss(model: torch.nn.Module, _: Tensor, x: Tensor, y: Tensor, __: Tensor) -> Tensor:
        x, y = torchvision_mixup(x, y)
        return F.cross_entropy(model(x), y)

    runs = {"ERM": suite_steps(task, data, 0.0, 1)} | {
        f"k={k}": suite_steps(task, data, 1.0, k) for k in (1, 2, 4, 8, 16, 32, 64, 128) if k <= batch
    }
    if len(shape) == 3:
        runs["v2.MixUp"] = other_steps(task, data, 0.0, torchvision_loss)
    runs["naive, k=16"] = other_steps(task, data, 1.0, naive_loss)

    arms = {name: partial(advance, run, steps_per_round) for name, run in runs.items()}
    # The warm-up covers the first steps of a run, which also measure their pairings.
    seconds = time_arms(arms, rounds, warmup=math.ceil(MEASURED_STEPS / steps_per_round))
    for name, arm_seconds in seconds.items():
        ratios = [ratio(arm_seconds, seconds["k=1"]), ratio(arm_seconds, seconds["ERM"])]
        print_row(network, batch, name, f"{1000 * np.median(arm_seconds) / steps_per_round:.3g}", *ratios)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest network, few rounds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{describe_machine()}\n")
    print_header("network", "B", "arm", "ms a step", "over mixup (k=1)", "over ERM")
    for name, shape, batch, steps_per_round in NETWORKS[: 1 if options.quick else None]:
        compare_steps(name, shape, batch, steps_per_round, 3 if options.quick else 25)
