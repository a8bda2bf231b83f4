"""How a data set gets into the data directory, and its arrays out of it."""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from tune_kmixup.core.errors import BadInput
from tune_kmixup.data import images, npz, tabular
from tune_kmixup.data.registry import DATASETS, Dataset
from tune_kmixup.data.validation import check_arrays


def default_data_dir() -> Path:
    """$TUNE_KMIXUP_DATA, else a folder in the user's cache."""
    return Path(os.environ.get("TUNE_KMIXUP_DATA") or Path.home() / ".cache" / "tune-kmixup")


def npz_path(dataset: str, data_dir: Path) -> Path:
    """Where a data set is, or would be, kept."""
    file = DATASETS[dataset].file if dataset in DATASETS else ""
    return data_dir / f"{file or dataset}.npz"


def user_file(dataset: str, data_dir: Path) -> Path | None:
    """A user's own data: `<name>.csv` with a column `label`, or a folder `<name>` with a folder of images per class."""
    return next((path for path in (data_dir / f"{dataset}.csv", data_dir / dataset) if path.exists()), None)


def needs_download(dataset: str, data_dir: Path) -> str | None:
    """What would have to be downloaded before training, and from where; None where nothing is.

    Raises BadInput where the name is unknown and there is no such file either.
    """
    if npz_path(dataset, data_dir).exists():
        return None
    if dataset not in DATASETS:
        if user_file(dataset, data_dir):
            return None
        raise BadInput(
            f"dataset={dataset!r} is unknown, and there is no {dataset}.npz, {dataset}.csv or folder {dataset} in "
            f"{data_dir}: put one there (docs/data.md), or choose among {', '.join(DATASETS)}."
        )
    found = DATASETS[dataset]
    if found.load is None or raw_path(found, data_dir):
        return None
    return f"{dataset}: {found.size} from {found.source}"


def raw_path(found: Dataset, data_dir: Path) -> Path | None:
    return next((data_dir / path for path in found.raw if (data_dir / path).exists()), None)


def fetch(dataset: str, data_dir: Path) -> None:
    """Has the data set ready to be trained on: downloads it unless its files are there, and keeps it as .npz.

    One process does it, others wait for it; nothing half-done is ever left in place. Raises BadInput where it cannot
    be had, saying what to put where instead.
    """
    what = needs_download(dataset, data_dir)
    path = npz_path(dataset, data_dir)
    found = DATASETS.get(dataset)
    if found is None or found.load is None or path.exists():
        return
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(data_dir / f".{path.stem}.lock"):
            if path.exists():
                return
            if raw := raw_path(found, data_dir):
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


def load_arrays(dataset: str, data_dir: Path) -> dict[str, Any]:
    """A data set's arrays, checked; large ones stay on disk until rows of them are asked for."""
    path = npz_path(dataset, data_dir)
    found = DATASETS.get(dataset)
    if path.exists():
        arrays: dict[str, Any] = dict(npz.open_npz(path))
    elif found is not None and found.bundled:
        arrays = dict(found.bundled())
    elif found is None and (mine := user_file(dataset, data_dir)):
        path, arrays = mine, dict(images.image_folder(mine) if mine.is_dir() else tabular.csv_table(mine))
    else:
        needs_download(dataset, data_dir)
        raise BadInput(f"{path} does not exist: `tune-kmixup launch` makes it before the first trial; run that first.")
    if found is not None:
        arrays.pop(found.ignore, None)
        if found.relabel:
            arrays["y"] = np.unique(arrays["y"], return_inverse=True)[1].astype(np.int64)
    check_arrays(str(path), arrays)
    return arrays
