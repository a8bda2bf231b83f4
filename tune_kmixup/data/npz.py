"""Data sets as .npz files: written atomically, read row by row, so that unused rows cost no memory."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tune_kmixup.core.errors import BadInput

Arrays = dict[str, NDArray[Any]]

CHUNK_BYTES = 2**24  # bytes read at once


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turns any error that a damaged file raises into a BadInput that names the file."""
    try:
        yield
    except BadInput:
        raise
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist: put it back, or fetch it again.") from None
    except Exception as error:  # a truncated or damaged zip raises errors of many types
        unknown = isinstance(error, ValueError) and "pickle" in str(error)  # NumPy advises to load it unsafely
        reason = "it is no .npz" if unknown else error
        raise BadInput(f"{path} cannot be read ({reason}): write it again, or delete a download.") from error


class StoredArray:
    """An array inside an .npz that stays on disk: `len`, `shape`, `dtype`, and rows by their numbers."""

    def __init__(self, path: Path, key: str):
        self.path, self.key = path, key
        with read_errors(path), self._file() as file:
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[np.lib.format.read_magic(file)]
            self.shape, self.fortran_order, self.dtype = read_header(file)
            self._start = file.tell()

    def __len__(self) -> int:
        return int(self.shape[0])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @contextmanager
    def _file(self) -> Iterator[IO[bytes]]:
        with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.key}.npy") as file:
            yield file

    def chunks(self) -> Iterator[NDArray[Any]]:
        """All rows in order, in chunks of about CHUNK_BYTES."""
        row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        chunk_rows = max(1, CHUNK_BYTES // max(1, row_bytes))
        with read_errors(self.path), self._file() as file:
            file.read(self._start)
            for start in range(0, len(self), chunk_rows):
                rows = min(chunk_rows, len(self) - start)
                chunk = np.frombuffer(file.read(rows * row_bytes), self.dtype)
                yield chunk.reshape(rows, *self.shape[1:])

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        selected = np.empty((len(rows), *self.shape[1:]), self.dtype)
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        start = 0
        for chunk in self.chunks():
            in_chunk = slice(*np.searchsorted(ascending, [start, start + len(chunk)]))
            selected[order[in_chunk]] = chunk[ascending[in_chunk] - start]
            start += len(chunk)
            if in_chunk.stop == len(rows):
                break
        return selected


def whole(x: NDArray[Any] | StoredArray) -> NDArray[Any]:
    """All rows of an array, in memory."""
    if isinstance(x, StoredArray):
        return np.concatenate([np.empty((0, *x.shape[1:]), x.dtype), *x.chunks()])
    return x


def iter_chunks(x: NDArray[Any] | StoredArray) -> Iterator[NDArray[Any]]:
    """All rows of an array in order, in chunks: one chunk if it is in memory, several if it is on disk."""
    if isinstance(x, StoredArray):
        yield from x.chunks()
    else:
        yield x


def open_npz(path: Path) -> dict[str, NDArray[Any] | StoredArray]:
    """The arrays of an .npz. Those of several dimensions, as inputs are, stay on disk; others are read at once."""
    with read_errors(path), np.load(path, allow_pickle=False) as file:
        arrays: dict[str, NDArray[Any] | StoredArray] = {}
        for key in file.files:
            stored = StoredArray(path, key)
            if stored.dtype.hasobject:
                raise BadInput(f"{path} holds Python objects as {key}: store numbers or text, without pickles.")
            arrays[key] = stored if stored.ndim > 1 and not stored.fortran_order else file[key]
        return arrays


def write_npz(path: Path, arrays: Arrays) -> None:
    """Writes the file atomically. It is not compressed, so that reading it is as fast as the disk."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
