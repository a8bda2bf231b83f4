"""DATASETS: every data set of the comparison, where it comes from, and how it gets into the data directory.

A data set is a dict of arrays. `x_train, y_train, x_test, y_test` where a test set is official, else `x, y`, with
`group` where rows of one group must stay together, or with `part` (0, 1, 2 = train, val, test) where validation and
test rows are official. Images are uint8 N x C x H x W, tables float N x D, recordings int16 N x rate beside the
scalar `rate`; labels are whole numbers from 0. `<data_dir>/<name>.npz` in this form is used as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tune_kmixup.data import audio, images, synthetic, tabular

Arrays = dict[str, NDArray[Any]]
Kind = Literal["toy", "table", "image", "audio"]


@dataclass(frozen=True)
class Dataset:
    """A data set and how to have it.

    Exactly one of `generate` (toys), `bundled` (at hand as soon as the packages are) and `load` (from files) is set.
    """

    kind: Kind
    rows: int  # in all, without the official test rows
    test_rows: int | None  # of the official test set; None: there is none, so cross-validated
    classes: int
    shape: tuple[int, ...]  # of one input of the network
    source: str
    licence: str
    size: str = ""  # of the download
    val_rows: int | None = None  # of the official validation part, among `rows`
    raw: tuple[str, ...] = ()  # paths below the data directory; where one of them is, `load` reads it
    file: str = ""  # name of the .npz, where it is not the data set's own
    ignore: str = ""  # the array of that file which this data set does not use
    relabel: bool = False  # labels are not 0, 1, 2, ...: number those that occur, in order
    generate: Callable[[int, np.random.Generator], synthetic.Rows] | None = None
    bundled: Callable[[], Arrays] | None = None
    load: Callable[[Path, bool], Arrays] | None = None  # (folder, download into it first)


TOY_ROWS = {"train": 200, "val": 200, "test": 2000}


def toy_dataset(generate: Callable[[int, np.random.Generator], synthetic.Rows], columns: int) -> Dataset:
    rows = TOY_ROWS["train"] + TOY_ROWS["val"]
    return Dataset("toy", rows, TOY_ROWS["test"], 2, (columns,), "generated", "none", generate=generate)


def bundled_dataset(
    kind: Kind, rows: int, classes: int, shape: tuple[int, ...], bundled: Callable[[], Arrays]
) -> Dataset:
    source = "ships inside scikit-learn (UCI)"
    return Dataset(kind, rows, None, classes, shape, source, "CC BY 4.0", bundled=bundled)


def digits_spoken(rows: int, test_rows: int | None, val_rows: int | None, ignore: str = "") -> Dataset:
    return Dataset(
        *("audio", rows, test_rows, 10, (1, 81, 101)),
        *("github.com/Jakobovski/free-spoken-digit-dataset, cloned by hand", "CC BY-SA 4.0", "16 MB"),
        val_rows=val_rows,
        raw=("free-spoken-digit-dataset", "speech_commands"),
        file="spoken_digits",
        ignore=ignore,
        load=audio.spoken_digits,
    )


FREE = "no formal licence; cite the source"

DATASETS: dict[str, Dataset] = {
    "one_ring": toy_dataset(synthetic.one_ring, 2),
    "four_bars": toy_dataset(synthetic.four_bars, 2),
    "swiss_roll": toy_dataset(synthetic.swiss_roll, 3),
    "two_spirals": toy_dataset(synthetic.two_spirals, 2),
    "iris": bundled_dataset("table", 150, 3, (4,), tabular.bundled("iris")),
    "wine": bundled_dataset("table", 178, 3, (13,), tabular.bundled("wine")),
    "breast_cancer": bundled_dataset("table", 569, 2, (30,), tabular.bundled("breast_cancer")),
    "digits": bundled_dataset("image", 1797, 10, (1, 8, 8), tabular.digits),
    "abalone": Dataset(
        *("table", 4177, None, 28, (10,)),
        *("OpenML 183 (UCI 1)", "CC BY 4.0", "under 1 MB"),
        relabel=True,
        load=tabular.abalone,
    ),
    "phishing": Dataset(
        *("table", 11055, None, 2, (30,)),
        *("OpenML 4534 (UCI 327)", "CC BY 4.0", "under 1 MB"),
        load=tabular.phishing,
    ),
    "mnist": Dataset(
        *("image", 60000, 10000, 10, (1, 28, 28)),
        *("torchvision (yann.lecun.com/exdb/mnist)", FREE, "12 MB"),
        raw=("MNIST/raw/train-images-idx3-ubyte",),
        load=images.mnist("MNIST"),
    ),
    "fashion_mnist": Dataset(
        *("image", 60000, 10000, 10, (1, 28, 28)),
        *("torchvision (github.com/zalandoresearch/fashion-mnist)", "MIT", "31 MB"),
        raw=("FashionMNIST/raw/train-images-idx3-ubyte",),
        load=images.mnist("FashionMNIST"),
    ),
    "cifar10": Dataset(
        *("image", 50000, 10000, 10, (3, 32, 32)),
        *("torchvision (cs.toronto.edu/~kriz/cifar.html)", FREE, "170 MB"),
        raw=("cifar-10-batches-py",),
        load=images.cifar("CIFAR10"),
    ),
    "cifar100": Dataset(
        *("image", 50000, 10000, 100, (3, 32, 32)),
        *("torchvision (cs.toronto.edu/~kriz/cifar.html)", FREE, "169 MB"),
        raw=("cifar-100-python",),
        load=images.cifar("CIFAR100"),
    ),
    "svhn": Dataset(
        *("image", 73257, 26032, 10, (3, 32, 32)),
        *("torchvision (ufldl.stanford.edu/housenumbers)", "non-commercial use only", "246 MB"),
        raw=("train_32x32.mat",),
        load=images.svhn,
    ),
    "tiny_imagenet": Dataset(
        *("image", 100000, 10000, 200, (3, 64, 64)),
        *("cs231n.stanford.edu", "ImageNet's: non-commercial research and education", "248 MB"),
        raw=("tiny-imagenet-200",),
        load=images.tiny_imagenet,
    ),
    "speech_commands_v1": Dataset(
        *("audio", 57886, 6835, 30, (1, 161, 101)),
        *("download.tensorflow.org (Google)", "CC BY 4.0", "1.5 GB"),
        val_rows=6798,
        raw=("SpeechCommands/speech_commands_v0.01",),
        load=audio.google("0.01"),
    ),
    "speech_commands_v2": Dataset(
        *("audio", 94824, 11005, 35, (1, 161, 101)),
        *("download.tensorflow.org (Google)", "CC BY 4.0", "2.4 GB"),
        val_rows=9981,
        raw=("SpeechCommands/speech_commands_v0.02",),
        load=audio.google("0.02"),
    ),
    "spoken_digits": digits_spoken(2700, 300, 300),
    "spoken_digits_speakers": digits_spoken(3000, None, None, ignore="part"),
}
