"""The arguments and options of the commands: their types, help texts and defaults.

Options that belong together are one frozen dataclass, which `signatures` spells out for typer.
"""

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import typer

import tune_kmixup
from tune_kmixup.core.checks import shown
from tune_kmixup.core.config import Draft, Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.source import Source
from tune_kmixup.planning.resources import Resources
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
    """Reads a duration such as 90s, 15m or 2h. Returns seconds. Raises BadParameter for anything else."""
    units = {"s": 1, "m": 60, "h": 3600}
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if not found:
        raise typer.BadParameter(f"{shown(text)} is not a duration: choose one, e.g. 90s, 15m or 2h.")
    return float(found[1]) * units[found[2]]


def parse_gpus(text: str) -> float | Literal["auto"]:
    """Reads `--gpus-per-trial`. Raises BadInput if it is neither a number nor `auto`."""
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"gpus_per_trial={text!r} is neither a number nor auto: choose 0.5, or auto.") from None


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


def show_version(context: typer.Context, show: bool) -> None:
    if show and not context.resilient_parsing:  # shell completion parses the line too, and prints nothing but words
        print(f"tune-kmixup {tune_kmixup.__version__}")
        raise typer.Exit


def count(help: str) -> Any:
    """An option that takes a whole number."""
    return typer.Option(parser=whole, metavar="N", help=help)


def quantity(help: str, *names: str) -> Any:
    """An option that takes a number."""
    return typer.Option(*names, parser=number, metavar="X", help=help)


def column(help: str) -> Any:
    """An option that takes a column of a user's table."""
    return typer.Option(metavar="COLUMN", help=f"Column of your file {help}")


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
SaveModels = Annotated[
    bool | None,
    typer.Option("--save-models", help="Keep the weights of the final runs, for predict. Default: off, or as before."),
]
Gpus = Annotated[
    str,
    typer.Option(
        metavar="X",
        help="GPUs per trial: 0 trains on CPUs, a fraction shares a GPU, auto shares it by measured memory.",
    ),
]


@dataclass(frozen=True)
class DataOptions:
    """Where data sets lie, and files with tasks of the user's own."""

    panel: ClassVar = "Data sets"

    data_dir: DataDir = None
    load: Load = None


@dataclass(frozen=True)
class FileOptions:
    """How files that are named in place of tasks are read, and what trains on them."""

    panel: ClassVar = "Files of your own"

    label: Annotated[str | None, column("with the classes. Default: the one called label.")] = None
    drop: Annotated[list[str] | None, column("to leave out; repeatable.")] = None
    group: Annotated[
        str | None, column("whose equal values stay on one side of every split, e.g. a patient. Default: none.")
    ] = None
    categorical: Annotated[list[str] | None, column("to take as categories, whatever it looks like; repeatable.")] = (
        None
    )
    split: Annotated[
        str | None,
        column("that says train, validation or test in each row. Default: none, so that the suite splits the rows."),
    ] = None
    resize: Annotated[
        int | None,
        typer.Option(
            parser=whole,
            metavar="PIXELS",
            help="Side of the squares that the images of your folder are resized to. Default: as they are.",
        ),
    ] = None
    architecture: Annotated[
        str | None, typer.Option(metavar="NAME", help="Network for your file. Default: by the kind of the data.")
    ] = None

    def reading(self) -> Source:
        """How each file is read: a source whose path is still to be filled in."""
        return Source(
            path="",
            label=self.label or "",
            drop=tuple(self.drop or ()),
            group=self.group or "",
            categorical=tuple(self.categorical or ()),
            split=self.split or "",
            resize=self.resize or 0,
        )


@dataclass(frozen=True)
class RecipeOptions:
    """What replaces parts of every task's recipe, and its number of validation rows."""

    panel: ClassVar = "Recipe"

    epochs: Annotated[int | None, count("Epochs of every run. Default: those of each task's recipe.")] = None
    batch_size: Annotated[int | None, count("Rows per batch. Default: those of each task's recipe.")] = None
    lr: Annotated[float | None, quantity("Learning rate. Default: that of each task's recipe.", "--lr")] = None
    val_rows: Annotated[int | None, count("Validation rows of every task. Default: those of each task.")] = None


