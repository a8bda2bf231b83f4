"""`fetch` downloads once, atomically, safely from several threads, and with a clear message if it fails."""

import threading
import urllib.error
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.disks import full_disk
from tune_kmixup.core.errors import BadInput, LaunchError
from tune_kmixup.data import npz
from tune_kmixup.data.download import default_data_dir, fetch, load_arrays, needs_download
from tune_kmixup.data.registry import DATASETS, Dataset

ARRAYS = {"x": np.zeros((6, 2)), "y": np.arange(6) % 2}


class FakeLoader:
    """Records its calls, and raises `error` if there is one."""

    def __init__(self, error: Exception | None = None):
        self.calls: list[tuple[Path, bool]] = []
        self.error = error

    def __call__(self, folder: Path, download: bool) -> dict[str, Any]:
        self.calls.append((folder, download))
        (folder / "archive").write_text("partly unpacked")
        if self.error:
            raise self.error
        return dict(ARRAYS)


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> FakeLoader:
    """The loader of a data set "remote"."""
    loader = FakeLoader()
    monkeypatch.setitem(DATASETS, "remote", make_dataset(loader))
    return loader


def make_dataset(loader: FakeLoader) -> Dataset:
    return replace(DATASETS["phishing"], load=loader, raw_paths=("raw/files",), source="example.org", size="3 MB")


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_fetch_downloads_once_and_keeps_the_arrays(loader: FakeLoader, tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "folder"
    assert needs_download("remote", data_dir) == "remote: 3 MB from example.org"
    for _ in range(2):
        fetch("remote", data_dir)
    assert len(loader.calls) == 1 and loader.calls[0][1]
    assert file_names(data_dir) == ["remote.npz"]  # nothing of the download is left
    assert needs_download("remote", data_dir) is None
    np.testing.assert_array_equal(load_arrays("remote", data_dir)["y"], ARRAYS["y"])


def test_threads_that_fetch_at_once_download_once(loader: FakeLoader, tmp_path: Path) -> None:
    threads = [threading.Thread(target=fetch, args=("remote", tmp_path)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loader.calls) == 1 and file_names(tmp_path) == ["remote.npz"]


@pytest.mark.parametrize("error", [urllib.error.URLError("offline"), RuntimeError("corrupted")])
def test_a_failed_download_leaves_no_file_and_names_the_remedy(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "remote", make_dataset(FakeLoader(error)))
    with pytest.raises(BadInput) as raised:
        fetch("remote", tmp_path)
    message = str(raised.value)
    assert "dataset='remote' cannot be downloaded (remote: 3 MB from example.org" in message and str(error) in message
    assert f"Offline: put remote.npz, or raw/files, into {tmp_path}" in message
    assert file_names(tmp_path) == []
    monkeypatch.setitem(DATASETS, "remote", make_dataset(FakeLoader()))
    fetch("remote", tmp_path)  # the next attempt succeeds
    assert file_names(tmp_path) == ["remote.npz"]


def test_raw_files_are_read_and_kept(loader: FakeLoader, tmp_path: Path) -> None:
    (tmp_path / "raw" / "files").mkdir(parents=True)
    assert needs_download("remote", tmp_path) is None
    fetch("remote", tmp_path)
    assert loader.calls == [(tmp_path, False)]
    assert (tmp_path / "raw" / "files").exists()


def test_incomplete_raw_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "remote", make_dataset(FakeLoader(RuntimeError("Dataset not found"))))
    (tmp_path / "raw" / "files").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"cannot be read .*raw/files is incomplete: complete it, or remove it"):
        fetch("remote", tmp_path)


def test_a_data_dir_that_cannot_be_created(loader: FakeLoader, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="cannot be downloaded"):
        fetch("remote", tmp_path / "file")


def test_loading_a_data_set_that_was_not_fetched(loader: FakeLoader, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"remote\.npz does not exist: `tune-kmixup launch` creates it"):
        load_arrays("remote", tmp_path)


def test_bundled_and_generated_data_sets_are_not_fetched(tmp_path: Path) -> None:
    for name, dataset in DATASETS.items():
        if dataset.load is None:
            assert needs_download(name, tmp_path) is None
            fetch(name, tmp_path)
    assert file_names(tmp_path) == []


def test_an_npz_in_the_data_dir_is_used_as_it_is(loader: FakeLoader, tmp_path: Path) -> None:
    npz.write_npz(tmp_path / "remote.npz", ARRAYS)
    assert needs_download("remote", tmp_path) is None
    fetch("remote", tmp_path)
    assert loader.calls == []


def test_an_unknown_name_is_refused_with_a_list_of_names(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"dataset='cifar' is unknown, .* choose among one_ring, .*cifar10"):
        needs_download("cifar", tmp_path)


def test_abalone_classes_are_the_ring_counts_that_occur(tmp_path: Path) -> None:
    npz.write_npz(tmp_path / "abalone.npz", {"x": np.zeros((8, 10)), "y": np.asarray([29, 1, 27, 1] * 2)})
    assert load_arrays("abalone", tmp_path)["y"].tolist() == [2, 0, 1, 0] * 2


@pytest.mark.parametrize("name", DATASETS)
def test_metadata(name: str) -> None:
    dataset = DATASETS[name]
    assert sum(function is not None for function in (dataset.generate, dataset.bundled, dataset.load)) == 1
    assert bool(dataset.size) == (dataset.load is not None)
    assert dataset.source and dataset.licence and dataset.classes >= 2
    if dataset.bundled:
        arrays = dataset.bundled()
        assert arrays["x"].shape == (dataset.rows, *dataset.shape)
        assert len(np.unique(arrays["y"])) == dataset.classes


def test_the_environment_sets_the_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_KMIXUP_DATA", str(tmp_path))
    assert default_data_dir() == tmp_path


@pytest.mark.parametrize("room", [5, 100], ids=["while it is downloaded", "while its arrays are written"])
def test_a_disk_that_is_full_is_no_bad_input(room: int, loader: FakeLoader, tmp_path: Path) -> None:
    said = rf"dataset='remote' cannot be written \(.*File too large.*\): free some space in {tmp_path}"
    with full_disk(room), pytest.raises(LaunchError, match=said):
        fetch("remote", tmp_path)
    assert len(loader.calls) == 1 and file_names(tmp_path) == []
    fetch("remote", tmp_path)
    assert file_names(tmp_path) == ["remote.npz"]
