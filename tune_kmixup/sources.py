"""DATASETS: every data set of the comparison, where it comes from, and how it gets into the data directory.

A data set is a dict of arrays. `x_train, y_train, x_test, y_test` where a test set is official, else `x, y`, with
`group` where rows of one group must stay together, or with `part` (0, 1, 2 = train, val, test) where validation and
test rows are official. Images are uint8 N x C x H x W, tables float N x D, recordings int16 N x rate beside the
scalar `rate`; labels are whole numbers from 0. `<data_dir>/<name>.npz` in this form is used as it is.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from tune_kmixup import images, npz, speech, tables, toys
from tune_kmixup.checks import check
from tune_kmixup.study import BadInput

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
    generate: Callable[[int, np.random.Generator], toys.Rows] | None = None
    bundled: Callable[[], Arrays] | None = None
    load: Callable[[Path, bool], Arrays] | None = None  # (folder, download into it first)


TOY_ROWS = {"train": 200, "val": 200, "test": 2000}


def toy(generate: Callable[[int, np.random.Generator], toys.Rows], columns: int) -> Dataset:
    rows = TOY_ROWS["train"] + TOY_ROWS["val"]
    return Dataset("toy", rows, TOY_ROWS["test"], 2, (columns,), "generated", "none", generate=generate)


def small(kind: Kind, rows: int, classes: int, shape: tuple[int, ...], bundled: Callable[[], Arrays]) -> Dataset:
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
        load=speech.spoken_digits,
    )


FREE = "no formal licence; cite the source"

DATASETS: dict[str, Dataset] = {
    "one_ring": toy(toys.one_ring, 2),
    "four_bars": toy(toys.four_bars, 2),
    "swiss_roll": toy(toys.swiss_roll, 3),
    "two_spirals": toy(toys.two_spirals, 2),
    "iris": small("table", 150, 3, (4,), tables.bundled("iris")),
    "wine": small("table", 178, 3, (13,), tables.bundled("wine")),
    "breast_cancer": small("table", 569, 2, (30,), tables.bundled("breast_cancer")),
    "digits": small("image", 1797, 10, (1, 8, 8), tables.digits),
    "abalone": Dataset(
        *("table", 4177, None, 28, (10,)),
        *("OpenML 183 (UCI 1)", "CC BY 4.0", "under 1 MB"),
        relabel=True,
        load=tables.abalone,
    ),
    "phishing": Dataset(
        *("table", 11055, None, 2, (30,)),
        *("OpenML 4534 (UCI 327)", "CC BY 4.0", "under 1 MB"),
        load=tables.phishing,
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
        load=speech.google("0.01"),
    ),
    "speech_commands_v2": Dataset(
        *("audio", 94824, 11005, 35, (1, 161, 101)),
        *("download.tensorflow.org (Google)", "CC BY 4.0", "2.4 GB"),
        val_rows=9981,
        raw=("SpeechCommands/speech_commands_v0.02",),
        load=speech.google("0.02"),
    ),
    "spoken_digits": digits_spoken(2700, 300, 300),
    "spoken_digits_speakers": digits_spoken(3000, None, None, ignore="part"),
}


def npz_of(dataset: str, data_dir: Path) -> Path:
    """Where a data set is, or would be, kept."""
    file = DATASETS[dataset].file if dataset in DATASETS else ""
    return data_dir / f"{file or dataset}.npz"


def own(dataset: str, data_dir: Path) -> Path | None:
    """A user's own data: `<name>.csv` with a column `label`, or a folder `<name>` with a folder of images per class."""
    return next((path for path in (data_dir / f"{dataset}.csv", data_dir / dataset) if path.exists()), None)


def missing(dataset: str, data_dir: Path) -> str | None:
    """What would have to be downloaded before training, and from where; None where nothing is.

    Raises BadInput where the name is unknown and there is no such file either.
    """
    if npz_of(dataset, data_dir).exists():
        return None
    if dataset not in DATASETS:
        if own(dataset, data_dir):
            return None
        raise BadInput(
            f"dataset={dataset!r} is unknown, and there is no {dataset}.npz, {dataset}.csv or folder {dataset} in "
            f"{data_dir}: put one there (docs/data.md), or choose among {', '.join(DATASETS)}."
        )
    found = DATASETS[dataset]
    if found.load is None or raw_of(found, data_dir):
        return None
    return f"{dataset}: {found.size} from {found.source}"


def raw_of(found: Dataset, data_dir: Path) -> Path | None:
    return next((data_dir / path for path in found.raw if (data_dir / path).exists()), None)


def fetch(dataset: str, data_dir: Path) -> None:
    """Has the data set ready to be trained on: downloads it unless its files are there, and keeps it as .npz.

    One process does it, others wait for it; nothing half-done is ever left in place. Raises BadInput where it cannot
    be had, saying what to put where instead.
    """
    what = missing(dataset, data_dir)
    path = npz_of(dataset, data_dir)
    found = DATASETS.get(dataset)
    if found is None or found.load is None or path.exists():
        return
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(data_dir / f".{path.stem}.lock"):
            if path.exists():
                return
            if raw := raw_of(found, data_dir):
                what = f"{raw} is there, but is not whole: complete it, or remove it to download it anew"
                arrays = found.load(data_dir, False)
            else:
                with tempfile.TemporaryDirectory(prefix=".download-", dir=data_dir) as scratch:
                    arrays = found.load(Path(scratch), True)
            npz.write(path, arrays)
    except BadInput:
        raise
    except Exception as error:  # torchvision, scikit-learn, the network and the disk raise many types here
        raise BadInput(
            f"dataset={dataset!r} cannot be had ({what}: {error}). Offline: put {path.name}"
            f"{''.join(f', or {name},' for name in found.raw)} into {data_dir}, as docs/data.md says."
        ) from error


def arrays_of(dataset: str, data_dir: Path) -> dict[str, Any]:
    """A data set's arrays, checked; large ones stay on disk until rows of them are asked for."""
    path = npz_of(dataset, data_dir)
    found = DATASETS.get(dataset)
    if path.exists():
        arrays: dict[str, Any] = dict(npz.opened(path))
    elif found is not None and found.bundled:
        arrays = dict(found.bundled())
    elif found is None and (mine := own(dataset, data_dir)):
        path, arrays = mine, dict(images.image_folder(mine) if mine.is_dir() else tables.csv_table(mine))
    else:
        missing(dataset, data_dir)
        raise BadInput(f"{path} does not exist: `tune-kmixup launch` makes it before the first trial; run that first.")
    if found is not None:
        arrays.pop(found.ignore, None)
        if found.relabel:
            arrays["y"] = np.unique(arrays["y"], return_inverse=True)[1].astype(np.int64)
    check(str(path), arrays)
    return arrays
