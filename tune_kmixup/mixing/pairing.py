"""Optimal pairing of two batches within consecutive blocks of rows: the costs of a block, and solvers for them."""

import itertools
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from numbers import Integral
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tune_kmixup.core.errors import BadInput
from tune_kmixup.mixing.step import check_tensor

# Where only torch is installed (benchmarks/gpu.py), blocks of up to `ALL_PERMUTATIONS` rows can still be paired.
with suppress(ModuleNotFoundError):
    from scipy.optimize import linear_sum_assignment

Cost = Literal["sqeuclidean", "euclidean"]
Solver = Literal["hungarian", "emd", "sinkhorn"]

SINKHORN_REGULARISATION = 0.01  # relative to the mean cost: a smaller value is closer to the optimum and slower
# Products are exact enough if the nearest partners of the rows are further away than this multiple of the rounding
# error of squared norms. It keeps the excess cost of a matching below 1e-4 (tests/mixing/test_pairing.py).
MIN_DISTANCE_IN_EPS = 1e4
ALL_PERMUTATIONS = 4  # the largest block whose permutations are all tried: 24


@torch.no_grad()
def pair(x: Tensor, partner: Tensor, k: int, *, cost: Cost = "sqeuclidean", solver: Solver = "hungarian") -> Tensor:
    """The pairing σ of two batches: row i of `x` is mixed with row σ[i] of `partner`.

    The rows of `x` are cut into blocks of k. Each block is matched with the block of `partner` at the same place, by
    the permutation of least total cost. Rows left at the end form a smaller block. k = 1 gives the identity.

    Source: Greenewald et al., k-Mixup Regularization for Deep Learning via Optimal Transport, arXiv 2106.02933.

    Args:
        x: B x ..., of any real type, finite.
        partner: a batch of the same shape.
        k: rows per block, ≥ 1.
        cost: cost of pairing two rows. `sqeuclidean`, the squared Euclidean distance, as in the displacement
            interpolation of W2, or `euclidean`.
        solver: `hungarian` (scipy) and `emd` (POT) are exact and reach the same cost; `hungarian` is faster.
            `sinkhorn` (POT) solves all blocks at once on the device, approximately, and rounds its plan to a
            permutation.

    Returns:
        σ: B integers on the device of `x`.

    Raises:
        BadInput: if a batch is no tensor, the shapes differ, k < 1, the cost or solver is unknown, or a row is not
            finite.
    """
    for name, batch in (("x", x), ("partner", partner)):
        check_tensor(name, batch)
        if not batch.ndim:
            raise BadInput(f"{name} is a single number: give a batch of rows, B x ...")
    return pair_runs(x[None], partner[None], k, cost=cost, solver=solver)[0]


@torch.no_grad()
def pair_runs(
    x: Tensor, partner: Tensor, k: int, *, cost: Cost = "sqeuclidean", solver: Solver = "hungarian"
) -> Tensor:
    """The pairings of R pairs of batches, with all their block costs in one batched product.

    Args:
        x: R x B x ..., one batch per run.
        partner: batches of the same shape.
        k: see `pair`, as for `cost` and `solver`.

    Returns:
        R x B integers on the device of `x`; each row is what `pair` returns for that run.

    Raises:
        BadInput: see `pair`.
    """
    if torch.compiler.is_compiling():
        opaque: Tensor = opaque_pair_runs(x, partner, k, cost, solver)
        return opaque
    check_tensor("x", x)
    check_tensor("partner", partner)
    if x.shape != partner.shape:
        shapes = tuple(x.shape[1:]), tuple(partner.shape[1:])
        raise BadInput(f"x and partner have shapes {shapes[0]} and {shapes[1]}: give two of one shape.")
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise BadInput(f"k={k!r} is not a whole number ≥ 1: choose 1 for mixup, or more.")
    for name, value, choices in (("cost", cost, get_args(Cost)), ("solver", solver, get_args(Solver))):
        if value not in choices:
            raise BadInput(f"{name}={value!r} is unknown: choose among {', '.join(choices)}.")
    runs, rows = x.shape[:2]
    if k == 1 or rows < 2:
        return torch.arange(rows, device=x.device).expand(runs, rows)
    with torch.autocast(x.device.type, enabled=False):  # the caller's autocast would round the products to 8 bits
        costs = [block_costs(a, b, cost) for a, b in zip(split_blocks(x, k), split_blocks(partner, k), strict=True)]
    if solver == "sinkhorn":
        costs = [sinkhorn_costs(group) for group in costs]
    matrices = on_host(costs)
    if not all(np.isfinite(group).all() for group in matrices):
        raise not_finite_error(x.flatten(0, 1), partner.flatten(0, 1))
    solve = emd if solver == "emd" else hungarian
    sigma = np.concatenate([assignments(group, solve).reshape(runs, -1) for group in matrices], axis=1)
    sigma += np.arange(rows) // k * k
    return torch.from_numpy(sigma).to(x.device)


