"""The methods: for each, its free coordinates and their ranges."""

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from tune_kmixup.core.config import Recipe, Study, Task
from tune_kmixup.core.coordinates import configuration, symbol
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
    space = {name: resolve(method, name, item, task, train_rows) for name, item in METHODS[method].items()}
    for name in tune:
        if name not in TUNABLE:
            raise BadInput(f"tune={name!r} cannot be tuned: choose among {', '.join(TUNABLE)}.")
        space[name] = TUNABLE[name](task.recipe)
    check_space(task.recipe, space, train_rows)
    return Study(task, method, {name: to_json_dict(distribution) for name, distribution in space.items()})


def resolve(method: str, name: str, coordinate: object, task: Task, train_rows: int) -> BaseDistribution:
    """The distribution of a coordinate. Raises BadInput if it is none."""
    distribution = coordinate(task, train_rows) if callable(coordinate) else coordinate
    if not isinstance(distribution, FloatDistribution | IntDistribution | CategoricalDistribution):
        raise BadInput(
            f"method={method!r} has {name}={distribution!r}: choose an Optuna distribution. "
            f"CategoricalDistribution(({distribution!r},)) fixes a value."
        )
    return distribution


def check_space(recipe: Recipe, space: Mapping[str, BaseDistribution], train_rows: int) -> None:
    """Raises BadInput if a recipe cannot be trained with some value of a search space."""
    for name, distribution in space.items():
        for value in bounds(distribution):
            if isinstance(value, float) and not isfinite(value):
                raise BadInput(f"{name}={value} is not a finite number: choose finite bounds.")
            configuration(recipe, {name: value})
    # Values that fit alone may not fit together: the largest k has to fit the smallest batch.
    largest = {name: max(bounds(space[name])) for name in space if symbol(name) == "k"}
    smallest = {name: min(bounds(space[name])) for name in ("batch_size",) if name in space}
    configuration(recipe, largest | smallest)
    epochs = min(bounds(space["epochs"])) if "epochs" in space else recipe.epochs
    warmup = max(bounds(space["warmup_epochs"])) if "warmup_epochs" in space else recipe.warmup_epochs
    if warmup >= epochs and {"epochs", "warmup_epochs"} & space.keys():
        raise BadInput(f"epochs={epochs} does not fit warmup_epochs={warmup}: choose more epochs or a shorter warm-up.")
    if "batch_size" in space and (most := max(bounds(space["batch_size"]))) > train_rows:
        raise BadInput(f"batch_size={most} does not fit {train_rows} training rows: choose batch_size ≤ {train_rows}.")


def bounds(distribution: BaseDistribution) -> tuple[Any, ...]:
    """The smallest and the largest value, or all choices of a categorical distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low, distribution.high


def to_json_dict(distribution: BaseDistribution) -> Mapping[str, Any]:
    """A distribution in Optuna's JSON form, parsed."""
    parsed: Mapping[str, Any] = json.loads(distribution_to_json(distribution))
    return parsed
