"""Checks the fields of a dataclass against their annotations, where it is made.

A `--load` file, a suite.json and the command line can put any value into any field. A wrong one must not be found in a
trial, or worse, be trained with in silence.
"""

import dataclasses
import math
from collections.abc import Iterable
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from tune_kmixup.core.errors import BadInput

NUMBERS = (int, float)  # a union would be made anew in every call
KINDS = {int: "a whole number", float: "a finite number", str: "text", bool: "true or false"}
MOST = 10**6  # more trials, seeds, epochs or rows per batch are a slip
LONGEST = 60  # characters of a value that a message shows


def shown(value: object) -> str:
    """A value in a message: its repr on one line, shortened."""
    if isinstance(value, int) and abs(value) > 10**LONGEST:  # Python refuses to print more than 4,300 digits
        return "a huge number"
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def check_fields(record: Any, **ranges: tuple[float, float]) -> None:
    """Checks the type of every field of a dataclass, and the range of its numbers.

    Args:
        record: an instance of a dataclass. A bool is no number.
        ranges: name of a field -> smallest and largest value. A number of another field must only be finite.

    Raises:
        BadInput: for the first field that is wrong.
    """
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        check_type(field.name, value, field.type)
        if field.name in ranges and value is not None:
            check_range(field.name, value, *ranges[field.name])


def check_type(name: str, value: object, hint: Any) -> None:
    """Raises BadInput if a value is not of its annotated type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType and NoneType in arguments:
        if value is not None:
            check_type(name, value, next(kind for kind in arguments if kind is not NoneType))
    elif origin is Literal:
        check_choice(name, value, arguments)
    elif origin is tuple:
        if not isinstance(value, tuple):
            raise BadInput(f"{name}={shown(value)} is not allowed: choose a tuple, e.g. ({shown(value)},).")
        for item in value:
            check_type(name, item, arguments[0])
    elif not is_of_kind(value, origin or hint):
        kind = KINDS.get(hint) or f"a {getattr(hint, '__name__', hint)}"
        raise BadInput(f"{name}={shown(value)} is not allowed: choose {kind}.")


def is_of_kind(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, NUMBERS) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raises BadInput if a number is out of range."""
    if value < low:
        raise BadInput(f"{name}={shown(value)} is too small: choose {name} ≥ {low}.")
    if value > high:
        raise BadInput(f"{name}={shown(value)} is too large: choose {name} ≤ {high}.")


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raises BadInput if a value is not among the choices."""
    choices = list(choices)
    if value not in choices:
        close = get_close_matches(value[:LONGEST] if isinstance(value, str) else "", choices, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else f"choose among {', '.join(choices)}."
        raise BadInput(f"{name}={shown(value)} is unknown: {hint}")
