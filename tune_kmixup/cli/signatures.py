"""Commands that take their options as frozen dataclasses.

typer reads a command's parameters from its signature. `flat` gives it one parameter per field of the dataclasses, and
`arguments` builds these from what was typed, or from what Python's `tune_kmixup.launch` was called with.
"""

import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints


def flat(command: Callable[..., None]) -> Callable[..., None]:
    """A command with a parameter for each field of its dataclasses, in the order in which they are declared.

    Args:
        command: a function whose annotations are types that typer takes, or dataclasses of such types. Dataclasses
            may hold dataclasses.
    """

    @functools.wraps(command)
    def flattened(**given: Any) -> None:
        command(**arguments(command, given))

    flattened.__signature__ = inspect.Signature(list(parameters(command)))  # type: ignore[attr-defined]
    return flattened


def parameters(of: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    """The parameters of a function or a dataclass, with the fields of a dataclass in place of it.

    Options of a dataclass with a `panel` are shown under this title by `--help`.
    """
    hints = get_type_hints(of, include_extras=True)
    for name, parameter in inspect.signature(of).parameters.items():
        if dataclasses.is_dataclass(hint := hints[name]):
            yield from parameters(hint)  # type: ignore[arg-type]
        else:
            hint = in_panel(hint, getattr(of, "panel", None))
            yield parameter.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY)


def in_panel(hint: Any, panel: str | None) -> Any:
    """A parameter's type with typer's description of it, which goes into a panel of the help."""
    if panel is None or get_origin(hint) is not Annotated:
        return hint
    kind, description = get_args(hint)
    description = copy.copy(description)
    description.rich_help_panel = panel
    return Annotated[kind, description]


def arguments(of: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a function or a dataclass.

    Args:
        of: the function or dataclass.
        given: value by the name of a parameter or of a dataclass's field. Those that are absent have their defaults.
    """
    built: dict[str, Any] = {}
    hints: dict[str, Any] = get_type_hints(of)
    for name in inspect.signature(of).parameters:
        if dataclasses.is_dataclass(hint := hints[name]):
            built[name] = hint(**arguments(hint, given))  # type: ignore[operator, arg-type]
        elif name in given:
            built[name] = given[name]
    return built
