"""A user's own arrays, in the names, layouts and types that people store, as the arrays of a data set.

Arrays that have the form of a data set already, see `registry`, stay as they are, large inputs on the disk.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.source import Source
from tune_kmixup.data.labels import alike_classes, encode, one_per_row
from tune_kmixup.data.npz import StoredArray, iter_chunks, open_npz, whole
from tune_kmixup.data.parts import FITTING, PARTS, TEST, TRAIN, VAL, part_advice, part_arrays
from tune_kmixup.data.tables import Form, Table
from tune_kmixup.data.validation import check_companions, check_inputs, check_numbers
from tune_kmixup.data.visible import Stamp, stamp_of

INPUTS = ("x", "data", "images", "image", "features", "inputs")
LABELS = ("y", "labels", "label", "target", "targets")
OTHERS = {
    **{name: name for name in ("group", "part", "rate", "categorical", "classes", "changed")},
    **{"groups": "group", "classnames": "classes", "labelnames": "classes", "targetnames": "classes"},
}
UNDERSTOOD = (
    "x and y to be cross-validated, or x_train, y_train, x_test, y_test, with x_val, y_val if there are any; also data "
    "and target, images and labels, train_images and train_labels"
)
RANGES = ((0, 1), (-1, 1), (0, 255))  # of images that are not uint8; the first that fits is taken
COARSE = 127  # fractions up to here are no images of the last range, whose steps of 1 would blur them
MOST_KEYS = 12  # that a message lists
SUFFIXES = {None: "", TRAIN: "_train", VAL: "_val", TEST: "_test"}  # part, None for undivided rows -> of our names

Keys = dict[int | None, str]  # part -> key of its array


@dataclass(frozen=True)
class Found:
    """The arrays that are understood.

    Attributes:
        inputs: key of the inputs of each part.
        labels: key of the labels of each part.
        others: our name of another array -> its key.
    """

    inputs: Keys
    labels: Keys
    others: dict[str, str]


def read_npz(source: Source) -> Table:
    """A user's .npz. One that has not changed is read once per process. Raises BadInput if it cannot be used."""
    return cached_npz(source.path, stamp_of(Path(source.path)))


@lru_cache(maxsize=2)
def cached_npz(path: str, stamp: Stamp) -> Table:
    return understand(path, open_npz(Path(path)))


def understand(location: str, arrays: Mapping[str, NDArray[Any] | StoredArray]) -> Table:
    """The arrays of a data set from those that somebody has stored.

    Args:
        location: file, for messages.
        arrays: inputs and labels, undivided or in parts, in any of the known names; and what else there is.

    Raises:
        BadInput: if arrays are missing, or cannot be understood without doubt.
    """
    found = find_arrays(location, arrays)
    others: dict[str, Any] = {name: arrays[key] for name, key in found.others.items()}
    inputs = {key: arrays[key] for key in found.inputs.values()}
    x, layout, limits = uniform_inputs(location, inputs, "rate" in others)
    forms = {key: one_per_row(location, key, whole(arrays[key])) for key in found.labels.values()}
    given = others.get("classes")
    if given is not None and len(given.shape) != 1:
        raise BadInput(f"{location}: classes is of shape {given.shape}: store one name per class.")
    names = None if given is None else whole(given)
    y, classes, written, warned = encode(location, {key: values for key, (values, _) in forms.items()}, names)
    parts = {part: (x[found.inputs[part]], y[found.labels[part]]) for part in found.inputs}
    for part, (rows, codes) in parts.items():
        if len(rows) != len(codes):
            raise BadInput(
                f"{location}: {found.inputs[part]} has {len(rows)} rows, {found.labels[part]} has {len(codes)}: store "
                "one label per row."
            )
    others["classes"] = classes
    if "group" in others:
        others["group"] = group_numbers(location, whole(others["group"]).ravel())
    understood = others | in_parts(parts)
    check_companions(location, understood)
    if "categorical" in understood:
        understood["categorical"] = understood["categorical"].astype(bool)
    warned += alike_classes(classes)
    notes = [layout, f"{next(iter(y))} {next(iter(forms.values()))[1]}"]
    if unused := sorted(arrays.keys() - x.keys() - y.keys() - set(found.others.values())):
        notes.append(f"not used: {', '.join(unused)}")
    return Table(understood, (), tuple(notes), tuple(warned), Form(tuple(written.tolist()), limits))