@dataclass(frozen=True)
class SearchOptions:
    """Methods, budgets and the search. What is not given keeps the value of the suite."""

    panel: ClassVar = "Methods, budgets and search"

    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Method to compare; repeatable. Default: erm, mixup, kmixup, or the suite's."
        ),
    ] = None
    trials: Annotated[
        int | None, count(f"Configurations tried per tuned study. Default: {DEFAULTS.trials}, or the suite's.")
    ] = None
    search_seeds: Annotated[
        int | None,
        count(f"Runs per configuration, scored on validation data. Default: {DEFAULTS.search_seeds}, or the suite's."),
    ] = None
    shortlist: Annotated[
        int | None,
        count(
            "Best configurations of the search that are compared again, on "
            f"{Suite.shortlist_seeds} more seeds each; 1: none. Default: {DEFAULTS.shortlist}, or the suite's."
        ),
    ] = None
    final_seeds: Annotated[
        int | None,
        count(
            f"Runs of the selected configuration, scored on test data. Default: {DEFAULTS.final_seeds}, or the suite's."
        ),
    ] = None
    repeats: Annotated[
        int | None,
        count(
            "Independent repeats of the whole procedure, of tasks whose splits share their test rows. "
            "Default: 10; 5 for GPUs."
        ),
    ] = None
    tune: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Tune lr or weight_decay too, for every method; repeatable. Default: neither, or the suite's.",
        ),
    ] = None
    sampler: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Search: tpe, random, qmc, gp or grid. A grid fixes --trials for good. "
            f"Default: {DEFAULTS.sampler}, or the suite's.",
        ),
    ] = None
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="none, or asha to stop poor trials early; read docs/fairness.md first. "
            f"Default: {DEFAULTS.scheduler}, or the suite's.",
        ),
    ] = None
    select_by: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Score on validation rows that is searched and selected by: error, nll or balanced_error (of uneven "
            f"classes). Default: {DEFAULTS.select_by}, or the suite's.",
        ),
    ] = None
    seed: Annotated[
        int | None,
        count(
            "Varies searches, initial weights and batches; training, validation and test rows stay the same. "
            f"Default: {DEFAULTS.seed}, or the suite's."
        ),
    ] = None
    curves: Annotated[
        bool | None,
        typer.Option(
            "--curves",
            help="Keep training loss and validation error after each epoch in rows, loggers and exports. Default: off.",
        ),
    ] = None
    save_models: SaveModels = None
    family: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLAIM=TASKS",
            help="Tasks that can decide a claim of the paper, 1 to 4, e.g. 3=iris/mlp,wine/mlp; repeatable. "
            "Default: all with the three methods, or the suite's.",
        ),
    ] = None


@dataclass(frozen=True)
class Experiment:
    """What `plan` and `launch` are about: all that a suite is made of."""

    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="A suite, or tasks: iris/mlp (all splits), iris/mlp@3 (one). See tune-kmixup tasks. "
            "Or data of your own: a CSV, TSV, Parquet or .npz file, a folder of images or WAVs.",
        ),
    ] = None
    files: FileOptions = FileOptions()
    search: SearchOptions = SearchOptions()
    recipe: RecipeOptions = RecipeOptions()
    data: DataOptions = DataOptions()


@dataclass(frozen=True)
class TrialOptions:
    """The resources of one trial."""

    panel: ClassVar = "Running"

    cpus_per_trial: Annotated[float, quantity("CPUs per trial; also its threads, rounded down.")] = 1.0
    gpus_per_trial: Gpus = "0"


@dataclass(frozen=True)
class RunOptions:
    """How trials are run. `Resources` says what of it may change a result."""

    panel: ClassVar = "Running"

    address: Annotated[
        str | None,
        typer.Option(
            callback=refuse_ray_client,
            metavar="ADDRESS",
            help="Ray cluster: auto (the one on this machine) or HOST:PORT. Default: a new Ray for this launch alone.",
        ),
    ] = None
    trial: TrialOptions = TrialOptions()
    max_concurrent: Annotated[int | None, count("Maximum number of trials at once. Default: as many as fit.")] = None
    wait: Annotated[
        float | None,
        typer.Option(
            parser=duration,
            metavar="TIME",
            help="How long a cluster without a node for a trial is waited for, e.g. 90s, 15m, 2h. "
            "Default: 15m where an autoscaler adds nodes, else 1m.",
        ),
    ] = None
    batch_seeds: Annotated[
        str, typer.Option(metavar="MODE", help="Train the seeds of a trial together: on, off, or auto (if faster).")
    ] = "auto"
    log_to: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Also log to tensorboard, mlflow or wandb; repeatable. Default: none."),
    ] = None

    def resources(self) -> Resources:
        """Raises BadInput if a value is out of range."""
        return Resources(
            self.address,
            self.trial.cpus_per_trial,
            parse_gpus(self.trial.gpus_per_trial),
            self.max_concurrent,
            self.wait,
            self.batch_seeds,  # type: ignore[arg-type]  # it checks itself
        )


Version = Annotated[
    bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
]
InspectName = Annotated[
    str,
    typer.Argument(
        metavar="PATH|TASK", help="Data of your own (CSV, TSV, Parquet, .npz, a folder of images or WAVs), or a task."
    ),
]
Out = Annotated[Path, typer.Option("--out", help=f"{RUN_DIR_HELP} An existing one is continued.", **RUN_DIR)]
DemoOut = Annotated[Path, typer.Option("--out", metavar="DIR", help="Run directory.", **LOCAL)]
LargerTrials = Annotated[int | None, count("Configurations tried per tuned study. Default: as before.")]
LargerFinalSeeds = Annotated[
    int | None, count("Runs of the selected configuration, scored on test data. Default: as before.")
]
LargerRepeats = Annotated[int | None, count("Repeats of tasks whose splits share their test rows. Default: as before.")]
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
    typer.Option(
        metavar="NAME",
        help="Metric of the first table: test_error, test_nll, test_brier, test_ece, test_balanced_error, "
        "test_macro_f1 or test_auroc.",
    ),
]
Level = Annotated[
    float | None,
    quantity("Confidence level of the intervals, between 0.5 and 1. Default: that of the claims."),
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
    typer.Option("--method", metavar="NAME", help="Method. Default: the best on validation rows."),
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
    typer.Option(
        "--json", help="Print one JSON object (docs/watching.md); with --watch one per line, at every change."
    ),
]
