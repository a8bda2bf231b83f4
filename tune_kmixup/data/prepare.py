"""A task's data: the rows that it trains, validates and tests on, as tensors on the device."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tune_kmixup.core.config import OUTER_FOLDS, TOY_SETS, Task, derived_seed
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.source import Source
from tune_kmixup.core.text import plural
from tune_kmixup.data import audio, npz, splits, validation
from tune_kmixup.data.download import is_fetched, load_arrays, own_file, read_data
from tune_kmixup.data.inputs import Preprocessing
from tune_kmixup.data.parts import TEST, TRAIN, VAL, has_test_rows, row_arrays
from tune_kmixup.data.preprocess import learned_scaling, standard_scaling
from tune_kmixup.data.registry import DATASETS, TOY_ROWS, Dataset
from tune_kmixup.data.tables import Table
from tune_kmixup.data.tensors import Data, Part, channel_statistics

VAL_FOLDS = {"cross-validated": 5, "shared test": 10}  # one fold of the rows that are not test rows is for validation
HOLDOUT_FOLDS = 2  # one of them is the test part of a task with a holdout

RawPart = tuple[NDArray[Any], NDArray[np.int64]]  # x and y of one part, before they become tensors


def outer_splits(official: bool, toy: bool) -> tuple[int | None, ...]:
    """The values of `Task.outer_split` in TASKS: (None,) if the test set is official, where any repeat may be drawn."""
    if toy:
        return tuple(range(TOY_SETS))
    return (None,) if official else tuple(range(OUTER_FOLDS))


def check_split(task: Task, official: bool, toy: bool = False) -> None:
    if task.holdout and (official or toy):
        raise BadInput(
            f"holdout=True does not fit dataset={task.dataset!r}, which has test rows of its own: leave it out."
        )
    valid = outer_splits(official or task.holdout, toy)
    if valid != (None,) and task.outer_split not in valid:  # with an official test set, any number is that of a repeat
        raise BadInput(
            f"outer_split={task.outer_split} does not fit dataset={task.dataset!r}: choose 0 to {len(valid) - 1}."
        )


def checked_train_size(task: Task, available: int) -> int:
    """How many of the available rows are trained on. Raises BadInput if train_size or batch_size does not fit."""
    if task.train_size is not None and task.train_size > available:
        raise BadInput(f"train_size={task.train_size} does not fit {task.dataset!r}: choose 1 to {available}.")
    size = task.train_size or available
    if task.recipe.batch_size > size:
        raise BadInput(
            f"batch_size={task.recipe.batch_size} does not fit task={task.name!r} with {size} training rows: "
            f"choose batch_size ≤ {size}."
        )
    return size


class InputForm(NamedTuple):
    """What a network is given.

    Attributes:
        kind: of the rows, as in `inputs.Preprocessing`.
        shape: shape of one input.
        classes: number of classes.
    """

    kind: str
    shape: tuple[int, ...]
    classes: int


def input_form(task: Task, data_dir: Path) -> InputForm:
    """The form of a task's inputs. Its data set must have been fetched.

    Raises:
        BadInput: if it has not been fetched, or does not pass the checks.
    """
    dataset = DATASETS.get(task.dataset)
    if dataset is not None and dataset.generate:
        return InputForm("table", dataset.shape, dataset.classes)
    arrays = load_arrays(task.dataset, data_dir)
    if "categorical" in arrays:  # the number of inputs depends on the training rows
        data = prepare(task, data_dir, test=False)
        return InputForm("table", data.shape, data.classes)
    x_name, y_name = row_arrays(arrays)
    shape, classes = tuple(arrays[x_name].shape[1:]), int(arrays[y_name].max()) + 1
    if "rate" in arrays:
        return InputForm("recording", audio.spectrogram_shape(shape[0], int(arrays["rate"])), classes)
    return InputForm("image" if len(shape) == 3 else "table", shape, classes)


class RowCounts(NamedTuple):
    """Rows that a task trains and selects on, and those from which repeats draw the former.

    Attributes:
        train: training rows.
        val: validation rows.
        pool: rows from which each repeat draws its training rows; None where the outer splits are no repeats.
    """

    train: int
    val: int
    pool: int | None

    @property
    def overlap(self) -> float | None:
        """The expected share of a repeat's training rows that another repeat trains on too; None without repeats."""
        return None if self.pool is None else self.train / self.pool


