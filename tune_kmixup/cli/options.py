"""What may be typed after a command: types and help of the options."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import tune_kmixup
from tune_kmixup.core.errors import BadInput
from tune_kmixup.store.files import parse_location

# A folder, or s3://..., gs://... of an object store.
RUN: dict[str, Any] = {"parser": parse_location, "metavar": "DIR|URL"}


def no_ray_client(address: str | None) -> str | None:
    """Refuses Ray's client: a launch through it would write its results on the wrong machine."""
    if address is None or not address.startswith("ray://"):
        return address
    rest = shlex.join([*without_address(sys.argv[1:]), "--address", "auto"])
    host = address.removeprefix("ray://").partition(":")[0]
    raise BadInput(
        f"address={address!r} is Ray's client, which is not supported. Run the command on the cluster: "
        f"ray job submit --address http://{host}:8265 -- tune-kmixup {rest}"
    )


def without_address(arguments: Sequence[str]) -> Iterator[str]:
    """Arguments of a command without `--address` and its value."""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--address":
            next(rest, None)
        elif not argument.startswith("--address="):
            yield argument


def renamed(fuse: str | None) -> None:
    if fuse is not None:
        raise BadInput(f"fuse={fuse!r}: the option --fuse is called --batch-seeds now: use --batch-seeds {fuse}.")


def show_version(wanted: bool) -> None:
    if wanted:
        print(f"tune-kmixup {tune_kmixup.__version__}")
        raise typer.Exit


Names = Annotated[list[str] | None, typer.Argument(help="A suite, or tasks such as iris/mlp or iris/mlp@3.")]
Out = Annotated[Path, typer.Option("--out", help="Run directory; one that exists is continued.", **RUN)]
Method = Annotated[list[str] | None, typer.Option(help="Method to compare; repeat it. Default: erm, mixup, kmixup.")]
Trials = Annotated[int | None, typer.Option(help="Configurations tried per searched study.")]
SearchSeeds = Annotated[int | None, typer.Option(help="Runs per configuration, scored on validation data.")]
FinalSeeds = Annotated[int | None, typer.Option(help="Runs of the selected configuration, scored on test data.")]
Epochs = Annotated[int | None, typer.Option(help="Epochs of every run, in place of the recipes' own.")]
Tune = Annotated[list[str] | None, typer.Option(help="Recipe value (lr, weight_decay) freed for every method alike.")]
Sampler = Annotated[str | None, typer.Option(help="Search: tpe, random, qmc, gp, or grid (whose trials cannot grow).")]
Scheduler = Annotated[
    str | None, typer.Option(help="none, or asha: stops trials early; read docs/fairness.md first. Default: none.")
]
Seed = Annotated[int | None, typer.Option(help="Seed of the suite; runs and proposals derive theirs from it.")]
Address = Annotated[
    str | None, typer.Option(callback=no_ray_client, help="Ray cluster: auto or HOST:PORT. Default: this machine.")
]
Cpus = Annotated[float, typer.Option(help="CPUs of each trial; also its threads.")]
Gpus = Annotated[str, typer.Option(help="GPUs of each trial: a number, whose fraction shares one, or auto; 0: CPUs.")]
MaxConcurrent = Annotated[int | None, typer.Option(help="Trials at once, at most. Default: as many as fit.")]
BatchSeeds = Annotated[str, typer.Option(help="Train seeds together: auto (where measured to pay), on or off.")]
Fuse = Annotated[str | None, typer.Option(hidden=True, callback=renamed)]  # until 0.1
Version = Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")]
LogTo = Annotated[list[str] | None, typer.Option(help="Log trials also to tensorboard, mlflow or wandb; repeat it.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder of the data sets [$TUNE_KMIXUP_DATA, or the cache].")]
Load = Annotated[list[Path] | None, typer.Option(help="Python file with data sets, tasks or methods of yours.")]
RunDirs = Annotated[list[Path], typer.Argument(help="Run directories or reports; several are merged.", **RUN)]
ReportDir = Annotated[Path, typer.Option("--out", help="Folder of the report.")]
Format = Annotated[list[str] | None, typer.Option(help="html, md, tex, csv, or several with commas. Default: all.")]
Metric = Annotated[str, typer.Option(help="Metric of the first table: test_error, test_nll, test_brier or test_ece.")]
Level = Annotated[float, typer.Option(help="Confidence level of the intervals.")]
Compare = Annotated[Path | None, typer.Option(help="An earlier report: show what has changed since.")]
RunPath = Annotated[Path, typer.Argument(help="Run directory.", **RUN)]
To = Annotated[Path, typer.Option("--to", help="SQLite file to write; one that is there is refused.")]
WarmStart = Annotated[
    Path | None, typer.Option(help="Run directory whose selected configurations are tried first.", **RUN)
]
