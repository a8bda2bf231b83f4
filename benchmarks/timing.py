"""Timing in one process: arms run in turn, in an order that is shuffled every round. And tables in Markdown."""

import platform
import random
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import numpy as np
import torch


def time_arms(
    arms: Mapping[str, Callable[[], object]],
    rounds: int,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, np.ndarray]:
    """Times each arm once per round.

    Args:
        arms: name -> what to time.
        rounds: number of rounds, at least 1.
        warmup: rounds before the first that counts.
        clock: reads seconds.

    Returns:
        Name -> seconds of each round, shape (rounds,).
    """
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    order = list(arms)
    for number in range(-warmup, rounds):
        random.Random(number).shuffle(order)
        for name in order:
            start = clock()
            arms[name]()
            if number >= 0:
                seconds[name].append(clock() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def advance(training: Iterator[object], steps: int) -> None:
    """Trains for some steps, and waits until a GPU that this process uses has done them."""
    done = sum(1 for _ in islice(training, steps))
    if done < steps:
        raise RuntimeError(f"the training ended after {done} of {steps} steps: its loss is not finite")
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def ratio(slow: np.ndarray, fast: np.ndarray) -> str:
    """Median over rounds of slow / fast, and its quartiles, as text."""
    low, median, high = np.quantile(slow / fast, [0.25, 0.5, 0.75])
    return f"{median:.3g} ({low:.3g} to {high:.3g})"


def print_row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def print_header(*cells: str) -> None:
    print_row(*cells)
    print_row(*("---" for _ in cells))


def describe_machine() -> str:
    threads = torch.get_num_threads()
    return f"{platform.machine()}, {threads} thread{'s' if threads > 1 else ''}, torch {torch.__version__}"
