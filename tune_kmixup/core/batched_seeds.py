"""Whether the seeds of a trial are trained together: the rule, from measured speedups."""

from collections.abc import Mapping

from tune_kmixup.core.config import Suite, Task

Speedups = Mapping[str, Mapping[int, float]]  # task without its split -> seeds together -> times faster than in turn

WORTHWHILE = 1.1  # a smaller speedup does not justify another order of sums
MAX_BATCHED = 10  # seeds together at most: more gain little, and keep other slots waiting at the end


def pays(speedups: Speedups, task: Task, seeds: int) -> bool:
    """Whether so many seeds of a task are trained together. The nearest number that was measured decides."""
    measured = speedups.get(task.base, {})
    return seeds > 1 and bool(measured) and measured[min(measured, key=lambda size: abs(size - seeds))] >= WORTHWHILE


def batch_sizes(suite: Suite) -> set[int]:
    """How many seeds the trials of a suite, search and final, can train together."""
    return {suite.search_seeds, min(MAX_BATCHED, suite.final_seeds)}


def largest_batch(speedups: Speedups, suite: Suite, task: Task) -> int:
    """The most seeds of a task that a trial of the suite trains together."""
    return max((size for size in batch_sizes(suite) if pays(speedups, task, size)), default=1)
