"""A user's own folder, with a folder per class: of images, or of recordings."""

import os
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.source import Source
from tune_kmixup.core.text import plural
from tune_kmixup.data import audio, images
from tune_kmixup.data.labels import alike_classes
from tune_kmixup.data.npz import Arrays
from tune_kmixup.data.parts import FITTING, PART_NAMES, TRAIN, part_advice, part_arrays, part_of
from tune_kmixup.data.tables import Table
from tune_kmixup.data.visible import Stamp, is_hidden_folder, stamp_of

RECORDINGS = audio.WAV | audio.OTHERS

ClassFiles = dict[str, list[Path]]  # class -> its files


def read_folder(source: Source) -> Table:
    """A user's folder of images or recordings, with a folder per class. One that has not changed is read once.

    Classes are numbered in the order of their sorted names. If the folder holds folders `train` and `test` with the
    class folders inside, these are the official parts, and so is `validation` or `val`. All images are read as grey
    (C = 1) if all of them are grey, else as RGB.

    Args:
        source: the folder, and the side to resize images to.

    Raises:
        BadInput: if it holds both kinds or none, a class has no file, a file cannot be read, or sizes differ.
    """
    return cached_folder(source, stamp_of(Path(source.path)))


@lru_cache(maxsize=2)
def cached_folder(source: Source, stamp: Stamp) -> Table:
    root, files = Path(source.path), [path for path, *_ in stamp]
    found, recorded = files_of_a_kind(root, files)
    if recorded and source.resize:
        raise BadInput(f"resize={source.resize} does not fit {root}: it resizes images, not recordings. Leave it out.")
    if recorded and all((root / name).exists() for name in audio.LISTS.values()):
        return word_folder(root, files, found)
    parts = class_folders(root, found, "recording" if recorded else "image")
    names = sorted(parts[TRAIN])
    paths = [path for part in parts.values() for name in names for path in part.get(name, [])]
    labels = [label for part in parts.values() for label, name in enumerate(names) for _ in part.get(name, [])]
    about: Arrays = {"classes": np.asarray(names)}
    x: NDArray[Any]
    if recorded:
        x, rate, notes, warned = audio.read_recordings(paths)
        about["rate"] = np.asarray(rate)
    else:
        mode = images.common_mode(paths)
        remedy = "resize all images to one size, such as 32x32 with --resize 32"
        x, warned = images.read_images(paths, mode, source.resize, remedy), []
        images.check_brightness(paths, mode, x)
        _, channels, height, width = x.shape
        notes = [f"{plural(len(x), 'image')}, {'grey' if channels == 1 else 'colour'}, {width} x {height} pixels"]
    rows = {part: sum(map(len, classes.values())) for part, classes in parts.items()}
    arrays = part_arrays(x, np.asarray(labels, np.int64), rows) | about
    warned += alike_classes(about["classes"])
    return Table(arrays, (), (*notes, *left_out(set(files) - set(paths))), tuple(warned))


def files_of_a_kind(root: Path, files: list[Path]) -> tuple[list[Path], bool]:
    """The images in the folders of `root`, or the recordings, and whether it is the latter."""
    inside = [path for path in files if path.parent != root]
    pictures, recordings = (
        [path for path in inside if path.suffix.lower() in suffixes] for suffixes in (images.SUFFIXES, RECORDINGS)
    )
    if pictures and recordings:
        raise BadInput(
            f"{root} holds {plural(len(pictures), 'image')} and {plural(len(recordings), 'recording')}, such as "
            f"{pictures[0].name} and {recordings[0].name}: keep one kind in it."
        )
    if not pictures and not recordings:
        raise BadInput(
            f"{root} holds no image and no recording in a folder{'; '.join(['', *left_out(set(files))])}: make one per "
            "class, of images or of WAV files."
        )
    return pictures or recordings, bool(recordings)


