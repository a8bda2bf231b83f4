"""The command line: tune-kmixup tasks | plan | launch | resume | status | report | export | demo.

Exit codes: 0 done, 1 some trial failed, 2 bad input.
"""

import dataclasses
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

import tune_kmixup
from tune_kmixup.cli import options as opt
from tune_kmixup.core.config import Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.store.run_dir import RunDir

if TYPE_CHECKING:
    from tune_kmixup.planning.plugins import Plugins

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Compare ERM, mixup and k-mixup, each tuned with the same budget.",
)
out = Console(highlight=False, markup=False)  # what is printed may hold brackets of its own


@app.callback()
def root(version: opt.Version = False) -> None:
    """Options of the program itself."""


@app.command()
def tasks(load: opt.Load = None, data_dir: opt.DataDir = None) -> None:
    """List suites, tasks, methods, data sets and architectures.

    Example: tune-kmixup tasks --load my_tasks.py
    """
    from tune_kmixup.cli.listing import tables_of_choices

    load_plugins(load)
    for table in tables_of_choices(data_folder(data_dir)):
        out.print(table)


@app.command()
def plan(
    names: opt.Names = None,
    method: opt.Method = None,
    trials: opt.Trials = None,
    search_seeds: opt.SearchSeeds = None,
    final_seeds: opt.FinalSeeds = None,
    epochs: opt.Epochs = None,
    tune: opt.Tune = None,
    sampler: opt.Sampler = None,
    scheduler: opt.Scheduler = None,
    seed: opt.Seed = None,
    cpus_per_trial: opt.Cpus = 1.0,
    gpus_per_trial: opt.Gpus = "0",
    data_dir: opt.DataDir = None,
    load: opt.Load = None,
) -> None:
    """Show what a launch would run; run nothing.

    Example: tune-kmixup plan iris/mlp wine/mlp --trials 24 --final-seeds 20
    """
    from tune_kmixup.cli.render import plan_table
    from tune_kmixup.data.download import needs_download
    from tune_kmixup.planning.resources import Resources

    load_plugins(load)
    suite, each = make_suite(locals()), Resources.of(locals()).each
    out.print(plan_table(suite, each))
    runs = sum(suite.trial_count(s) * suite.search_seeds + suite.final_seeds for s in suite.studies)
    searched = sum(suite.trial_count(study) for study in suite.studies)
    out.print(f"{len(suite.studies)} studies, {searched} configurations, {runs} runs; sampler {suite.sampler}.")
    if suite.scheduler != "none":
        out.print(f"Fewer runs where {suite.scheduler} stops configurations early.")
    for dataset in {study.task.dataset: None for study in suite.studies}:
        if what := needs_download(dataset, data_folder(data_dir)):
            out.print(f"to download: {what}")


@app.command()
def launch(
    out_dir: opt.Out,
    names: opt.Names = None,
    method: opt.Method = None,
    trials: opt.Trials = None,
    search_seeds: opt.SearchSeeds = None,
    final_seeds: opt.FinalSeeds = None,
    epochs: opt.Epochs = None,
    tune: opt.Tune = None,
    sampler: opt.Sampler = None,
    scheduler: opt.Scheduler = None,
    seed: opt.Seed = None,
    address: opt.Address = None,
    cpus_per_trial: opt.Cpus = 1.0,
    gpus_per_trial: opt.Gpus = "0",
    max_concurrent: opt.MaxConcurrent = None,
    batch_seeds: opt.BatchSeeds = "auto",
    fuse: opt.Fuse = None,
    log_to: opt.LogTo = None,
    data_dir: opt.DataDir = None,
    load: opt.Load = None,
    warm_start: opt.WarmStart = None,
) -> None:
    """Tune and compare; continue what is there.

    Examples:\n
    tune-kmixup launch iris/mlp --trials 24 --final-seeds 20 --out runs/iris\n
    tune-kmixup launch cifar10/preact_resnet18 --address auto --gpus-per-trial 0.5 --out /shared/cifar10
    """
    load_plugins(load)
    execute(make_suite(locals()), out_dir, locals())


@app.command()
def resume(
    run_dir: opt.RunPath,
    trials: opt.Trials = None,
    final_seeds: opt.FinalSeeds = None,
    address: opt.Address = None,
    cpus_per_trial: opt.Cpus = 1.0,
    gpus_per_trial: opt.Gpus = "0",
    max_concurrent: opt.MaxConcurrent = None,
    batch_seeds: opt.BatchSeeds = "auto",
    fuse: opt.Fuse = None,
    log_to: opt.LogTo = None,
    data_dir: opt.DataDir = None,
    load: opt.Load = None,
) -> None:
    """Continue a run directory; larger budgets extend it.

    Example: tune-kmixup resume runs/iris --trials 48
    """
    suite = RunDir(run_dir).suite()
    trials = suite.trials if trials is None else trials
    final_seeds = suite.final_seeds if final_seeds is None else final_seeds
    execute(dataclasses.replace(suite, trials=trials, final_seeds=final_seeds), run_dir, locals())


