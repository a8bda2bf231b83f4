"""The arguments and options of the commands: their types and help texts."""

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import tune_kmixup
from tune_kmixup.core.checks import shown
from tune_kmixup.core.config import Draft
from tune_kmixup.core.errors import BadInput
from tune_kmixup.store.files import parse_location


def whole(text: str) -> int:
    """Reads a whole number. Raises BadParameter for anything else."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{shown(text)} is not a whole number: choose one, e.g. 10.") from None


def number(text: str) -> float:
    """Reads a number. Raises BadParameter for anything else."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{shown(text)} is not a number: choose one, e.g. 0.5.") from None


def duration(text: str) -> float:
    """Reads a duration in seconds. Raises BadParameter for anything else."""
    units = {"s": 1, "m": 60, "h": 3600}
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if not found:
        raise typer.BadParameter(f"{shown(text)} is not a duration: choose one, e.g. 90s, 15m or 2h.")
    return float(found[1]) * units[found[2]]


def location(text: str) -> Path:
    """Reads a path or URL. Raises BadParameter for a store that cannot be used."""
    try:
        return parse_location(text)
    except BadInput as error:
        raise typer.BadParameter(str(error)) from error


DEFAULTS = Draft("custom", ())  # of a suite made of tasks
# Paths are made absolute where they are typed: workers have other working directories.
RUN_DIR: dict[str, Any] = {"parser": location, "metavar": "DIR"}
LOCAL: dict[str, Any] = {"parser": lambda path: Path(path).absolute()}
RUN_DIR_HELP = "Run directory: a folder, or a URL s3://... or gs://..."


def refuse_ray_client(address: str | None) -> str | None:
    """Refuses an address of Ray's client: the launch would write its results on the wrong machine."""
    if address is None or not address.startswith("ray://"):
        return address
    arguments = shlex.join([*without_address(sys.argv[1:]), "--address", "auto"])
    host = address.removeprefix("ray://").partition(":")[0]
    raise BadInput(
        f"address={address!r} is Ray's client, which is not supported. Run the command on the cluster: "
        f"ray job submit --address http://{host}:8265 -- tune-kmixup {arguments}"
    )


