"""How rows become inputs of a network, as plain numbers and words that a saved model holds; and rows of new files."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from tune_kmixup.core.checks import MOST, check_fields, shown
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.text import plural
from tune_kmixup.data import audio, images, npz
from tune_kmixup.data.arrays import channel_axis, find_new, letters, named_part, to_images
from tune_kmixup.data.labels import names_of, one_per_row
from tune_kmixup.data.npz import whole
from tune_kmixup.data.parts import TEST
from tune_kmixup.data.preprocess import Levels, TableScaling
from tune_kmixup.data.table_files import TableFile, read_table_file, typed_table
from tune_kmixup.data.tables import Form
from tune_kmixup.data.visible import visible_files

Transform = Callable[[Tensor], Tensor]
UNKNOWN, UNLABELLED = -1, -2  # in place of the number of a class
FILES = {"image": images.SUFFIXES, "recording": audio.WAV | audio.OTHERS}  # kind -> suffixes of its files
STORED = {"image": np.uint8, "recording": np.int16}  # kind -> type of its arrays; tables are of any numbers


@dataclass(frozen=True)
class Preprocessing:
    """How rows of a data set become inputs of a network.

    Attributes:
        kind: of the data.
        shape: of one row of the data set's arrays.
        classes: names of the classes, in the order of the logits.
        table: what was learned from the training rows of a table; None of others.
        columns: names of the columns of a user's own table; empty for arrays without names.
        levels: the values of each of these columns in the order of their numbers; none of a column of numbers.
        label: column of the classes in a user's own table.
        mean: of each channel of images, in units of [0, 1].
        std: standard deviation of each channel.
        resize: side of the squares that images are resized to, in pixels; 0 leaves them as they are.
        rate: samples per second of recordings; 0 for others.
        form: how the user has written values.

    Raises:
        BadInput: if a value is of another type, or does not fit the others.
    """

    kind: Literal["table", "image", "recording"]
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    table: TableScaling | None = None
    columns: tuple[str, ...] = ()
    levels: tuple[tuple[str, ...], ...] = ()
    label: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: int = 0
    rate: int = 0
    form: Form = field(default_factory=Form)

    def __post_init__(self) -> None:
        check_fields(self, resize=(0, 4096), rate=(0, MOST))
        channels = self.shape[0] if self.kind == "image" else 0
        columns = len(self.table.categorical) if self.table else 0
        axes = 3 if self.kind == "image" else 1
        fits = len(self.shape) == axes and len(self.mean) == len(self.std) == channels
        fits &= (self.kind == "recording") == (self.rate > 0)
        fits &= len(self.levels) == len(self.columns) and len(self.columns) in (0, columns)
        fits &= columns == (self.shape[0] if self.kind == "table" else 0)
        if not fits:
            raise BadInput(f"shape={self.shape} does not fit kind={self.kind!r}, or what was learned of it")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input of the network."""
        if self.kind == "recording":
            return audio.spectrogram_shape(self.shape[0], self.rate)
        return (self.table.inputs,) if self.table else self.shape

    def transforms(self, device: str | torch.device = "cpu") -> tuple[Transform, Transform]:
        """`decode` and `normalise` of `tensors.Data`, for rows on a device."""
        if self.kind == "recording":
            return audio.to_samples, partial(audio.spectrogram, rate=self.rate)
        if self.kind == "table":
            return lambda x: x, lambda u: u
        mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (self.mean, self.std))
        return lambda x: x.float() / 255, lambda u: (u - mean) / std


def from_json(raw: Mapping[str, Any]) -> Preprocessing:
    """Reads what `dataclasses.asdict` and JSON made of a Preprocessing.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: if it is none.
    """
    fields = {name: as_tuples(value) for name, value in raw.items()}
    fields["form"] = Form(**{name: as_tuples(value) for name, value in raw["form"].items()})
    if table := raw["table"]:
        learned = {name: as_tuples(value) for name, value in table.items()}
        learned["levels"] = tuple(
            Levels(**{name: as_tuples(value) for name, value in levels.items()}) for levels in table["levels"]
        )
        fields["table"] = TableScaling(**learned)
    return Preprocessing(**fields)


