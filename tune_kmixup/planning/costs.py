"""How long a suite takes on one CPU core, estimated from what runs of its tasks, or of ones like them, have taken."""

from math import log
from pathlib import Path

from search_spaces.costs import COSTS
from search_spaces.tasks import TASKS
from tune_kmixup.core.config import Suite, Task
from tune_kmixup.data.prepare import count_rows

FURTHEST = 4.0  # how many times more or fewer training rows a task may have than the one that its cost is taken from


def task_seconds(suite: Suite, data_dir: Path) -> dict[str, float | None]:
    """Estimates the seconds on one CPU core of all runs of each task, unless trials are stopped early.

    Args:
        suite: what would run.
        data_dir: folder of the data sets, used to count training rows.

    Returns:
        Task without its split -> seconds; None if they are not known.
    """
    seconds: dict[str, float | None] = {}
    for base, studies in suite.studies_by_task().items():
        cost = run_seconds(studies[0].task, data_dir)  # the other splits cost as much
        seconds[base] = None if cost is None else cost * sum(map(suite.run_count, studies))
    return seconds


def run_seconds(task: Task, data_dir: Path) -> float | None:
    """Estimates the seconds of one run on one CPU core, in proportion to its epochs and training rows.

    The measured task has the same data set, architecture and batch size, and of these the nearest number of training
    rows. Methods are not told apart: k-mixup takes up to twice as long as ERM on small networks.

    Returns:
        Seconds; None if nothing near was measured.
    """
    rows = count_rows(task, data_dir).train
    ratios = {
        name: rows / count_rows(TASKS[name][0], data_dir).train for name in COSTS if costs_like(task, TASKS[name][0])
    }
    nearest = min(ratios, key=lambda name: abs(log(ratios[name])), default=None)
    if nearest is None or not 1 / FURTHEST <= ratios[nearest] <= FURTHEST:
        return None
    return COSTS[nearest] * ratios[nearest] * task.recipe.epochs / TASKS[nearest][0].recipe.epochs


def costs_like(task: Task, measured: Task) -> bool:
    """Whether a step of two tasks costs the same."""
    return (task.dataset, task.architecture, task.recipe.batch_size) == (
        measured.dataset,
        measured.architecture,
        measured.recipe.batch_size,
    )
