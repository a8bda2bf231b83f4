"""Decides from measured speedups whether the seeds of a trial are trained together as one batch of networks."""

from collections.abc import Mapping

from tune_kmixup.core.config import Suite, Task

# Task without its split -> number of seeds -> speedup of training them together over training them one by one.
Speedups = Mapping[str, Mapping[int, float]]

MIN_SPEEDUP = 1.1  # a smaller one does not justify that sums are rounded in another order
MAX_BATCHED = 10  # seeds per trial: more gain little, and leave slots idle at the end of a launch


def should_batch(speedups: Speedups, task: Task, seeds: int) -> bool:
    """Whether so many seeds of a task are trained together.

    The speedup of the nearest measured number of seeds decides: it must be at least `MIN_SPEEDUP`.

    Args:
        speedups: what was measured. A task without measurements is never batched.
        task: any split of the task.
        seeds: seeds of one trial, ≥ 1. A single seed is never batched.
    """
    measured = speedups.get(task.base, {})
    return seeds > 1 and bool(measured) and measured[min(measured, key=lambda size: abs(size - seeds))] >= MIN_SPEEDUP


def batch_sizes(suite: Suite) -> set[int]:
    """The numbers of seeds that search and final trials of a suite train together if that is worthwhile."""
    return {suite.search_seeds, min(MAX_BATCHED, suite.final_seeds)}


def largest_batch(speedups: Speedups, suite: Suite, task: Task) -> int:
    """The largest number of seeds of a task that a trial of the suite trains together; 1 if none are batched."""
    return max((size for size in batch_sizes(suite) if should_batch(speedups, task, size)), default=1)
