"""The methods: for each, its free coordinates and their ranges."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from tune_kmixup.core.config import Recipe, Study, Task, configuration
from tune_kmixup.core.errors import BadInput

# The lower end must be close to ERM. At α = 0.01 the expected squared displacement is still up to 1 % of its maximum,
# which was too much for two_spirals (docs/results).
ALPHA = FloatDistribution(1e-4, 64.0, log=True)


def log2_k(task: Task, train_rows: int) -> IntDistribution:
    """The range of k as its binary logarithm, so that the sampler knows the order of the values.

    k is 2, 4, 8, ... up to the batch size and to a quarter of the training rows. It is never 1, which is mixup.

    Raises:
        BadInput: if not even k = 2 fits.
    """
    largest = min(task.recipe.batch_size, train_rows // 4)
    if largest < 2:
        raise BadInput(
            f"task={task.name!r} has batch_size={task.recipe.batch_size} and {train_rows} training rows: "
            "k-mixup needs a batch of 2 and 8 training rows: choose a larger one, or leave out the method kmixup."
        )
    return IntDistribution(1, largest.bit_length() - 1)


Coordinate = BaseDistribution | Callable[[Task, int], BaseDistribution]  # a function of task and training rows

METHODS: dict[str, dict[str, Coordinate]] = {
    "erm": {},
    "mixup": {"alpha": ALPHA},
    "kmixup": {"alpha": ALPHA, "log2_k": log2_k},
    # mixup with a coordinate that does nothing: its gain over mixup shows what gain the search finds by chance alone.
    "placebo": {"alpha": ALPHA, "dummy": FloatDistribution(0.0, 1.0)},
}

# Recipe values that `--tune` makes free coordinates of every method.
TUNABLE: dict[str, Callable[[Recipe], BaseDistribution]] = {
    "lr": lambda recipe: FloatDistribution(recipe.lr / 10, recipe.lr * 10, log=True),
    "weight_decay": lambda recipe: FloatDistribution(1e-6, 1e-1, log=True),
}


def make_study(task: Task, method: str, train_rows: int, tune: tuple[str, ...] = ()) -> Study:
    """The study of one method on one task.

    Args:
        task: what is trained.
        method: key of METHODS.
        train_rows: number of training rows of the task.
        tune: keys of TUNABLE, to search as well.

    Raises:
        BadInput: if a value in the search space cannot be trained with, e.g. k above the batch size, or `tune` names
            anything else.
    """
    space: dict[str, BaseDistribution] = {}
    for name, coordinate in METHODS[method].items():
        space[name] = coordinate if isinstance(coordinate, BaseDistribution) else coordinate(task, train_rows)
    for name in tune:
        if name not in TUNABLE:
            raise BadInput(f"tune={name!r} cannot be tuned: choose among {', '.join(TUNABLE)}.")
        space[name] = TUNABLE[name](task.recipe)
    for name, distribution in space.items():
        for value in bounds(distribution):
            configuration(task.recipe, {name: value})  # raises BadInput if it cannot be trained with
    return Study(task, method, {name: to_json_dict(distribution) for name, distribution in space.items()})


def bounds(distribution: BaseDistribution) -> tuple[Any, ...]:
    """The smallest and the largest value, or all choices of a categorical distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low, distribution.high


def contains(distribution: BaseDistribution, value: float) -> bool:
    """Whether a value is a choice of a categorical distribution, or lies within the bounds of another one."""
    values = bounds(distribution)
    return value in values if isinstance(distribution, CategoricalDistribution) else values[0] <= value <= values[1]


def to_json_dict(distribution: BaseDistribution) -> Mapping[str, Any]:
    """A distribution in Optuna's JSON form, parsed."""
    parsed: Mapping[str, Any] = json.loads(distribution_to_json(distribution))
    return parsed
