"""Images: torchvision's data sets, Tiny ImageNet, and a user's own folders. All uint8, N x C x H x W.

torchvision is imported where it is used: that takes seconds, and most runs need nothing of it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tune_kmixup.core.errors import BadInput

Arrays = dict[str, NDArray[Any]]

TINY_IMAGENET = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
TINY_IMAGENET_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}


def mnist(kind: str) -> Callable[[Path, bool], Arrays]:
    """`MNIST` or `FashionMNIST` of torchvision."""

    def load(folder: Path, download: bool) -> Arrays:
        from torchvision import datasets

        parts = [getattr(datasets, kind)(folder, train=train, download=download) for train in (True, False)]
        return official(*((part.data.numpy()[:, None], part.targets.numpy()) for part in parts))

    return load


def cifar(kind: str) -> Callable[[Path, bool], Arrays]:
    """`CIFAR10` or `CIFAR100` of torchvision."""

    def load(folder: Path, download: bool) -> Arrays:
        from torchvision import datasets

        parts = [getattr(datasets, kind)(folder, train=train, download=download) for train in (True, False)]
        return official(*((part.data.transpose(0, 3, 1, 2), np.asarray(part.targets)) for part in parts))

    return load


def svhn(folder: Path, download: bool) -> Arrays:
    """The cropped house numbers, without the additional easy images."""
    from torchvision import datasets

    parts = [datasets.SVHN(folder, split=split, download=download) for split in ("train", "test")]
    return official(*((part.data, part.labels) for part in parts))


def tiny_imagenet(folder: Path, download: bool) -> Arrays:
    """Tested on its validation images: the labels of its test images were never published."""
    if download:
        from torchvision.datasets.utils import download_and_extract_archive

        download_and_extract_archive(TINY_IMAGENET, folder, md5=TINY_IMAGENET_MD5, remove_finished=True)
    root = folder / "tiny-imagenet-200"
    classes = {name: number for number, name in enumerate((root / "wnids.txt").read_text().split())}
    train = [(path, classes[name]) for name in classes for path in sorted((root / "train" / name / "images").iterdir())]
    lines = [line.split("\t") for line in (root / "val" / "val_annotations.txt").read_text().splitlines()]
    test = [(root / "val" / "images" / line[0], classes[line[1]]) for line in lines]
    return official(*((pixels([path for path, _ in part]), [y for _, y in part]) for part in (train, test)))


def official(train: tuple[Any, Any], test: tuple[Any, Any]) -> Arrays:
    """Arrays of a data set with an official test set."""
    found = {"x_train": train[0], "y_train": train[1], "x_test": test[0], "y_test": test[1]}
    return {key: np.asarray(value, np.uint8 if key[0] == "x" else np.int64, order="C") for key, value in found.items()}


def pixels(paths: list[Path], mode: str = "RGB") -> NDArray[np.uint8]:
    """Images of one size as uint8 N x C x H x W. Raises BadInput naming the first that differs or cannot be read."""
    found: NDArray[np.uint8] | None = None
    for number, path in enumerate(paths):
        try:
            with Image.open(path) as image:
                array = np.asarray(image.convert(mode))
        except OSError as error:
            raise BadInput(f"{path} is no image that can be read ({error}): replace or remove it.") from error
        array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        if found is None:
            found = np.empty((len(paths), *array.shape), np.uint8)
        if array.shape != found.shape[1:]:
            size, first = (f"{shape[2]}x{shape[1]}" for shape in (array.shape, found.shape[1:]))
            raise BadInput(f"{path} is {size} pixels, {paths[0]} is {first}: resize all images to one size.")
        found[number] = array
    assert found is not None
    return found


def image_folder(root: Path) -> Arrays:
    """A folder per class, classes numbered in the order of their sorted names, all images of one size.

    With folders `train` and `test` that hold the class folders, the test set is official. All images are read
    as grey (C = 1) where the first one is grey, else as RGB.
    """
    if (root / "train").is_dir() and (root / "test").is_dir():
        train, test = (listing(root / name) for name in ("train", "test"))
        if train.keys() != test.keys():
            differ = sorted(train.keys() ^ test.keys())
            raise BadInput(f"{root}: train and test differ in the classes {', '.join(differ)}: give both the same.")
        return official(*(loaded(part) for part in (train, test)))
    x, y = loaded(listing(root))
    return {"x": x, "y": y}


def listing(root: Path) -> dict[str, list[Path]]:
    """class name -> its images, both sorted. Raises BadInput for a class without images."""
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = {folder.name: sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES) for folder in folders}
    for name in (name for name, paths in found.items() if not paths):
        raise BadInput(f"{root / name} holds no image: add some, or remove the folder.")
    if len(found) < 2:
        raise BadInput(f"{root} holds {len(found)} folders of images: make one per class, at least two.")
    return found


def loaded(classes: dict[str, list[Path]]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    paths = [path for paths in classes.values() for path in paths]
    with Image.open(paths[0]) as first:
        mode = "L" if first.mode in ("1", "L", "I;16") else "RGB"
    labels = [number for number, paths in enumerate(classes.values()) for _ in paths]
    return pixels(paths, mode), np.asarray(labels, np.int64)
