"""Short measurements on the device of the trials: the speedup of batched seeds, and the GPU memory of a trial."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice

import torch

from tune_kmixup.core.config import Task, Trial, configuration
from tune_kmixup.data.prepare import Data, Part
from tune_kmixup.models.ensemble import can_batch
from tune_kmixup.training.batches import chunk_steps
from tune_kmixup.training.loop import steps, train_to_end
from tune_kmixup.training.metrics import EVAL_BATCH
from tune_kmixup.training.prefetch import AHEAD
from tune_kmixup.training.state import initial_state

LONG_STEP = 0.02  # seconds on a CPU: the arithmetic dominates a longer step, and batching does not reduce that
TIMED_STEPS = 3
ROUNDS = 5
MEMORY_CHUNKS = AHEAD + 2  # one in use, those that are ready, and one that is being made


def measure_speedups(task: Task, data: Data, sizes: Iterable[int]) -> dict[int, float]:
    """How many times faster seeds train together than one after another.

    Times a few steps of mixup on the task's own data, batched and alone in turn, and takes the least time over several
    rounds. Takes about a second.

    Args:
        task: its recipe and architecture are used.
        data: on the device of the trials.
        sizes: numbers of seeds to try.

    Returns:
        Number of seeds -> speedup; 0 if they do not fit into memory. Empty if the architecture cannot be batched or a
        step takes so long that batching cannot pay.
    """
    if not can_batch(task.architecture, data.shape, data.classes):
        return {}
    time_alone = step_timer(task, data, 1)
    if time_alone() > LONG_STEP * TIMED_STEPS and data.train.x.device.type == "cpu":
        return {}
    return {size: speedup(step_timer(task, data, size), time_alone, size) for size in sizes if size > 1}


def speedup(time_batched: Callable[[], float], time_alone: Callable[[], float], size: int) -> float:
    try:
        times = [(time_batched(), time_alone()) for _ in range(ROUNDS + 1)][1:]
    except torch.OutOfMemoryError:
        return 0.0
    return size * min(alone for _, alone in times) / min(batched for batched, _ in times)


def step_timer(task: Task, data: Data, seeds: int) -> Callable[[], float]:
    """Makes a function that trains a number of seeds for `TIMED_STEPS` steps and returns the seconds.

    Args:
        task: its recipe and architecture are used.
        data: training rows, on the device to be timed.
        seeds: number of seeds to train together.
    """
    recipe = replace(task.recipe, epochs=10**6)
    config = configuration(recipe, {"alpha": 1.0})
    training = steps(initial_state(task, config, data, range(seeds)), config, data)
    device = data.train.x.device

    def time_steps() -> float:
        start = time.perf_counter()
        for _ in islice(training, TIMED_STEPS):
            pass
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    return time_steps


def measure_gpu_memory(task: Task, data: Data, seeds: int) -> int | None:
    """The most GPU memory that a trial with batched seeds takes.

    This is the CUDA context with its kernels, plus the most that PyTorch's allocator has reserved since the process
    began. Call it in a fresh process that has the GPU to itself: memory of other processes would be counted too.

    Args:
        task: what to train.
        data: all parts, on the GPU.
        seeds: number of seeds to train together.

    Returns:
        Bytes; None if the trial needs more than the GPU has.
    """
    try:
        short_trial(task, data, seeds)
    except torch.OutOfMemoryError:
        return None
    device = data.train.x.device
    torch.cuda.synchronize(device)
    free, total = torch.cuda.mem_get_info(device)
    return total - free - torch.cuda.memory_reserved(device) + torch.cuda.max_memory_reserved(device)


def short_trial(task: Task, data: Data, seeds: int) -> None:
    """Runs a final trial of k-mixup with the largest k, cut to a few steps and one batch of each evaluation.

    As in a whole trial the test rows are on the GPU, but no network sees them: validation rows are used instead.
    """
    batch = task.recipe.batch_size
    measured = MEMORY_CHUNKS * chunk_steps(data, task.recipe, seeds)
    train = Part(*(rows[: measured * batch] for rows in data.train))
    test = data.val if data.test is None else data.test
    indices = torch.arange(min(len(test.y), EVAL_BATCH["cuda"]), device=data.val.y.device) % len(data.val.y)
    evaluated = Part(*(rows[indices] for rows in data.val))
    epochs = math.ceil(measured / (len(train.y) // batch))
    short_task = replace(task, recipe=replace(task.recipe, epochs=epochs))
    trial = Trial(f"{task.name}/kmixup", 0, "final", {"alpha": 1.0, "k": batch}, tuple(range(seeds)), batched=True)
    train_to_end(short_task, trial, replace(data, train=train, val=evaluated, test=evaluated))


def total_gpu_memory() -> int:
    """Memory of this process's GPU, in bytes."""
    return torch.cuda.mem_get_info()[1]
