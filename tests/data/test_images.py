"""Images in the file formats of the data sets."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from tests.helpers import datafiles
from tune_kmixup.core.errors import BadInput
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
