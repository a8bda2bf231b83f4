"""Optimal pairing of two batches inside consecutive blocks of rows: block costs, and who solves them."""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from tune_kmixup.core.errors import BadInput

Cost = Literal["sqeuclidean", "euclidean"]
Solver = Literal["hungarian", "emd", "sinkhorn"]

SINKHORN_REGULARISATION = 0.01  # of the mean cost: smaller is closer to the optimum and slower
CLEAR = 0.01  # float32 products err by some 1e-6 of their size, so what is above this share of it is known to 1e-4


@torch.no_grad()
def pair(x: Tensor, partner: Tensor, k: int, *, cost: Cost = "sqeuclidean", solver: Solver = "hungarian") -> Tensor:
    """σ, such that row i of `x` is mixed with row σ[i] of `partner`: B integers on the device of `x`.

    `x` and `partner` are B x ... of one shape, in any floating type or uint8. Consecutive blocks of k rows are matched,
    each by the permutation of least total cost; the remainder rows, or a batch of fewer than k rows, form a smaller
    block. k = 1 is the identity.

    `cost` is the squared Euclidean distance, as in displacement interpolation of W2, or the Euclidean one.
    `solver`: "hungarian" (scipy) and "emd" (POT) are exact and agree in cost, the first is the faster; "sinkhorn" (POT)
    solves all blocks at once on the device, approximately, and its plan is rounded to a permutation.

    Raises BadInput for shapes that differ, k < 1, an unknown cost or solver, or rows that are not finite.
    """
    return pair_runs(x[None], partner[None], k, cost=cost, solver=solver)[0]


@torch.no_grad()
def pair_runs(
    x: Tensor, partner: Tensor, k: int, *, cost: Cost = "sqeuclidean", solver: Solver = "hungarian"
) -> Tensor:
    """`pair` of R pairs of batches at once, their block costs in one batched product.

    `x` and `partner` are R x B x ...; gives R x B integers, each row as `pair` gives it.
    """
    if x.shape != partner.shape:
        shapes = tuple(x.shape[1:]), tuple(partner.shape[1:])
        raise BadInput(f"x and partner have shapes {shapes[0]} and {shapes[1]}: give two of one shape.")
    if k < 1:
        raise BadInput(f"k={k} is too small: choose 1 for mixup, or more.")
    for name, value, known in (("cost", cost, get_args(Cost)), ("solver", solver, get_args(Solver))):
        if value not in known:
            raise BadInput(f"{name}={value!r} is unknown: choose among {', '.join(known)}.")
    runs, rows = x.shape[:2]
    if k == 1 or rows < 2:
        return torch.arange(rows, device=x.device).expand(runs, rows)
    with torch.autocast(x.device.type, enabled=False):  # a caller's would round the products to 8 bits
        costs = [block_costs(a, b, cost) for a, b in zip(split_blocks(x, k), split_blocks(partner, k), strict=True)]
    if solver == "sinkhorn":
        costs = [sinkhorn_costs(part) for part in costs]
    matrices = on_host(costs)
    if not all(np.isfinite(part).all() for part in matrices):
        raise not_finite_error(x.flatten(0, 1), partner.flatten(0, 1))
    assign = emd if solver == "emd" else hungarian
    sigma = np.concatenate([assignments(part, assign).reshape(runs, -1) for part in matrices], axis=1)
    sigma += np.arange(rows) // k * k
    return torch.from_numpy(sigma).to(x.device)


def not_finite_error(x: Tensor, partner: Tensor) -> BadInput:
    bad = [int((~rows.reshape(len(rows), -1).isfinite().all(1)).sum()) for rows in (x, partner)]
    if not any(bad):
        return BadInput("x and partner are finite, but their squared distances are not: scale both down.")
    return BadInput(f"x holds {bad[0]} and partner {bad[1]} rows that are not finite: remove or repair them.")


def split_blocks(x: Tensor, k: int) -> list[Tensor]:
    """R x B x ... as (blocks of all runs) x k x D, and their remainders as R x (rows left) x D; float32 or float64."""
    if x.device.type not in ("cpu", "cuda"):  # others lack float64
        x = x.cpu()
    flat = x.flatten(2) if x.ndim > 2 else x[..., None]
    flat = flat if flat.dtype == torch.float64 else flat.float()
    whole = flat.shape[1] // k * k
    parts = [flat[:, :whole].reshape(-1, k, flat.shape[2]), flat[:, whole:]]
    return [part for part in parts if part.shape[0] and part.shape[1]]


