"""Data sets as .npz files: written whole or not at all, read row by row, so that rows left out cost no memory."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tune_kmixup.core.errors import BadInput

PIECE = 2**24  # bytes read at once


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turns whatever a damaged file raises into one error that names it."""
    try:
        yield
    except BadInput:
        raise
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist: fetch it again.") from None
    except Exception as error:  # a zip that is cut short or garbled fails in many ways
        raise BadInput(f"{path} cannot be read ({error}): delete it, and fetch it again or write it anew.") from error


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

    def pieces(self) -> Iterator[NDArray[Any]]:
        """The rows in order, some at a time."""
        row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        at_once = max(1, PIECE // max(1, row_bytes))
        with read_errors(self.path), self._file() as file:
            file.read(self._start)
            for start in range(0, len(self), at_once):
                rows = min(at_once, len(self) - start)
                piece = np.frombuffer(file.read(rows * row_bytes), self.dtype)
                yield piece.reshape(rows, *self.shape[1:])

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        start = 0
        for piece in self.pieces():
            here = slice(*np.searchsorted(ascending, [start, start + len(piece)]))
            found[order[here]] = piece[ascending[here] - start]
            start += len(piece)
            if here.stop == len(rows):
                break
        return found


def chunks(x: NDArray[Any] | StoredArray) -> Iterator[NDArray[Any]]:
    """The rows of an array in order, some at a time, wherever it is."""
    if isinstance(x, StoredArray):
        yield from x.pieces()
    else:
        yield x


def open_npz(path: Path) -> dict[str, NDArray[Any] | StoredArray]:
    """The arrays of an .npz. Inputs (`x...`) stay on disk, everything else is small and is read."""
    with read_errors(path), np.load(path, allow_pickle=False) as file:
        found: dict[str, NDArray[Any] | StoredArray] = {}
        for key in file.files:
            stored = StoredArray(path, key)
            if stored.dtype.hasobject:
                raise BadInput(f"{path} holds Python objects as {key}: store plain numbers.")
            found[key] = stored if key.startswith("x") and not stored.fortran_order else file[key]
        return found


def write(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Whole or not at all; not compressed, so that reading it costs no more than reading the disk."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
