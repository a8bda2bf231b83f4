"""What the training steps read: batches, their partners and λ, drawn, paired and mixed for many steps at once.

All random numbers come from generators named by (seed, purpose, epoch or step). So a seed gives the same clean batches
for every method and whatever other runs are trained. A run resumes from its step number: no generator state is saved.

Small batches cost calls more than arithmetic. So everything that depends on the data alone is done for as many steps as
fit into `CHUNK_BYTES`.
"""

import math
import time
from collections.abc import Generator, Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tune_kmixup.core.config import Recipe, derived_seed
from tune_kmixup.core.coordinates import Configuration
from tune_kmixup.data.augment import AUGMENTATIONS
from tune_kmixup.data.tensors import Data
from tune_kmixup.mixing.pairing import Cost, pair_runs
from tune_kmixup.mixing.step import mix, sample_lambda
from tune_kmixup.training.prefetch import prefetch

CHUNK_BYTES = 2**20  # of the inputs and labels of a chunk: more gains little, and leaves the processor's cache
COST_BYTES = 2**24  # of the costs of its pairings
MAX_CHUNK = 128  # steps
MEASURED_STEPS = 100  # first steps of a run, over which its pairs are measured


class Batches(NamedTuple):
    """The batches of S consecutive steps of R runs, and the independent batches that they are mixed with.

    Attributes:
        step: number of the first step, from 0.
        rows: indices of the training rows, S x R x B.
        x: inputs of the network, S x R x B x ....
        y: class indices, S x R x B.
        lam: λ of each run and step, S x R.
        partner_rows: rows of the partners; None if α = 0, where nothing is mixed.
        partner: inputs of the partners; None if α = 0.
        y_partner: class indices of the partners; None if α = 0.
    """

    step: int
    rows: Tensor
    x: Tensor
    y: Tensor
    lam: Tensor
    partner_rows: Tensor | None = None
    partner: Tensor | None = None
    y_partner: Tensor | None = None


class Chunk(NamedTuple):
    """S consecutive training steps of R runs, ready to be trained on.

    Attributes:
        step: number of the first step, from 0.
        x: inputs, mixed, S x R x B x ....
        y: their labels: class indices, S x R x B, or the mixed ones, S x R x B x C.
        pairs: mean squared distance of the pairs, share of pairs of a row with itself, and of pairs of two classes, for
            each step and run, 3 x S x R; None if nothing is mixed, and after `MEASURED_STEPS`.
        pairing_seconds: time that a pairing took, per step.
    """

    step: int
    x: Tensor
    y: Tensor
    pairs: Tensor | None
    pairing_seconds: float

    def steps(self) -> Iterator[tuple[Tensor, Tensor, Tensor | None, float]]:
        """For each step x, y, the measured pairs, 3 x R, and the seconds of its pairing."""
        pairs = repeat(None) if self.pairs is None else self.pairs.unbind(1)
        return zip(self.x, self.y, pairs, repeat(self.pairing_seconds))


def generator_for(seed: int, *purpose: object, device: torch.device | str = "cpu") -> torch.Generator:
    """The random generator of one purpose: same seed and purpose, same numbers."""
    return torch.Generator(device).manual_seed(derived_seed(seed, *purpose))


