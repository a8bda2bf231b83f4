"""The tables of docs/data.md: every data set and what repeats in it, every task, its size, and what it costs.

    python benchmarks/data.py [--data-dir DIR] [--train]

Data sets that are not at hand are listed with their published figures. With --train, one ERM run of each task that is
at hand and not meant for a GPU: test error of seed 0 in the first split, and seconds on one thread.
"""

import argparse
import platform
from pathlib import Path

import torch

from search_spaces.tasks import TASKS
from tune_kmixup.core.config import Task, Trial
from tune_kmixup.data.download import default_data_dir, fetch, needs_download
from tune_kmixup.data.prepare import duplicate_shares, prepare, train_rows
from tune_kmixup.data.registry import DATASETS
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.training.loop import train_to_end


def line(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(*cells: str) -> None:
    line(*cells)
    line(*("---" for _ in cells))


def data_sets(data_dir: Path) -> None:
    head("data set", "kind", "rows", "classes", "input", "tested on", "repeated rows", "source", "size", "licence")
    for name, found in DATASETS.items():
        rows = f"{found.rows:,}" + (f" + {found.test_rows:,}" if found.test_rows else "")
        split = "25 fresh sets" if found.generate else "official test set" if found.test_rows else "5 folds"
        size = found.size or "none"
        line(
            *(name, found.kind, rows, found.classes, " x ".join(map(str, found.shape)), split),
            *(repeats(name, data_dir), found.source, size, found.licence),
        )


def repeats(name: str, data_dir: Path) -> str:
    if needs_download(name, data_dir):
        return "not at hand"
    fetch(name, data_dir)
    shares = duplicate_shares(name, data_dir)
    if not shares:
        return "none"
    text = f"{shares['rows']:.2%}"
    if shares["irreducible"]:
        text += f", irreducible error {shares['irreducible']:.2%}"
    return text + (f", {shares['test in train']:.2%} of test rows" if shares.get("test in train") else "")


def tasks(data_dir: Path, train: bool) -> None:
    head("task", "splits", "training rows", "parameters", "epochs x batch", "error, ERM", "seconds")
    for name, splits in TASKS.items():
        task = splits[0]
        found = DATASETS[task.dataset]
        with torch.device("meta"):
            model = ARCHITECTURES[task.architecture](found.shape, found.classes)
        size = sum(p.numel() for p in model.parameters())
        recipe = task.recipe
        gpu = recipe.precision == "bfloat16"
        local_copy = train and not gpu and not needs_download(task.dataset, data_dir)
        error, seconds = one_run(task, data_dir) if local_copy else ("", "for a GPU" if gpu else "")
        rows = f"{train_rows(task, data_dir):,}"
        line(name, len(splits), rows, f"{size:,}", f"{recipe.epochs} x {recipe.batch_size}", error, seconds)


def one_run(task: Task, data_dir: Path) -> tuple[str, str]:
    fetch(task.dataset, data_dir)
    data = prepare(task, data_dir, test=True)
    (row,) = train_to_end(task, Trial(f"{task.name}/erm", 0, "final", {}, (0,)), data)
    return f"{row['test_error']:.2%}", f"{row['seconds']:.1f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=default_data_dir())
    parser.add_argument("--train", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, one thread, torch {torch.__version__}\n")
    data_sets(options.data_dir)
    print()
    tasks(options.data_dir, options.train)
