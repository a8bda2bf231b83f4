"""The tables of docs/data.md: every data set and its repeated rows, every task with its size and cost.

    python benchmarks/data.py [--data-dir DIR] [--train]

A data set that is not on disk is listed with its published figures. With `--train`, one ERM run of each task whose data
are on disk and that does not need a GPU: the test error of seed 0 in the first split, and seconds on one thread.
"""

import argparse
import platform
from pathlib import Path

import torch

from benchmarks.timing import print_header, print_row
from search_spaces.tasks import TASKS
from tune_kmixup.core.config import Task, Trial
from tune_kmixup.data.download import default_data_dir, fetch, needs_download
from tune_kmixup.data.prepare import count_rows, duplicate_shares, prepare
from tune_kmixup.data.registry import DATASETS
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.planning.suite import resolve_tasks
from tune_kmixup.training.loop import train_to_end


def print_data_sets(data_dir: Path) -> None:
    print_header(
        *("data set", "kind", "rows", "classes", "input", "tested on", "repeated rows", "source", "size", "licence")
    )
    for name, dataset in DATASETS.items():
        rows = f"{dataset.rows:,}" + (f" + {dataset.test_rows:,}" if dataset.test_rows else "")
        print_row(
            *(name, dataset.kind, rows, dataset.classes, " x ".join(map(str, dataset.shape)), tested_on(name)),
            *(repeated_rows(name, data_dir), dataset.source, dataset.size or "none", dataset.licence),
        )


def tested_on(name: str) -> str:
    dataset = DATASETS[name]
    if dataset.generate or dataset.test_rows:
        return "25 fresh sets" if dataset.generate else "official test set"
    holdouts = {splits[0].holdout for splits in TASKS.values() if splits[0].dataset == name}
    return " or ".join(["5 folds"] * (holdouts != {True}) + ["a holdout"] * (True in holdouts))


def repeated_rows(name: str, data_dir: Path) -> str:
    if needs_download(name, data_dir):
        return "not on disk"
    fetch(name, data_dir)
    shares = duplicate_shares(name, data_dir)
    if not shares:
        return "none"
    text = f"{shares['rows']:.2%}"
    if shares["irreducible"]:
        text += f", irreducible error {shares['irreducible']:.2%}"
    return text + (f", {shares['test in train']:.2%} of test rows" if shares.get("test in train") else "")


def print_tasks(data_dir: Path, train: bool) -> None:
    print_header("task", "outer splits", "training rows", "parameters", "epochs x batch", "error, ERM", "seconds")
    for name, splits in TASKS.items():
        task = splits[0]
        dataset = DATASETS[task.dataset]
        with torch.device("meta"):
            model = ARCHITECTURES[task.architecture](dataset.shape, dataset.classes)
        parameters = sum(p.numel() for p in model.parameters())
        recipe = task.recipe
        needs_gpu = recipe.precision == "bfloat16"
        trains = train and not needs_gpu and not needs_download(task.dataset, data_dir)
        error, seconds = train_erm(task, data_dir) if trains else ("", "for a GPU" if needs_gpu else "")
        rows = f"{count_rows(task, data_dir).train:,}"
        size = f"{recipe.epochs} x {recipe.batch_size}"
        print_row(name, len(resolve_tasks(name)), rows, f"{parameters:,}", size, error, seconds)


def train_erm(task: Task, data_dir: Path) -> tuple[str, str]:
    """Test error and seconds of one ERM run, as text."""
    fetch(task.dataset, data_dir)
    data = prepare(task, data_dir, test=True)
    (row,) = train_to_end(task, Trial(f"{task.name}/erm", 0, "final", {}, (0,)), data)
    return f"{row.test_error:.2%}", f"{row.seconds:.1f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=default_data_dir(), help="folder of the data sets")
    parser.add_argument("--train", action="store_true", help="also train one ERM run of each task")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, one thread, torch {torch.__version__}\n")
    print_data_sets(options.data_dir)
    print()
    print_tasks(options.data_dir, options.train)
