"""Images: torchvision's data sets, Tiny ImageNet, and a user's own folders. All uint8, N x C x H x W.

torchvision is imported inside the functions that use it: the import takes seconds, and most runs do not need it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.source import Source
from tune_kmixup.core.text import plural
from tune_kmixup.data.audio import TEST, TRAIN, VAL
from tune_kmixup.data.npz import Arrays
from tune_kmixup.data.tables import Table

TINY_IMAGENET_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
TINY_IMAGENET_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
SUFFIXES = {".png", ".jpg", ".jpeg", ".jfif", ".jp2", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".pbm", ".tif", ".tiff"}
VALIDATION = ("validation", "val", "valid")  # names of a folder of validation images


def mnist_loader(class_name: str) -> Callable[[Path, bool], Arrays]:
    """Loader of torchvision's `MNIST` or `FashionMNIST`."""

    def load(folder: Path, download: bool) -> Arrays:
        from torchvision import datasets

        parts = [getattr(datasets, class_name)(folder, train=train, download=download) for train in (True, False)]
        return official_arrays(*((part.data.numpy()[:, None], part.targets.numpy()) for part in parts))

    return load


def cifar_loader(class_name: str) -> Callable[[Path, bool], Arrays]:
    """Loader of torchvision's `CIFAR10` or `CIFAR100`."""

    def load(folder: Path, download: bool) -> Arrays:
        from torchvision import datasets

        parts = [getattr(datasets, class_name)(folder, train=train, download=download) for train in (True, False)]
        return official_arrays(*((part.data.transpose(0, 3, 1, 2), np.asarray(part.targets)) for part in parts))

    return load


def load_svhn(folder: Path, download: bool) -> Arrays:
    """The cropped house numbers, without the additional easy images."""
    from torchvision import datasets

    parts = [datasets.SVHN(folder, split=split, download=download) for split in ("train", "test")]
    return official_arrays(*((part.data, part.labels) for part in parts))


def load_tiny_imagenet(folder: Path, download: bool) -> Arrays:
    """Tiny ImageNet. Its validation images are the test part: the labels of its test images were never published."""
    if download:
        from torchvision.datasets.utils import download_and_extract_archive

        download_and_extract_archive(TINY_IMAGENET_URL, folder, md5=TINY_IMAGENET_MD5, remove_finished=True)
    root = folder / "tiny-imagenet-200"
    labels = {name: label for label, name in enumerate((root / "wnids.txt").read_text().split())}
    train = [(path, labels[name]) for name in labels for path in sorted((root / "train" / name / "images").iterdir())]
    lines = [line.split("\t") for line in (root / "val" / "val_annotations.txt").read_text().splitlines()]
    test = [(root / "val" / "images" / line[0], labels[line[1]]) for line in lines]
    return official_arrays(*((read_images([path for path, _ in part]), [y for _, y in part]) for part in (train, test)))


def official_arrays(train: tuple[Any, Any], test: tuple[Any, Any]) -> Arrays:
    """Arrays of a data set with an official test set, from x and y of both parts."""
    arrays = {"x_train": train[0], "y_train": train[1], "x_test": test[0], "y_test": test[1]}
    return {key: np.asarray(array, np.uint8 if key[0] == "x" else np.int64, order="C") for key, array in arrays.items()}


def read_images(paths: list[Path], mode: str = "RGB", side: int = 0) -> NDArray[np.uint8]:
    """Images of one size as uint8 N x C x H x W.

    Args:
        paths: files, at least one.
        mode: `L` for grey, C = 1, or `RGB`, C = 3.
        side: H and W to resize to; 0 leaves images as they are.

    Raises:
        BadInput: naming the first that differs in size or cannot be read.
    """
    x: NDArray[np.uint8] | None = None
    for row, path in enumerate(paths):
        with reading(path):
            pixels = np.asarray(upright(path, mode, side))
        pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        if x is None:
            x = np.empty((len(paths), *pixels.shape), np.uint8)
        if pixels.shape != x.shape[1:]:
            size, first = (f"{shape[2]}x{shape[1]}" for shape in (pixels.shape, x.shape[1:]))
            raise BadInput(
                f"{path} is {size} pixels, {paths[0]} is {first}: resize all images to one size, or name a folder in "
                "place of a task, with --resize."
            )
        x[row] = pixels
    assert x is not None
    return x


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns any error that a damaged image raises into a BadInput that names the file."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:  # of Pillow's plug-ins, of many types
        raise BadInput(f"{path} cannot be read as an image ({error}): replace or remove it.") from error


