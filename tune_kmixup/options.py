"""What may be typed after a command: types and help of the options."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tune_kmixup.storage import place

# A folder, or s3://..., gs://... of an object store.
RUN: dict[str, Any] = {"parser": place, "metavar": "DIR|URL"}

Names = Annotated[list[str] | None, typer.Argument(help="A suite, or tasks such as iris/mlp or iris/mlp@3.")]
Out = Annotated[Path, typer.Option("--out", help="Run directory; one that is there is continued.", **RUN)]
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
Address = Annotated[str | None, typer.Option(help="Ray cluster: auto, HOST:PORT or ray://... Default: this machine.")]
Cpus = Annotated[float, typer.Option(help="CPUs of each trial; also its threads.")]
Gpus = Annotated[str, typer.Option(help="GPUs of each trial: a number, whose fraction shares one, or auto; 0: CPUs.")]
MaxConcurrent = Annotated[int | None, typer.Option(help="Trials at once, at most. Default: as many as fit.")]
Fuse = Annotated[str, typer.Option(help="Seeds trained together: auto (where measured to pay), on or off.")]
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
