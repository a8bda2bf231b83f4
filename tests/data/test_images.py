"""Images in the file formats of the data sets, and a user's own folders of images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from tests.helpers import datafiles
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.source import Source
from tune_kmixup.data import images
from tune_kmixup.data.download import fetch, load_arrays, needs_download


@pytest.mark.parametrize("class_name", ["MNIST", "FashionMNIST"])
def test_mnist_files(class_name: str, tmp_path: Path) -> None:
    datafiles.write_mnist(tmp_path / class_name / "raw")
    arrays = images.mnist_loader(class_name)(tmp_path, False)
    assert arrays["x_train"].shape == (30, 1, 28, 28) and arrays["x_test"].shape == (10, 1, 28, 28)
    assert arrays["y_train"].tolist() == [i % 10 for i in range(30)]
    raw = (tmp_path / class_name / "raw" / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert arrays["x_test"].tobytes() == raw and arrays["x_test"].dtype == np.uint8


@pytest.mark.parametrize(
    ("class_name", "key", "classes"), [("CIFAR10", "labels", 10), ("CIFAR100", "fine_labels", 100)]
)
def test_cifar_pickles(
    class_name: str, key: str, classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cifar = getattr(datasets, class_name)
    batches = [name for name, _ in cifar.train_list + cifar.test_list]
    meta = dict(cifar.meta)
    root = tmp_path / cifar.base_folder
    md5 = datafiles.write_cifar(root, batches, key, classes, meta["filename"], meta["key"])
    monkeypatch.setattr(cifar, "train_list", [(name, md5[name]) for name, _ in cifar.train_list])
    monkeypatch.setattr(cifar, "test_list", [(name, md5[name]) for name, _ in cifar.test_list])
    monkeypatch.setattr(cifar, "meta", meta | {"md5": md5[meta["filename"]]})
    arrays = images.cifar_loader(class_name)(tmp_path, False)
    assert arrays["x_train"].shape == (20 * len(cifar.train_list), 3, 32, 32)
    first = np.load(root / batches[0], allow_pickle=True)  # numpy reads a bare pickle too
    np.testing.assert_array_equal(arrays["x_train"][:20].reshape(20, -1), first["data"])
    assert arrays["y_train"][:20].tolist() == [i % classes for i in range(20)]
    assert arrays["y_test"].dtype == np.int64 and len(arrays["x_test"]) == 20


def test_svhn_mat_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    md5 = datafiles.write_svhn(tmp_path)
    split_list = {split: [*datasets.SVHN.split_list[split][:2], md5[split]] for split in ("train", "test")}
    monkeypatch.setattr(datasets.SVHN, "split_list", split_list)
    arrays = images.load_svhn(tmp_path, False)
    assert arrays["x_train"].shape == (20, 3, 32, 32) and arrays["x_train"].flags.c_contiguous
    assert arrays["y_train"].tolist() == [*range(1, 10), 0, *range(1, 10), 0]  # 10 stands for the digit 0


def test_tiny_imagenet_folders(tmp_path: Path) -> None:
    datafiles.write_tiny_imagenet(tmp_path / "tiny-imagenet-200")
    arrays = images.load_tiny_imagenet(tmp_path, False)
    assert arrays["x_train"].shape == (6, 3, 64, 64) and arrays["x_test"].shape == (2, 3, 64, 64)
    assert arrays["y_train"].tolist() == [0, 0, 0, 1, 1, 1] and arrays["y_test"].tolist() == [0, 1]
    assert abs(int(arrays["x_train"][4, 0].mean()) - 40) <= 2 and abs(int(arrays["x_train"][4, 1].mean()) - 20) <= 2
    grey = arrays["x_train"][5]
    assert (grey[0] == grey[1]).all() and (grey[1] == grey[2]).all()


@pytest.mark.parametrize(
    ("name", "write", "folder", "train_rows"),
    [
        ("mnist", datafiles.write_mnist, "MNIST/raw", 30),
        ("fashion_mnist", datafiles.write_mnist, "FashionMNIST/raw", 30),
        ("tiny_imagenet", datafiles.write_tiny_imagenet, "tiny-imagenet-200", 6),
    ],
)
def test_fetch_writes_raw_files_as_npz(
    name: str, write: Callable[[Path], None], folder: str, train_rows: int, tmp_path: Path
) -> None:
    write(tmp_path / folder)
    assert needs_download(name, tmp_path) is None
    fetch(name, tmp_path)
    assert (tmp_path / f"{name}.npz").exists()
    assert len(load_arrays(name, tmp_path)["x_train"]) == train_rows


def test_incomplete_raw_files_are_named(tmp_path: Path) -> None:
    datafiles.write_mnist(tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(BadInput, match="train-images-idx3-ubyte is incomplete"):
        fetch("mnist", tmp_path)


def save_image(path: Path, size: tuple[int, int] = (6, 4), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 9 if mode == "L" else (1, 2, 3)).save(path)


def read(folder: Path, resize: int = 0) -> Any:
    return images.read_image_folder(Source(str(folder), resize=resize)).arrays


def test_a_folder_per_class(tmp_path: Path) -> None:
    for name in ("b/1.png", "b/2.PNG", "a/1.bmp", ".hidden/1.png"):
        save_image(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    arrays = read(tmp_path)
    assert arrays["x"].shape == (3, 3, 4, 6) and arrays["x"][0, :, 0, 0].tolist() == [1, 2, 3]
    assert arrays["y"].tolist() == [0, 1, 1]


def test_an_official_test_folder_and_grey_images(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"):
        save_image(tmp_path / name, mode="L")
    arrays = read(tmp_path)
    assert arrays["x_train"].shape == (2, 1, 4, 6) and arrays["y_test"].tolist() == [0, 1]
    save_image(tmp_path / "test" / "c" / "1.png")
    with pytest.raises(BadInput, match="train and test differ in the classes c"):
        read(tmp_path)


def test_bad_folders_are_named(tmp_path: Path) -> None:
    save_image(tmp_path / "a" / "1.png")
    with pytest.raises(BadInput, match="holds 1 folders of images: make one per class"):
        read(tmp_path)
    save_image(tmp_path / "b" / "1.png", size=(5, 5))
    with pytest.raises(BadInput, match=r"b/1\.png is 5x5 pixels, .*a/1\.png is 6x4: resize all"):
        read(tmp_path)
    (tmp_path / "b" / "1.png").write_bytes(b"no image")
    with pytest.raises(BadInput, match=r"b/1\.png cannot be read as an image"):
        read(tmp_path)
    (tmp_path / "b" / "1.png").unlink()
    with pytest.raises(BadInput, match="b holds no image"):
        read(tmp_path)


def save(path: Path, pixels: object, mode: str | None = None, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels)) if mode is None else Image.new(mode, (4, 4), pixels)  # type: ignore[arg-type]
    image.save(path, **options)


def save_palette(path: Path, colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), colour).quantize().save(path)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees
    return exif


RAMP = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
GREY16 = (np.arange(16, dtype=np.uint16) * 4369).reshape(4, 4)  # black to white in 16 bits


@pytest.mark.parametrize(
    ("name", "write", "expected"),
    [
        ("turned.png", lambda path: save(path, RAMP, exif=turned()), np.rot90(RAMP, -1)),
        ("sixteen.png", lambda path: save(path, GREY16), (GREY16 // 257).astype(np.uint8)),
        ("sixteen.tiff", lambda path: save(path, GREY16), (GREY16 // 257).astype(np.uint8)),
        ("bits.png", lambda path: save(path, np.eye(4, dtype=bool)), np.eye(4, dtype=np.uint8) * 255),
        ("grey_alpha.png", lambda path: save(path, (10, 0), "LA"), np.full((4, 4), 255)),
        ("grey.bmp", lambda path: save(path, 7, "L"), np.full((4, 4), 7)),
        ("grey.pgm", lambda path: save(path, 7, "L"), np.full((4, 4), 7)),
        ("transparent.png", lambda path: save(path, (9, 9, 9, 0), "RGBA"), np.full((3, 4, 4), 255)),
        ("half.png", lambda path: save(path, (0, 0, 0, 128), "RGBA"), np.full((3, 4, 4), 127)),
        ("palette.gif", lambda path: save_palette(path, (9, 9, 9)), np.full((3, 4, 4), 9)),
        ("colour.webp", lambda path: save(path, (9, 9, 9), "RGB", lossless=True), np.full((3, 4, 4), 9)),
        ("cmyk.tiff", lambda path: save(path, (0, 0, 0, 255), "CMYK"), np.full((3, 4, 4), 0)),
        ("UPPER.PNG", lambda path: save(path, (1, 2, 3), "RGB"), np.full((4, 4, 3), (1, 2, 3)).transpose(2, 0, 1)),
        ("deep/down/below.png", lambda path: save(path, 7, "L"), np.full((4, 4), 7)),
    ],
)
def test_an_image_is_read_as_a_viewer_shows_it(
    name: str, write: Callable[[Path], None], expected: Any, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        write(tmp_path / folder / name)
    x = read(tmp_path)["x"]
    assert x.dtype == np.uint8 and len(x) == 2
    assert np.array_equal(x[0], expected if expected.ndim == 3 else expected[None])


def test_colour_is_kept_if_any_image_has_it(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", 7, "L")
    save(tmp_path / "b" / "1.png", (1, 2, 3), "RGB")
    assert read(tmp_path)["x"][:, :, 0, 0].tolist() == [[7, 7, 7], [1, 2, 3]]


def test_images_of_several_sizes_are_resized(tmp_path: Path) -> None:
    for folder in "ab":
        save_image(tmp_path / folder / "1.png", size=(6, 4))
        save_image(tmp_path / folder / "2.png", size=(30, 40))
    with pytest.raises(BadInput, match="resize all images to one size, or name a folder in place of a task, with"):
        read(tmp_path)
    assert read(tmp_path, resize=8)["x"].shape == (4, 3, 8, 8)


def test_validation_folders_and_names_of_classes(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        for folder in ("cat", "dog"):
            save_image(tmp_path / part / folder / "1.png")
    save_image(tmp_path / "train" / "cat" / "2.png")
    (tmp_path / "train" / "cat" / "Thumbs.db").write_bytes(b"")
    table = images.read_image_folder(Source(str(tmp_path)))
    assert table.arrays["part"].tolist() == [0, 0, 0, 1, 1, 2, 2] and table.arrays["classes"].tolist() == ["cat", "dog"]
    assert table.notes == ("7 images, colour, 6 x 4 pixels", "1 other file left out")


def test_a_folder_that_has_changed_is_read_again(tmp_path: Path) -> None:
    for folder in "ab":
        save(tmp_path / folder / "1.png", 7, "L")
    assert len(read(tmp_path)["x"]) == 2
    save(tmp_path / "b" / "2.png", 9, "L")
    assert len(read(tmp_path)["x"]) == 3


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pixels_of_32_bits_are_refused(kind: type, tmp_path: Path) -> None:
    for folder in "ab":
        save(tmp_path / folder / "1.tiff", np.ones((4, 4), kind))
    with pytest.raises(BadInput, match="has pixels of 32 bits, whose range is not known"):
        read(tmp_path)
