"""Checks what the tasks of a suite train with before they do, and chooses the tasks whose seeds train together."""

from collections.abc import Collection, Sequence
from pathlib import Path

from torch import nn

from tune_kmixup.core.batched_seeds import batching_pays
from tune_kmixup.core.config import Study, Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.space import Choices
from tune_kmixup.data.augment import AUGMENTED
from tune_kmixup.data.prepare import InputForm, input_form
from tune_kmixup.models.ensemble import can_batch
from tune_kmixup.models.networks import checked_network, multiply_adds
from tune_kmixup.planning.resources import Resources


def check_training(studies: Sequence[Study], form: InputForm) -> nn.Module:
    """Checks that the augmentations and the network of a task fit its data.

    Args:
        studies: all studies of the task.
        form: of its inputs.

    Returns:
        The network.

    Raises:
        BadInput: for an augmentation of another kind of data, or a network that cannot be trained, see
            `models.networks.checked_network`.
    """
    task = studies[0].task
    searched = [study.distributions.get("augment") for study in studies]
    choices = [value for one in searched if isinstance(one, Choices) for value in one.values]
    for augment in (task.recipe.augment, *choices):
        if (kind := AUGMENTED.get(augment, form.kind)) != form.kind:
            raise BadInput(
                f"augment={augment!r} is for {kind}s, which the rows of {task.dataset} are not: choose 'none'."
            )
    rows = min(task.recipe.batch_size, 2)  # as few as a batch has: some layers need two
    return checked_network(task.architecture, form.shape, form.classes, rows)


def batched_tasks(suite: Suite, data_dir: Path, resources: Resources) -> Collection[str]:
    """The tasks whose seeds train together. Every task is checked.

    Args:
        suite: its data sets have been fetched.
        data_dir: folder of the data sets.
        resources: their `batch_seeds` is `on` for all tasks whose networks allow it, `auto` for those of them where it
            is faster on their device, and `off` for none.

    Returns:
        Names of tasks without their split.

    Raises:
        BadInput: see `check_training`.
    """
    batched = set()
    for base, studies in suite.studies_by_task().items():
        task = studies[0].task
        form = input_form(task, data_dir)
        network = check_training(studies, form)
        wanted = resources.batch_seeds == "on" or (
            resources.batch_seeds == "auto"
            and batching_pays(multiply_adds(network, form.shape), task.recipe.batch_size, resources.device)
        )
        if wanted and can_batch(task.architecture, form.shape, form.classes):
            batched.add(base)
    return batched
