"""Short measurements on the device of the trials: what batched seeds gain, and how much GPU memory a trial takes."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice

import torch

from tune_kmixup.core.config import Task, Trial, configuration
from tune_kmixup.data.prepare import Data, Part
from tune_kmixup.models.ensemble import can_batch
from tune_kmixup.training.loop import steps, train_to_end
from tune_kmixup.training.metrics import ROWS_AT_ONCE
from tune_kmixup.training.state import initial_state

LONG_STEP = 0.02  # seconds on a CPU: such a step is bound by its arithmetic, which batching does not lessen
TIMED_STEPS = 3
ROUNDS = 5
MEMORY_STEPS = 8  # more than `prefetch` times at first and has ready after that


def measure_speedups(task: Task, data: Data, sizes: Iterable[int]) -> dict[int, float]:
    """How many times faster so many seeds train together than one after another.

    Steps of mixup on the task's own data, taken in turn; the least time over rounds. Takes a second or so.

    Args:
        task: its recipe and architecture are used.
        data: on the device of the trials.
        sizes: numbers of seeds to try.

    Returns:
        Speedup by number of seeds; empty where batching is out of the question.
    """
    if not can_batch(task.architecture, data.shape, data.classes):
        return {}
    alone = step_timer(task, data, 1)
    if alone() > LONG_STEP * TIMED_STEPS and data.train.x.device.type == "cpu":
        return {}
    return {size: speedup(step_timer(task, data, size), alone, size) for size in sizes if size > 1}


def speedup(together: Callable[[], float], alone: Callable[[], float], size: int) -> float:
    try:
        pairs = [(together(), alone()) for _ in range(ROUNDS + 1)][1:]
    except torch.OutOfMemoryError:
        return 0.0
    return size * min(pair[1] for pair in pairs) / min(pair[0] for pair in pairs)


def step_timer(task: Task, data: Data, seeds: int) -> Callable[[], float]:
    """A function that trains so many seeds a few steps further and returns the seconds."""
    recipe = replace(task.recipe, epochs=10**6)
    config = configuration(recipe, {"alpha": 1.0})
    training = steps(initial_state(task, config, data, range(seeds)), config, data)

    def seconds() -> float:
        clock = time.perf_counter()
        for _ in islice(training, TIMED_STEPS):
            pass
        if data.train.x.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - clock

    return seconds


def measure_gpu_memory(task: Task, data: Data, seeds: int) -> int | None:
    """Bytes of this process's GPU that a trial with so many batched seeds takes at its peak.

    That is the CUDA context with its kernels, and the most that PyTorch's allocator has held since the process began.
    Call it in a fresh process that has the GPU to itself: what others take there is counted too.

    Returns:
        Bytes; None where the trial needs more than the GPU has.
    """
    try:
        short_trial(task, data, seeds)
    except torch.OutOfMemoryError:
        return None
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return total - free - torch.cuda.memory_reserved() + torch.cuda.max_memory_reserved()


def short_trial(task: Task, data: Data, seeds: int) -> None:
    """A final trial of k-mixup with the largest possible k, for a few steps and with a piece of each evaluation.

    Test rows lie on the GPU, as in a final trial, but no network sees them: validation rows stand in for them.
    """
    batch = task.recipe.batch_size
    train = Part(*(rows[: MEMORY_STEPS * batch] for rows in data.train))
    test = data.val if data.test is None else data.test
    piece = torch.arange(min(len(test.y), ROWS_AT_ONCE["cuda"]), device=data.val.y.device) % len(data.val.y)
    seen = Part(*(rows[piece] for rows in data.val))
    epochs = math.ceil(MEMORY_STEPS / (len(train.y) // batch))
    short = replace(task, recipe=replace(task.recipe, epochs=epochs))
    trial = Trial(f"{task.name}/kmixup", 0, "final", {"alpha": 1.0, "k": batch}, tuple(range(seeds)), batched=True)
    train_to_end(short, trial, replace(data, train=train, val=seen, test=seen))


def total_gpu_memory() -> int:
    """Bytes of this process's GPU."""
    return torch.cuda.mem_get_info()[1]
