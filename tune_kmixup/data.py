"""The data sets of the comparison, and a task's part of one as tensors on the device."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from tune_kmixup import sources, splits, toys
from tune_kmixup.augment import AUGMENTATIONS
from tune_kmixup.sources import Arrays, Dataset
from tune_kmixup.study import BadInput, Task, derived_seed

DATA_DIR = Path(os.environ.get("TUNE_KMIXUP_DATA") or Path.home() / ".cache" / "tune-kmixup")
FOLDS = 5  # of the outer cross-validation
TOY_SETS = 25  # fresh data sets of a toy task
TOY_ROWS = {"train": 200, "val": 200, "test": 2000}

BUNDLED = "ships inside scikit-learn"
UCI = "CC BY 4.0 (UCI)"


def toy(generate: Callable[[int, np.random.Generator], toys.Rows], columns: int) -> Dataset:
    rows = TOY_ROWS["train"] + TOY_ROWS["val"]
    return Dataset("toy", rows, TOY_ROWS["test"], 2, (columns,), "generated", "none needed", generate=generate)


DATASETS: dict[str, Dataset] = {
    "one_ring": toy(toys.one_ring, 2),
    "four_bars": toy(toys.four_bars, 2),
    "swiss_roll": toy(toys.swiss_roll, 3),
    "two_spirals": toy(toys.two_spirals, 2),
    "iris": Dataset("table", 150, None, 3, (4,), BUNDLED, UCI, load=sources.bundled("iris")),
    "wine": Dataset("table", 178, None, 3, (13,), BUNDLED, UCI, load=sources.bundled("wine")),
    "breast_cancer": Dataset("table", 569, None, 2, (30,), BUNDLED, UCI, load=sources.bundled("breast_cancer")),
    "digits": Dataset("image", 1797, None, 10, (1, 8, 8), BUNDLED, UCI, load=sources.digits),
}


class Part(NamedTuple):
    """Rows in their stored form (uint8 images, standardised float32 tables, int16 waveforms), and their classes."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Data:
    """One task's data on the device. `test` is None during search: test rows are not even loaded."""

    train: Part
    val: Part
    test: Part | None
    classes: int
    shape: tuple[int, ...]  # of one input of the network
    decode: Callable[[Tensor], Tensor]  # stored form -> natural units: images in [0, 1], tables standardised
    normalise: Callable[[Tensor], Tensor]  # natural units -> input of the network, float32
    augment: Callable[[Tensor, Generator], Tensor] | None  # stored form -> stored form

    def inputs(self, x: Tensor) -> Tensor:
        """Rows in their stored form -> inputs of the network."""
        return self.normalise(self.decode(x))


def splits_of(dataset: str) -> tuple[int | None, ...]:
    """The outer splits of a data set: None alone where the test set is official."""
    found = DATASETS.get(dataset)
    if found is not None and found.generate:
        return tuple(range(TOY_SETS))
    return (None,) if found is not None and found.test_rows else tuple(range(FOLDS))


def missing(dataset: str, data_dir: Path) -> str | None:
    """What would have to be downloaded before training, with its size; None if it is at hand."""
    if (data_dir / f"{dataset}.npz").exists() or (dataset in DATASETS and not DATASETS[dataset].size):
        return None
    if dataset not in DATASETS:
        raise BadInput(
            f"dataset={dataset!r} is unknown and {data_dir / dataset}.npz does not exist: "
            f"put it there, or choose among {', '.join(DATASETS)}."
        )
    return f"{dataset}: {DATASETS[dataset].size} from {DATASETS[dataset].source}"


def fetch(dataset: str, data_dir: Path) -> None:
    """Downloads a data set unless it is at hand."""
    if what := missing(dataset, data_dir):
        raise BadInput(f"{what} cannot be downloaded yet.")


def arrays_of(dataset: str, data_dir: Path) -> Arrays:
    path = data_dir / f"{dataset}.npz"
    if path.exists():
        return sources.read(path)
    if (what := missing(dataset, data_dir)) is not None:
        raise BadInput(f"{path} is not there ({what}): run fetch first, or put the file there.")
    load = DATASETS[dataset].load
    assert load is not None
    return load(data_dir)


