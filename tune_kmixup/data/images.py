"""Images: torchvision's data sets, Tiny ImageNet, and a user's own folders. All uint8, N x C x H x W.

torchvision is imported inside the functions that use it: the import takes seconds, and most runs do not need it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tune_kmixup.core.errors import BadInput
from tune_kmixup.data.npz import Arrays

TINY_IMAGENET_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
TINY_IMAGENET_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}


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


def read_images(paths: list[Path], mode: str = "RGB") -> NDArray[np.uint8]:
    """Images of one size as uint8 N x C x H x W. Raises BadInput naming the first that differs or cannot be read."""
    x: NDArray[np.uint8] | None = None
    for row, path in enumerate(paths):
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert(mode))
        except OSError as error:
            raise BadInput(f"{path} cannot be read as an image ({error}): replace or remove it.") from error
        pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        if x is None:
            x = np.empty((len(paths), *pixels.shape), np.uint8)
        if pixels.shape != x.shape[1:]:
            size, first = (f"{shape[2]}x{shape[1]}" for shape in (pixels.shape, x.shape[1:]))
            raise BadInput(f"{path} is {size} pixels, {paths[0]} is {first}: resize all images to one size.")
        x[row] = pixels
    assert x is not None
    return x


def read_image_folder(root: Path) -> Arrays:
    """A folder per class, classes numbered in the order of their sorted names, all images of one size.

    If `root` holds folders `train` and `test` with the class folders inside, the test set is official. All images are
    read as grey (C = 1) if the first one is grey, else as RGB.
    """
    if (root / "train").is_dir() and (root / "test").is_dir():
        train, test = (images_by_class(root / name) for name in ("train", "test"))
        if train.keys() != test.keys():
            differ = sorted(train.keys() ^ test.keys())
            raise BadInput(f"{root}: train and test differ in the classes {', '.join(differ)}: give both the same.")
        return official_arrays(*(read_classes(part) for part in (train, test)))
    x, y = read_classes(images_by_class(root))
    return {"x": x, "y": y}


def images_by_class(root: Path) -> dict[str, list[Path]]:
    """class name -> paths of its images, both sorted. Raises BadInput for a class without images."""
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    classes = {folder.name: sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES) for folder in folders}
    for name in (name for name, paths in classes.items() if not paths):
        raise BadInput(f"{root / name} holds no image: add some, or remove the folder.")
    if len(classes) < 2:
        raise BadInput(f"{root} holds {len(classes)} folders of images: make one per class, at least two.")
    return classes


def read_classes(classes: dict[str, list[Path]]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    paths = [path for paths in classes.values() for path in paths]
    with Image.open(paths[0]) as first:
        mode = "L" if first.mode in ("1", "L", "I;16") else "RGB"
    labels = [label for label, paths in enumerate(classes.values()) for _ in paths]
    return read_images(paths, mode), np.asarray(labels, np.int64)
