"""What `launch`, `resume` and `demo` do, from the command line or from Python. It is shown on a console.

Functions import what they need themselves, so that help, completion and `status` need neither torch nor Ray.
"""

import dataclasses
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tune_kmixup.cli.options import Experiment, RunOptions
from tune_kmixup.cli.render import PlainConsole
from tune_kmixup.core.config import Identity, Suite
from tune_kmixup.core.errors import LaunchError
from tune_kmixup.core.source import Source
from tune_kmixup.store.run_dir import RunDir

if TYPE_CHECKING:
    from tune_kmixup.planning.plugins import Plugins
    from tune_kmixup.tuning.launch import Outcome

console = PlainConsole(highlight=False, markup=False)  # printed text may contain brackets


def print_error(line: object) -> None:
    PlainConsole(stderr=True, highlight=False).print(str(line), soft_wrap=True, markup=False)


def resolve_data_dir(data_dir: Path | None) -> Path:
    from tune_kmixup.data.download import default_data_dir

    return data_dir or default_data_dir()


def load_plugins(load: Iterable[Path] | None, sources: tuple[Source, ...] = ()) -> "Plugins":
    from tune_kmixup.planning.plugins import Plugins

    plugins = Plugins.read(load or [], sources)
    plugins.load()
    return plugins


def make_suite(experiment: Experiment, fetch: bool = False) -> "tuple[Suite, Plugins]":
    """The suite of a command, and what it loads. Files become tasks.

    Args:
        experiment: what was typed.
        fetch: whether to fetch the data sets, so that their rows are counted. Otherwise the registry's figures are used
            for those that are not there, which can be off by a few rows.

    Raises:
        BadInput: if there is no such suite with these options.
    """
    from tune_kmixup.data.download import fetch_missing
    from tune_kmixup.planning.own_data import own_sources, with_tasks
    from tune_kmixup.planning.suite import build_suite, make_draft

    plugins = load_plugins(experiment.data.load)
    names, data_dir = experiment.names or [], resolve_data_dir(experiment.data.data_dir)
    architecture = experiment.files.architecture
    sources = own_sources(names, experiment.files.reading(), architecture)
    names = with_tasks(names, sources, architecture, data_dir)
    draft = make_draft(names, vars(experiment.search) | vars(experiment.recipe))
    suite = build_suite(draft, data_dir)  # refuses what is typed wrong before anything is downloaded
    if fetch and fetch_missing({study.task.dataset for study in suite.studies}, data_dir, console.print):
        suite = build_suite(draft, data_dir)
    files = tuple(sources.values())
    suite = dataclasses.replace(suite, identity=Identity(sources=files))
    return suite, dataclasses.replace(plugins, sources=files)


def suite_to_launch(experiment: Experiment, out_dir: Path, options: RunOptions) -> "tuple[Suite, Plugins]":
    """The suite of a launch, and what it loads. Says what was chosen for files, and what may be wrong with them.

    Args:
        experiment: what was typed.
        out_dir: run directory.
        options: how to run it.

    Raises:
        BadInput: as `make_suite` does, or if its resources do not exist or it cannot continue that directory.
    """
    from tune_kmixup.cli.inspection import own_data_lines
    from tune_kmixup.planning.suite import check_continues, check_unused

    run = RunDir(out_dir)
    options.resources()  # refuses what is typed wrong before anything is downloaded
    if not run.exists():
        check_unused(run)
    suite, plugins = make_suite(experiment, fetch=True)
    suite = check_continues(run, suite)
    for line in own_data_lines(suite, resolve_data_dir(experiment.data.data_dir)):
        console.print(line, soft_wrap=True)
    return suite, plugins


def run_suite(
    suite: Suite,
    plugins: "Plugins",
    out_dir: Path,
    options: RunOptions,
    data_dir: Path | None,
    again: str,
    die: Callable[[int], None],
) -> int:
    """Runs what is missing of a suite, and prints how it ended and how to go on.

    Args:
        suite: what to run; it continues that of the run directory.
        plugins: what it loads.
        out_dir: run directory.
        options: how to run it.
        data_dir: folder of the data sets; None for the default one.
        again: how to begin anew what ended before it was written down.
        die: ends this process, or what it does, after Ray has died; called with the exit code from another thread.

    Returns:
        The exit code: 0 if all is done, 1 if a trial, a disk or Ray failed, and 128 plus the number of the signal that
        interrupted it.

    Raises:
        BadInput: if it cannot run with these options. Nothing is written then.
    """
    from tune_kmixup.cli.progress import ProgressDisplay
    from tune_kmixup.planning.resources import repeated_options
    from tune_kmixup.planning.suite import check_continues
    from tune_kmixup.store.lock import run_lock
    from tune_kmixup.store.status import resume_command
    from tune_kmixup.tuning.signals import StopSignals

    run = RunDir(out_dir)
    resources, log_to = options.resources(), tuple(options.log_to or ())
    resumed = resume_command(out_dir, repeated_options(resources, log_to))

    def exit_code(error: LaunchError | KeyboardInterrupt) -> int:
        """Says how the launch ended, and how to go on."""
        if isinstance(error, LaunchError):
            line, code = f"error: {error}", 1
        else:
            number, *reason = error.args or (signal.SIGINT,)
            line = "Stopped at once" if run.suite_written else "Stopped before the first trial"
            line, code = f"{line}: {reason[0]}" if reason else f"{line}.", 128 + int(number)
        print_error(line)
        print_error(f"To go on: {resumed if run.suite_written else again}")
        return code

    died: list[int] = []  # the exit code, once Ray has died
    try:
        with StopSignals(), run_lock(run), ProgressDisplay(suite, console) as progress:
            progress.phase("Starting")
            suite = check_continues(run, suite)  # another launch may have ended since it was checked
            from tune_kmixup.tuning.launch import Listeners, launch  # imports Ray, which takes seconds

            def end(error: LaunchError | KeyboardInterrupt) -> None:
                progress.stop()
                died.append(exit_code(error))
                die(died[0])

            listeners = Listeners(progress.phase, progress.progress, end)
            folder = resolve_data_dir(data_dir)
            outcome = launch(suite, run, folder, resources, plugins, listeners, log_to)
    except (LaunchError, KeyboardInterrupt) as error:
        return died[0] if died else exit_code(error)
    return died[0] if died else end_in_words(outcome, out_dir, resumed)


def end_in_words(outcome: "Outcome | None", out_dir: Path, resumed: str) -> int:
    """Prints how a launch ended, and how to go on. Returns the exit code, see `run_suite`."""
    from tune_kmixup.cli.render import ending_lines

    if outcome is None:
        console.print(f"Nothing to do: every run in {out_dir} was finished before.", soft_wrap=True)
        return 0
    for line in ending_lines(outcome, out_dir, resumed):
        console.print(line, soft_wrap=True)
    if outcome.failures or outcome.disk_error:
        return 1
    if not outcome.finished:  # a signal of ours, or SIGUSR1, with which Ray Tune stops by itself
        return 128 + (outcome.stopped_by or signal.SIGINT)
    console.print(f"Done: every run in {out_dir} is finished.", soft_wrap=True)
    return 0