@torch.library.custom_op("tune_kmixup::pair_runs", mutates_args=())
def opaque_pair_runs(x: Tensor, partner: Tensor, k: int, cost: str, solver: str) -> Tensor:
    """`pair_runs` for torch.compile, which cannot look into scipy: one node of its graph, so the graph stays whole.

    Outside of a graph the detour through torch's dispatcher would cost more than a small pairing.
    """
    return pair_runs(x, partner, k, cost=cost, solver=solver).contiguous()  # type: ignore[arg-type]


@opaque_pair_runs.register_fake
def _(x: Tensor, partner: Tensor, k: int, cost: str, solver: str) -> Tensor:
    return torch.empty(x.shape[:2], dtype=torch.int64, device=x.device)


def not_finite_error(x: Tensor, partner: Tensor) -> BadInput:
    counts = [int((~rows.reshape(len(rows), -1).isfinite().all(1)).sum()) for rows in (x, partner)]
    if not any(counts):
        return BadInput("x and partner are finite, but their squared distances are not: scale both down.")
    return BadInput(f"x holds {counts[0]} and partner {counts[1]} rows that are not finite: remove or repair them.")


def split_blocks(x: Tensor, k: int) -> list[Tensor]:
    """Splits R x B x ... into (blocks of all runs) x k x D and the remainders, R x (rows left) x D.

    The result is float32 or float64. Groups without rows are left out.
    """
    if x.device.type not in ("cpu", "cuda"):  # other devices have no float64
        x = x.cpu()
    flat = x.flatten(2) if x.ndim > 2 else x[..., None]
    wide = flat.dtype == torch.float64 or (not flat.is_floating_point() and flat.element_size() >= 4)
    flat = flat.double() if wide else flat.float()  # float32 holds whole numbers up to 2**24 only
    in_blocks = flat.shape[1] // k * k
    groups = [flat[:, :in_blocks].reshape(-1, k, flat.shape[2]), flat[:, in_blocks:]]
    return [group for group in groups if group.shape[0] and group.shape[1]]


def block_costs(x: Tensor, partner: Tensor, cost: Cost) -> Tensor:
    """Costs of matching within blocks, N x k x k from two N x k x D.

    Squared distances are returned up to a positive factor and up to terms that are the same for every permutation:
    |a - b|² = |a|² + |b|² - 2ab, and the sums of |a|² and |b|² over a block do not depend on the permutation, so -ab
    suffices. Euclidean distances need all three terms, in float64 because of the root near zero.
    """
    if cost == "sqeuclidean":
        return inner_products(x, partner).neg_()
    x, partner = centre_blocks(x, partner)
    squares = x.square().sum(2, keepdim=True) + partner.square().sum(2)[:, None]
    return torch.baddbmm(squares, x, partner.mT, alpha=-2).clamp_(min=0).sqrt_()


