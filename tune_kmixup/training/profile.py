"""The GPU memory of a trial, measured in a short one."""

import math
from dataclasses import replace

import torch

from tune_kmixup.core.config import Task, Trial
from tune_kmixup.data.tensors import Data, Part
from tune_kmixup.training.batches import chunk_steps
from tune_kmixup.training.loop import train_to_end
from tune_kmixup.training.metrics import EVAL_BATCH
from tune_kmixup.training.prefetch import AHEAD

MEMORY_CHUNKS = AHEAD + 2  # one in use, those that are ready, and one that is being made


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
    return peak_gpu_memory(data.train.x.device)


def peak_gpu_memory(device: torch.device) -> int:
    """The most GPU memory that this process has taken, in bytes: see `measure_gpu_memory`."""
    torch.cuda.synchronize(device)
    free, total = torch.cuda.mem_get_info(device)
    return total - free - torch.cuda.memory_reserved(device) + torch.cuda.max_memory_reserved(device)


def short_trial(task: Task, data: Data, seeds: int) -> None:
    """Runs a final trial of k-mixup with the largest k, cut to a few steps and one batch of each evaluation.

    As in a whole trial the test rows are on the GPU, but no network sees them: validation rows are used instead.
    """
    batch = task.recipe.batch_size
    measured = MEMORY_CHUNKS * chunk_steps(data, task.recipe, batch, seeds)
    train = Part(*(rows[: measured * batch] for rows in data.train))
    test = data.val if data.test is None else data.test
    indices = torch.arange(min(len(test.y), EVAL_BATCH["cuda"]), device=data.val.y.device) % len(data.val.y)
    evaluated = Part(*(rows[indices] for rows in data.val))
    epochs = math.ceil(measured / task.recipe.steps_per_epoch(len(train.y)))
    short_task = replace(task, recipe=replace(task.recipe, epochs=epochs))
    trial = Trial(f"{task.name}/kmixup", 0, "final", {"alpha": 1.0, "k": batch}, tuple(range(seeds)), batched=True)
    train_to_end(short_task, trial, replace(data, train=train, val=evaluated, test=evaluated))


def total_gpu_memory() -> int:
    """Memory of this process's GPU, in bytes."""
    return torch.cuda.mem_get_info()[1]