def group_numbers(location: str, group: NDArray[Any]) -> NDArray[Any]:
    """The group of each row as a whole number. Raises BadInput for a row without a group."""
    if group.dtype.kind in "iu":
        return group
    empty = group == group.dtype.type() if group.dtype.kind in "SU" else group != group  # NaN and NaT
    if (absent := np.flatnonzero(empty)).size:
        raise BadInput(f"{location}: group row {absent[0]} is empty: give every row a group.")
    return np.unique(group, return_inverse=True)[1]


def find_new(location: str, arrays: Mapping[str, Any]) -> tuple[str, str | None]:
    """The keys of rows to classify and of their labels, by their names. Raises BadInput if there are no such rows."""
    roles: dict[str, Keys] = {"x": {}, "y": {}}
    for key in arrays:
        role, part = role_of(key)
        if role:
            roles[role].setdefault(part, key)
    part = next((part for part in (None, TEST) if part in roles["x"]), next(iter(roles["x"]), None))
    if part not in roles["x"]:
        held = ", ".join([*arrays][:MOST_KEYS]) or "nothing"
        raise BadInput(f"{location} holds no array x, only {held}: call the rows to classify x.")
    return roles["x"][part], roles["y"].get(part)


def named_part(key: str) -> int | None:
    """The part that the name of an array says, such as TEST for `x_test`; None if it says none."""
    return role_of(key)[1]


def role_of(key: str) -> tuple[str, int | None]:
    """`x` or `y` and the part of an array of this name; an empty role for other arrays."""
    return known_names().get(letters(key), ("", None))


def letters(key: str) -> str:
    """A name in lower case without punctuation."""
    return re.sub("[^a-z0-9]", "", key.lower())


@cache
def known_names() -> dict[str, tuple[str, int | None]]:
    """Name of inputs or labels in lower case without punctuation -> `x` or `y`, and the part."""
    known: dict[str, tuple[str, int | None]] = {}
    for role, names in (("x", INPUTS), ("y", LABELS)):
        for name in names:
            known[name] = role, None
            for word, part in PARTS.items():
                known[name + word] = known[word + name] = role, part
    return known


def find_arrays(location: str, arrays: Mapping[str, Any]) -> Found:
    """Which arrays are what, by their names. Raises BadInput if one is missing or there twice, or parts do not fit."""
    roles: dict[str, Keys] = {"x": {}, "y": {}}
    others: dict[str, str] = {}
    for key in arrays:
        role, part = role_of(key)
        name = letters(key)
        if role:
            taken = roles[role].setdefault(part, key)
        else:
            taken = others.setdefault(OTHERS[name], key) if name in OTHERS else key
        if taken != key:
            raise BadInput(f"{location} holds {taken} and {key}, which mean the same: keep one of them.")
    held = ", ".join([*arrays][:MOST_KEYS]) + (", ..." if len(arrays) > MOST_KEYS else "") or "nothing"
    parts = roles["x"].keys() | roles["y"].keys()
    wanted = [(role, part) for part in SUFFIXES for role in roles if part in (parts or {None})]
    if missing := [f"{role}{SUFFIXES[part]}" for role, part in wanted if part not in roles[role]]:
        raise BadInput(f"{location} holds {held}, and lacks {', '.join(missing)}: store {UNDERSTOOD}.")
    if parts not in ({None}, *FITTING):
        raise BadInput(f"{location} holds {held}: {part_advice(parts)}.")
    inputs, labels = ({part: keys[part] for part in SUFFIXES if part in keys} for keys in roles.values())
    return Found(inputs, labels, others)


def in_parts(parts: Mapping[int | None, tuple[Any, NDArray[Any]]]) -> dict[str, Any]:
    """The arrays of a data set, from the inputs and classes of each part. Without validation rows none is copied."""
    if VAL not in parts:
        return {f"x{SUFFIXES[part]}": x for part, (x, _) in parts.items()} | {
            f"y{SUFFIXES[part]}": y for part, (_, y) in parts.items()
        }
    x, y = (np.concatenate([whole(array) for array in arrays]) for arrays in zip(*parts.values(), strict=True))
    return part_arrays(x, y, {part: len(codes) for part, (_, codes) in parts.items() if part is not None})


