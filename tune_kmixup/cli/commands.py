"""The command line: tune-kmixup tasks | inspect | plan | launch | resume | status | report | best | predict | export |
demo.

Exit codes: 0 done, 1 a trial, a disk or Ray failed, 2 bad input; 130, 143 or 129 stopped by Ctrl-C, SIGTERM or SIGHUP.
"""

import codecs
import dataclasses
import io
import json
import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import tune_kmixup
from tune_kmixup.cli import options as opt
from tune_kmixup.cli.launching import (
    console,
    load_plugins,
    make_suite,
    print_error,
    resolve_data_dir,
    run_suite,
    suite_to_launch,
)
from tune_kmixup.cli.signatures import flat
from tune_kmixup.core.config import Suite
from tune_kmixup.core.errors import BadInput, LaunchError
from tune_kmixup.store.run_dir import RunDir

if TYPE_CHECKING:
    from tune_kmixup.planning.plugins import Plugins

# Commands import what they need themselves, so that help, completion and `status` need neither torch nor Ray.

app = typer.Typer(
    pretty_exceptions_enable=False,
    help="Compare ERM, mixup and k-mixup, each tuned with the same budget.",
)
UsageError: Any = typer.BadParameter.__base__  # Typer's own, or click's: that depends on its version


@app.callback()
def root(version: opt.Version = False) -> None:
    """Options of the program itself."""


@app.command()
@flat
def tasks(data: opt.DataOptions) -> None:
    """List the suites, tasks, methods, data sets and architectures.

    Example: tune-kmixup tasks --load my_tasks.py
    """
    from tune_kmixup.cli.listing import listing_tables

    load_plugins(data.load)
    for table in listing_tables(resolve_data_dir(data.data_dir)):
        console.print(table)


@app.command()
@flat
def inspect(name: opt.InspectName, files: opt.FileOptions, recipe: opt.RecipeOptions, data: opt.DataOptions) -> None:
    """Show what a task would train on, without training: rows, classes, columns, splits, warnings.

    Examples:
    tune-kmixup inspect telco.csv --label Churn
    tune-kmixup inspect iris/mlp
    """
    from tune_kmixup.cli.inspection import print_inspection
    from tune_kmixup.planning.inspection import inspect_task

    suite, _ = make_suite(opt.Experiment([name], files, recipe=recipe, data=data))
    for studies in suite.studies_by_task().values():
        print_inspection(console, inspect_task(studies, resolve_data_dir(data.data_dir)))


@app.command()
@flat
def plan(experiment: opt.Experiment, trial: opt.TrialOptions) -> None:
    """Show what a launch would run, and run nothing.

    Example: tune-kmixup plan iris/mlp wine/mlp --trials 24 --final-seeds 20
    """
    from tune_kmixup.cli.plan import print_plan

    suite, _ = make_suite(experiment)
    print_plan(console, suite, opt.RunOptions(trial=trial).resources(), resolve_data_dir(experiment.data.data_dir))


@app.command()
@flat
def launch(
    out_dir: opt.Out,
    experiment: opt.Experiment,
    options: opt.RunOptions,
) -> None:
    """Tune and compare the methods; continue an existing run directory.

    Examples:
    tune-kmixup launch iris/mlp --trials 24 --final-seeds 20 --out runs/iris
    tune-kmixup launch telco.csv --label Churn --out runs/telco
    tune-kmixup launch cifar10/preact_resnet18 --address auto \\
        --gpus-per-trial 0.5 --out /shared/cifar10
    """
    suite, plugins = suite_to_launch(experiment, out_dir, options)
    run_command(suite, plugins, out_dir, options, experiment.data.data_dir)


