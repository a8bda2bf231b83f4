"""Search spaces in Optuna's JSON form, read without Optuna."""

import math
from collections.abc import Mapping
from typing import Any

from tune_kmixup.core.checks import check_choice
from tune_kmixup.core.errors import BadInput

DISTRIBUTIONS = ("FloatDistribution", "IntDistribution", "CategoricalDistribution")


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


def value_count(name: str, distribution: Any) -> int | None:
    """The number of values of a coordinate; None if it is continuous."""
    try:
        kind, attributes = distribution["name"], distribution["attributes"]
        check_choice(name, kind, DISTRIBUTIONS)
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
        raise BadInput(f"space={name!r} is {distribution!r}: it takes an Optuna distribution in JSON.") from error
    if count < 1:
        raise BadInput(f"space={name!r} has no value: choose low ≤ high, or name choices.")
    return count
