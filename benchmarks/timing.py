"""Fair timing in one process: arms taken in turn, in an order that is shuffled every round."""

import platform
import random
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch


def times(arms: Mapping[str, Callable[[], object]], rounds: int, warm: int = 1) -> dict[str, np.ndarray]:
    """Seconds of each arm in each round; calls of `warm` rounds before are not counted."""
    found: dict[str, list[float]] = {name: [] for name in arms}
    order = list(arms)
    for number in range(-warm, rounds):
        random.Random(number).shuffle(order)
        for name in order:
            clock = time.perf_counter()
            arms[name]()
            if number >= 0:
                found[name].append(time.perf_counter() - clock)
    return {name: np.array(seconds) for name, seconds in found.items()}


def ratio(slow: np.ndarray, fast: np.ndarray) -> str:
    """Median over rounds of slow / fast, and the quartiles."""
    low, middle, high = np.quantile(slow / fast, [0.25, 0.5, 0.75])
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def line(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(*cells: str) -> None:
    line(*cells)
    line(*("---" for _ in cells))


def machine() -> str:
    cores = f"{torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"
    return f"{platform.machine()}, {cores}, torch {torch.__version__}"
