"""The commands `launch` and `report` for Python. They take the options of the command line, by the same names."""

import dataclasses
import inspect
import signal
from _thread import interrupt_main
from pathlib import Path
from typing import Any, get_args

from tune_kmixup.analysis.results import Results
from tune_kmixup.cli import commands
from tune_kmixup.cli.launching import run_suite, suite_to_launch
from tune_kmixup.cli.signatures import arguments, parameters
from tune_kmixup.core.errors import LaunchError
from tune_kmixup.store.files import parse_location


def launch(*names: str | Path, out: str | Path, **options: Any) -> Results:
    """Tunes and compares the methods; continues an existing run directory. It is `tune-kmixup launch`.

        results = tune_kmixup.launch("telco.csv", label="Churn", trials=24, out="runs/telco")

    Args:
        names: a suite, tasks, or files of your own.
        out: the run directory: a folder, or a URL.
        options: those of `tune-kmixup launch --help`, with underscores: `final_seeds=20`. One that is repeatable takes
            a list, or one value; `wait` takes seconds.

    Returns:
        What the run directory holds at the end.

    Raises:
        TypeError: for an option that there is not.
        BadInput: for a value that does not fit. Nothing is written then.
        LaunchError: if a trial, a disk or Ray failed.
        KeyboardInterrupt: if it was interrupted. Call it again to go on.
    """
    given = launch_arguments(options)
    experiment = dataclasses.replace(given["experiment"], names=[str(name) for name in names])
    out_dir, data_dir = parse_location(out), experiment.data.data_dir
    suite, plugins = suite_to_launch(experiment, out_dir, given["options"])
    again = f"call tune_kmixup.launch again with out={str(out)!r}"
    code = run_suite(suite, plugins, out_dir, given["options"], data_dir, again, lambda code: interrupt_main())
    if code == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    if code:
        raise LaunchError(f"out={str(out)!r} is not finished: the lines above say why. Call it again to go on.")
    return load(out)


def load(*sources: str | Path) -> Results:
    """Reads run directories and folders of reports, and merges them. It is `tune-kmixup report` without a report.

    Args:
        sources: folders, or URLs.

    Raises:
        BadInput: see `analysis.load.load`.
    """
    return Results.read(parse_location(source) for source in sources)


def launch_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the command `launch`, from options by the names of the command line."""
    command = inspect.unwrap(commands.launch)
    hints = {parameter.name: get_args(parameter.annotation)[0] for parameter in parameters(command)}
    names = sorted(hints.keys() - {"names", "out_dir"})
    if unknown := sorted(options.keys() - set(names)):
        raise TypeError(f"launch() has no option {unknown[0]!r}: choose among {', '.join(names)}")
    return arguments(command, {name: typed(value, hints[name]) for name, value in options.items() if value is not None})


def typed(value: Any, hint: Any) -> Any:
    """A value as the command line passes it on: a list where it is repeatable, and absolute paths."""
    kinds = get_args(hint) or (hint,)
    for kind in kinds:
        if getattr(kind, "__origin__", None) is list:
            items = [value] if isinstance(value, str | Path) else list(value)
            return [typed(item, get_args(kind)[0]) for item in items]
    return parse_location(value) if Path in kinds else value