def word_folder(root: Path, files: list[Path], found: list[Path]) -> Table:
    """A folder in the layout of Speech Commands, with its lists of validation and test recordings."""
    words = in_folders(root, audio.list_words(root), found, "recording")
    arrays = audio.divided_by_lists(root, list(words.values()))
    if empty := [name for part, name in PART_NAMES.items() if part not in arrays["part"]]:
        raise BadInput(f"{root} has no {empty[0]} recording by its two lists: correct them, or remove both.")
    resampled, padded, cut = arrays["changed"]
    note = f"{plural(len(arrays['y']), 'recording')}, {int(arrays['rate']):,} Hz, 1 s, parts of the two lists"
    changed = f"{resampled} resampled, {padded} padded, {cut} cut"
    used = {path for paths in words.values() for path in paths} | {root / name for name in audio.LISTS.values()}
    return Table(arrays | {"classes": np.asarray(list(words))}, (), (note, changed, *left_out(set(files) - used)), ())


def class_folders(root: Path, files: list[Path], noun: str) -> dict[int, ClassFiles]:
    """The files of each class of each part; of TRAIN alone if the folder is not divided.

    Raises:
        BadInput: if parts do not fit, or a class has no file in a folder of its own or none to train on.
    """
    folders = [(part_of(path.name), path) for path in root.iterdir() if path.is_dir()]
    named = sorted((part, path) for part, path in folders if part is not None)
    parts = dict(named)
    if TRAIN in parts and len(named) == 1 and holds_classes(parts[TRAIN], files):
        remedy = f"name {parts[TRAIN]}, or if {parts[TRAIN].name} is a class, rename it"
        raise BadInput(f"{root} has the folder {parts[TRAIN].name}, which holds a folder per class: {remedy}.")
    if TRAIN not in parts or len(named) == 1:
        return {TRAIN: by_class(root, files, noun)}
    listed = ", ".join(path.name for _, path in named)
    if len(named) > len(parts):
        raise BadInput(f"{root} has the parts {listed}, of which two mean the same: keep one of them.")
    if parts.keys() not in FITTING:
        raise BadInput(f"{root} has the parts {listed}: {part_advice(parts)}.")
    divided = {part: by_class(path, files, noun) for part, path in parts.items()}
    for part, classes in divided.items():
        if extra := sorted(classes.keys() - divided[TRAIN].keys()):
            raise BadInput(
                f"{parts[part]} has the classes {', '.join(extra)}, and {parts[TRAIN].name} lacks them: give both the "
                "same."
            )
    return divided


def holds_classes(folder: Path, files: list[Path]) -> bool:
    """Whether a folder holds files in several folders alone."""
    inside = [path.relative_to(folder).parts for path in files if path.is_relative_to(folder)]
    return len({parts[0] for parts in inside}) > 1 and all(len(parts) > 1 for parts in inside)


def by_class(root: Path, files: list[Path], noun: str) -> ClassFiles:
    """Class -> its files, in its folder and those below. Raises BadInput for a class without files."""
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and not is_hidden_folder(path.name))
    return in_folders(root, folders, files, noun)


def in_folders(root: Path, folders: list[str], files: list[Path], noun: str) -> ClassFiles:
    """Each folder -> its files. Raises BadInput as `by_class` does."""
    classes: ClassFiles = {name: [] for name in folders}
    for path in files:
        if path.is_relative_to(root) and (name := path.relative_to(root).parts[0]) in classes:
            classes[name].append(path)
    for name in (name for name in classes if os.fsencode(name).decode(errors="replace") != name):
        raise BadInput(f"{root} holds the folder {os.fsencode(name)!r}, whose name is no UTF-8: rename it.")
    for name in (name for name, paths in classes.items() if not paths):
        raise BadInput(f"{root / name} holds no {noun}: add some, or remove the folder.")
    if len(classes) < 2:
        raise BadInput(f"{root} holds {plural(len(classes), 'folder')} of {noun}s: make one per class, at least two.")
    return classes


def left_out(files: set[Path]) -> list[str]:
    """How many files are neither read nor hidden, and what their names end in."""
    if not files:
        return []
    counts = Counter(sorted(path.suffix.lower() or "no suffix" for path in files))
    suffixes = [suffix for suffix, _ in counts.most_common(3)]
    return [f"{plural(len(files), 'other file')} left out ({', '.join(suffixes)})"]
