"""Milliseconds to pair a batch, against other ways of doing it and against the floor.

    python benchmarks/pairing.py [--quick]

(a) one B x B assignment with forbidden off-block entries on costs from `scipy.spatial.distance_matrix`, as other code
does it; (b) `ot.emd` per block; floors: the batched product of the data as they are, alone, and the assignments alone.
Ratios are medians over rounds, with quartiles, of arms taken in turn in one process.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial import distance_matrix
from torch import Tensor

from benchmarks.timing import head, line, machine, ratio, times
from tune_kmixup.mixing import blocks, hungarian, pair


def masked(x: Tensor, partner: Tensor, k: int) -> np.ndarray:
    """(a): every pair of rows gets a cost, those of different blocks a forbidding one."""
    costs = distance_matrix(x.numpy(), partner.numpy()) ** 2
    block = np.arange(len(x)) // k
    costs[block[:, None] != block] = 1e9
    return linear_sum_assignment(costs)[1]


def product(x: Tensor, partner: Tensor, k: int) -> Tensor:
    return torch.cat([torch.bmm(a, b.mT).flatten() for a, b in zip(blocks(x, k), blocks(partner, k), strict=True)])


def assignments(matrices: list[np.ndarray]) -> None:
    for matrix in matrices:
        hungarian(matrix)


def cost(x: Tensor, partner: Tensor, sigma: Tensor) -> float:
    return (x - partner[sigma]).double().square().sum().item()


def compare(rows: int, columns: int, k: int, rounds: int, slow: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x, partner = (torch.randn(rows, columns, generator=generator) for _ in range(2))
    squared = [
        torch.cdist(a, b).square().double().numpy() for a, b in zip(blocks(x, k), blocks(partner, k), strict=True)
    ]
    matrices = [matrix for part in squared for matrix in part]
    arms: dict[str, Callable[[], object]] = {
        "ours": lambda: pair(x, partner, k),
        "emd": lambda: pair(x, partner, k, solver="emd"),
        "product": lambda: product(x, partner, k),
        "assignments": lambda: assignments(matrices),
    }
    seconds = times(arms, rounds)
    ours = seconds["ours"]
    against = "not run"
    if slow:  # seconds a call: fewer rounds, each beside one of ours
        both = times({"masked": lambda: masked(x, partner, k), "ours": arms["ours"]}, rounds=2)
        assert np.isclose(
            cost(x, partner, torch.from_numpy(masked(x, partner, k))), cost(x, partner, pair(x, partner, k))
        )
        against = ratio(both["masked"], both["ours"])
    floor = seconds["product"] + seconds["assignments"]
    line(rows, columns, k, f"{1000 * np.median(ours):.3g}", against, ratio(seconds["emd"], ours), ratio(ours, floor))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few sizes alone")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    print(f"{machine()}\n")
    head("B", "D", "k", "ours, ms", "(a) / ours", "(b) / ours", "ours / floor")
    for rows in (32,) if quick else (128, 512):
        for columns in (30,) if quick else (30, 784, 3072):
            k = 2
            while k <= rows:
                compare(rows, columns, k, 3 if quick else 15, slow=k in (16, 64, rows) or quick)
                k *= 2