def as_tuples(value: Any) -> Any:
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class NewRows:
    """Rows to classify.

    Attributes:
        x: inputs of the network for tables, float32 N x inputs; others in the form of the data set's arrays.
        names: what tells each row from the others: its file, or its number from 1.
        y: the class of each row, UNKNOWN or UNLABELLED; None if there are no labels.
        warnings: what may be wrong, one line each.
        tested: whether they are the test rows of an .npz in parts.
    """

    x: NDArray[Any]
    names: tuple[str, ...]
    y: NDArray[np.int64] | None = None
    warnings: tuple[str, ...] = ()
    tested: bool = False


def read_rows(preprocessing: Preprocessing, given: Any) -> NewRows:
    """Reads rows of the kind that a model was trained on.

    Args:
        preprocessing: of the model.
        given: path of a table with its columns, or a DataFrame; for a model of images, path of an image or of a folder
            of them; for all models but those of columns, path of an .npz with `x`, or an array like it.

    Raises:
        BadInput: for anything that does not fit.
    """
    if not isinstance(given, str | Path):
        if isinstance(given, pd.DataFrame) and preprocessing.columns:
            return table_rows(preprocessing, "the DataFrame", typed_table("x", given, numbers(preprocessing)))
        if isinstance(given, pd.DataFrame) or preprocessing.columns:
            raise BadInput(f"x is a {type(given).__name__}: {wanted(preprocessing)}.")
        try:
            return array_rows(preprocessing, "x", np.asarray(given))
        except ValueError as error:
            raise BadInput(f"x is no array ({error}): {wanted(preprocessing)}.") from error
    path, form = Path(given), preprocessing.form
    if not path.exists():
        raise BadInput(f"path={str(given)!r} is not there: check its name and folder.")
    if preprocessing.columns and path.is_file() and path.suffix.lower() != ".npz":
        return table_rows(preprocessing, str(path), read_table_file(path, numbers(preprocessing), form.decimal_comma))
    if path.suffix.lower() == ".npz" and not preprocessing.columns:
        arrays = npz.open_npz(path)
        check_rate(preprocessing, path, arrays)
        x, y = find_new(str(path), arrays)
        rows = array_rows(preprocessing, f"{path}: {x}", whole(arrays[x]))
        rows = replace(rows, tested=named_part(x) == TEST)
        return labelled(preprocessing, path, y, rows, arrays[y]) if y else rows
    if preprocessing.kind in FILES and (path.is_dir() or path.suffix.lower() in FILES[preprocessing.kind]):
        return file_rows(preprocessing, path)
    raise BadInput(f"path={str(given)!r} is another kind of data: {wanted(preprocessing)}.")


def check_rate(preprocessing: Preprocessing, path: Path, arrays: Mapping[str, Any]) -> None:
    """Raises BadInput if an .npz says that its recordings have another rate."""
    key = next((key for key in arrays if letters(key) == "rate"), None)
    if preprocessing.kind != "recording" or key is None:
        return
    rates = whole(arrays[key]).ravel()
    if rates.dtype.kind not in "fiu" or (rates.astype(int) != preprocessing.rate).any():  # as training rounds it
        raise BadInput(
            f"{path} holds {key}={', '.join(map(str, rates[:3]))}, and the model was trained on {preprocessing.rate} "
            "samples per second: resample the recordings."
        )


def wanted(preprocessing: Preprocessing) -> str:
    """What the model takes, in words."""
    if preprocessing.columns:
        return "the model takes a table with the columns that it was trained on"
    size = " x ".join(map(str, preprocessing.shape))
    folder = f"a folder of {preprocessing.kind}s, or " if preprocessing.kind in FILES else ""
    return f"the model takes {folder}an .npz with rows of {size} values called x"


def numbers(preprocessing: Preprocessing) -> set[str]:
    """The names of the columns of numbers."""
    assert preprocessing.table
    named = zip(preprocessing.columns, preprocessing.table.categorical, strict=True)
    return {name for name, categorical in named if not categorical}


