"""Images in the formats in which they lie on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from tests.helpers import datafiles
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data import images
from tune_kmixup.data.download import fetch, load_arrays, needs_download


@pytest.mark.parametrize("kind", ["MNIST", "FashionMNIST"])
def test_mnist_files(kind: str, tmp_path: Path) -> None:
    datafiles.mnist(tmp_path / kind / "raw")
    arrays = images.mnist(kind)(tmp_path, False)
    assert arrays["x_train"].shape == (30, 1, 28, 28) and arrays["x_test"].shape == (10, 1, 28, 28)
    assert arrays["y_train"].tolist() == [i % 10 for i in range(30)]
    raw = (tmp_path / kind / "raw" / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert arrays["x_test"].tobytes() == raw and arrays["x_test"].dtype == np.uint8


@pytest.mark.parametrize(("kind", "key", "classes"), [("CIFAR10", "labels", 10), ("CIFAR100", "fine_labels", 100)])
def test_cifar_pickles(kind: str, key: str, classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = getattr(datasets, kind)
    batches = [name for name, _ in theirs.train_list + theirs.test_list]
    meta = dict(theirs.meta)
    root = tmp_path / theirs.base_folder
    md5 = datafiles.cifar(root, batches, key, classes, meta["filename"], meta["key"])
    monkeypatch.setattr(theirs, "train_list", [(name, md5[name]) for name, _ in theirs.train_list])
    monkeypatch.setattr(theirs, "test_list", [(name, md5[name]) for name, _ in theirs.test_list])
    monkeypatch.setattr(theirs, "meta", meta | {"md5": md5[meta["filename"]]})
    arrays = images.cifar(kind)(tmp_path, False)
    assert arrays["x_train"].shape == (20 * len(theirs.train_list), 3, 32, 32)
    first = np.load(root / batches[0], allow_pickle=True)  # numpy reads a bare pickle too
    np.testing.assert_array_equal(arrays["x_train"][:20].reshape(20, -1), first["data"])
    assert arrays["y_train"][:20].tolist() == [i % classes for i in range(20)]
    assert arrays["y_test"].dtype == np.int64 and len(arrays["x_test"]) == 20


def test_svhn_mat_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    md5 = datafiles.svhn(tmp_path)
    listed = {split: [*datasets.SVHN.split_list[split][:2], md5[split]] for split in ("train", "test")}
    monkeypatch.setattr(datasets.SVHN, "split_list", listed)
    arrays = images.svhn(tmp_path, False)
    assert arrays["x_train"].shape == (20, 3, 32, 32) and arrays["x_train"].flags.c_contiguous
    assert arrays["y_train"].tolist() == [*range(1, 10), 0, *range(1, 10), 0]  # 10 stands for the digit 0


def test_tiny_imagenet_folders(tmp_path: Path) -> None:
    datafiles.tiny_imagenet(tmp_path / "tiny-imagenet-200")
    arrays = images.tiny_imagenet(tmp_path, False)
    assert arrays["x_train"].shape == (6, 3, 64, 64) and arrays["x_test"].shape == (2, 3, 64, 64)
    assert arrays["y_train"].tolist() == [0, 0, 0, 1, 1, 1] and arrays["y_test"].tolist() == [0, 1]
    assert abs(int(arrays["x_train"][4, 0].mean()) - 40) <= 2 and abs(int(arrays["x_train"][4, 1].mean()) - 20) <= 2
    grey = arrays["x_train"][5]
    assert (grey[0] == grey[1]).all() and (grey[1] == grey[2]).all()


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "tiny_imagenet"])
def test_raw_files_are_found_and_kept_as_npz(name: str, tmp_path: Path) -> None:
    makers: dict[str, Callable[[], None]] = {
        "mnist": lambda: datafiles.mnist(tmp_path / "MNIST" / "raw"),
        "fashion_mnist": lambda: datafiles.mnist(tmp_path / "FashionMNIST" / "raw"),
        "tiny_imagenet": lambda: datafiles.tiny_imagenet(tmp_path / "tiny-imagenet-200"),
    }
    makers[name]()
    assert needs_download(name, tmp_path) is None
    fetch(name, tmp_path)
    assert len(load_arrays(name, tmp_path)["x_train"]) in (30, 6)


def test_files_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    datafiles.mnist(tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(BadInput, match="train-images-idx3-ubyte is there, but is not whole"):
        fetch("mnist", tmp_path)


def save(path: Path, size: tuple[int, int] = (6, 4), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 9 if mode == "L" else (1, 2, 3)).save(path)


def test_a_folder_per_class(tmp_path: Path) -> None:
    for name in ("b/1.png", "b/2.PNG", "a/1.bmp", ".hidden/1.png"):
        save(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    arrays = images.image_folder(tmp_path)
    assert arrays["x"].shape == (3, 3, 4, 6) and arrays["x"][0, :, 0, 0].tolist() == [1, 2, 3]
    assert arrays["y"].tolist() == [0, 1, 1]


def test_folders_of_official_parts_and_grey_images(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"):
        save(tmp_path / name, mode="L")
    arrays = images.image_folder(tmp_path)
    assert arrays["x_train"].shape == (2, 1, 4, 6) and arrays["y_test"].tolist() == [0, 1]
    save(tmp_path / "test" / "c" / "1.png")
    with pytest.raises(BadInput, match="train and test differ in the classes c"):
        images.image_folder(tmp_path)


def test_bad_folders_are_named(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png")
    with pytest.raises(BadInput, match="holds 1 folders of images: make one per class"):
        images.image_folder(tmp_path)
    save(tmp_path / "b" / "1.png", size=(5, 5))
    with pytest.raises(BadInput, match=r"b/1\.png is 5x5 pixels, .*a/1\.png is 6x4: resize all"):
        images.image_folder(tmp_path)
    (tmp_path / "b" / "1.png").write_bytes(b"no image")
    with pytest.raises(BadInput, match=r"b/1\.png is no image that can be read"):
        images.image_folder(tmp_path)
    (tmp_path / "b" / "1.png").unlink()
    with pytest.raises(BadInput, match="b holds no image"):
        images.image_folder(tmp_path)
