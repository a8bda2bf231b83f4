"""A task's data: which rows it trains, selects and tests on, as tensors that live on the device."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from tune_kmixup.core.config import Task, derived_seed
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data import audio, npz, splits, validation
from tune_kmixup.data.augment import AUGMENTATIONS
from tune_kmixup.data.download import load_arrays, needs_download
from tune_kmixup.data.registry import DATASETS, TOY_ROWS, Dataset

OUTER_FOLDS = 5  # of the cross-validation, where there is no official test set
VAL_SHARE = {"cross-validated": 5, "official": 10}  # one n-th of what is not tested on is selected on
TOY_SETS = 25  # fresh data sets of a toy task
PIECE = 2**26  # values handled at once, so that statistics of a large data set need no second copy of it

Rows = tuple[NDArray[Any], NDArray[np.int64]]


class Part(NamedTuple):
    """Rows in their stored form (uint8 images, standardised float32 tables, int16 recordings), and their classes."""

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
    decode: Callable[[Tensor], Tensor]  # stored form -> images in [0, 1], tables as they are, samples in [-1, 1]
    normalise: Callable[[Tensor], Tensor]  # what `decode` gives -> input of the network, float32
    augment: Callable[[Tensor, Generator], Tensor] | None  # stored form -> stored form

    def inputs(self, x: Tensor) -> Tensor:
        """Rows in their stored form -> inputs of the network."""
        return self.normalise(self.decode(x))


def outer_splits(official: bool, toy: bool) -> tuple[int | None, ...]:
    if toy:
        return tuple(range(TOY_SETS))
    return (None,) if official else tuple(range(OUTER_FOLDS))


def check_split(task: Task, official: bool, toy: bool = False) -> None:
    valid = outer_splits(official, toy)
    if task.outer_split not in valid:
        rule = "None, for its test set is official" if valid == (None,) else f"0 to {len(valid) - 1}"
        raise BadInput(f"outer_split={task.outer_split} does not fit dataset={task.dataset!r}: choose {rule}.")


def check_rows(task: Task, rows: int) -> int:
    """Rows trained on, of `rows` that there are. Raises BadInput where train_size or batch_size do not fit."""
    if task.train_size is not None and not 1 <= task.train_size <= rows:
        raise BadInput(f"train_size={task.train_size} does not fit {task.dataset!r}: choose 1 to {rows}.")
    used = task.train_size or rows
    if task.recipe.batch_size > used:
        raise BadInput(
            f"batch_size={task.recipe.batch_size} does not fit task={task.name!r} with {used} training rows: "
            f"choose batch_size ≤ {used}."
        )
    return used


def train_rows(task: Task, data_dir: Path) -> int:
    """Number of rows that a task trains on; no inputs of large data sets are read for it.

    Taken from the known figures where the test set is official or the data are not yet at hand: exact then but for
    repeated rows, which move between parts together.
    Raises BadInput where outer_split, train_size or batch_size do not fit the data set.
    """
    found = DATASETS.get(task.dataset)
    if found is not None and found.generate:
        check_split(task, official=True, toy=True)
        return check_rows(task, TOY_ROWS["train"])
    if found is not None and (found.test_rows or needs_download(task.dataset, data_dir)):
        check_split(task, official=found.test_rows is not None)
        rest = found.rows if found.test_rows else found.rows - found.rows // OUTER_FOLDS
        share = VAL_SHARE["official" if found.test_rows else "cross-validated"]
        return check_rows(task, rest - (found.val_rows or rest // share))
    train, _, _ = split_rows(task, load_arrays(task.dataset, data_dir))
    return len(train)


def row_groups(arrays: dict[str, Any], x: str) -> splits.Index:
    """Numbers of the rows that must stay together: those of one group, or else equal rows."""
    return arrays["group"] if "group" in arrays else splits.duplicate_groups(npz.chunks(arrays[x]))


def split_rows(task: Task, arrays: dict[str, Any]) -> tuple[splits.Index, splits.Index, splits.Index | None]:
    """Row numbers of train, val and, where there is no official test set, test.

    Folds depend on data set and outer split alone, so test and validation rows are the same whatever `train_size`
    is; a smaller `train_size` trains on a part of the rows of a larger one.
    """
    official = "x_train" in arrays or "part" in arrays
    check_split(task, official)
    y = arrays["y_train"] if "x_train" in arrays else arrays["y"]
    test: splits.Index | None
    if "part" in arrays:
        train, val, test = (np.flatnonzero(arrays["part"] == part) for part in (audio.TRAIN, audio.VAL, audio.TEST))
    else:
        groups = row_groups(arrays, "x_train" if official else "x")
        rest, test = np.arange(len(y)), None
        if not official:
            tested = (
                splits.assign_folds(y, groups, OUTER_FOLDS, derived_seed(task.dataset, "outer")) == task.outer_split
            )
            rest, test = np.flatnonzero(~tested), np.flatnonzero(tested)
        share = VAL_SHARE["official" if official else "cross-validated"]
        inner = splits.assign_folds(y[rest], groups[rest], share, derived_seed(task.dataset, task.outer_split, "val"))
        train, val = rest[inner != 0], rest[inner == 0]
    return subsample(task, train, y), val, test


def prepare(task: Task, data_dir: Path, *, test: bool, device: str | torch.device = "cpu") -> Data:
    """A task's data on the device; with `test`, the test rows too. Same task, same rows, on every machine.

    Raises BadInput where the data are not at hand, are bad, or do not fit the task.
    """
    names = ["train", "val", "test"] if test else ["train", "val"]
    found = DATASETS.get(task.dataset)
    if found is not None and found.generate:
        raw, classes = synthetic_parts(task, found, names), found.classes
    else:
        raw, classes = stored_parts(task, data_dir, names)
    raw = standardised(raw) if raw["train"][0].dtype.kind == "f" else raw
    parts = {name: Part(*(torch.from_numpy(array).to(device) for array in pair)) for name, pair in raw.items()}
    decode, normalise, shape = input_transforms(parts["train"].x)
    augment = AUGMENTATIONS[task.recipe.augment]
    return Data(parts["train"], parts["val"], parts.get("test"), classes, shape, decode, normalise, augment)


def synthetic_parts(task: Task, found: Dataset, names: list[str]) -> dict[str, Rows]:
    """The parts of a toy set, each drawn with a seed of its own."""
    assert found.generate is not None
    check_split(task, official=True, toy=True)
    seeds = {name: derived_seed(task.dataset, task.outer_split, name) for name in names}
    raw = {name: found.generate(TOY_ROWS[name], np.random.default_rng(seeds[name])) for name in names}
    x, y = raw["train"]
    rows = subsample(task, np.arange(len(y)), y)
    return raw | {"train": (x[rows], y[rows])}


def subsample(task: Task, train: splits.Index, y: splits.Index) -> splits.Index:
    """The rows of `train` that are trained on: all, or `train_size` of them, every class in proportion."""
    used = check_rows(task, len(train))
    if used == len(train):
        return train
    generator = np.random.default_rng(derived_seed(task.dataset, task.outer_split, "train_size"))
    return train[splits.stratified_sample(y[train], used, generator)]


def stored_parts(task: Task, data_dir: Path, names: list[str]) -> tuple[dict[str, Rows], int]:
    """The parts of a stored data set, and its number of classes."""
    arrays = load_arrays(task.dataset, data_dir)
    stem = "_train" if "x_train" in arrays else ""
    y = arrays[f"y{stem}"]
    raw = {}
    for name, rows in zip(("train", "val", "test"), split_rows(task, arrays), strict=True):
        if name in names:
            where, labels = (f"x{stem}", y) if rows is not None else ("x_test", arrays["y_test"])
            rows = np.arange(len(labels)) if rows is None else rows
            x = arrays[where][rows]
            validation.check_finite(f"{task.dataset}: {where}", x, rows)
            keep = (x.dtype == np.uint8 and x.ndim == 4) or "rate" in arrays
            raw[name] = (x if keep else x.astype(np.float32), labels[rows].astype(np.int64))
    return raw, int(y.max()) + 1


def standardised(raw: dict[str, Rows]) -> dict[str, Rows]:
    """Columns at mean 0 and standard deviation 1 over the training part; constant ones become 0 there."""
    train = raw["train"][0].astype(np.float64)
    mean, std = train.mean(0), train.std(0)
    std[std <= 1e-12 * np.abs(mean)] = 1
    return {name: (((x - mean) / std).astype(np.float32), y) for name, (x, y) in raw.items()}


def input_transforms(train: Tensor) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], tuple[int, ...]]:
    """`decode` and `normalise` of a stored training part, and the shape of one input of the network."""
    shape = tuple(train.shape[1:])
    if train.dtype == torch.int16:
        return audio.waves, audio.spectrogram, audio.shape(train.shape[1])
    if train.dtype != torch.uint8:
        return lambda x: x, lambda u: u, shape
    mean, std = (t[:, None, None] for t in channel_statistics(train))
    return lambda x: x.float() / 255, lambda u: (u - mean) / std, shape


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel in units of [0, 1]; 1 for the deviation of a constant channel."""
    counts = torch.zeros(images.shape[1], 256, dtype=torch.float64)
    for piece in torch.split(images, max(1, PIECE // images[0].numel())):
        for channel, values in enumerate(piece.unbind(1)):
            counts[channel] += torch.bincount(values.flatten().int(), minlength=256).cpu()
    share = counts / counts.sum(1, keepdim=True)
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = share @ levels
    std = (share @ levels.square() - mean.square()).clamp_min(0).sqrt()
    std[std < 1e-6] = 1
    return mean.float().to(images.device), std.float().to(images.device)


def duplicate_shares(dataset: str, data_dir: Path) -> dict[str, float]:
    """What repeated inputs do to a data set: shares of its rows. Reads all of it; empty for toy sets.

    `rows`: those whose inputs occur more than once. `irreducible`: those not of the commonest class of their inputs,
    that is the error that no classifier of these inputs can avoid. `test in train`: official test rows whose inputs
    are among those of the training part.
    """
    found = DATASETS.get(dataset)
    if found is not None and found.generate:
        return {}
    arrays = load_arrays(dataset, data_dir)
    inputs = [arrays[name] for name in ("x", "x_train", "x_test") if name in arrays]
    numbers = splits.duplicate_groups(piece for x in inputs for piece in npz.chunks(x))
    y = np.concatenate([arrays[name] for name in ("y", "y_train", "y_test") if name in arrays])
    pairs, counts = np.unique(np.stack([numbers, y]), axis=1, return_counts=True)
    commonest = np.zeros(numbers.max() + 1, np.int64)
    np.maximum.at(commonest, pairs[0], counts)
    shares = {
        "rows": float((np.bincount(numbers)[numbers] > 1).mean()),
        "irreducible": 1 - float(commonest.sum()) / len(y),
    }
    if "x_test" in arrays:
        train = len(arrays["y_train"])
        shares["test in train"] = float(np.isin(numbers[train:], numbers[:train]).mean())
    return shares
