"""Fetching: once, whole or not at all, safe when many start at once, and clear when it cannot be done."""

import threading
import urllib.error
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tune_kmixup.core.errors import BadInput
from tune_kmixup.data import npz
from tune_kmixup.data.download import default_data_dir, fetch, load_arrays, needs_download
from tune_kmixup.data.registry import DATASETS, Dataset

ARRAYS = {"x": np.zeros((6, 2)), "y": np.arange(6) % 2}


class Download:
    """Stands in for a loader: counts its calls, and fails where told to."""

    def __init__(self, error: Exception | None = None):
        self.calls: list[tuple[Path, bool]] = []
        self.error = error

    def __call__(self, folder: Path, download: bool) -> dict[str, Any]:
        self.calls.append((folder, download))
        (folder / "half").write_text("an archive, partly unpacked")
        if self.error:
            raise self.error
        return dict(ARRAYS)


@pytest.fixture
def download(monkeypatch: pytest.MonkeyPatch) -> Download:
    found = Download()
    monkeypatch.setitem(DATASETS, "far", dataset(found))
    return found


def dataset(load: Download) -> Dataset:
    return replace(DATASETS["phishing"], load=load, raw=("raw/files",), source="example.org", size="3 MB")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_fetch_downloads_once_and_keeps_the_arrays(download: Download, tmp_path: Path) -> None:
    data_dir = tmp_path / "not" / "yet" / "there"
    assert needs_download("far", data_dir) == "far: 3 MB from example.org"
    for _ in range(2):
        fetch("far", data_dir)
    assert len(download.calls) == 1 and download.calls[0][1]
    assert names(data_dir) == ["far.npz"]  # nothing of the download is left
    assert needs_download("far", data_dir) is None
    np.testing.assert_array_equal(load_arrays("far", data_dir)["y"], ARRAYS["y"])


def test_many_at_once_download_once(download: Download, tmp_path: Path) -> None:
    threads = [threading.Thread(target=fetch, args=("far", tmp_path)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(download.calls) == 1 and names(tmp_path) == ["far.npz"]


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("offline"), RuntimeError("corrupted"), OSError(28, "No space")]
)
def test_a_failed_download_leaves_nothing_and_says_what_to_do(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "far", dataset(Download(error)))
    with pytest.raises(BadInput) as raised:
        fetch("far", tmp_path)
    message = str(raised.value)
    assert "dataset='far' cannot be had (far: 3 MB from example.org" in message and str(error) in message
    assert f"Offline: put far.npz, or raw/files, into {tmp_path}" in message
    assert names(tmp_path) == []
    monkeypatch.setitem(DATASETS, "far", dataset(Download()))
    fetch("far", tmp_path)  # and the next attempt starts afresh
    assert names(tmp_path) == ["far.npz"]


def test_files_that_are_there_are_read_and_left_alone(download: Download, tmp_path: Path) -> None:
    (tmp_path / "raw" / "files").mkdir(parents=True)
    assert needs_download("far", tmp_path) is None
    fetch("far", tmp_path)
    assert download.calls == [(tmp_path, False)]
    assert (tmp_path / "raw" / "files").exists()


def test_files_that_are_not_whole_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "far", dataset(Download(RuntimeError("Dataset not found"))))
    (tmp_path / "raw" / "files").mkdir(parents=True)
    with pytest.raises(BadInput, match="raw/files is there, but is not whole: complete it, or remove it"):
        fetch("far", tmp_path)


def test_a_folder_that_cannot_be_written(download: Download, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="cannot be had"):
        fetch("far", tmp_path / "file")


def test_what_was_not_fetched_is_said_before_training(download: Download, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"far\.npz does not exist: `tune-kmixup launch` makes it"):
        load_arrays("far", tmp_path)


def test_what_is_at_hand_needs_nothing(tmp_path: Path) -> None:
    for name, found in DATASETS.items():
        if found.load is None:
            assert needs_download(name, tmp_path) is None
            fetch(name, tmp_path)
    assert names(tmp_path) == []


def test_a_file_of_that_name_is_used_as_it_is(download: Download, tmp_path: Path) -> None:
    npz.write(tmp_path / "far.npz", ARRAYS)
    assert needs_download("far", tmp_path) is None
    fetch("far", tmp_path)
    assert download.calls == []


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"dataset='cifar' is unknown, .* choose among one_ring, .*cifar10"):
        needs_download("cifar", tmp_path)


def test_abalone_is_numbered_by_the_rings_that_occur(tmp_path: Path) -> None:
    npz.write(tmp_path / "abalone.npz", {"x": np.zeros((4, 10)), "y": np.asarray([29, 1, 27, 1])})
    assert load_arrays("abalone", tmp_path)["y"].tolist() == [2, 0, 1, 0]


@pytest.mark.parametrize("name", DATASETS)
def test_metadata(name: str) -> None:
    found = DATASETS[name]
    assert sum(way is not None for way in (found.generate, found.bundled, found.load)) == 1
    assert bool(found.size) == (found.load is not None)
    assert found.source and found.licence and found.classes >= 2
    if found.bundled:
        arrays = found.bundled()
        assert arrays["x"].shape == (found.rows, *found.shape) and len(np.unique(arrays["y"])) == found.classes


def test_the_data_directory_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_KMIXUP_DATA", str(tmp_path))
    assert default_data_dir() == tmp_path