def count_rows(task: Task, data_dir: Path) -> RowCounts:
    """Numbers of rows of a task. Reads no inputs of large data sets.

    The figures of DATASETS are used if the test set is official, or if the data set has not been fetched yet.
    The result can then be off by a few rows, because repeated rows stay in one part.

    Args:
        task: its data set, splits, `train_size` and batch size are used.
        data_dir: folder of the data sets.

    Returns:
        Numbers of rows, after `train_size` and `val_rows` are applied.

    Raises:
        BadInput: if outer_split, train_size, val_rows or batch_size does not fit the data set, or it is unknown.
    """
    dataset = DATASETS.get(task.dataset)
    if dataset is not None and dataset.generate:
        check_split(task, official=True, toy=True)
        check_fixed_val_rows(task, TOY_ROWS["val"])
        return RowCounts(checked_train_size(task, TOY_ROWS["train"]), TOY_ROWS["val"], None)
    if dataset is not None and (dataset.test_rows or not is_fetched(task.dataset, data_dir)):
        check_split(task, official=dataset.test_rows is not None)
        shared = dataset.test_rows is not None or task.holdout
        test = 0 if dataset.test_rows else dataset.rows // (HOLDOUT_FOLDS if task.holdout else OUTER_FOLDS)
        rest = dataset.rows - test
        if dataset.val_rows:
            check_fixed_val_rows(task, dataset.val_rows)
            train = rest - dataset.val_rows
            return RowCounts(checked_train_size(task, train), dataset.val_rows, train if shared else None)
        val = checked_val_rows(task, rest) or rest // VAL_FOLDS["shared test" if shared else "cross-validated"]
        train = rest - rest // (rest // val)  # what `validation_fold` leaves
        return RowCounts(checked_train_size(task, train), val, rest if shared else None)
    arrays = load_arrays(task.dataset, data_dir)
    rows = split_rows(task, arrays)
    return RowCounts(len(rows.train), len(rows.val), rows.pool)


def check_fixed_val_rows(task: Task, rows: int) -> None:
    if task.val_rows not in (None, rows):
        raise BadInput(
            f"val_rows={task.val_rows} does not fit {task.dataset!r}: its {rows:,} validation rows are fixed."
        )


def checked_val_rows(task: Task, available: int) -> int | None:
    """The number of validation rows that the task names. Raises BadInput if it leaves too few to train on."""
    if task.val_rows is not None and not 1 <= task.val_rows <= available // 2:
        raise BadInput(f"val_rows={task.val_rows} does not fit {task.dataset!r}: choose 1 to {available // 2}.")
    return task.val_rows


def row_groups(arrays: dict[str, Any], x_name: str) -> splits.IntArray:
    """The group of each row. Rows of one group stay together. Without an array `group`, equal rows are a group."""
    return arrays["group"] if "group" in arrays else splits.duplicate_groups(npz.iter_chunks(arrays[x_name]))


class RowNumbers(NamedTuple):
    """Which rows of a data set a task uses, by their numbers.

    Attributes:
        train: rows to train on.
        val: rows to select on.
        test: rows to test on; None if they are in arrays of their own (`x_test`).
        pool: number of rows from which each repeat draws its training rows; None where the outer splits are no repeats.
    """

    train: splits.IntArray
    val: splits.IntArray
    test: splits.IntArray | None
    pool: int | None


def split_rows(task: Task, arrays: dict[str, Any]) -> RowNumbers:
    """The rows that a task trains, validates and tests on.

    Folds depend on data set and outer split only, so test and validation rows do not depend on `train_size`. The
    training rows of a smaller `train_size` are a subset of those of a larger one.

    Args:
        task: its data set, outer split, holdout, `train_size` and `val_rows` are used.
        arrays: from `load_arrays`.

    Raises:
        BadInput: if outer_split, holdout, train_size, val_rows or batch_size does not fit the data set.
    """
    official = has_test_rows(arrays)
    check_split(task, official)
    x_name, y_name = row_arrays(arrays)
    y = arrays[y_name]
    test: splits.IntArray | None
    if "part" in arrays:
        train, val, test = (np.flatnonzero(arrays["part"] == part) for part in (TRAIN, VAL, TEST))
        check_fixed_val_rows(task, len(val))
        return RowNumbers(subsample(task, train, y), val, test, len(train))
    groups = row_groups(arrays, x_name)
    rest, test = (np.arange(len(y)), None) if official else test_fold(task, y, groups)
    shared = official or task.holdout
    folds = VAL_FOLDS["shared test" if shared else "cross-validated"]
    train, val = validation_fold(task, rest, y, groups, folds, shared and "group" in arrays)
    return RowNumbers(subsample(task, train, y), val, test, len(rest) if shared else None)


def test_fold(task: Task, y: splits.IntArray, groups: splits.IntArray) -> tuple[splits.IntArray, splits.IntArray]:
    """The rows that are not tested on, and those that are: one fold of few, which is always the same with a holdout."""
    folds, number = (HOLDOUT_FOLDS, 0) if task.holdout else (OUTER_FOLDS, task.outer_split)
    check_groups(task, groups, folds)
    numbers = splits.assign_folds(y, groups, folds, derived_seed(task.dataset, "outer"))
    return np.flatnonzero(numbers != number), np.flatnonzero(numbers == number)


