"""Whether training several seeds together pays: a short measurement per task, on the device of its trials."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import islice

import torch

from tune_kmixup.bundle import start
from tune_kmixup.data import Data
from tune_kmixup.stacking import can_stack
from tune_kmixup.study import Suite, Task, configuration
from tune_kmixup.training import steps

Speedups = Mapping[str, Mapping[int, float]]  # task without its split -> runs together -> times faster than in turn

WORTH = 1.1  # what is measured to gain less than a tenth is not worth another order of sums
LONG_STEP = 0.02  # seconds on a CPU: such a step is bound by its arithmetic, which fusing does not lessen
AT_ONCE = 10  # runs together at most: more gain little, and keep other slots waiting at the end
STEPS = 3
ROUNDS = 5


def pays(speedups: Speedups, task: Task, runs: int) -> bool:
    """Whether so many runs of a task are to be trained together: judged by the nearest number that was measured."""
    found = speedups.get(task.base, {})
    return runs > 1 and bool(found) and found[min(found, key=lambda size: abs(size - runs))] >= WORTH


def sizes(suite: Suite) -> set[int]:
    """How many runs the trials of a suite, search and final, can train together."""
    return {suite.search_seeds, min(AT_ONCE, suite.final_seeds)}


def together(speedups: Speedups, suite: Suite, task: Task) -> int:
    """The most runs of a task that a trial of the suite trains together."""
    return max((runs for runs in sizes(suite) if pays(speedups, task, runs)), default=1)


def speedups(task: Task, data: Data, sizes: Iterable[int]) -> dict[int, float]:
    """How many times faster so many runs train together than one after another; empty where that is out of question.

    Steps of mixup on the task's own data, taken in turn; the least time over rounds. Takes a second or so.
    """
    if not can_stack(task.architecture, data.shape, data.classes):
        return {}
    alone = timer(task, data, 1)
    if alone() > LONG_STEP * STEPS and data.train.x.device.type == "cpu":
        return {}
    return {size: speedup(timer(task, data, size), alone, size) for size in sizes if size > 1}


def speedup(together: Callable[[], float], alone: Callable[[], float], size: int) -> float:
    try:
        pairs = [(together(), alone()) for _ in range(ROUNDS + 1)][1:]
    except torch.OutOfMemoryError:
        return 0.0
    return size * min(pair[1] for pair in pairs) / min(pair[0] for pair in pairs)


def timer(task: Task, data: Data, runs: int) -> Callable[[], float]:
    """A function that trains so many runs a few steps further and gives the seconds."""
    recipe = replace(task.recipe, epochs=10**6)
    chosen = configuration(recipe, {"alpha": 1.0})
    training = steps(start(task, chosen, data, range(runs)), chosen, data)

    def seconds() -> float:
        clock = time.perf_counter()
        for _ in islice(training, STEPS):
            pass
        if data.train.x.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - clock

    return seconds