def inner_products(x: Tensor, partner: Tensor) -> Tensor:
    """ab within blocks, up to terms that are the same for every permutation. Moving the origin adds only such terms.

    One product of the rows as they are is fastest. It is off by the rounding error of |a|² and |b|². The cost of any
    matching is at least the sum of the distances to the nearest partners. Where this sum is not far above the error, as
    for clusters that lie far apart or data far from the origin, the block is computed again in float64, with the origin
    moved into it. On CUDA all blocks are computed that way: finding out which ones need it would stall the stream, and
    float64 costs little there.
    """
    if x.is_cuda:
        a, b = centre_blocks(x, partner)
        return torch.bmm(a, b.mT)
    if x.dtype != partner.dtype:
        x, partner = x.double(), partner.double()
    products = torch.bmm(x, partner.mT)
    squares, partner_squares = (torch.linalg.vector_norm(rows, dim=2).square_() for rows in (x, partner))
    nearest = squares + (partner_squares[:, None] - 2 * products).amin(2)  # squared distances
    error = torch.finfo(x.dtype).eps * (squares + partner_squares).sum(1)
    exact = nearest.sum(1) > MIN_DISTANCE_IN_EPS * error
    inexact = exact.logical_not_().nonzero()[:, 0]  # includes blocks with values that are not finite
    if len(inexact):
        a, b = centre_blocks(x[inexact], partner[inexact])
        products = products.double().index_copy_(0, inexact, torch.bmm(a, b.mT))
    return products


def centre_blocks(x: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    """Converts to float64 and moves the origin of each block to the mean of its partner rows."""
    x, partner = x.double(), partner.double()
    centre = partner.mean(1, keepdim=True)
    return x - centre, partner - centre


def on_host(groups: list[Tensor]) -> list[NDArray[np.float64]]:
    """Copies tensors to float64 arrays in one transfer.

    From CUDA it goes through pinned memory, and only the current stream is waited for.
    """
    flat = torch.cat([group.flatten() for group in groups]).double()
    if flat.is_cuda:
        host = torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True, device="cpu").copy_(flat, non_blocking=True)
        torch.cuda.current_stream(flat.device).synchronize()
    else:
        host = flat
    arrays = torch.split(host, [group.numel() for group in groups])
    return [array.reshape(group.shape).numpy() for array, group in zip(arrays, groups, strict=True)]


def assignments(
    matrices: NDArray[np.float64], solve: Callable[[NDArray[np.float64]], NDArray[np.int64]]
) -> NDArray[np.int64]:
    """The best permutation for each of N x k x k costs: N x k.

    The minima of rows and then of columns are subtracted first, for all blocks at once. That changes the cost of every
    permutation by the same amount, and shortens the paths of a solver. For small k all permutations are tried, in one
    product.
    """
    reduced = matrices - matrices.min(2, keepdims=True)
    reduced -= reduced.min(1, keepdims=True)
    size = matrices.shape[1]
    if size <= ALL_PERMUTATIONS:
        permutations, picks = all_permutations(size)
        # PyTorch's product, because NumPy's may start threads of its own.
        costs = torch.from_numpy(reduced.reshape(-1, size * size)) @ picks
        best: NDArray[np.int64] = permutations[costs.argmin(1).numpy()]
        return best
    return np.stack([solve(matrix) for matrix in reduced])


@cache
def all_permutations(size: int) -> tuple[NDArray[np.int64], Tensor]:
    """The size! permutations, and the entries that each picks from a matrix of costs, as columns of ones and zeros."""
    permutations = np.array(list(itertools.permutations(range(size))))
    picks = np.eye(size)[permutations].reshape(len(permutations), -1).T
    return permutations, torch.tensor(picks, device="cpu")


def hungarian(matrix: NDArray[np.float64]) -> NDArray[np.int64]:
    """Exact assignment by scipy: the shortest augmenting paths of Jonker and Volgenant."""
    return linear_sum_assignment(matrix)[1]  # type: ignore[no-any-return]


def emd(matrix: NDArray[np.float64]) -> NDArray[np.int64]:
    """Exact assignment by POT's network simplex. Its optimal plan between uniform weights is a permutation."""
    import ot

    return ot.emd([], [], matrix).argmax(1)  # type: ignore[no-any-return]


def sinkhorn_costs(costs: Tensor) -> Tensor:
    """Minus the logarithm of the entropic plan of each block. The best permutation for these costs rounds the plan."""
    from ot.batch import solve_batch

    positive = costs - costs.amin((1, 2), keepdim=True)
    scaled = positive / positive.mean((1, 2), keepdim=True).clamp_min(torch.finfo(costs.dtype).tiny)
    plan = solve_batch(scaled, reg=SINKHORN_REGULARISATION, method="log_sinkhorn", max_iter=200, grad="detach").plan
    plan_costs: Tensor = -plan.clamp_min(torch.finfo(plan.dtype).tiny).log()
    return plan_costs
