"""Search spaces in Optuna's JSON form, read without Optuna."""

import math
from collections.abc import Mapping
from typing import Any

from tune_kmixup.core.checks import check_choice, is_of_kind, shown
from tune_kmixup.core.errors import BadInput

NUMERIC = {"FloatDistribution": float, "IntDistribution": int}
DISTRIBUTIONS = (*NUMERIC, "CategoricalDistribution")


def point_count(space: Mapping[str, Mapping[str, Any]]) -> int | None:
    """The number of configurations in a search space.

    Args:
        space: free coordinate -> Optuna distribution in Optuna's JSON form.

    Returns:
        At least 1; None if a coordinate is continuous.

    Raises:
        BadInput: if a coordinate is no such distribution.
    """
    counts = [value_count(name, distribution) for name, distribution in space.items()]
    return None if None in counts else math.prod(count for count in counts if count)


def contains_value(distribution: Mapping[str, Any], value: object) -> bool:
    """Whether a value is one of a distribution in Optuna's JSON form that `point_count` accepts."""
    attributes = distribution["attributes"]
    if distribution["name"] == "CategoricalDistribution":
        return any(type(value) is type(choice) and value == choice for choice in attributes["choices"])
    low, high = attributes["low"], attributes["high"]
    return is_of_kind(value, NUMERIC[distribution["name"]]) and low <= value <= high


def check_attributes(name: str, kind: str, attributes: Mapping[str, Any]) -> None:
    """Raises ValueError if a distribution has other attributes than Optuna's, or they are of another type."""
    if kind == "CategoricalDistribution":
        fits = attributes.keys() == {"choices"} and isinstance(attributes["choices"], list | tuple)
        fits = fits and all(isinstance(choice, str | int | float | None) for choice in attributes["choices"])
    else:
        numbers = [attributes["low"], attributes["high"], *([] if attributes["step"] is None else [attributes["step"]])]
        fits = attributes.keys() == {"low", "high", "step", "log"} and isinstance(attributes["log"], bool)
        fits = fits and all(is_of_kind(number, NUMERIC[kind]) for number in numbers)
        fits = fits and not (attributes["log"] and attributes["step"] not in (None, 1))
        fits = fits and (attributes["step"] is None or attributes["step"] > 0)
        fits = fits and (kind == "FloatDistribution" or attributes["step"] is not None)
        fits = fits and not (attributes["log"] and kind == "FloatDistribution" and attributes["step"] is not None)
    if not fits:
        raise ValueError(f"attributes of {name} do not fit")


def value_count(name: str, distribution: Any) -> int | None:
    """The number of values of a coordinate; None if it is continuous."""
    try:
        kind, attributes = distribution["name"], distribution["attributes"]
        check_choice(name, kind, DISTRIBUTIONS)
        check_attributes(name, kind, attributes)
        if kind == "CategoricalDistribution":
            count = len(set(attributes["choices"]))
        else:
            low, high, step = attributes["low"], attributes["high"], attributes["step"]
            if not math.isfinite(high - low) or (attributes["log"] and low <= 0):
                raise BadInput(f"space={name!r} goes from {low} to {high}: choose finite bounds, > 0 on a log scale.")
            if step is None and low < high:
                return None
            count = 1 if low == high else math.floor((high - low) / (step or 1) + 1e-9) + 1
    except BadInput:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise BadInput(f"space={name!r} is {shown(distribution)}: it takes an Optuna distribution in JSON.") from error
    if count < 1:
        raise BadInput(f"space={name!r} has no value: choose low ≤ high, or name choices.")
    return count
