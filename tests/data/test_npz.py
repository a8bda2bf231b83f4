"""Stored arrays are read unchanged, by row numbers. Damaged files are named."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tune_kmixup.core.errors import BadInput
from tune_kmixup.data import npz


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    rows=st.lists(st.integers(0, 29), max_size=40),
    chunk_bytes=st.integers(1, 200),
    compressed=st.booleans(),
    dtype=st.sampled_from([np.uint8, np.float32, np.int16]),
)
def test_rows_are_read_in_the_order_of_their_numbers(
    tmp_path_factory: pytest.TempPathFactory,
    shape: list[int],
    rows: list[int],
    chunk_bytes: int,
    compressed: bool,
    dtype: type[Any],
) -> None:
    x = np.random.default_rng(0).integers(0, 100, (30, *shape)).astype(dtype)
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    (np.savez_compressed if compressed else np.savez)(path, x=x, y=np.arange(30))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(npz, "CHUNK_BYTES", chunk_bytes)
        stored = npz.open_npz(path)["x"]
        assert isinstance(stored, npz.StoredArray)
        assert (stored.shape, stored.dtype, stored.ndim, len(stored)) == (x.shape, x.dtype, x.ndim, 30)
        np.testing.assert_array_equal(stored[np.asarray(rows, np.int64)], x[rows])
        np.testing.assert_array_equal(np.concatenate(list(npz.iter_chunks(stored))), x)


def test_chunks_of_an_array_in_memory() -> None:
    x = np.arange(6).reshape(3, 2)
    np.testing.assert_array_equal(np.concatenate(list(npz.iter_chunks(x))), x)


def test_column_major_arrays_are_read(tmp_path: Path) -> None:
    x = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    npz.write_npz(tmp_path / "a.npz", {"x": x, "y": np.arange(4)})
    np.testing.assert_array_equal(npz.open_npz(tmp_path / "a.npz")["x"][np.asarray([2, 0])], x[[2, 0]])


def write_example(tmp_path: Path) -> tuple[Path, NDArray[np.float64]]:
    x = np.random.default_rng(0).standard_normal((40, 9))
    npz.write_npz(tmp_path / "a.npz", {"x": x, "y": np.arange(40)})
    return tmp_path / "a.npz", x


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named(tmp_path: Path, share: float) -> None:
    path, _ = write_example(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadInput, match=r"a\.npz cannot be read .*: write it again, or delete a download"):
        npz.open_npz(path)["x"][np.arange(40)]


def test_a_changed_byte_fails_the_checksum(tmp_path: Path) -> None:
    path, x = write_example(tmp_path)
    content = bytearray(path.read_bytes())
    content[content.find(x.tobytes()) + 1000] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BadInput, match=r"a\.npz cannot be read \(Bad CRC-32"):
        npz.open_npz(path)["x"][np.arange(40)]


class FileCreatingPickle:
    """Unpickling it creates a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("unpickled"),)


def test_pickled_objects_are_refused_and_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", x=np.asarray([FileCreatingPickle()], object), y=np.arange(1))
    with pytest.raises(BadInput, match="holds Python objects as x"):
        npz.open_npz(Path("a.npz"))
    np.savez("b.npz", x=np.zeros(1), y=np.asarray([FileCreatingPickle()], object))
    with pytest.raises(BadInput, match="Python objects"):
        npz.open_npz(Path("b.npz"))
    assert not Path("unpickled").exists()
    pickle.loads(pickle.dumps(FileCreatingPickle()))  # it does create the file
    assert Path("unpickled").exists()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, x = write_example(tmp_path)
    before = path.read_bytes()

    def savez(file: Any, **arrays: Any) -> None:
        file.write(b"incomplete")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(OSError, match="No space left"):
        npz.write_npz(path, {"x": x})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
