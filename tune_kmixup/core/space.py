"""Search spaces in Optuna's JSON form, read without Optuna."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tune_kmixup.core.checks import check_choice, is_of_kind, shown
from tune_kmixup.core.errors import BadInput

KINDS = ("FloatDistribution", "IntDistribution", "CategoricalDistribution")


@dataclass(frozen=True)
class Choices:
    """A coordinate that takes one of a few values.

    Attributes:
        values: these values, each text, a number, true, false or nothing.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not all(isinstance(value, str | int | float | None) for value in self.values):
            raise ValueError("a choice is no plain value")

    @property
    def count(self) -> int:
        """The number of values."""
        return len(set(self.values))

    @property
    def largest(self) -> Any:
        """The largest value; of numbers alone."""
        return max(self.values)

    def __contains__(self, value: object) -> bool:
        return any(type(value) is type(choice) and value == choice for choice in self.values)

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


@dataclass(frozen=True)
class Numbers:
    """A coordinate that takes numbers from a range.

    Attributes:
        low: smallest value.
        high: largest value.
        log: whether the search is on a log scale.
        step: distance of two values; None: any number in the range.
        whole: whether values are whole numbers.
    """

    low: float
    high: float
    log: bool
    step: float | None
    whole: bool

    def __post_init__(self) -> None:
        kind, step = int if self.whole else float, () if self.step is None else (self.step,)
        fits = isinstance(self.log, bool) and all(is_of_kind(number, kind) for number in (self.low, self.high, *step))
        if self.log:  # no step, but Optuna writes 1 for whole numbers
            fits = fits and self.step == (1 if self.whole else None)
        elif self.step is None:
            fits = fits and not self.whole
        if not fits or any(number <= 0 for number in step):
            raise ValueError("the attributes are not Optuna's")

    @property
    def count(self) -> int | None:
        """The number of values; None if any number in the range is one."""
        if self.low == self.high:
            return 1
        if self.step is None and self.low < self.high:
            return None
        return math.floor((self.high - self.low) / (self.step or 1) + 1e-9) + 1

    @property
    def largest(self) -> float:
        """The largest value."""
        return self.high

    def __contains__(self, value: object) -> bool:
        return is_of_kind(value, int if self.whole else float) and self.low <= value <= self.high  # type: ignore[operator]

    def __str__(self) -> str:
        step = f", step {self.step}" if self.step not in (None, 1) else ""
        return f"{self.low} to {self.high}{', log' if self.log else ''}{step}"


Distribution = Choices | Numbers


def parse(name: str, distribution: Mapping[str, Any]) -> Distribution:
    """Reads what a coordinate may be.

    Args:
        name: name of the coordinate.
        distribution: an Optuna distribution in Optuna's JSON form.

    Raises:
        BadInput: if it is no such distribution, has no value, or has bounds that are not finite.
    """
    try:
        kind, attributes = distribution["name"], distribution["attributes"]
        check_choice(name, kind, KINDS)
        found: Distribution
        if kind == "CategoricalDistribution":
            found = choices_of(**attributes)
        else:
            found = Numbers(**attributes, whole=kind == "IntDistribution")
            if not math.isfinite(found.high - found.low) or (found.log and found.low <= 0):
                bounds = f"from {found.low} to {found.high}"
                raise BadInput(f"space={name!r} goes {bounds}: choose finite bounds, > 0 on a log scale.")
        count = found.count
    except BadInput:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise BadInput(f"space={name!r} is {shown(distribution)}: it takes an Optuna distribution in JSON.") from error
    if count is not None and count < 1:
        raise BadInput(f"space={name!r} has no value: choose low ≤ high, or name choices.")
    return found


def choices_of(choices: list[Any] | tuple[Any, ...]) -> Choices:
    if not isinstance(choices, list | tuple):
        raise TypeError("choices are no list")
    return Choices(tuple(choices))


def point_count(space: Mapping[str, Distribution]) -> int | None:
    """The number of configurations in a search space, at least 1; None if a coordinate is continuous."""
    counts = [distribution.count for distribution in space.values()]
    return None if None in counts else math.prod(count for count in counts if count)