@app.command()
@flat
def resume(
    run_dir: opt.RunPath,
    options: opt.RunOptions,
    data: opt.DataOptions,
    trials: opt.LargerTrials = None,
    final_seeds: opt.LargerFinalSeeds = None,
    repeats: opt.LargerRepeats = None,
    save_models: opt.SaveModels = None,
) -> None:
    """Continue a run directory; larger budgets extend it.

    It remembers --load, --data-dir and files of your own.

    Example: tune-kmixup resume runs/iris --trials 48
    """
    from tune_kmixup.data.download import fetch_missing
    from tune_kmixup.planning.identity import remembered_data_dir
    from tune_kmixup.planning.suite import check_continues, with_repeats

    run = RunDir(run_dir)
    suite = run.suite()
    plugins = load_plugins(data.load or map(Path, suite.identity.load), suite.identity.sources)
    data_dir = data.data_dir or remembered_data_dir(suite)
    trials = suite.trials if trials is None else trials
    final_seeds = suite.final_seeds if final_seeds is None else final_seeds
    save_models = suite.save_models if save_models is None else save_models
    suite = dataclasses.replace(suite, trials=trials, final_seeds=final_seeds, save_models=save_models, format=2)
    if repeats is not None:
        folder, datasets = resolve_data_dir(data_dir), {study.task.dataset for study in suite.studies}
        grown = with_repeats(suite, repeats, folder)  # refuses before anything is downloaded
        fetched = fetch_missing(datasets, folder, console.print)
        suite = with_repeats(suite, repeats, folder) if fetched else grown  # now rows are counted
    suite = check_continues(run, suite)
    run_command(suite, plugins, run_dir, options, data_dir)


@app.command()
def status(
    run_dir: opt.RunPath, splits: opt.Splits = False, watch: opt.Watch = False, as_json: opt.Json = False
) -> None:
    """Show what each task and method has finished, running, failed and left to do.

    Works during a launch too, from any machine that sees the run directory.

    Example: tune-kmixup status runs/iris --watch
    """
    from tune_kmixup.cli.render import print_status, show_in_place
    from tune_kmixup.store.status import follow, launch_status

    run = RunDir(run_dir)
    statuses = follow(run) if watch else [launch_status(run)]
    if watch and console.is_terminal and not as_json:
        show_in_place(console, statuses, run_dir, splits)
        return
    for snapshot in statuses:
        if as_json:
            print(json.dumps(snapshot.to_json()), flush=True)
        else:
            print_status(console, snapshot, run_dir, splits)


@app.command()
def report(
    run_dirs: opt.RunDirs,
    out_dir: opt.ReportDir,
    format: opt.Format = None,
    metric: opt.Metric = "test_error",
    level: opt.Level = None,
    compare: opt.Compare = None,
) -> None:
    """Write the comparison: report, tables, figures and all rows.

    Example: tune-kmixup report runs/iris runs/wine --out reports/tables
    """
    from tune_kmixup.analysis.load import load
    from tune_kmixup.cli.summary import show_comparison

    formats = tuple(",".join(format or ()).split(","))
    show_comparison(console, load(run_dirs), out_dir, formats, level, metric, compare)


@app.command()
def best(
    run_dirs: opt.RunDirs,
    task: opt.TaskName = None,
    method: opt.MethodName = None,
    format: opt.BestFormat = "table",
) -> None:
    """Show the selected configuration of each task and method.

    Of several outer splits it is the one that is most like the others.

    Examples:
    tune-kmixup best runs/iris
    tune-kmixup best runs/iris --task iris/mlp --method kmixup --format python
    """
    from tune_kmixup.analysis.best import best
    from tune_kmixup.analysis.load import load
    from tune_kmixup.cli.summary import BEST_FORMATS, show_best
    from tune_kmixup.core.checks import check_choice

    check_choice("format", format, BEST_FORMATS)
    show_best(console, best(load(run_dirs), task, method), format)


@app.command()
def predict(
    run_dir: opt.RunPath,
    file: opt.NewData,
    task: opt.TaskOfModel = None,
    method: opt.MethodOfModel = None,
    out: opt.Predictions = Path("predictions.csv"),
    load: opt.Load = None,
) -> None:
    """Classify new data with the models that launch --save-models kept.

    Probabilities are the mean over the networks of all final seeds of the
    configuration that best shows.

    Examples:
    tune-kmixup predict runs/telco new.csv
    tune-kmixup predict runs/telco new.csv --method kmixup --out new-kmixup.csv
    """
    from tune_kmixup.cli.prediction import write_predictions

    write_predictions(console, RunDir(run_dir), file, out.absolute(), task, method, load or ())


