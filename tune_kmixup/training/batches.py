"""The batches of one or several runs, their partners and λ.

Everything random is drawn from generators named by (seed, purpose, epoch or step). So the same seed gives the same
clean batches whatever the method and whatever runs are trained beside it, and a run continues in the middle with
nothing but its step number: no generator has a state to be saved.
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
    """A batch of each of R runs and the independent batch it is to be mixed with.

    Row numbers (R x B), network inputs (R x B x ...) and labels (R x B) of both, and λ (R). The partner is None where
    nothing is mixed (α = 0).
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
    """All batches of the runs of these seeds from `first_step` on. A last partial batch of an epoch is dropped.

    A batch and its partner come from two independent permutations of the training rows and are augmented
    independently. α decides λ alone: rows, augmentation and the uniforms behind λ are the same for every method.
    """
    x, y = data.train
    per_epoch = len(y) // recipe.batch_size

    def permuted(purpose: str, epoch: int) -> Tensor:
        orders = [torch.randperm(len(y), generator=generator_for(seed, purpose, epoch)) for seed in seeds]
        return torch.stack(orders).to(y.device)

    def draw(orders: Tensor, step: int, who: str) -> tuple[Tensor, Tensor, Tensor]:
        start = step % per_epoch * recipe.batch_size
        rows = orders[:, start : start + recipe.batch_size]
        stored = x[rows.flatten()]
        if data.augment is not None:
            streams = [generator_for(seed, "augment", who, step, device=x.device) for seed in seeds]
            pieces = zip(stored.split(recipe.batch_size), streams, strict=True)
            stored = torch.cat([data.augment(piece, generator) for piece, generator in pieces])
        inputs = data.inputs(stored)
        return rows, inputs.view(*rows.shape, *inputs.shape[1:]), y[rows]

    for epoch in range(first_step // per_epoch, recipe.epochs):
        orders = permuted("order", epoch)
        partners = permuted("partner", epoch) if alpha > 0 else None
        drawn = [sample_lambda(alpha, per_epoch, generator_for(seed, "lambda", epoch)) for seed in seeds]
        lam = torch.stack(drawn, 1).to(x.device, torch.float32)
        for step in range(max(first_step, epoch * per_epoch), (epoch + 1) * per_epoch):
            clean = Batch(step, *draw(orders, step, "batch"), lam[step % per_epoch])
            yield clean if partners is None else Batch(*clean[:5], *draw(partners, step, "partner"))


def pair_batches(source: Iterator[Batch], k: int, cost: Cost) -> Generator[tuple[Batch, float], None, None]:
    """Partners permuted by the pairing of blocks of k, solved ahead of their use; and the seconds that took."""
    for batch, sigma, seconds in prefetch_pairings(source, k, cost=cost, runs=True):
        if k == 1:
            yield batch, seconds
            continue
        assert batch.partner is not None and batch.partner_rows is not None and batch.y_partner is not None
        partners = (batch.partner_rows, batch.partner, batch.y_partner)
        if len(sigma) == 1:
            yield Batch(*batch[:5], *(each[:, sigma[0]] for each in partners)), seconds
        else:
            runs = torch.arange(len(sigma), device=sigma.device)[:, None]
            yield Batch(*batch[:5], *(each[runs, sigma] for each in partners)), seconds