def table_rows(preprocessing: Preprocessing, location: str, file: TableFile) -> NewRows:
    """The rows of a table. Columns that the model does not use are ignored."""
    assert preprocessing.table
    cells = {column.name: column for column in file.columns}
    if missing := [name for name in preprocessing.columns if name not in cells]:
        listed = ", ".join(map(repr, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise BadInput(f"{location} lacks {plural(len(missing), 'column')} that the model was trained on: {listed}.")
    x, warnings = np.empty((file.rows, len(preprocessing.columns))), []
    for number, (name, levels) in enumerate(zip(preprocessing.columns, preprocessing.levels, strict=True)):
        column = cells[name]
        if not preprocessing.table.categorical[number]:
            if column.numbers is None:  # only dates are: `read_table_file` was told
                raise BadInput(f"column {name} of {location} is of dates, and the model was trained on numbers.")
            x[:, number] = column.numbers
            if column.odd:
                warnings.append(
                    f"column {name} holds {shown(column.odd[0])}, which is no number: it counts as missing."
                )
            continue
        x[:, number] = np.where(column.text == "", np.nan, level_numbers(levels, column.text))
        if len(unknown := pd.unique(column.text[x[:, number] == len(levels)])):
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            warnings.append(f"column {name} holds {shown(unknown[0])}{more}, unknown to the model: taken as rare.")
    y = None
    if label := cells.get(preprocessing.label):
        text = label.text
        if label.numbers is not None:  # as `tables.class_numbers` names them
            text = np.where(np.isnan(label.numbers), text, [f"{value:.15g}" for value in label.numbers])
        found = level_numbers(preprocessing.classes, text).astype(np.int64)
        y = np.where(found == len(preprocessing.classes), UNKNOWN, found)
        y[label.text == ""] = UNLABELLED
    return NewRows(preprocessing.table.transform(x), row_numbers(file.rows), y, tuple(warnings))


def level_numbers(levels: Iterable[str], text: NDArray[np.object_]) -> NDArray[np.float64]:
    """The number of each value among the levels, and one above the last for others.

    A value that is spelled otherwise, such as 1.0 for 1 or True for true, is taken for the only level that is alike.
    """
    known = {level: number for number, level in enumerate(levels)}
    alike: dict[str, set[int]] = {}
    for level, number in known.items():
        alike.setdefault(spelling(level), set()).add(number)
    found = {}
    for value in pd.unique(text):
        similar = alike.get(spelling(value), set())
        found[value] = known.get(value, min(similar) if len(similar) == 1 else len(known))
    return np.asarray([found[value] for value in text], np.float64)


def spelling(value: str) -> str:
    try:
        return value.lower() if "_" in value else f"{float(value):.15g}"  # Python reads 1_0 as 10
    except ValueError:
        return value.lower()


def row_numbers(rows: int) -> tuple[str, ...]:
    return tuple(map(str, range(1, rows + 1)))


def array_rows(preprocessing: Preprocessing, location: str, x: NDArray[Any]) -> NewRows:
    """The rows of an array in the form of the data set's own."""
    stored = STORED.get(preprocessing.kind)
    limits = preprocessing.form.image_range
    of_images = x.dtype == np.uint8 or (limits is not None and x.dtype.kind in "fiub")
    if preprocessing.kind == "image" and of_images and x.ndim > 2:
        x = as_images(location, x, preprocessing.shape, None if x.dtype == np.uint8 else limits)
    fits = x.dtype == stored if stored else x.dtype.kind in "fiub"
    if x.shape[1:] != preprocessing.shape or x.ndim < 2 or not len(x) or not fits:
        size = " x ".join(map(str, ("N", *preprocessing.shape)))
        kind = np.dtype(stored).name if stored else "numbers"
        raise BadInput(f"{location} is {x.dtype} of shape {x.shape}: the model takes {kind} {size}.")
    if preprocessing.table:
        imputed = any(preprocessing.table.indicators) or any(preprocessing.table.categorical)
        if np.isinf(x).any() or (np.isnan(x).any() and not imputed):
            raise BadInput(f"{location} holds NaN or infinity, which the model was not trained on: fill it in.")
        x = preprocessing.table.transform(x)
    return NewRows(x, row_numbers(len(x)))


def as_images(location: str, x: NDArray[Any], shape: tuple[int, ...], limits: tuple[int, ...] | None) -> NDArray[Any]:
    """Images in the layout and range of training as those of the data set; others as they are."""
    axis = channel_axis(location, x.shape) if x.shape[1:] != shape else 1
    if limits is None:
        return x if axis == 1 else to_images(x, axis, None)
    black, white = limits
    if not (np.isfinite(x).all() and black <= x.min() and x.max() <= white):
        raise BadInput(f"{location} has values outside {black} to {white}, the range of the images trained on.")
    return to_images(x, axis, (black, white))


def labelled(preprocessing: Preprocessing, path: Path, key: str, rows: NewRows, y: Any) -> NewRows:
    """Adds the labels of an .npz, written as those of training, or as the names of the classes."""
    values, _ = one_per_row(str(path), key, whole(y))
    if len(values) != len(rows.x):
        raise BadInput(f"{path}: {key} has {len(values)} rows, not {len(rows.x)}: store one label per row, or none.")
    classes = preprocessing.classes
    for names in (preprocessing.form.labels or classes, classes):
        found = level_numbers(names, names_of(values).astype(object)).astype(np.int64)
        if (found < len(classes)).any():
            break
    return replace(rows, y=np.where(found == len(classes), UNKNOWN, found))


def file_rows(preprocessing: Preprocessing, path: Path) -> NewRows:
    """An image or recording, or all of a folder and those below. Their classes are those of the folders around them."""
    root = path if path.is_dir() else path.parent
    suffixes = FILES[preprocessing.kind]
    paths = [file for file in visible_files(path) if file.suffix.lower() in suffixes] if path.is_dir() else [path]
    if not paths:
        raise BadInput(f"{path} holds no {preprocessing.kind}: name a folder of {preprocessing.kind}s.")
    x = read_pictures(preprocessing, paths) if preprocessing.kind == "image" else read_sounds(preprocessing, paths)
    names = [file.relative_to(root) for file in paths]
    return NewRows(x, tuple(name.as_posix() for name in names), folder_classes(preprocessing.classes, names))


def folder_classes(classes: tuple[str, ...], names: list[Path]) -> NDArray[np.int64]:
    """The class of each file, from the folders around it: UNLABELLED for all if no folder is called like a class."""
    y = np.full(len(names), UNLABELLED)
    for row, name in enumerate(names):
        if folders := name.parts[:-1]:
            found = level_numbers(classes, np.asarray(folders, object))
            known = found[found < len(classes)]
            y[row] = known[0] if len(known) else UNKNOWN
    return y if (y >= 0).any() else np.full(len(names), UNLABELLED)


def read_pictures(preprocessing: Preprocessing, paths: list[Path]) -> NDArray[np.uint8]:
    channels, height, width = preprocessing.shape
    if channels not in (1, 3):
        raise BadInput(f"path={str(paths[0])!r}: the model takes images of {channels} channels: name an .npz with x.")
    remedy = f"the model takes {width}x{height}: resize the images"
    x = images.read_images(paths, "L" if channels == 1 else "RGB", preprocessing.resize, remedy)
    if x.shape[1:] != preprocessing.shape:
        found = f"{x.shape[3]} x {x.shape[2]}"
        raise BadInput(f"{paths[0]} is {found} pixels, {remedy}.")
    return x


def read_sounds(preprocessing: Preprocessing, paths: list[Path]) -> NDArray[np.int16]:
    """Recordings at the rate and of the length that the model was trained on: resampled, padded or cut."""
    sounds = [audio.resample(samples, rate, preprocessing.rate) for rate, samples in map(audio.read_recording, paths)]
    return audio.of_one_length(sounds, preprocessing.shape[0])
