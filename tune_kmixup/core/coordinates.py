"""The free coordinates of a method: what they set in training, and how they are shown.

A coordinate is `alpha`, `k`, a field of the recipe, `log2_k` or `dummy`. The binary logarithm of k is a coordinate so
that a sampler knows the order of the values 2, 4, 8, ... `dummy` sets nothing: it is what a placebo searches.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tune_kmixup.core.checks import check_range, check_type, is_of_kind
from tune_kmixup.core.config import Recipe
from tune_kmixup.core.errors import BadInput

LOG2_K, DUMMY = "log2_k", "dummy"
MAX_LOG2_K = 30
RECIPE_COLUMNS: Mapping[str, type] = {
    "lr": float,
    "weight_decay": float,
    "epochs": int,
    "batch_size": int,
    "cost": str,
}  # fields of the recipe that rows hold -> their type, which a whole number in a recipe does not tell
SETTINGS = ("alpha", "k", *RECIPE_COLUMNS)  # columns of a row that a configuration fixes
SYMBOLS = {"alpha": "α", LOG2_K: "k", "lr": "learning rate"}


@dataclass(frozen=True)
class Configuration:
    """What a run trains with: the values of a trial, and the recipe for everything else.

    Attributes:
        alpha: parameter of Beta(α, α), ≥ 0; 0 is ERM.
        k: rows per pairing block, from 1 to the batch size; 1 with `alpha` > 0 is mixup.
        recipe: the recipe of the task, with the recipe values of the trial.
    """

    alpha: float
    k: int
    recipe: Recipe

    @property
    def columns(self) -> dict[str, Any]:
        """Its SETTINGS, for a row."""
        return {"alpha": self.alpha, "k": self.k} | {name: getattr(self.recipe, name) for name in RECIPE_COLUMNS}


def configuration(recipe: Recipe, values: Mapping[str, float]) -> Configuration:
    """The configuration that the values of a trial stand for.

    Args:
        recipe: recipe of the task.
        values: any of `alpha` (0 if missing), `k` (1 if missing) or its binary logarithm `log2_k`, `dummy` (ignored),
            and fields of the recipe, which they replace.

    Raises:
        BadInput: for another name, k beside log2_k, alpha < 0 or not finite, k < 1 or above the batch size, or a bad
            recipe value.
    """
    if {"k", LOG2_K} <= values.keys():
        raise BadInput(f"k and {LOG2_K} are the same coordinate: leave one of them out.")
    coordinates: dict[str, Any] = {"alpha": 0.0, "k": 1, **values}
    alpha, k = coordinates.pop("alpha"), coordinates.pop("k")
    if LOG2_K in coordinates:
        exponent = coordinates.pop(LOG2_K)
        check_type(LOG2_K, exponent, int)
        check_range(LOG2_K, exponent, 0, MAX_LOG2_K)
        k = 2 ** int(exponent)
    coordinates.pop(DUMMY, None)
    if unknown := coordinates.keys() - {field.name for field in dataclasses.fields(Recipe)}:
        raise BadInput(f"values={sorted(unknown)} are not coordinates: use alpha, k, log2_k, dummy or a recipe field.")
    recipe = dataclasses.replace(recipe, **coordinates)
    if not is_of_kind(alpha, float) or alpha < 0:
        raise BadInput(f"alpha={alpha!r} is not a finite number ≥ 0: choose 0 for ERM, or α > 0.")
    check_type("k", k, int)
    if k < 1:
        raise BadInput(f"k={k} is too small: choose 1 for mixup, or more.")
    if k > recipe.batch_size:
        raise BadInput(f"k={k} does not fit batch_size={recipe.batch_size}: choose k ≤ {recipe.batch_size}.")
    return Configuration(float(alpha), k, recipe)


def values_in(columns: Mapping[str, Any], space: Mapping[str, Any]) -> dict[str, Any]:
    """The values of free coordinates, as far as the columns of a row tell: the way back from a configuration.

    Args:
        columns: `alpha`, `k` and fields of the recipe; None where a column is unknown.
        space: its keys are the free coordinates.
    """
    known = {name: value for name, value in columns.items() if value is not None}
    return {name: value for name, value in {**known, LOG2_K: known["k"].bit_length() - 1}.items() if name in space}


def symbol(coordinate: str) -> str:
    """How people write what a coordinate sets: α, k, learning rate."""
    return SYMBOLS.get(coordinate, coordinate.replace("_", " "))


def shown(coordinate: str, value: Any) -> Any:
    """The value that a coordinate sets: k itself in place of its logarithm."""
    return 2**value if coordinate == LOG2_K else value