def uniform_inputs(
    location: str, inputs: Mapping[str, Any], recordings: bool
) -> tuple[dict[str, Any], str, tuple[int, int] | None]:
    """Inputs of all parts in the form of a data set; what they were, in words; and the values of black and white.

    Images become uint8 N x C x H x W; other inputs stay as they are.

    Args:
        location: file, for messages.
        inputs: key -> array, those of the training rows first.
        recordings: whether they are recordings.

    Raises:
        BadInput: if parts differ, or it is not certain what the axes or values of images mean.
    """
    key, first = next(iter(inputs.items()))
    for other, x in inputs.items():
        check_inputs(location, other, x, recordings)
        if x.shape[1:] != first.shape[1:] or x.dtype != first.dtype:
            raise BadInput(f"{location}: {key} and {other} differ in shape or type of a row: make them the same.")
    if recordings or first.ndim == 2:
        form = "recordings N x samples" if recordings else "table N x D"
        return dict(inputs), f"{key} {form}, {first.dtype}", None
    axis = channel_axis(f"{location}: {key}", first.shape)
    layout = {0: "N x H x W", 1: "N x C x H x W", 3: "N x H x W x C"}[axis]
    if first.dtype == np.uint8:
        limits, values = None, "uint8"
    else:
        limits = value_range(location, inputs)
        values = f"{first.dtype} from {limits[0]} to {limits[1]}"
    converted = {name: x if limits is None and axis == 1 else to_images(x, axis, limits) for name, x in inputs.items()}
    return converted, f"{key} images {layout}, {values}", limits


def channel_axis(named: str, shape: tuple[int, ...]) -> int:
    """The axis of the channels of images: the one that is shorter than both others; 0 if there is none."""
    if len(shape) == 3 and min(shape[1:]) > 1:
        return 0
    if len(shape) == 4 and shape[1] < min(shape[2:]):
        return 1
    if len(shape) == 4 and shape[3] < min(shape[1:3]):
        return 3
    raise BadInput(
        f"{named} is of shape {shape}, where no axis of channels is shorter than the two of pixels: store "
        "N x C x H x W, N x H x W x C or N x H x W for images, N x D for tables."
    )


def value_range(location: str, inputs: Mapping[str, Any]) -> tuple[int, int]:
    """Which of RANGES the values of images are in. Reads all of them. Raises BadInput if it is not certain."""
    lows, highs, coarse = [], [], False
    for key, x in inputs.items():
        low, high, whole_numbers, start = np.inf, -np.inf, True, 0
        for chunk in iter_chunks(x):
            check_numbers(f"{location}: {key}", chunk, np.arange(start, start + len(chunk)))
            low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
            whole_numbers &= chunk.dtype.kind != "f" or not (chunk % 1).any()
            start += len(chunk)
        lows.append(low)
        highs.append(high)
        coarse |= not whole_numbers and high <= COARSE
    limits = next(((least, most) for least, most in RANGES if least <= min(lows) and max(highs) <= most), None)
    if limits is None or (limits == RANGES[-1] and coarse):
        found = ", ".join(f"{key} from {low:g} to {high:g}" for key, low, high in zip(inputs, lows, highs, strict=True))
        raise BadInput(f"{location} has values of {found}: scale all images to 0 to 1, -1 to 1 or 0 to 255.")
    return limits


def to_images(x: Any, axis: int, limits: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Images as uint8 N x C x H x W.

    Args:
        x: array in memory or on disk.
        axis: of the channels; 0 if there is none.
        limits: values of black and white; None if they are 0 to 255 already.
    """
    channels, height, width = {0: (1, *x.shape[1:]), 1: x.shape[1:], 3: (*x.shape[3:], *x.shape[1:3])}[axis]
    images, start = np.empty((len(x), channels, height, width), np.uint8), 0
    for chunk in iter_chunks(x):
        if limits is not None:
            black, white = limits
            chunk = np.rint((chunk.astype(np.float32) - black) * (255 / (white - black)))
        images[start : start + len(chunk)] = chunk[:, None] if axis == 0 else np.moveaxis(chunk, axis, 1)
        start += len(chunk)
    return images
