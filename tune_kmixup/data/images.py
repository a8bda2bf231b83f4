"""Images: torchvision's data sets, Tiny ImageNet, and image files. All uint8, N x C x H x W.

torchvision is imported inside the functions that use it: the import takes seconds, and most runs do not need it.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, ImageSequence
from PIL.TiffImagePlugin import TiffImageFile

from tune_kmixup.core.errors import BadInput
from tune_kmixup.data.npz import Arrays

TINY_IMAGENET_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
TINY_IMAGENET_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
NEW_SUBFILE_TYPE = 254  # tag of TIFF, whose first bit says that an image is a smaller copy of another one
DARK = 64  # of 256: what 14 of 16 bits come to
SUFFIXES = {".png", ".jpg", ".jpeg", ".jfif", ".jp2", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".pbm", ".tif", ".tiff"}


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


def read_images(paths: list[Path], mode: str = "RGB", side: int = 0, remedy: str = "") -> NDArray[np.uint8]:
    """Images of one size as uint8 N x C x H x W.

    Args:
        paths: files, at least one.
        mode: `L` for grey, C = 1, or `RGB`, C = 3.
        side: H and W to resize to; 0 leaves images as they are.
        remedy: what to do about images of several sizes; empty: to resize them.

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
            raise BadInput(f"{path} is {size} pixels, {paths[0]} is {first}: {remedy or 'resize them to one size'}.")
        x[row] = pixels
    assert x is not None
    return x


def check_brightness(paths: list[Path], mode: str, x: NDArray[np.uint8]) -> None:
    """Raises BadInput if all images of 16 bits use no more than 14: so cameras and microscopes store 10 to 14 bits.

    Args:
        paths: the files.
        mode: in which they were read.
        x: what was read of them, N x C x H x W; resizing may have made it darker.
    """
    dark = x.max(axis=(1, 2, 3)) < DARK
    if not any(has_more_than_8_bits(path) for path, is_dark in zip(paths, dark, strict=True) if is_dark):
        return
    deep = [path for path in paths if has_more_than_8_bits(path)]
    brightest = max(int(np.asarray(upright(path, mode, 0)).max()) for path in deep)
    if brightest < DARK:
        raise BadInput(
            f"{deep[0]} has 16 bits, but no such image has a value above {257 * brightest + 256:,} of 65,535: scale "
            "the images to the whole range, or save them with 8 bits."
        )


def has_more_than_8_bits(path: Path) -> bool:
    """Whether the header of a file says so, as Pillow shows it. Pillow itself reads those of colour images as 8."""
    with reading(path), Image.open(path) as image:
        return bool(re.search(r";1\d|65535", str(image.tile)))


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
        if (count := image_count(opened)) > 1:
            raise BadInput(f"{path} holds {count} images: save each as a file of its own.")
        image: Image.Image = ImageOps.exif_transpose(opened)
        scaled = opened.format == "PPM"  # to 16 bits, in pixels of 32
    if image.mode == "F" or (image.mode == "I" and not scaled):
        raise BadInput(
            f"{path} has pixels of 32 bits or with a sign, whose range is not known: save it with 8 or 16 bits."
        )
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.int64) // 257).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    image = image.convert(mode)
    return image.resize((side, side), Image.Resampling.BILINEAR) if side else image


def image_count(opened: Image.Image) -> int:
    """The number of images in a file. Smaller copies of one, as in TIFF and in photos of some cameras, do not count."""
    count: int = getattr(opened, "n_frames", 1)
    if count == 1 or opened.format == "MPO":
        return 1
    if isinstance(opened, TiffImageFile):
        frames = [opened.tag_v2.get(NEW_SUBFILE_TYPE, 0) for _ in ImageSequence.Iterator(opened)]
        opened.seek(0)
        return sum(not kind & 1 for kind in frames)
    return count


def has_colour(path: Path) -> bool:
    """Whether the header or palette of an image says that it is no grey one."""
    with reading(path), Image.open(path) as image:
        if image.mode == "P":
            palette = np.asarray(image.getpalette()).reshape(-1, 3)
            return bool((palette != palette[:, :1]).any())
        return image.mode not in ("1", "L", "LA", "La", "F") and not image.mode.startswith("I")


def common_mode(paths: list[Path]) -> str:
    """`L` if all images are grey, else `RGB`."""
    return "RGB" if any(has_colour(path) for path in paths) else "L"