def without_address(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments of a command without `--address` and its value."""
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--address":
            next(remaining, None)
        elif not argument.startswith("--address="):
            yield argument


def refuse_fuse(fuse: str | None) -> None:
    if fuse is not None:
        raise BadInput(f"fuse={fuse!r}: the option --fuse is called --batch-seeds now: use --batch-seeds {fuse}.")


def show_version(context: typer.Context, show: bool) -> None:
    if show and not context.resilient_parsing:  # shell completion parses the line too, and prints nothing but words
        print(f"tune-kmixup {tune_kmixup.__version__}")
        raise typer.Exit


Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME",
        help="A suite, or tasks: iris/mlp (all splits), iris/mlp@3 (one). See tune-kmixup tasks. "
        "Or data of your own: a CSV, TSV, Parquet or .npz file, or a folder of images.",
    ),
]
InspectName = Annotated[
    str,
    typer.Argument(
        metavar="PATH|TASK", help="Data of your own (CSV, TSV, Parquet, .npz, or a folder of images), or a task."
    ),
]
Label = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Your file's column of classes. Default: the one called label.")
]
Drop = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Column of your file to leave out; repeatable.")]
Group = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of your file whose equal values stay on one side of every split, e.g. a patient. Default: none.",
    ),
]
Categorical = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN", help="Column of your file to take as categories, whatever it looks like; repeatable."
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of your file that says train, validation or test in each row. Default: none, so that the suite "
        "splits the rows.",
    ),
]
Resize = Annotated[
    int | None,
    typer.Option(
        parser=whole,
        metavar="PIXELS",
        help="Side of the squares that the images of your folder are resized to. Default: as they are.",
    ),
]
Architecture = Annotated[
    str | None, typer.Option(metavar="NAME", help="Network for your file. Default: by the kind of the data.")
]
Out = Annotated[Path, typer.Option("--out", help=f"{RUN_DIR_HELP} An existing one is continued.", **RUN_DIR)]
DemoOut = Annotated[Path, typer.Option("--out", metavar="DIR", help="Run directory.", **LOCAL)]
Method = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Method to compare; repeatable. Default: erm, mixup, kmixup, or the suite's."),
]
Trials = Annotated[
    int | None,
    typer.Option(
        parser=whole,
        metavar="N",
        help=f"Configurations tried per tuned study. Default: {DEFAULTS.trials}, or the suite's.",
    ),
]
SearchSeeds = Annotated[
    int | None,
    typer.Option(
        parser=whole,
        metavar="N",
        help=f"Runs per configuration, scored on validation data. Default: {DEFAULTS.search_seeds}, or the suite's.",
    ),
]
FinalSeeds = Annotated[
    int | None,
    typer.Option(
        parser=whole,
        metavar="N",
        help="Runs of the selected configuration, scored on test data. "
        f"Default: {DEFAULTS.final_seeds}, or the suite's.",
    ),
]
Shortlist = Annotated[
    int | None,
    typer.Option(
        parser=whole,
        metavar="N",
        help="Best configurations of the search that are compared again, on 4 more seeds each; 1: none. "
        f"Default: {DEFAULTS.shortlist}, or the suite's.",
    ),
]
Repeats = Annotated[
    int | None,
    typer.Option(
        parser=whole,
        metavar="N",
        help="Independent repeats of the whole procedure, of tasks whose splits share their test rows. "
        "Default: 10; 5 for GPUs.",
    ),
]
Family = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLAIM=TASKS",
        help="Tasks that can decide a claim of the paper, 1 to 4, e.g. 3=iris/mlp,wine/mlp; repeatable. "
        "Default: all with the three methods, or the suite's.",
    ),
]
LargerRepeats = Annotated[
    int | None,
    typer.Option(
        parser=whole, metavar="N", help="Repeats of tasks whose splits share their test rows. Default: as before."
    ),
]
LargerTrials = Annotated[
    int | None,
    typer.Option(parser=whole, metavar="N", help="Configurations tried per tuned study. Default: as before."),
]
LargerFinalSeeds = Annotated[
    int | None,
    typer.Option(
        parser=whole, metavar="N", help="Runs of the selected configuration, scored on test data. Default: as before."
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(parser=whole, metavar="N", help="Epochs of every run. Default: those of each task's recipe."),
]
BatchSize = Annotated[
    int | None,
    typer.Option(parser=whole, metavar="N", help="Rows per batch. Default: those of each task's recipe."),
]
LearningRate = Annotated[
    float | None,
    typer.Option("--lr", parser=number, metavar="X", help="Learning rate. Default: that of each task's recipe."),
]
ValRows = Annotated[
    int | None,
    typer.Option(parser=whole, metavar="N", help="Validation rows of every task. Default: those of each task."),
]
Tune = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Tune lr or weight_decay too, for every method; repeatable. Default: neither, or the suite's.",
    ),
]
Sampler = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Search: tpe, random, qmc, gp or grid. A grid fixes --trials for good. "
        f"Default: {DEFAULTS.sampler}, or the suite's.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="none, or asha to stop poor trials early; read docs/fairness.md first. "
        f"Default: {DEFAULTS.scheduler}, or the suite's.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        parser=whole,
        metavar="N",
        help="Varies searches, initial weights and batches; training, validation and test rows stay the same. "
        f"Default: {DEFAULTS.seed}, or the suite's.",
    ),
]
Curves = Annotated[
    bool | None,
    typer.Option(
        "--curves",
        help="Keep training loss and validation error after each epoch in rows, loggers and exports. Default: off.",
    ),
]
SaveModels = Annotated[
    bool | None,
    typer.Option(
        "--save-models",
        help="Keep the weights of the final runs, for predict. Default: off, or as before.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        callback=refuse_ray_client,
        metavar="ADDRESS",
        help="Ray cluster: auto (the one on this machine) or HOST:PORT. Default: a new Ray for this launch alone.",
    ),
]
Cpus = Annotated[
    float, typer.Option(parser=number, metavar="X", help="CPUs per trial; also its threads, rounded down.")
]
Gpus = Annotated[
    str,
    typer.Option(
        metavar="X",
        help="GPUs per trial: 0 trains on CPUs, a fraction shares a GPU, auto shares it by measured memory.",
    ),
]
MaxConcurrent = Annotated[
    int | None,
    typer.Option(parser=whole, metavar="N", help="Maximum number of trials at once. Default: as many as fit."),
]
Wait = Annotated[
    float | None,
    typer.Option(
        parser=duration,
        metavar="TIME",
        help="How long a cluster without a node for a trial is waited for, e.g. 90s, 15m, 2h. "
        "Default: 15m where an autoscaler adds nodes, else 1m.",
    ),
]
BatchSeeds = Annotated[
    str, typer.Option(metavar="MODE", help="Train the seeds of a trial together: on, off, or auto (if faster).")
]
Fuse = Annotated[str | None, typer.Option(hidden=True, callback=refuse_fuse)]  # the name until 0.1
Version = Annotated[
    bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
]
LogTo = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Also log to tensorboard, mlflow or wandb; repeatable. Default: none."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder of the data sets. Default: $TUNE_KMIXUP_DATA, else ~/.cache/tune-kmixup.",
        **LOCAL,
    ),
]
Load = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Python file with your own data sets, networks, tasks or methods; repeatable. Default: none.",
        **LOCAL,
    ),
]
RunDirs = Annotated[
    list[Path],
    typer.Argument(
        help="Run directories (folders or URLs) and folders of earlier reports; they are merged.", **RUN_DIR
    ),
]
ReportDir = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the report.", **LOCAL)]
Format = Annotated[
    list[str] | None,
    typer.Option(metavar="NAMES", help="html, md, tex, csv, or several separated by commas. Default: all."),
]
Metric = Annotated[
    str,
    typer.Option(metavar="NAME", help="Metric of the first table: test_error, test_nll, test_brier or test_ece."),
]
Level = Annotated[
    float | None,
    typer.Option(
        parser=number,
        metavar="X",
        help="Confidence level of the intervals, between 0 and 1. Default: that of the claims.",
    ),
]
Compare = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of an earlier report to compare with. Default: none.", **LOCAL),
]
TaskName = Annotated[
    str | None, typer.Option("--task", metavar="NAME", help="One task, without its outer split. Default: all.")
]
MethodName = Annotated[str | None, typer.Option("--method", metavar="NAME", help="One method. Default: all.")]
NewData = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="New data of the kind that was trained on: a table with its columns, a folder of images, or an .npz with "
        "x.",
        **LOCAL,
    ),
]
TaskOfModel = Annotated[
    str | None, typer.Option("--task", metavar="NAME", help="Task, without its outer split. Default: the only one.")
]
MethodOfModel = Annotated[
    str | None,
    typer.Option("--method", metavar="NAME", help="Method. Default: the one with the lowest validation error."),
]
Predictions = Annotated[Path, typer.Option("--out", metavar="FILE", help="CSV to write.", **LOCAL)]
BestFormat = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="NAME",
        help="table, json, or python: a training script of one task and method to start from.",
    ),
]
RunPath = Annotated[Path, typer.Argument(help=RUN_DIR_HELP, **RUN_DIR)]
To = Annotated[
    str,
    typer.Option(
        "--to",
        parser=lambda text: text if "://" in text else str(Path(text).absolute()),
        metavar="FILE|URL",
        help="SQLite file to create, or URL of an Optuna storage.",
    ),
]
Splits = Annotated[bool, typer.Option("--splits", help="One line per outer split, instead of one per task and method.")]
Watch = Annotated[bool, typer.Option("--watch", help="Show every change until the launch has ended; Ctrl-C leaves.")]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object (docs/cluster.md); with --watch one per line, at every change."),
]
WarmStart = Annotated[
    Path | None,
    typer.Option(
        help="Earlier run directory, whose selected configurations are tried first. Default: none.", **RUN_DIR
    ),
]
