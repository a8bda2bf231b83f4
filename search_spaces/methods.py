"""What a method is: the coordinates it leaves free, and their ranges."""

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

# The lower end must come near ERM: the expected squared displacement at α = 0.01 is under 1 % of the largest possible.
# Where that is still too much (two_spirals), `examples/lower_alpha.py` shows how to search below.
ALPHA = FloatDistribution(0.01, 64.0, log=True)


def log2_k(task: Task, train_rows: int) -> IntDistribution:
    """k = 2, 4, 8, ... up to the batch size and a quarter of the training rows; never 1, which is mixup.

    Searched on the exponent, so that the sampler knows the order of the values.
    Raises BadInput where not even k = 2 fits.
    """
    largest = min(task.recipe.batch_size, train_rows // 4)
    if largest < 2:
        raise BadInput(
            f"task={task.name!r} has batch_size={task.recipe.batch_size} and {train_rows} training rows: "
            "k-mixup needs a batch of 2 and 8 training rows: choose a larger one, or leave out the method kmixup."
        )
    return IntDistribution(1, largest.bit_length() - 1)


Coordinate = BaseDistribution | Callable[[Task, int], BaseDistribution]

METHODS: dict[str, dict[str, Coordinate]] = {
    "erm": {},
    "mixup": {"alpha": ALPHA},
    "kmixup": {"alpha": ALPHA, "log2_k": log2_k},
    # mixup with a coordinate that does nothing: its gain over mixup is what the pipeline shows where there is nothing.
    "placebo": {"alpha": ALPHA, "dummy": FloatDistribution(0.0, 1.0)},
}

# Recipe values that `--tune` frees, for every method alike.
RECIPE: dict[str, Callable[[Recipe], BaseDistribution]] = {
    "lr": lambda recipe: FloatDistribution(recipe.lr / 10, recipe.lr * 10, log=True),
    "weight_decay": lambda recipe: FloatDistribution(1e-6, 1e-1, log=True),
}


def study(task: Task, method: str, train_rows: int, tune: tuple[str, ...] = ()) -> Study:
    """The study of one method on one task, `tune` naming the recipe values freed beside the method's own.

    Raises BadInput where a value that the space holds could not be trained with, such as a k above the batch size.
    """
    space: dict[str, BaseDistribution] = {}
    for name, coordinate in METHODS[method].items():
        space[name] = coordinate if isinstance(coordinate, BaseDistribution) else coordinate(task, train_rows)
    for name in tune:
        if name not in RECIPE:
            raise BadInput(f"tune={name!r} cannot be freed: choose among {', '.join(RECIPE)}.")
        space[name] = RECIPE[name](task.recipe)
    for name, distribution in space.items():
        for value in ends(distribution):
            configuration(task.recipe, {name: value})  # refuses what could not be trained with
    return Study(task, method, {name: as_json(distribution) for name, distribution in space.items()})


def ends(distribution: BaseDistribution) -> tuple[Any, ...]:
    """The least and the greatest value, or all choices."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low, distribution.high


def contains(distribution: BaseDistribution, value: float) -> bool:
    """Whether a distribution could give the value."""
    values = ends(distribution)
    return value in values if isinstance(distribution, CategoricalDistribution) else values[0] <= value <= values[1]


def as_json(distribution: BaseDistribution) -> Mapping[str, Any]:
    value: Mapping[str, Any] = json.loads(distribution_to_json(distribution))
    return value