def block_costs(x: Tensor, partner: Tensor, cost: Cost) -> Tensor:
    """Costs of matching within blocks, N x k x k from two N x k x D, up to a factor and what every permutation adds.

    |a - b|² = |a|² + |b|² - 2ab, and the sums of |a|² and |b|² over a block are the same for every permutation: -ab is
    enough. Euclidean distances need the whole, in float64 to keep a root near zero.
    """
    if cost == "sqeuclidean":
        return products(x, partner).neg_()
    x, partner = centred(x, partner)
    squares = x.square().sum(2, keepdim=True) + partner.square().sum(2)[:, None]
    return torch.baddbmm(squares, x, partner.mT, alpha=-2).clamp_(min=0).sqrt_()


def products(x: Tensor, partner: Tensor) -> Tensor:
    """ab within blocks, up to what every permutation adds, which is all that depends on where the origin is.

    One product of the data as they are costs least, and loses digits to data far from the origin. What a matching
    turns on is the products less their row and column means: a block in which that is small beside the products
    themselves is done again in float64, its origin moved into it. On CUDA all blocks are, since asking would stall the
    stream, and float64 costs little there.
    """
    if x.is_cuda:
        a, b = centred(x, partner)
        return torch.bmm(a, b.mT)
    found = torch.bmm(x, partner.mT)
    turns_on = found - found.mean(1, keepdim=True)
    turns_on -= turns_on.mean(2, keepdim=True)
    clear = turns_on.square_().mean((1, 2)).sqrt_() > CLEAR * found.abs().amax((1, 2))
    unclear = clear.logical_not_().nonzero()[:, 0]  # also where anything is not finite
    if len(unclear):
        a, b = centred(x[unclear], partner[unclear])
        found = found.double().index_copy_(0, unclear, torch.bmm(a, b.mT))
    return found


def centred(x: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    """In float64, the origin moved into each block."""
    x, partner = x.double(), partner.double()
    centre = partner.mean(1, keepdim=True)
    return x - centre, partner - centre


def on_host(parts: list[Tensor]) -> list[NDArray[np.float64]]:
    """As float64 arrays, in one transfer: on CUDA into pinned memory, waiting for the current stream alone."""
    flat = torch.cat([part.flatten() for part in parts]).double()
    host = (
        torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True).copy_(flat, non_blocking=True)
        if flat.is_cuda
        else flat
    )
    if flat.is_cuda:
        torch.cuda.current_stream(flat.device).synchronize()
    pieces = torch.split(host, [part.numel() for part in parts])
    return [piece.reshape(part.shape).numpy() for piece, part in zip(pieces, parts, strict=True)]


def assignments(
    matrices: NDArray[np.float64], assign: Callable[[NDArray[np.float64]], NDArray[np.int64]]
) -> NDArray[np.int64]:
    """The best permutation of each of N x k x k costs, N x k. Of two rows there are but two, compared all at once."""
    if matrices.shape[1] == 2:
        swap = matrices[:, 0, 1] + matrices[:, 1, 0] < matrices[:, 0, 0] + matrices[:, 1, 1]
        return np.stack([swap, ~swap], axis=1).astype(np.int64)
    return np.stack([assign(matrix) for matrix in matrices])


def hungarian(matrix: NDArray[np.float64]) -> NDArray[np.int64]:
    """Exact assignment by scipy (Jonker and Volgenant's shortest augmenting paths)."""
    return linear_sum_assignment(matrix)[1]  # type: ignore[no-any-return]


def emd(matrix: NDArray[np.float64]) -> NDArray[np.int64]:
    """Exact assignment by POT's network simplex: between uniform weights the optimal plan is a permutation."""
    import ot

    return ot.emd([], [], matrix - matrix.min()).argmax(1)  # type: ignore[no-any-return]


def sinkhorn_costs(costs: Tensor) -> Tensor:
    """Minus the logarithm of the entropic plans of all blocks, whose best permutation is the rounded plan."""
    from ot.batch import solve_batch

    positive = costs - costs.amin((1, 2), keepdim=True)
    scaled = positive / positive.mean((1, 2), keepdim=True).clamp_min(torch.finfo(costs.dtype).tiny)
    plan = solve_batch(scaled, reg=SINKHORN_REGULARISATION, method="log_sinkhorn", max_iter=200, grad="detach").plan
    rounded: Tensor = -plan.clamp_min(torch.finfo(plan.dtype).tiny).log()
    return rounded