def check_groups(task: Task, groups: splits.IntArray, least: int) -> None:
    """Raises BadInput if there are too few groups of rows for as many folds."""
    if (count := len(np.unique(groups))) < least:
        raise BadInput(
            f"dataset={task.dataset!r} has {plural(count, 'group')} of rows that stay together (equal rows, or those "
            f"of a group) for {least} parts: add rows of other groups, or group them more finely."
        )


def validation_fold(
    task: Task, rest: splits.IntArray, y: splits.IntArray, groups: splits.IntArray, folds: int, vary: bool
) -> tuple[splits.IntArray, splits.IntArray]:
    """The rows of `rest` to train on, and those to select on: one fold of `folds`, or `val_rows` of one.

    Rows of that fold beyond `val_rows` are not used. For `vary` see `splits.one_fold`.
    """
    val_rows = checked_val_rows(task, len(rest))
    check_groups(task, groups[rest], 2)
    seed = derived_seed(task.dataset, task.outer_split, "val")
    chosen = splits.one_fold(y[rest], groups[rest], folds, seed, vary)
    if val_rows and np.count_nonzero(chosen) != val_rows:  # a suite names the default number too
        chosen = splits.one_fold(y[rest], groups[rest], len(rest) // val_rows, seed, vary)
    train, val = rest[~chosen], rest[chosen]
    if val_rows and len(val) > val_rows:
        generator = np.random.default_rng(derived_seed(task.dataset, task.outer_split, "val_rows"))
        val = val[splits.stratified_sample(y[val], val_rows, generator)]
    return train, val


def prepare(task: Task, data_dir: Path, *, test: bool, device: str | torch.device = "cpu") -> Data:
    """A task's data on the device. The same task gives the same rows on every machine.

    Args:
        task: what to train; its data set must have been fetched.
        data_dir: folder of the data sets.
        test: whether to read the test rows too.
        device: where the tensors are put.

    Raises:
        BadInput: if the data set has not been fetched, does not pass the checks, or does not fit the task.
    """
    names = ["train", "val", "test"] if test else ["train", "val"]
    dataset = DATASETS.get(task.dataset)
    if dataset is not None and dataset.generate:
        raw_parts, preprocessing = synthetic_parts(task, dataset, names)
    else:
        raw_parts, preprocessing = stored_parts(task, data_dir, names, device)
    if preprocessing.table:
        raw_parts = {name: (preprocessing.table.transform(x), y) for name, (x, y) in raw_parts.items()}
    classes = len(preprocessing.classes)
    x, y = raw_parts["train"]
    raw_parts["train"] = (x, noisy_labels(task, y, classes))
    parts = {name: Part(*(torch.from_numpy(array).to(device) for array in raw)) for name, raw in raw_parts.items()}
    return Data(
        parts["train"],
        parts["val"],
        parts.get("test"),
        classes,
        preprocessing.input_shape,
        *preprocessing.transforms(device),
        preprocessing,
    )


RawParts = tuple[dict[str, RawPart], Preprocessing]  # before the latter is applied to tables


def synthetic_parts(task: Task, dataset: Dataset, names: list[str]) -> RawParts:
    """The named parts of a toy set, each drawn with its own seed."""
    assert dataset.generate is not None
    check_split(task, official=True, toy=True)
    seeds = {name: derived_seed(task.dataset, task.outer_split, name) for name in names}
    raw_parts = {name: dataset.generate(TOY_ROWS[name], np.random.default_rng(seeds[name])) for name in names}
    x, y = raw_parts["train"]
    rows = subsample(task, np.arange(len(y)), y)
    classes = tuple(map(str, range(dataset.classes)))
    preprocessing = Preprocessing("table", dataset.shape, classes, standard_scaling(x[rows]))
    return raw_parts | {"train": (x[rows], y[rows])}, preprocessing


def subsample(task: Task, train: splits.IntArray, y: splits.IntArray) -> splits.IntArray:
    """The rows of `train` that are trained on: all, or `train_size` of them, classes in proportion."""
    size = checked_train_size(task, len(train))
    if size == len(train):
        return train
    generator = np.random.default_rng(derived_seed(task.dataset, task.outer_split, "train_size"))
    return train[splits.stratified_sample(y[train], size, generator)]


def noisy_labels(task: Task, y: splits.IntArray, classes: int) -> splits.IntArray:
    """The labels to train on: a share of `label_noise` of them are of another class, all others equally likely."""
    count = round(task.label_noise * len(y))
    generator = np.random.default_rng(derived_seed(task.dataset, task.outer_split, "label_noise"))
    rows = generator.permutation(len(y))[:count]
    noisy = y.copy()
    noisy[rows] = (y[rows] + generator.integers(1, classes, count)) % classes
    return noisy


def stored_parts(task: Task, data_dir: Path, names: list[str], device: str | torch.device) -> RawParts:
    """The named parts of a stored data set."""
    read = read_data(task.dataset, data_dir)
    arrays = dict(read.arrays)
    raw_parts = {}
    numbers = split_rows(task, arrays)
    for name, rows in (("train", numbers.train), ("val", numbers.val), ("test", numbers.test)):
        if name in names:
            x_name, y_name = ("x_test", "y_test") if rows is None else row_arrays(arrays)
            rows = np.arange(len(arrays[y_name])) if rows is None else rows
            x = arrays[x_name][rows]
            validation.check_numbers(f"{task.dataset}: {x_name}", x, rows, arrays.get("categorical"))
            raw_parts[name] = (x, arrays[y_name][rows].astype(np.int64))
    return raw_parts, preprocessing_of(read, own_file(task.dataset, data_dir), raw_parts["train"][0], device)


def preprocessing_of(
    read: Table, source: Source | None, train: NDArray[Any], device: str | torch.device
) -> Preprocessing:
    """How rows of a stored data set become inputs.

    Args:
        read: the data set.
        source: the user's own file, if it is one.
        train: training rows in the form of the arrays.
        device: where images are counted.
    """
    arrays, shape = read.arrays, train.shape[1:]
    y = arrays[row_arrays(arrays)[1]]
    classes = tuple(map(str, arrays.get("classes", range(int(y.max()) + 1))))
    if "rate" in arrays:
        return Preprocessing("recording", shape, classes, rate=int(arrays["rate"]), form=read.form)
    if train.ndim == 4:
        resize = source.resize if source else 0
        mean, std = (tuple(values.tolist()) for values in channel_statistics(torch.from_numpy(train).to(device)))
        return Preprocessing("image", shape, classes, mean=mean, std=std, resize=resize, form=read.form)
    if "categorical" not in arrays:
        return Preprocessing("table", shape, classes, standard_scaling(train), form=read.form)
    learned = learned_scaling(train, arrays["categorical"])
    used = [column for column in read.columns if column.role in ("number", "category")]
    if not used:  # an .npz that says which columns are categories
        return Preprocessing("table", shape, classes, learned, form=read.form)
    names, levels = tuple(column.name for column in used), tuple(column.levels for column in used)
    label = next(column.name for column in read.columns if column.role == "label")
    return Preprocessing("table", shape, classes, learned, names, levels, label, form=read.form)


def duplicate_shares(name: str, data_dir: Path) -> dict[str, float]:
    """How repeated inputs affect a data set. Reads all of it.

    Args:
        name: name of the data set.
        data_dir: folder of the data sets.

    Returns:
        Shares in [0, 1]; empty for toy sets.

        - `rows`: rows whose inputs occur more than once.
        - `irreducible`: of the official test rows, or of all rows if there are none, those that are not of the most
          common class of their inputs: the error that no classifier of these inputs can avoid.
        - `test in train`: official test rows whose inputs also occur in the training part; only with `x_test`.

    Raises:
        BadInput: if the data set has not been fetched, or does not pass the checks.
    """
    dataset = DATASETS.get(name)
    if dataset is not None and dataset.generate:
        return {}
    arrays = load_arrays(name, data_dir)
    inputs = [arrays[x_name] for x_name in ("x", "x_train", "x_test") if x_name in arrays]
    groups = splits.duplicate_groups(chunk for x in inputs for chunk in npz.iter_chunks(x))
    y = np.concatenate([arrays[y_name] for y_name in ("y", "y_train", "y_test") if y_name in arrays])
    tested = np.ones(len(y), bool)
    if "x_test" in arrays:
        tested[: len(arrays["y_train"])] = False
    elif "part" in arrays:
        tested = np.asarray(arrays["part"]) == TEST
    pairs, counts = np.unique(np.stack([groups, y])[:, tested], axis=1, return_counts=True)
    majority = np.zeros(groups.max() + 1, np.int64)
    np.maximum.at(majority, pairs[0], counts)
    shares = {
        "rows": float((np.bincount(groups)[groups] > 1).mean()),
        "irreducible": 1 - float(majority.sum()) / float(tested.sum()),
    }
    if "x_test" in arrays:
        train = len(arrays["y_train"])
        shares["test in train"] = float(np.isin(groups[train:], groups[:train]).mean())
    return shares
