"""A path in place of a task name: makes the task, with architecture and recipe by kind and size."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from search_spaces.suites import SUITES
from search_spaces.tasks import SMALL_IMAGES, SPOKEN, TASKS, fitted, table_recipe, task_entry
from tune_kmixup.core.checks import check_choice
from tune_kmixup.core.config import OUTER_FOLDS, Recipe
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.source import Source
from tune_kmixup.data.audio import spectrogram_shape
from tune_kmixup.data.download import load_arrays
from tune_kmixup.data.folders import RECORDINGS
from tune_kmixup.data.images import SUFFIXES
from tune_kmixup.data.parts import TRAIN, has_test_rows, row_arrays
from tune_kmixup.data.prepare import VAL_FOLDS
from tune_kmixup.data.table_files import COMPRESSED, DELIMITED, PARQUET
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.planning.plugins import register

FILES = (*DELIMITED, *PARQUET, ".npz")
COLUMNS = ("label", "drop", "group", "categorical", "split")  # options of tables


def is_path(name: str) -> bool:
    """Whether a name on the command line means a file: by its suffix, or because it exists and is no task or suite."""
    known = not name or name.partition("@")[0] in TASKS or name in SUITES
    return not known and (Path(name).suffix.lower() in (*FILES, *COMPRESSED) or os.path.exists(name))


def own_sources(names: Iterable[str], reading: Source, architecture: str | None = None) -> dict[str, Source]:
    """The files among the names of a command.

    Args:
        names: names of tasks or a suite, and paths.
        reading: how all files are read; its path is replaced.
        architecture: network for the files, if one was named.

    Returns:
        Path as it was typed -> its source.

    Raises:
        BadInput: if a path is no file of a known form, or there is an option for files and no file.
    """
    sources = {name: dataclasses.replace(reading, path=os.path.abspath(name)) for name in names if is_path(name)}
    given = {name: value for name in (*COLUMNS, "resize") if (value := getattr(reading, name))}
    named = given | ({"architecture": architecture} if architecture else {})
    if named and not sources:
        option, value = next(iter(named.items()))
        raise BadInput(f"{option}={value!r} belongs to a file of your own: name its path in place of a task.")
    by_name: dict[str, str] = {}
    for name, source in sources.items():
        check_file(name, Path(source.path))
        if (other := by_name.setdefault(source.name, source.path)) != source.path:
            raise BadInput(f"path={name!r} is called like {other}: rename one of them.")
        for option, value in given.items():
            if reason := misfit(option, Path(source.path)):
                raise BadInput(f"{option}={value!r} does not fit {name}: {reason}. Leave it out.")
    return sources


def misfit(option: str, path: Path) -> str:
    """Why an option does not fit a file; empty if it does."""
    if option == "resize":
        return "" if path.is_dir() else "it resizes a folder of images"
    if path.is_dir():
        return "a folder has no columns"
    return "an .npz has no columns" if path.suffix.lower() == ".npz" else ""


def check_file(name: str, path: Path) -> None:
    if not path.exists():
        raise BadInput(f"path={name!r} is not there: check its name and folder.")
    if path.is_dir():
        return
    suffix = next((part.lower() for part in reversed(path.suffixes) if part.lower() not in COMPRESSED), "")
    if suffix in SUFFIXES | RECORDINGS:
        raise BadInput(f"path={name!r} is a single example: name the folder that holds a folder per class.")
    if suffix not in (*FILES, ""):
        raise BadInput(f"path={name!r} ends in {suffix}, which is not read: save it as CSV, Parquet or .npz.")


def make_task(source: Source, architecture: str | None, data_dir: Path) -> str:
    """Registers a file as data set and task.

    Args:
        source: the file.
        architecture: key of ARCHITECTURES; None chooses one by the kind of the data.
        data_dir: folder of the data sets.

    Returns:
        The name of the task, e.g. `telco/mlp`.

    Raises:
        BadInput: if the file cannot be read or learned from, or its name belongs to another data set.
    """
    if architecture is not None:
        check_choice("architecture", architecture, ARCHITECTURES)
    register(source)
    arrays = load_arrays(source.name, data_dir)
    network, recipe = default_training(arrays)
    entry = task_entry(None if has_test_rows(arrays) else OUTER_FOLDS, source.name, architecture or network, recipe)
    TASKS.update(entry)
    return next(iter(entry))


def default_training(arrays: Mapping[str, Any]) -> tuple[str, Recipe]:
    """Architecture and recipe by the kind of the inputs and the number of training rows."""
    x, y = (arrays[name] for name in row_arrays(arrays))
    share = 1 - 1 / VAL_FOLDS["shared test"] if has_test_rows(arrays) else (1 - 1 / OUTER_FOLDS) ** 2
    rows = int((arrays["part"] == TRAIN).sum() if "part" in arrays else share * len(y))
    if "rate" not in arrays and x.ndim == 2:
        return "mlp", table_recipe(rows)
    sides = spectrogram_shape(x.shape[1], int(arrays["rate"]))[1:] if "rate" in arrays else x.shape[2:]
    recipe = SPOKEN if "rate" in arrays else SMALL_IMAGES
    return "lenet" if min(sides) >= 12 else "small_cnn", fitted(recipe, rows)


def with_tasks(
    names: Sequence[str], sources: Mapping[str, Source], architecture: str | None, data_dir: Path
) -> list[str]:
    """The names of a command, paths replaced by the names of their tasks."""
    return [make_task(sources[name], architecture, data_dir) if name in sources else name for name in names]
