"""Checks the networks of a suite before anything trains, and chooses the tasks whose seeds train together."""

from collections.abc import Collection
from pathlib import Path

from tune_kmixup.core.batched_seeds import batching_pays
from tune_kmixup.core.config import Suite
from tune_kmixup.data.prepare import input_form
from tune_kmixup.models.ensemble import can_batch
from tune_kmixup.models.networks import checked_network, multiply_adds
from tune_kmixup.planning.resources import Resources

CHECKED_ROWS = 2


def batched_tasks(suite: Suite, data_dir: Path, resources: Resources) -> Collection[str]:
    """The tasks whose seeds train together. The network of every task is checked.

    Args:
        suite: its data sets have been fetched.
        data_dir: folder of the data sets.
        resources: their `batch_seeds` is `on` for all tasks whose networks allow it, `auto` for those of them where it
            is faster on their device, and `off` for none.

    Returns:
        Names of tasks without their split.

    Raises:
        BadInput: for a network that cannot be trained, see `models.networks.checked_network`.
    """
    batched = set()
    for base, (study, *_) in suite.studies_by_task().items():
        task = study.task
        shape, classes = input_form(task, data_dir)
        batch_size = task.recipe.batch_size
        network = checked_network(task.architecture, shape, classes, min(batch_size, CHECKED_ROWS))
        wanted = resources.batch_seeds == "on" or (
            resources.batch_seeds == "auto"
            and batching_pays(multiply_adds(network, shape), batch_size, resources.device)
        )
        if wanted and can_batch(task.architecture, shape, classes):
            batched.add(base)
    return batched
