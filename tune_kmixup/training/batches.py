"""The batches of one or several runs, their partners and λ.

All random numbers come from generators named by (seed, purpose, epoch or step). So a seed gives the same clean batches
for every method and whatever other runs are trained. A run resumes from its step number: no generator state is saved.
"""

from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tune_kmixup.core.config import Recipe, derived_seed
from tune_kmixup.data.prepare import Data
from tune_kmixup.mixing.pairing import Cost
from tune_kmixup.mixing.prefetch import prefetch_pairings
from tune_kmixup.mixing.step import sample_lambda


class Batch(NamedTuple):
    """One batch for each of R runs, and the independent batch that it is mixed with.

    Attributes:
        step: number of the training step, from 0.
        rows: indices of the training rows, R x B.
        x: inputs of the network, R x B x ....
        y: class indices, R x B.
        lam: λ of each run, shape (R,).
        partner_rows: rows of the partner batch; None if α = 0, where nothing is mixed.
        partner: inputs of the partner batch; None if α = 0.
        y_partner: class indices of the partner batch; None if α = 0.
    """

    step: int
    rows: Tensor
    x: Tensor
    y: Tensor
    lam: Tensor
    partner_rows: Tensor | None = None
    partner: Tensor | None = None
    y_partner: Tensor | None = None


def generator_for(seed: int, *purpose: object, device: torch.device | str = "cpu") -> torch.Generator:
    """The random generator of one purpose: same seed and purpose, same numbers."""
    return torch.Generator(device).manual_seed(derived_seed(seed, *purpose))


def batches(data: Data, alpha: float, recipe: Recipe, seeds: Sequence[int], first_step: int = 0) -> Iterator[Batch]:
    """All batches of the runs of these seeds. The incomplete last batch of an epoch is dropped.

    A batch and its partner come from two independent permutations of the training rows and are augmented
    independently. α decides λ alone: rows, augmentation and the uniform numbers behind λ are the same for every method.

    Args:
        data: its training rows and augmentation are used.
        alpha: α ≥ 0; 0 draws no partners.
        recipe: gives the batch size and the number of epochs.
        seeds: one per run.
        first_step: step to start from, when a run is resumed.

    Yields:
        The batches of one step after another, on the device of the data. Partners are not permuted yet.
    """
    x, y = data.train
    per_epoch = len(y) // recipe.batch_size

    def permutations(purpose: str, epoch: int) -> Tensor:
        orders = [torch.randperm(len(y), generator=generator_for(seed, purpose, epoch)) for seed in seeds]
        return torch.stack(orders).to(y.device)

    def draw(orders: Tensor, step: int, role: str) -> tuple[Tensor, Tensor, Tensor]:
        start = step % per_epoch * recipe.batch_size
        rows = orders[:, start : start + recipe.batch_size]
        stored = x[rows.flatten()]
        if data.augment is not None:
            generators = [generator_for(seed, "augment", role, step, device=x.device) for seed in seeds]
            runs = zip(stored.split(recipe.batch_size), generators, strict=True)
            stored = torch.cat([data.augment(run, generator) for run, generator in runs])
        inputs = data.inputs(stored)
        return rows, inputs.view(*rows.shape, *inputs.shape[1:]), y[rows]

    for epoch in range(first_step // per_epoch, recipe.epochs):
        orders = permutations("order", epoch)
        partner_orders = permutations("partner", epoch) if alpha > 0 else None
        lam_by_run = [sample_lambda(alpha, per_epoch, generator_for(seed, "lambda", epoch)) for seed in seeds]
        lam = torch.stack(lam_by_run, 1).to(x.device, torch.float32)
        for step in range(max(first_step, epoch * per_epoch), (epoch + 1) * per_epoch):
            clean = Batch(step, *draw(orders, step, "batch"), lam[step % per_epoch])
            yield clean if partner_orders is None else Batch(*clean[:5], *draw(partner_orders, step, "partner"))


def pair_batches(source: Iterator[Batch], k: int, cost: Cost) -> Generator[tuple[Batch, float], None, None]:
    """Permutes the partners of each batch by the pairing σ, which is computed ahead of its use.

    Args:
        source: batches with partners, see `batches`.
        k: rows per pairing block, ≥ 1.
        cost: cost of pairing two rows, see `pairing.pair`.

    Yields:
        Each batch with its partners permuted, and the seconds that its pairings took.
    """
    for batch, sigma, seconds in prefetch_pairings(source, k, cost=cost):
        if k == 1:
            yield batch, seconds
            continue
        assert batch.partner is not None and batch.partner_rows is not None and batch.y_partner is not None
        partners = (batch.partner_rows, batch.partner, batch.y_partner)
        if len(sigma) == 1:
            yield Batch(*batch[:5], *(tensor[:, sigma[0]] for tensor in partners)), seconds
        else:
            runs = torch.arange(len(sigma), device=sigma.device)[:, None]
            yield Batch(*batch[:5], *(tensor[runs, sigma] for tensor in partners)), seconds
