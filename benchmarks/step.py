"""A whole training step, evaluation left out: k-mixup over mixup over ERM, and over other ways of mixing.

    python benchmarks/step.py [--quick] [--device cuda]

Steps of the suite itself (batches, pairing ahead, optimiser) on random data of real shapes. `v2.MixUp` is torchvision's
(images only), which mixes a batch with itself, rolled by one row, and so draws half as much; `naive` solves one B x B
assignment with forbidden off-block entries on `scipy.spatial.distance_matrix` costs in every step, after a clean
forward pass of the model, as other code does. Ratios are medians over rounds of some steps each, with quartiles, arms
taken in turn in one process; one thread trains, so the pairing thread has a core of its own where there are two.
"""

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torchvision.transforms import v2

from benchmarks.pairing import masked
from benchmarks.timing import head, line, machine, ratio, times
from tune_kmixup.core.config import Recipe, Task, configuration
from tune_kmixup.data.prepare import Data, prepare
from tune_kmixup.mixing.step import mix, mixed_cross_entropy
from tune_kmixup.training.batches import Batch, batches
from tune_kmixup.training.loop import MEASURED_STEPS, steps
from tune_kmixup.training.state import initial_state

FOREVER = 1_000_000  # epochs
NETWORKS = (
    # name, shape of one input, batch size, steps per round
    ("mlp", (30,), 50, 100),
    ("mlp", (30,), 128, 100),
    ("small_cnn", (1, 8, 8), 128, 40),
    ("lenet", (1, 28, 28), 128, 20),
)
CUDA = (("preact_resnet18", (3, 32, 32), 128, 50),)


def random_data(folder: Path, network: str, shape: tuple[int, ...], batch: int, device: str) -> tuple[Task, Data]:
    """4,096 rows of ten classes, read as the suite reads a user's own."""
    rng = np.random.default_rng(0)
    images = len(shape) == 3
    x = rng.integers(0, 256, (5120, *shape), np.uint8) if images else rng.normal(size=(5120, *shape)).astype(np.float32)
    np.savez(folder / f"{network}.npz", x=x, y=np.arange(5120) % 10)
    precision = "bfloat16" if device == "cuda" else "float32"
    recipe = Recipe(FOREVER, batch, 1e-3, precision=precision, augment="crop_flip" if shape[0] == 3 else "none")
    task = Task(network, network, recipe, outer_split=0)
    return task, prepare(task, folder, test=False, device=device)


def ours(task: Task, data: Data, alpha: float, k: int) -> Iterator[object]:
    chosen = configuration(task.recipe, {"alpha": alpha, "k": k})
    return steps(initial_state(task, chosen, data, [0]), chosen, data)


def other(task: Task, data: Data, alpha: float, loss_of: Callable[..., torch.Tensor]) -> Iterator[object]:
    """The same network, optimiser and clean batches, with another way of mixing; α = 0 draws no partner batch."""
    bundle = initial_state(task, configuration(task.recipe, {}), data, [0])
    half = task.recipe.precision == "bfloat16"
    for batch in batches(data, alpha, task.recipe, [0]):
        with torch.autocast(data.train.x.device.type, torch.bfloat16, enabled=half):
            loss = loss_of(bundle.network, alone(batch))
        bundle.optimizer.zero_grad()
        loss.backward()
        bundle.optimizer.step()
        yield batch.step


def alone(batch: Batch) -> Batch:
    """The batch of the only run, without the dimension of the runs."""
    return Batch(batch.step, *(tensor if tensor is None else tensor[0] for tensor in batch[1:]))


def naive(model: torch.nn.Module, batch: Batch, k: int = 16) -> torch.Tensor:
    x, partner, y_partner = batch.x, batch.partner, batch.y_partner
    assert partner is not None and y_partner is not None
    with torch.no_grad():
        model(x)
    sigma = torch.from_numpy(masked(x.flatten(1).cpu(), partner.flatten(1).cpu(), k)).to(x.device)
    logits = model(mix(x, partner[sigma], float(batch.lam)))
    return mixed_cross_entropy(logits, batch.y, y_partner[sigma], float(batch.lam))


def compare(network: str, shape: tuple[int, ...], batch: int, at_once: int, device: str, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        task, data = random_data(Path(folder), network, shape, batch, device)
    torchvisions = v2.MixUp(alpha=1.0, num_classes=10)

    def with_torchvision(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        x, y = torchvisions(batch.x, batch.y)
        return F.cross_entropy(model(x), y)

    running = {"ERM": ours(task, data, 0.0, 1)} | {
        f"k={k}": ours(task, data, 1.0, k) for k in (1, 2, 4, 8, 16, 32, 64, 128) if k <= batch
    }
    if len(shape) == 3:
        running["v2.MixUp"] = other(task, data, 0.0, with_torchvision)
    running["naive, k=16"] = other(task, data, 1.0, naive)

    def some(source: Iterator[object]) -> None:
        for _ in islice(source, at_once):
            pass
        if device == "cuda":
            torch.cuda.synchronize()

    runs = {name: lambda source=source: some(source) for name, source in running.items()}
    # Past the first steps, whose pairings a run describes: that costs, and is soon over.
    seconds = times(runs, rounds, warm=math.ceil(MEASURED_STEPS / at_once))
    for name, found in seconds.items():
        over = [ratio(found, seconds["k=1"]), ratio(found, seconds["ERM"])]
        line(network, batch, name, f"{1000 * np.median(found) / at_once:.3g}", *over)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest network, few rounds")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine()}, {options.device}\n")
    head("network", "B", "arm", "ms a step", "over mixup (k=1)", "over ERM")
    for name, shape, batch, at_once in CUDA if options.device == "cuda" else NETWORKS[: 1 if options.quick else None]:
        compare(name, shape, batch, at_once, options.device, 3 if options.quick else 25)