def upright(path: Path, mode: str, side: int) -> Image.Image:
    """An image of 8 bits as a viewer shows it: turned as its EXIF says, 16 bits scaled, on white where transparent."""
    with Image.open(path) as opened:
        image: Image.Image = ImageOps.exif_transpose(opened)
    if image.mode in ("F", "I"):
        raise BadInput(f"{path} has pixels of 32 bits, whose range is not known: save it with 8 or 16 bits.")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.int64) // 257).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    image = image.convert(mode)
    return image.resize((side, side), Image.Resampling.BILINEAR) if side else image


def read_image_folder(source: Source) -> Table:
    """A user's folder of images, with a folder per class. One that has not changed is read once per process.

    Classes are numbered in the order of their sorted names. If the folder holds folders `train` and `test` with the
    class folders inside, these are the official parts, and so is `validation` or `val`. All images are read as grey
    (C = 1) if all of them are grey, else as RGB.

    Args:
        source: the folder, and the side to resize to.

    Raises:
        BadInput: if a class has no image, an image cannot be read, or sizes differ.
    """
    root = Path(source.path)
    files = visible_files(root)
    newest = max((path.stat().st_mtime_ns for path in files), default=0)
    return cached_folder(source, tuple(files), newest)


@lru_cache(maxsize=2)
def cached_folder(source: Source, files: tuple[Path, ...], newest: int) -> Table:
    root = Path(source.path)
    official = (root / "train").is_dir() and (root / "test").is_dir()
    validation = next((name for name in VALIDATION if (root / name).is_dir()), None) if official else None
    folders = {"train": TRAIN, **({validation: VAL} if validation else {}), "test": TEST} if official else {".": TRAIN}
    images = images_among(files)
    classes = {name: images_by_class(root / name, images) for name in folders}
    names = sorted(next(iter(classes.values())))
    for name, found in classes.items():
        if differ := sorted(found.keys() ^ set(names)):
            raise BadInput(f"{root}: train and {name} differ in the classes {', '.join(differ)}: give both the same.")
    mode = "RGB" if any(has_colour(path) for path in images) else "L"
    parts = []
    for name, part in folders.items():
        paths = [path for class_name in names for path in classes[name][class_name]]
        labels = [label for label, class_name in enumerate(names) for _ in classes[name][class_name]]
        parts.append((read_images(paths, mode, source.resize), np.asarray(labels, np.int64), part))
    used = sum(len(y) for _, y, _ in parts)
    return Table(folder_arrays(parts) | {"classes": np.asarray(names)}, (), folder_notes(parts, len(files) - used), ())


def folder_arrays(parts: list[tuple[NDArray[np.uint8], NDArray[np.int64], int]]) -> dict[str, Any]:
    """The arrays of a data set from inputs, labels and number of its parts."""
    if len(parts) == 2:
        return dict(official_arrays(*((x, y) for x, y, _ in parts)))
    arrays = {"x": np.concatenate([x for x, _, _ in parts]), "y": np.concatenate([y for _, y, _ in parts])}
    if len(parts) > 1:
        arrays["part"] = np.concatenate([np.full(len(y), part) for _, y, part in parts])
    return arrays


def folder_notes(parts: list[tuple[NDArray[np.uint8], NDArray[np.int64], int]], skipped: int) -> tuple[str, ...]:
    count, (_, channels, height, width) = sum(len(y) for _, y, _ in parts), parts[0][0].shape
    notes = (f"{plural(count, 'image')}, {'grey' if channels == 1 else 'colour'}, {width} x {height} pixels",)
    return (*notes, f"{plural(skipped, 'other file')} left out") if skipped else notes


def visible_files(root: Path) -> list[Path]:
    """The files of a folder and of those below, sorted."""
    return [path for path in sorted(root.rglob("*")) if path.is_file() and not is_hidden(path, root)]


def images_among(files: Iterable[Path]) -> list[Path]:
    return [path for path in files if path.suffix.lower() in SUFFIXES]


def is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith((".", "__")) for part in path.relative_to(root).parts)


def images_by_class(root: Path, images: list[Path]) -> dict[str, list[Path]]:
    """Class name -> paths of its images, in its folder and those below. Raises BadInput for a class without images."""
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and not is_hidden(path, root))
    classes: dict[str, list[Path]] = {name: [] for name in folders}
    for path in images:
        if path.is_relative_to(root) and (name := path.relative_to(root).parts[0]) in classes:
            classes[name].append(path)
    for name in (name for name, paths in classes.items() if not paths):
        raise BadInput(f"{root / name} holds no image: add some, or remove the folder.")
    if len(classes) < 2:
        raise BadInput(f"{root} holds {len(classes)} folders of images: make one per class, at least two.")
    return classes


def has_colour(path: Path) -> bool:
    """Whether the header of an image says that it is no grey one."""
    with reading(path), Image.open(path) as image:
        return image.mode not in ("1", "L", "LA", "La", "F") and not image.mode.startswith("I")
