"""What a field of a file may hold: a value, or a list of them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tune_kmixup.core.checks import KINDS, is_of_kind, shown
from tune_kmixup.core.config import NAME_PATTERN
from tune_kmixup.core.errors import BadInput

MAX_TIME = 2**33  # seconds; as Unix time, the year 2242
ROUNDING = 1e-6  # by which a mean may leave its range


@dataclass(frozen=True, slots=True)
class Field:
    """What one field of a record may hold.

    Attributes:
        kind: bool, int, float or str. A float is finite and may be a whole number. Text has no control characters.
        low: smallest number. Rounding may take a float a little past its ends.
        high: largest number.
        choices: the texts that are allowed; empty: any.
        optional: whether it may be missing, or null.
        is_name: whether the text must be a name.
    """

    kind: type
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    optional: bool = False
    is_name: bool = False

    def check(self, name: str, value: object) -> None:
        """Raises BadInput if a value does not fit."""
        if value is None and self.optional:
            return
        if not (is_of_kind(value, self.kind) and self.contains(value)):
            raise BadInput(f"{name}={shown(value)} is not {self.rule}")

    def contains(self, value: Any) -> bool:
        """Whether a value of the right kind is allowed."""
        if self.kind is not str:
            slack = ROUNDING if self.kind is float else 0
            return bool(self.low - slack <= value <= self.high + slack)
        if self.choices:
            return value in self.choices
        return NAME_PATTERN.fullmatch(value) is not None if self.is_name else value.isprintable()

    @property
    def type(self) -> str:
        """The type in words."""
        return self.kind.__name__

    @property
    def range(self) -> str:
        """The choices, or smallest and largest number."""
        if not math.isfinite(self.low):
            return ", ".join(self.choices)
        return f"{self.low:,} to {self.high:,}" if math.isfinite(self.high) else f"≥ {self.low:,}"

    @property
    def rule(self) -> str:
        """What is allowed, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.kind is str:
            name = "a name of lower-case letters, digits, '_', '-' and '.'"
            return name if self.is_name else "text without control characters"
        limits = ((self.low, "≥"), (self.high, "≤"))
        return " ".join([KINDS[self.kind], *(f"{sign} {limit:g}" for limit, sign in limits if math.isfinite(limit))])


@dataclass(frozen=True)
class Items:
    """What a list may hold: values, or records of several values each.

    Attributes:
        fields: what the value of an item may hold, by its name. The single value of an item that is no record has none.
        record: makes an item of its values; None if items are values.
        optional: whether the list may be missing, or null.
    """

    fields: Mapping[str, Field]
    record: Callable[..., Any] | None = None
    optional: bool = False

    def read(self, name: str, value: Any) -> Any:
        """A list of JSON as a tuple, whose items are not checked yet.

        Early versions wrote a text: items separated by spaces, and their values by colons.

        Raises:
            BadInput: if the value is no list of such items.
        """
        try:
            items = self.parsed(value) if isinstance(value, str) else value
            if not isinstance(items, list | tuple):
                raise TypeError
            return tuple(items if self.record is None else (self.record(*item) for item in items))
        except (TypeError, ValueError):
            raise BadInput(f"{name}={shown(value)} is not a {self.type}") from None

    def parsed(self, text: str) -> list[Any]:
        kinds = [field.kind for field in self.fields.values()]
        items = [
            [None if value == "nan" else kind(value) for kind, value in zip(kinds, values, strict=True)]
            for values in (item.split(":") if self.record else [item] for item in text.split())
        ]
        return items if self.record else [value for (value,) in items]

    def check(self, name: str, value: Any) -> None:
        """Raises BadInput for the first value of an item that does not fit."""
        for item in value or ():
            for (part, field), found in zip(self.fields.items(), item if self.record else (item,), strict=True):
                field.check(f"{name}: {part}" if part else name, found)

    @property
    def type(self) -> str:
        """The type in words."""
        return f"list of [{', '.join(self.fields)}]" if self.record else f"list of {self.fields[''].type}"

    @property
    def range(self) -> str:
        """Smallest and largest number of each value of an item."""
        return "; ".join(f"{name} {field.range}".strip() for name, field in self.fields.items())