@app.command()
def export(run_dir: opt.RunPath, to: opt.To) -> None:
    """Write the searches as Optuna studies, to a new SQLite file or a database.

    The best trial of each is the selected configuration.

    Examples:
    tune-kmixup export runs/iris --to optuna.db
    tune-kmixup export runs/iris --to postgresql://host/optuna
    """
    from tune_kmixup.search.export import export, without_password

    studies, trials = export(RunDir(run_dir), to)
    console.print(f"{studies} studies, {trials} trials: {without_password(to)}", soft_wrap=True)


@app.command()
def demo(
    out_dir: opt.DemoOut = Path("runs/demo"),
    gpus_per_trial: opt.Gpus = "0",
    data_dir: opt.DataDir = None,
) -> None:
    """Tune the methods on real data and print their gains.

    Example: tune-kmixup demo
    """
    from tune_kmixup.analysis.load import load
    from tune_kmixup.cli.summary import show_comparison

    options = opt.RunOptions(trial=opt.TrialOptions(gpus_per_trial=gpus_per_trial))
    experiment = opt.Experiment(["demo"], data=opt.DataOptions(data_dir))
    suite, plugins = suite_to_launch(experiment, out_dir, options)
    run_command(suite, plugins, out_dir, options, data_dir)
    show_comparison(console, load([out_dir]), out_dir / "report")


def run_command(
    suite: Suite,
    plugins: "Plugins",
    out_dir: Path,
    options: opt.RunOptions,
    data_dir: Path | None,
) -> None:
    """Runs what is missing of a suite, and exits where it is not done, see `launching.run_suite`."""
    again = shlex.join(["tune-kmixup", *sys.argv[1:]])
    code = run_suite(suite, plugins, out_dir, options, data_dir, again, os._exit)
    if code:
        raise typer.Exit(code)


def check_search_spaces() -> None:
    """Raises BadInput if a folder of the user's hides our package `search_spaces`."""
    expected = Path(tune_kmixup.__path__[0]).parent / "search_spaces"
    spec = find_spec("search_spaces")
    folder = Path(spec.origin).parent if spec and spec.origin else expected
    if folder.resolve() != expected.resolve():
        raise BadInput(f"{folder} hides the package search_spaces of tune-kmixup ({expected}): rename or move yours.")


def main() -> None:
    """Runs a command. Bad input ends it with one line and exit code 2, a disk that fails with exit code 1."""
    codecs.register_error("spelled_out", spell_out)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="spelled_out")
    try:
        check_search_spaces()
        sys.exit(app(sys.argv[1:] or ["--help"], prog_name="tune-kmixup", standalone_mode=False))
    except UsageError as error:
        print_error(f"error: {usage_line(error)}")
        sys.exit(2)
    except typer.Abort:
        sys.exit(130)
    except BadInput as error:
        print_error(f"error: {error}")
        sys.exit(2)
    except (LaunchError, OSError) as error:  # a disk is full or fails, a temporary folder cannot be written
        remedy = ": check the disks and their permissions." if isinstance(error, OSError) else ""
        print_error(f"error: {error}{remedy}")
        print_error(f"To go on: {shlex.join(['tune-kmixup', *sys.argv[1:]])}")
        sys.exit(1)


def usage_line(error: Any) -> str:
    """What is wrong with the words of a command, in our form: `trials='nan' is not a whole number: ...`."""
    if type(error) is typer.BadParameter and error.param:
        return f"{error.param.name}={error.message}"
    command = error.ctx.command_path if error.ctx else "tune-kmixup"
    return f"{error.format_message().rstrip('.')}: see {command} --help."


SPELLED_OUT = {"α": "alpha", "λ": "lambda", "≥": ">=", "≤": "<=", "±": "+/-", "–": "-", "█": "#", "·": ".", "─": "-"}


def spell_out(error: UnicodeError) -> tuple[str, int]:
    """Replaces characters that a terminal or pipe cannot show."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(SPELLED_OUT.get(character, "?") for character in text), error.end
