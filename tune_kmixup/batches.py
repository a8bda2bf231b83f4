"""The batches of a run, their partners and λ.

Everything random is drawn from generators named by (seed, purpose, epoch or step). So the same seed gives the same
clean batches whatever the method, and a run continues in the middle with nothing but its step number: no generator
has a state to be saved.
"""

from collections.abc import Generator, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from tune_kmixup.data import Data
from tune_kmixup.lookahead import look_ahead
from tune_kmixup.mixing import Cost, sample_lambda
from tune_kmixup.study import Recipe, derived_seed


class Batch(NamedTuple):
    """A batch and the independent batch it is to be mixed with: row numbers, network inputs and labels of both.

    The partner is None where nothing is mixed (α = 0).
    """

    step: int
    rows: Tensor
    x: Tensor
    y: Tensor
    lam: float = 1.0
    partner_rows: Tensor | None = None
    partner: Tensor | None = None
    y_partner: Tensor | None = None


def stream(seed: int, *purpose: object, device: torch.device | str = "cpu") -> torch.Generator:
    """The random generator of one purpose: same seed and purpose, same numbers."""
    return torch.Generator(device).manual_seed(derived_seed(seed, *purpose))


def batches(data: Data, alpha: float, recipe: Recipe, seed: int, first_step: int = 0) -> Iterator[Batch]:
    """All batches of a run from `first_step` on. A last partial batch of an epoch is dropped.

    A batch and its partner come from two independent permutations of the training rows and are augmented
    independently. α decides λ alone: rows, augmentation and the uniforms behind λ are the same for every method.
    """
    x, y = data.train
    per_epoch = len(y) // recipe.batch_size

    def draw(order: Tensor, step: int, who: str) -> tuple[Tensor, Tensor, Tensor]:
        start = step % per_epoch * recipe.batch_size
        rows = order[start : start + recipe.batch_size]
        stored = x[rows]
        if data.augment is not None:
            stored = data.augment(stored, stream(seed, "augment", who, step, device=x.device))
        return rows, data.inputs(stored), y[rows]

    for epoch in range(first_step // per_epoch, recipe.epochs):
        order = torch.randperm(len(y), generator=stream(seed, "order", epoch)).to(y.device)
        partners = torch.randperm(len(y), generator=stream(seed, "partner", epoch)).to(y.device)
        lam = sample_lambda(alpha, per_epoch, stream(seed, "lambda", epoch)).tolist()
        for step in range(max(first_step, epoch * per_epoch), (epoch + 1) * per_epoch):
            clean = Batch(step, *draw(order, step, "batch"), lam[step % per_epoch])
            yield clean if alpha == 0 else Batch(*clean[:5], *draw(partners, step, "partner"))


def paired(source: Iterator[Batch], k: int, cost: Cost) -> Generator[tuple[Batch, float], None, None]:
    """Partners permuted by the pairing of blocks of k, solved ahead of their use; and the seconds that took."""
    for batch, sigma, seconds in look_ahead(source, k, cost=cost):
        assert batch.partner is not None and batch.partner_rows is not None and batch.y_partner is not None
        matched = (batch.partner_rows[sigma], batch.partner[sigma], batch.y_partner[sigma])
        yield Batch(*batch[:5], *matched), seconds
