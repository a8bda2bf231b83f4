"""Milliseconds to pair a batch, compared with other implementations and with a lower bound.

    python benchmarks/pairing.py [--quick | --others]

(a) One B x B assignment with a prohibitive cost outside the blocks, on costs from `scipy.spatial.distance_matrix`, as
other code does it. It takes seconds, so it runs at k ≥ 16 and over three rounds.
(b) `ot.emd` on each block.
Floor: the batched product of the data as they are, plus scipy's assignments of the very matrices that `pair` solves.

Ratios are medians over rounds, with quartiles. All arms run in turn in one process. `--others` compares other ways to
solve the assignments: two threads over the blocks, and the package lapx if it is installed.
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

from benchmarks.timing import describe_machine, print_header, print_row, ratio, time_arms
from tune_kmixup.mixing.pairing import block_costs, hungarian, on_host, pair, split_blocks


def masked_assignment(x: Tensor, partner: Tensor, k: int) -> np.ndarray:
    """Arm (a): one assignment of all rows, with a prohibitive cost for pairs of different blocks."""
    costs = distance_matrix(x.numpy(), partner.numpy()) ** 2
    block = np.arange(len(x)) // k
    costs[block[:, None] != block] = 1e9
    return linear_sum_assignment(costs)[1]


def block_products(x: Tensor, partner: Tensor, k: int) -> Tensor:
    blocks = zip(split_blocks(x[None], k), split_blocks(partner[None], k), strict=True)
    return torch.cat([torch.bmm(a, b.mT).flatten() for a, b in blocks])


def solve_all(matrices: list[np.ndarray]) -> None:
    for matrix in matrices:
        hungarian(matrix)


def total_cost(x: Tensor, partner: Tensor, sigma: Tensor) -> float:
    return (x - partner[sigma]).double().square().sum().item()


def compare_pairing(rows: int, columns: int, k: int, rounds: int, slow: bool) -> None:
    """Prints one row of the table; `slow` says whether arm (a) runs too."""
    generator = torch.Generator().manual_seed(0)
    x, partner = (torch.randn(rows, columns, generator=generator) for _ in range(2))
    blocks = zip(split_blocks(x[None], k), split_blocks(partner[None], k), strict=True)
    costs = [block_costs(a, b, "sqeuclidean") for a, b in blocks]
    matrices = [matrix for part in on_host(costs) for matrix in part]
    arms: dict[str, Callable[[], object]] = {
        "pair": lambda: pair(x, partner, k),
        "emd": lambda: pair(x, partner, k, solver="emd"),
        "products": lambda: block_products(x, partner, k),
        "assignments": lambda: solve_all(matrices),
    }
    seconds = time_arms(arms, rounds)
    masked_ratio = distance_share = "not run"
    if slow:
        sigmas: list[np.ndarray] = []
        slow_seconds = time_arms(
            {
                "masked": lambda: sigmas.append(masked_assignment(x, partner, k)),
                "distances": lambda: distance_matrix(x.numpy(), partner.numpy()),
                "pair": arms["pair"],
            },
            rounds=3,
            warmup=0,
        )
        masked_cost = total_cost(x, partner, torch.from_numpy(sigmas[0]))
        assert np.isclose(masked_cost, total_cost(x, partner, pair(x, partner, k)))
        masked_ratio = ratio(slow_seconds["masked"], slow_seconds["pair"])
        distance_share = f"{np.median(slow_seconds['distances'] / slow_seconds['masked']):.2f}"
    floor = seconds["products"] + seconds["assignments"]
    print_row(
        *(rows, columns, k, f"{1000 * np.median(seconds['pair']):.3g}", masked_ratio, distance_share),
        *(ratio(seconds["emd"], seconds["pair"]), ratio(seconds["pair"], floor)),
    )


def compare_solvers() -> None:
    print_header("B", "k", "scipy, ms", "two threads / one", "lapx / scipy")
    rng = np.random.default_rng(0)
    pool = ThreadPoolExecutor(2)
    for rows, k in ((128, 16), (128, 128), (512, 16), (512, 64), (512, 512)):
        x, partner = rng.normal(size=(2, rows // k, k, 784))
        matrices = list(-(x @ partner.transpose(0, 2, 1)))
        arms = {
            "scipy": lambda m=matrices: solve_all(m),
            "two threads": lambda m=matrices: list(pool.map(hungarian, m)),
        }
        if find_spec("lap"):
            import lap

            arms["lapx"] = lambda m=matrices: [lap.lapjv(matrix) for matrix in m]
        seconds = time_arms(arms, 30)
        scipy = seconds["scipy"]
        lapx = ratio(seconds["lapx"], scipy) if "lapx" in seconds else "not installed"
        print_row(rows, k, f"{1000 * np.median(scipy):.3g}", ratio(seconds["two threads"], scipy), lapx)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few sizes only")
    parser.add_argument("--others", action="store_true", help="only other ways to solve the assignments")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{describe_machine()}\n")
    if options.others:
        compare_solvers()
        raise SystemExit
    print_header("B", "D", "k", "ours, ms", "(a) / ours", "distances / (a)", "(b) / ours", "ours / floor")
    for rows in (32,) if options.quick else (128, 512):
        for columns in (30,) if options.quick else (30, 784, 3072):
            k = 2
            while k <= rows:
                compare_pairing(rows, columns, k, 3 if options.quick else 15, slow=k >= 16 or options.quick)
                k *= 2
