"""Gets data sets into the data directory, and reads their arrays from it."""

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock

from tune_kmixup.core.errors import BadInput, LaunchError, is_disk_failure
from tune_kmixup.core.source import Source
from tune_kmixup.data import npz
from tune_kmixup.data.arrays import read_npz, understand
from tune_kmixup.data.folders import read_folder
from tune_kmixup.data.registry import DATASETS, Dataset
from tune_kmixup.data.tables import Table, read_table
from tune_kmixup.data.visible import Stamp, stamp_of


def cache_dir() -> Path:
    """The folder in the user's cache that holds the data sets where no other is named. The path is absolute."""
    return (Path.home() / ".cache" / "tune-kmixup").absolute()


def default_data_dir() -> Path:
    """$TUNE_KMIXUP_DATA if set, else `cache_dir`. The path is absolute."""
    return Path(os.environ.get("TUNE_KMIXUP_DATA") or cache_dir()).absolute()


def npz_path(name: str, data_dir: Path) -> Path:
    """Path of a data set's .npz, whether it exists or not."""
    npz_name = DATASETS[name].npz_name if name in DATASETS else ""
    return data_dir / f"{npz_name or name}.npz"


def user_data_path(name: str, data_dir: Path) -> Path | None:
    """A user's own data: `<name>.npz`, `<name>.csv` with a column `label`, or a folder `<name>` with one per class."""
    paths = (data_dir / f"{name}.npz", data_dir / f"{name}.csv", data_dir / name)
    return next((path for path in paths if path.exists()), None)


def raw_path(dataset: Dataset, data_dir: Path) -> Path | None:
    return next((data_dir / path for path in dataset.raw_paths if (data_dir / path).exists()), None)


def needs_download(name: str, data_dir: Path) -> str | None:
    """What has to be downloaded before training on a data set.

    Args:
        name: name of the data set: an entry of DATASETS, or the user's own file or folder in `data_dir`.
        data_dir: folder of the data sets; it need not exist.

    Returns:
        Name, size and source of the download, as a phrase for a message; None if nothing has to be downloaded.

    Raises:
        BadInput: if the name is unknown and `data_dir` holds no data of that name.
    """
    if name not in DATASETS:
        if user_data_path(name, data_dir):
            return None
        raise BadInput(
            f"dataset={name!r} is unknown, and there is no {name}.npz, {name}.csv or folder {name} in "
            f"{data_dir}: put one there, name its folder with --data-dir, or choose among {', '.join(DATASETS)}."
        )
    dataset = DATASETS[name]
    if is_fetched(name, data_dir) or raw_path(dataset, data_dir):
        return None
    return f"{name}: {dataset.size} from {dataset.source}"


def is_fetched(name: str, data_dir: Path) -> bool:
    """Whether a data set can be read as it is: its .npz is there, or it has none to be fetched."""
    return name not in DATASETS or DATASETS[name].load is None or npz_path(name, data_dir).exists()


def fetch(name: str, data_dir: Path) -> None:
    """Makes a data set ready for training: reads its raw files, or downloads them, and writes its .npz.

    Does nothing if the .npz exists, or if the data set needs none. One process does the work while others wait for it.
    No incomplete file is ever left behind.

    Args:
        name: name of the data set, see `needs_download`.
        data_dir: folder of the data sets; it is created if needed.

    Raises:
        BadInput: if the name is unknown, or if the data set can be neither downloaded nor read. The message says which
            files to put into `data_dir` instead.
        LaunchError: if the disk is full or fails.
    """
    download = needs_download(name, data_dir)
    if is_fetched(name, data_dir):
        return
    path, dataset = npz_path(name, data_dir), DATASETS[name]
    assert dataset.load is not None
    problem = f"cannot be downloaded ({download}"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(data_dir / f".{path.stem}.lock"):
            if path.exists():
                return
            if raw := raw_path(dataset, data_dir):
                problem = f"cannot be read ({raw} is incomplete: complete it, or remove it to download it again"
                arrays = dataset.load(data_dir, False)
            else:
                with tempfile.TemporaryDirectory(prefix=".download-", dir=data_dir) as scratch:
                    arrays = dataset.load(Path(scratch), True)
            npz.write_npz(path, arrays)
    except BadInput:
        raise
    except Exception as error:  # torchvision, scikit-learn, the network and the disk raise errors of many types
        if is_disk_failure(error):
            raise LaunchError(
                f"dataset={name!r} cannot be written ({error}): free some space in {data_dir}, check the disk, or name "
                "another folder with --data-dir."
            ) from error
        raise BadInput(
            f"dataset={name!r} {problem}: {error}). Offline: put {path.name}"
            f"{''.join(f', or {raw_name},' for raw_name in dataset.raw_paths)} into {data_dir}, as docs/data.md says."
        ) from error


def fetch_missing(names: Iterable[str], data_dir: Path, tell: Callable[[str], None]) -> bool:
    """Fetches the data sets that are not in the data directory yet, and tells of each. Returns whether there were any.

    Raises:
        BadInput: see `fetch`, as for LaunchError.
    """
    missing = [name for name in sorted(names) if not is_fetched(name, data_dir)]
    for name in missing:
        tell(f"Reading {needs_download(name, data_dir) or name}")
        fetch(name, data_dir)
    return bool(missing)


def load_arrays(name: str, data_dir: Path) -> dict[str, Any]:
    """A data set's arrays, as `read_data` understands them."""
    return dict(read_data(name, data_dir).arrays)


def read_data(name: str, data_dir: Path) -> Table:
    """A data set, read and understood.

    Args:
        name: name of the data set, see `needs_download`.
        data_dir: folder of the data sets.

    Returns:
        The arrays described in `registry`, and what was found out about them. Inputs of an .npz are `StoredArray`s:
        rows are read when they are indexed.

    Raises:
        BadInput: if the data set has not been fetched, or cannot be used.
    """
    if source := own_file(name, data_dir):
        return read_source(source)
    path, dataset = npz_path(name, data_dir), DATASETS.get(name)
    location, arrays = str(path), dict[str, Any]()
    if path.exists():
        arrays = dict(npz.open_npz(path))
    elif dataset is not None and dataset.bundled:
        location, arrays = f"dataset={name!r}", dict(dataset.bundled())
    else:
        needs_download(name, data_dir)  # has a better message for an unknown name
        raise BadInput(
            f"{path} does not exist: `tune-kmixup launch` creates it before the first trial; run that first."
        )
    if dataset is not None:
        arrays.pop(dataset.ignored_array, None)
    return understand(location, arrays)


def own_file(name: str, data_dir: Path) -> Source | None:
    """A user's own file or folder, where it lies or in the data directory; None for other data."""
    if name in DATASETS:
        return DATASETS[name].file
    path = user_data_path(name, data_dir)
    return Source(str(path)) if path else None


def data_stamp(name: str, data_dir: Path) -> Stamp:
    """What tells that the files of a data set have changed; empty if it has none."""
    source = own_file(name, data_dir)
    path = Path(source.path) if source else npz_path(name, data_dir)
    return stamp_of(path) if path.exists() else ()


def read_source(source: Source) -> Table:
    """A user's own file or folder. Raises BadInput if it cannot be used."""
    if Path(source.path).is_dir():
        return read_folder(source)
    return read_npz(source) if source.path.lower().endswith(".npz") else read_table(source)
