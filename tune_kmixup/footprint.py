"""How much of a GPU's memory a trial takes: one short trial per task, measured on the GPU."""

import math
from dataclasses import replace

import torch

from tune_kmixup.data import Data, Part
from tune_kmixup.evaluation import ROWS_AT_ONCE
from tune_kmixup.study import Task, Trial
from tune_kmixup.training import train_to_end

STEPS = 8  # more than `look_ahead` times at first and has ready after that


def footprint(task: Task, data: Data, runs: int) -> int | None:
    """Bytes of this process's GPU that a trial with so many runs together takes at its peak; None: more than there are.

    That is the CUDA context with its kernels, and the most that PyTorch's allocator has held since the process began:
    to be called in a fresh process that has the GPU to itself, for what others take there is counted too.
    """
    try:
        short_trial(task, data, runs)
    except torch.OutOfMemoryError:
        return None
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return total - free - torch.cuda.memory_reserved() + torch.cuda.max_memory_reserved()


def short_trial(task: Task, data: Data, runs: int) -> None:
    """A final trial of k-mixup, with the largest k there can be, of a few steps and with a piece of each evaluation.

    Test rows lie on the GPU, as in a final trial, but no network sees them: validation rows stand in for them.
    """
    batch = task.recipe.batch_size
    train = Part(*(rows[: STEPS * batch] for rows in data.train))
    test = data.val if data.test is None else data.test
    piece = torch.arange(min(len(test.y), ROWS_AT_ONCE["cuda"]), device=data.val.y.device) % len(data.val.y)
    seen = Part(*(rows[piece] for rows in data.val))
    epochs = math.ceil(STEPS / (len(train.y) // batch))
    short = replace(task, recipe=replace(task.recipe, epochs=epochs))
    trial = Trial(f"{task.name}/kmixup", 0, "final", {"alpha": 1.0, "k": batch}, tuple(range(runs)), fused=True)
    train_to_end(short, trial, replace(data, train=train, val=seen, test=seen))


def gpu_memory() -> int:
    """Bytes of this process's GPU."""
    return torch.cuda.mem_get_info()[1]