def chunk_steps(data: Data, recipe: Recipe, k: int, runs: int) -> int:
    """How many steps a chunk has: as many as fit into the bytes above, up to `MAX_CHUNK`, and at least one."""
    rows = runs * recipe.batch_size  # of a step
    row_bytes = 4 * (math.prod(data.shape) + data.classes)
    return max(1, min(CHUNK_BYTES // (rows * row_bytes), COST_BYTES // (rows * k * 8), MAX_CHUNK))


def batches(
    data: Data, alpha: float, recipe: Recipe, seeds: Sequence[int], first_step: int = 0, size: int = MAX_CHUNK
) -> Iterator[Batches]:
    """All batches of the runs of these seeds. The incomplete last batch of an epoch is dropped.

    A batch and its partner come from two independent permutations of the training rows and are augmented
    independently. α decides λ alone: rows, augmentation and the uniform numbers behind λ are the same for every method.

    Args:
        data: its training rows are used.
        alpha: α ≥ 0; 0 draws no partners.
        recipe: gives the batch size, the augmentation and the number of epochs.
        seeds: one per run.
        first_step: step to start from, when a run is resumed.
        size: most steps to draw at once, ≥ 1.

    Yields:
        The batches of consecutive steps, on the device of the data. Partners are not permuted yet.
    """
    train, augment = data.train, AUGMENTATIONS[recipe.augment]
    per_epoch = recipe.steps_per_epoch(len(train.y))

    def order(purpose: str, epoch: int) -> Tensor:
        """The rows of an epoch, steps x R x B."""
        orders = [torch.randperm(len(train.y), generator=generator_for(seed, purpose, epoch)) for seed in seeds]
        in_batches = torch.stack(orders)[:, : per_epoch * recipe.batch_size].view(len(seeds), per_epoch, -1)
        return in_batches.transpose(0, 1)

    def lambdas(epoch: int) -> Tensor:
        """λ of an epoch, steps x R."""
        drawn = [sample_lambda(alpha, per_epoch, generator_for(seed, "lambda", epoch)) for seed in seeds]
        return torch.stack(drawn, 1).float()

    def draw(rows: Tensor, step: int, role: str) -> tuple[Tensor, Tensor, Tensor]:
        rows = rows.to(train.y.device)
        stored = train.x.index_select(0, rows.flatten())
        if augment is not None:
            runs = ((seed, number) for number in range(step, step + len(rows)) for seed in seeds)
            generators = [generator_for(seed, "augment", role, number, device=stored.device) for seed, number in runs]
            parts = zip(stored.split(recipe.batch_size), generators, strict=True)
            stored = torch.cat([augment(part, generator) for part, generator in parts])
        inputs = data.inputs(stored)
        return rows, inputs.view(*rows.shape, *inputs.shape[1:]), train.y[rows]

    at_once = max(size // per_epoch, 1)  # epochs
    for first_epoch in range(first_step // per_epoch, recipe.epochs, at_once):
        epochs = range(first_epoch, min(first_epoch + at_once, recipe.epochs))
        rows = torch.cat([order("order", epoch) for epoch in epochs])
        partner_rows = torch.cat([order("partner", epoch) for epoch in epochs]) if alpha > 0 else None
        lam = torch.cat([lambdas(epoch) for epoch in epochs]).to(train.x.device)
        start = first_epoch * per_epoch
        for step in range(max(first_step, start), start + len(rows), size):
            part = slice(step - start, step - start + size)
            clean = Batches(step, *draw(rows[part], step, "batch"), lam[part])
            yield (clean if partner_rows is None else Batches(*clean[:5], *draw(partner_rows[part], step, "partner")))


def pair_batches(drawn: Batches, k: int, cost: Cost) -> Batches:
    """Permutes the partners of batches by their pairings σ.

    Args:
        drawn: batches with partners, see `batches`.
        k: rows per pairing block, ≥ 1.
        cost: cost of pairing two rows, see `pairing.pair`.

    Returns:
        The same batches. Row i of a batch is mixed with row i of its partner.
    """
    assert drawn.partner_rows is not None and drawn.partner is not None and drawn.y_partner is not None
    if k == 1:
        return drawn
    sigma = pair_runs(drawn.x.flatten(0, 1), drawn.partner.flatten(0, 1), k, cost=cost)
    rows = (sigma + torch.arange(len(sigma), device=sigma.device)[:, None] * sigma.shape[1]).flatten()
    partners = (drawn.partner_rows, drawn.partner, drawn.y_partner)
    return Batches(*drawn[:5], *(tensor.flatten(0, 2).index_select(0, rows).view_as(tensor) for tensor in partners))


def chunks(
    data: Data, config: Configuration, seeds: Sequence[int], first_step: int = 0
) -> Generator[Chunk, None, None]:
    """What the steps of the runs of these seeds are trained on, from `first_step` to the end.

    Args:
        data: training rows.
        config: α, k, and the recipe.
        seeds: one per run.
        first_step: step to start from, when a run is resumed.

    Yields:
        Consecutive steps, on the device of the data.
    """
    size = chunk_steps(data, config.recipe, config.k, len(seeds))
    drawn = batches(data, config.alpha, config.recipe, seeds, first_step, size)
    return prefetch((make_chunk(part, config, data.classes) for part in drawn), data.train.x.device)


def make_chunk(drawn: Batches, config: Configuration, classes: int) -> Chunk:
    """Pairs and mixes the batches of some steps."""
    if drawn.partner is None:
        return Chunk(drawn.step, drawn.x, drawn.y, None, 0.0)
    start = time.perf_counter()
    paired = pair_batches(drawn, config.k, config.recipe.cost)
    seconds = (time.perf_counter() - start) / len(drawn.x)
    assert paired.partner is not None and paired.partner_rows is not None and paired.y_partner is not None
    lam = paired.lam.flatten()
    x = mix(paired.x.flatten(0, 1), paired.partner.flatten(0, 1), lam).view(paired.x.shape)
    labels, other_labels = (F.one_hot(y.flatten(0, 1), classes).to(x.dtype) for y in (paired.y, paired.y_partner))
    y = mix(labels, other_labels, lam)
    pairs = measure_pairs(paired) if drawn.step < MEASURED_STEPS else None
    return Chunk(drawn.step, x, y.view(*paired.y.shape, classes), pairs, seconds)


def measure_pairs(paired: Batches) -> Tensor:
    """What `Chunk.pairs` holds."""
    assert paired.partner is not None and paired.partner_rows is not None and paired.y_partner is not None
    distances = (paired.x - paired.partner).square().flatten(3).sum(3)
    measures = distances, paired.rows == paired.partner_rows, paired.y != paired.y_partner
    return torch.stack([measure.double().mean(2) for measure in measures])
