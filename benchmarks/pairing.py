"""Milliseconds to pair a batch, against other ways of doing it and against the floor.

    python benchmarks/pairing.py [--quick | --others]

(a) one B x B assignment with forbidden off-block entries on costs from `scipy.spatial.distance_matrix`, as other code
does it, at every k ≥ 16 and over three rounds, since it takes seconds; (b) `ot.emd` per block; floor: the batched
product of the data as they are, alone, and scipy's assignments of the very matrices that `pair` solves, alone. Ratios
are medians over rounds, with quartiles, of arms taken in turn in one process. --others: what else might solve the
assignments faster, two threads over the blocks, and the package lapx where it is installed.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial import distance_matrix
from torch import Tensor

from benchmarks.timing import head, line, machine, ratio, times
from tune_kmixup.mixing.pairing import block_costs, hungarian, on_host, pair, split_blocks


def masked(x: Tensor, partner: Tensor, k: int) -> np.ndarray:
    """(a): every pair of rows gets a cost, those of different blocks a forbidding one."""
    costs = distance_matrix(x.numpy(), partner.numpy()) ** 2
    block = np.arange(len(x)) // k
    costs[block[:, None] != block] = 1e9
    return linear_sum_assignment(costs)[1]


def product(x: Tensor, partner: Tensor, k: int) -> Tensor:
    return torch.cat(
        [
            torch.bmm(a, b.mT).flatten()
            for a, b in zip(split_blocks(x[None], k), split_blocks(partner[None], k), strict=True)
        ]
    )


def assignments(matrices: list[np.ndarray]) -> None:
    for matrix in matrices:
        hungarian(matrix)


def cost(x: Tensor, partner: Tensor, sigma: Tensor) -> float:
    return (x - partner[sigma]).double().square().sum().item()


def compare(rows: int, columns: int, k: int, rounds: int, slow: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x, partner = (torch.randn(rows, columns, generator=generator) for _ in range(2))
    parts = [
        block_costs(a, b, "sqeuclidean")
        for a, b in zip(split_blocks(x[None], k), split_blocks(partner[None], k), strict=True)
    ]
    matrices = [matrix for part in on_host(parts) for matrix in part]
    arms: dict[str, Callable[[], object]] = {
        "ours": lambda: pair(x, partner, k),
        "emd": lambda: pair(x, partner, k, solver="emd"),
        "product": lambda: product(x, partner, k),
        "assignments": lambda: assignments(matrices),
    }
    seconds = times(arms, rounds)
    ours = seconds["ours"]
    against = share = "not run"
    if slow:
        found: list[np.ndarray] = []
        few = times(
            {
                "masked": lambda: found.append(masked(x, partner, k)),
                "distances": lambda: distance_matrix(x.numpy(), partner.numpy()),
                "ours": arms["ours"],
            },
            rounds=3,
            warm=0,
        )
        assert np.isclose(cost(x, partner, torch.from_numpy(found[0])), cost(x, partner, pair(x, partner, k)))
        against, share = ratio(few["masked"], few["ours"]), f"{np.median(few['distances'] / few['masked']):.2f}"
    floor = seconds["product"] + seconds["assignments"]
    milliseconds = f"{1000 * np.median(ours):.3g}"
    line(rows, columns, k, milliseconds, against, share, ratio(seconds["emd"], ours), ratio(ours, floor))


def others() -> None:
    head("B", "k", "scipy, ms", "two threads / one", "lapx / scipy")
    rng = np.random.default_rng(0)
    pool = ThreadPoolExecutor(2)
    for rows, k in ((128, 16), (128, 128), (512, 16), (512, 64), (512, 512)):
        x, partner = rng.normal(size=(2, rows // k, k, 784))
        matrices = list(-(x @ partner.transpose(0, 2, 1)))
        arms = {"scipy": lambda m=matrices: assignments(m), "two": lambda m=matrices: list(pool.map(hungarian, m))}
        if find_spec("lap"):
            import lap

            arms["lapx"] = lambda m=matrices: [lap.lapjv(matrix) for matrix in m]
        found = times(arms, 30)
        lapx = ratio(found["lapx"], found["scipy"]) if "lapx" in found else "not installed"
        line(rows, k, f"{1000 * np.median(found['scipy']):.3g}", ratio(found["two"], found["scipy"]), lapx)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few sizes alone")
    parser.add_argument("--others", action="store_true", help="other ways to solve the assignments alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine()}\n")
    if options.others:
        others()
        raise SystemExit
    head("B", "D", "k", "ours, ms", "(a) / ours", "distances / (a)", "(b) / ours", "ours / floor")
    for rows in (32,) if options.quick else (128, 512):
        for columns in (30,) if options.quick else (30, 784, 3072):
            k = 2
            while k <= rows:
                compare(rows, columns, k, 3 if options.quick else 15, slow=k >= 16 or options.quick)
                k *= 2