def cut(task: Task, arrays: Arrays) -> tuple[splits.Index, splits.Index, splits.Index | None]:
    """Row numbers of train, val and, where there is no official test set, test.

    The folds depend on data set and outer split alone, so the test rows are the same whatever `train_size` is.
    """
    official = "x_train" in arrays
    x, y = (arrays["x_train"], arrays["y_train"]) if official else (arrays["x"], arrays["y"])
    groups = arrays.get("group")
    groups = splits.repeats(x) if groups is None else groups
    rest, test = np.arange(len(y)), None
    if not official:
        outer = splits.fold_of(y, groups, FOLDS, derived_seed(task.dataset, "outer")) == task.outer_split
        rest, test = np.flatnonzero(~outer), np.flatnonzero(outer)
    inner = splits.fold_of(y[rest], groups[rest], 10 if official else 5, derived_seed(task.dataset, task.outer_split))
    train, val = rest[inner != 0], rest[inner == 0]
    if task.train_size is not None:
        generator = np.random.default_rng(derived_seed(task.dataset, task.outer_split, "train_size"))
        train = train[splits.first_rows(y[train], task.train_size, generator)]
    return train, val, test


def check_split(task: Task) -> None:
    valid = splits_of(task.dataset)
    if task.outer_split not in valid:
        rule = "None: its test set is official" if valid == (None,) else f"0 to {len(valid) - 1}"
        raise BadInput(f"outer_split={task.outer_split} does not fit dataset={task.dataset!r}: choose {rule}.")


def train_rows(task: Task, data_dir: Path) -> int:
    """Number of rows that a task trains on. Raises BadInput where train_size or batch_size do not fit."""
    check_split(task)
    found = DATASETS.get(task.dataset)
    if found is not None and found.generate:
        rows = TOY_ROWS["train"]
    else:
        total = found.rows if found is not None else len(arrays_of(task.dataset, data_dir)["y"])
        if found is None or not found.test_rows:
            total -= round(total / FOLDS)
            rows = total - round(total / 5)
        else:
            rows = total - round(total / 10)
    if task.train_size is not None and not 1 <= task.train_size <= rows:
        raise BadInput(f"train_size={task.train_size} does not fit {task.dataset!r}: choose 1 to {rows} rows.")
    rows = task.train_size or rows
    if task.recipe.batch_size > rows:
        raise BadInput(
            f"batch_size={task.recipe.batch_size} does not fit {rows} training rows of task={task.name!r}: "
            "choose a smaller one."
        )
    return rows


def prepare(task: Task, data_dir: Path, *, test: bool, device: str | torch.device = "cpu") -> Data:
    """A task's data on the device; with `test`, the test rows too. Same task, same rows, on every machine."""
    rows = train_rows(task, data_dir)
    found = DATASETS.get(task.dataset)
    names = ["train", "val", "test"] if test else ["train", "val"]
    if found is not None and found.generate:
        seeds = {name: derived_seed(task.dataset, task.outer_split, name) for name in names}
        sizes = TOY_ROWS | {"train": rows}
        raw = {name: found.generate(sizes[name], np.random.default_rng(seeds[name])) for name in names}
        classes = found.classes
    else:
        arrays = arrays_of(task.dataset, data_dir)
        parts = dict(zip(("train", "val", "test"), cut(task, arrays), strict=True))
        stem = "_train" if "x_train" in arrays else ""
        raw = {
            name: (arrays[f"x{stem}"][parts[name]], arrays[f"y{stem}"][parts[name]])
            for name in names
            if parts[name] is not None
        }
        if test and "x_test" in arrays:
            raw["test"] = arrays["x_test"], arrays["y_test"]
        classes = int(arrays[f"y{stem}"].max()) + 1
    if raw["train"][0].dtype != np.uint8:
        mean, std = raw["train"][0].mean(0, dtype=np.float64), raw["train"][0].std(0, dtype=np.float64)
        std[std == 0] = 1
        raw = {name: (((x - mean) / std).astype(np.float32), y) for name, (x, y) in raw.items()}
    tensors = {
        name: Part(*(torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in pair)) for name, pair in raw.items()
    }
    train = tensors["train"]
    decode, normalise = forms(train.x)
    augment = AUGMENTATIONS[task.recipe.augment]
    return Data(
        train, tensors["val"], tensors.get("test"), classes, tuple(train.x.shape[1:]), decode, normalise, augment
    )


def forms(train: Tensor) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """`decode` and `normalise` of images or tables, with the statistics of the training part."""
    if train.dtype != torch.uint8:
        return lambda x: x, lambda u: u
    values = torch.arange(256, dtype=torch.float64) / 255
    counts = torch.stack([torch.bincount(channel.flatten().long(), minlength=256) for channel in train.unbind(1)]).cpu()
    share = counts.double() / counts.sum(1, keepdim=True)
    mean = share @ values
    std = (share @ values.square() - mean.square()).clamp_min(0).sqrt()
    std[std < 1e-6] = 1
    mean, std = (t.float().to(train.device)[:, None, None] for t in (mean, std))
    return lambda x: x.float() / 255, lambda u: (u - mean) / std