@app.command()
def status(run_dir: opt.RunPath) -> None:
    """Show per study what is finished, running, failed and missing; also while a launch is running.

    Example: tune-kmixup status runs/iris
    """
    from tune_kmixup.cli.render import status_lines, status_table
    from tune_kmixup.store.status import launch_status

    found = launch_status(RunDir(run_dir))
    out.print(status_table(found))
    for line in status_lines(found, run_dir):
        out.print(line, soft_wrap=True)


@app.command()
def report(
    run_dirs: opt.RunDirs,
    out_dir: opt.ReportDir,
    format: opt.Format = None,
    metric: opt.Metric = "test_error",
    level: opt.Level = 0.95,
    compare: opt.Compare = None,
) -> None:
    """Write the comparison: report.html, tables (Markdown, LaTeX, CSV), figures, and the rows.

    Example: tune-kmixup report runs/iris runs/wine --out reports/tables --format html,tex
    """
    from tune_kmixup.analysis.load import load
    from tune_kmixup.cli.summary import show_comparison

    show_comparison(out, load(run_dirs), out_dir, tuple(",".join(format or ()).split(",")), level, metric, compare)


@app.command()
def export(run_dir: opt.RunPath, to: opt.To) -> None:
    """Write the searches as Optuna studies: tune-kmixup export runs/iris --to optuna.db."""
    from tune_kmixup.search.export import export

    studies, trials = export(RunDir(run_dir), to)
    out.print(f"{studies} studies, {trials} trials: {to}", soft_wrap=True)


@app.command()
def demo(
    out_dir: Annotated[Path, typer.Option("--out", help="Run directory.")] = Path("runs/demo"),
    gpus_per_trial: opt.Gpus = "0",
    data_dir: opt.DataDir = None,
) -> None:
    """Tune ERM, mixup and k-mixup on three real data sets, and show the table of gains.

    Example: tune-kmixup demo
    """
    from tune_kmixup.analysis.load import load
    from tune_kmixup.cli.summary import show_comparison

    options = {"names": ["demo"], "gpus_per_trial": gpus_per_trial, "data_dir": data_dir, "load": None}
    execute(make_suite(options), out_dir, options)
    show_comparison(out, load([out_dir]), out_dir / "report")


def data_folder(data_dir: Path | None) -> Path:
    from tune_kmixup.data.download import default_data_dir

    return data_dir or default_data_dir()


def load_plugins(load: list[Path] | None) -> "Plugins":
    from tune_kmixup.planning.plugins import Plugins

    found = Plugins.read(load or [])
    found.load()
    return found


def make_suite(options: dict[str, Any]) -> Suite:
    from tune_kmixup.planning.suite import build_suite, make_draft

    chosen = ("trials", "search_seeds", "final_seeds", "epochs", "tune", "sampler", "scheduler", "seed")
    given = {name: options.get(name) for name in chosen} | {"methods": options.get("method")}
    return build_suite(make_draft(options["names"] or [], given), data_folder(options["data_dir"]))


def execute(suite: Suite, out_dir: Path, options: dict[str, Any]) -> None:
    """Runs what is missing of a suite and says how it ended. Exits with 1 where a trial failed."""
    from tune_kmixup.cli.progress import ProgressDisplay
    from tune_kmixup.cli.render import ending_lines
    from tune_kmixup.planning.resources import Resources
    from tune_kmixup.planning.suite import check_continues, warm_start_values

    run = RunDir(out_dir)
    suite = check_continues(run, suite)
    first = warm_start_values(suite, run, RunDir(options["warm_start"])) if options.get("warm_start") else {}
    data_dir, resources, mine = data_folder(options["data_dir"]), Resources.of(options), load_plugins(options["load"])
    from tune_kmixup.store.lock import run_lock
    from tune_kmixup.tuning import launch

    with run_lock(run), ProgressDisplay(suite, out) as progress:
        done = launch.launch(suite, run, data_dir, resources, mine, progress, first, options.get("log_to") or ())
    if done is None:
        out.print(f"Nothing to do: every run in {out_dir} was finished before.", soft_wrap=True)
        return
    for line in ending_lines(done, out_dir):
        out.print(line, soft_wrap=True)
    if done.failures or done.disk_error or not done.finished:
        raise typer.Exit(1 if done.failures or done.disk_error else 130)
    out.print(f"Done: every run in {out_dir} is finished.", soft_wrap=True)


def check_search_spaces() -> None:
    """Refuses a folder of the user's that hides our package of the same name."""
    ours = Path(tune_kmixup.__path__[0]).parent / "search_spaces"
    spec = find_spec("search_spaces")
    theirs = Path(spec.origin).parent if spec and spec.origin else ours
    if theirs.resolve() != ours.resolve():
        raise BadInput(f"{theirs} hides the package search_spaces of tune-kmixup ({ours}): rename or move yours.")


def main() -> None:
    try:
        check_search_spaces()
        app()
    except BadInput as error:
        Console(stderr=True, highlight=False).print(f"error: {error}", soft_wrap=True, markup=False)
        sys.exit(2)
