"""Reads and writes files on disk or in an object store. Each file is written whole or not at all.

A location is a `Path`, or for a URL such as `s3://bucket/run` a `UPath`, which has the methods of `Path` used here.
Errors of a store's own package are raised as OSError, like those of a disk. fsspec is imported only for URLs.
"""

import errno
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from tune_kmixup.core.errors import BadInput

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}  # protocol -> package that its store needs


def parse_location(location: str | Path) -> Path:
    """Parses the location of a folder.

    Args:
        location: path of a folder on disk, or URL of one in an object store.

    Returns:
        An absolute `Path`, because workers have other working directories; or a `UPath` for a URL.

    Raises:
        BadInput: if the kind of store is unknown, its package is not installed, or it is nearly a URL.
    """
    protocol = re.match(r"([a-z0-9]+)://", str(location))
    if not protocol:
        if re.match(r"[A-Za-z][\w+.:-]*:/", str(location)):
            raise BadInput(
                f"{str(location)!r} is no URL of a store: write s3://... or gs://..., or the absolute path of a folder."
            )
        return Path(location).absolute()
    from upath import UPath

    try:
        path = UPath(str(location), use_listings_cache=False)  # no cache: other processes write to the store as well
        path.fs  # noqa: B018  # imports the store's package
    except (ImportError, ValueError) as error:
        package = PACKAGES.get(protocol[1])
        remedy = f"pip install {package} on every node" if package else "name a folder, s3://... or gs://..."
        raise BadInput(f"{str(location)!r} is in a store that cannot be used ({error}): {remedy}.") from error
    return cast(Path, path)


def is_remote(path: Path) -> bool:
    """Whether a location is in an object store. A store has no folders, and its files appear only when complete."""
    return not isinstance(path, Path)


def call_store(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Calls a function of a store, and raises the errors of its package as OSError, or FileNotFoundError as it is."""
    try:
        return call(*args, **options)
    except OSError:
        raise
    except Exception as error:  # of botocore, aiohttp, google.auth, ...: they have no base class in common
        raise OSError(f"{type(error).__name__}: {error}") from error


def exists(path: Path) -> bool:
    """Whether a file or folder exists. Raises OSError if the disk or store cannot tell."""
    return bool(call_store(path.exists))


class NotRegular(OSError):
    """A folder, a pipe or a device where a file is due. Reading a pipe would wait for ever."""

    def __init__(self, path: Path):
        super().__init__(errno.EINVAL, "it is no regular file", str(path))


def read(path: Path) -> bytes:
    """The content of a file. Raises FileNotFoundError if it does not exist, and OSError if it cannot be read.

    In a store this takes one request. Opening and then reading would fail if the file is replaced in between.
    """
    if is_remote(path):
        return cast(bytes, call_store(filesystem(path).cat_file, store_key(path)))
    if path.exists() and not path.is_file():
        raise NotRegular(path)
    return path.read_bytes()


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Writes a file that replaces an existing one when it is complete. Readers see the old content or the new one.

    Args:
        path: the file; on disk its folder must exist.

    Yields:
        A binary file to write to. If the body raises, nothing is written.

    Raises:
        OSError: if the file cannot be written.
    """
    if is_remote(path):
        buffer = io.BytesIO()
        yield buffer
        call_store(filesystem(path).pipe_file, store_key(path), buffer.getvalue())
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def names_in(folder: Path) -> list[str]:
    """The names of what a folder holds; none if it does not exist."""
    return [path.name for path in call_store(list, folder.iterdir())] if exists(folder) else []


def create(path: Path, content: bytes) -> bool:
    """Writes a file unless it exists.

    In a store this is one atomic step. On disk it is not: the caller must hold the lock of the run directory.

    Returns:
        Whether the file was written.

    Raises:
        OSError: if the file cannot be written.
    """
    if is_remote(path):
        try:
            call_store(filesystem(path).pipe_file, store_key(path), content, mode="create")
        except FileExistsError:
            return False
        return True
    if path.exists():
        return False
    with atomic_write(path) as file:
        file.write(content)
    return True


def remove(path: Path) -> None:
    """Removes a file if it exists."""
    if not is_remote(path):
        path.unlink(missing_ok=True)
        return
    with suppress(FileNotFoundError):
        call_store(filesystem(path).rm_file, store_key(path))


def move(source: Path, target: Path) -> None:
    """Moves a file within a disk or store, in place of what is there. Raises OSError if it cannot."""
    if is_remote(source):
        call_store(filesystem(source).mv, store_key(source), store_key(target))
    else:
        source.replace(target)


def make_folder(path: Path) -> None:
    """Creates a folder and its parents on disk. A store has no folders."""
    if not is_remote(path):
        path.mkdir(parents=True, exist_ok=True)


def download(folder: Path, target: Path, wanted: Callable[[str], bool]) -> None:
    """Copies files of a folder of a store to disk, many at once.

    Args:
        folder: folder in the store.
        target: existing folder on disk.
        wanted: whether to copy a file, by its name below the folder.
    """
    root = store_key(folder).rstrip("/") + "/"
    for last_attempt in (False, False, True):
        below = [name.removeprefix(root) for name in call_store(filesystem(folder).find, root)]
        names = list(filter(wanted, below))
        try:
            if names:
                paths = [root + name for name in names]
                call_store(filesystem(folder).get, paths, [str(target / name) for name in names])
            return
        except FileNotFoundError:  # a running launch has removed a file since it was listed
            if last_attempt:
                raise


def filesystem(path: Path) -> Any:
    """The fsspec file system of a location in a store."""
    return cast(Any, path).fs


def store_key(path: Path) -> str:
    """The name of a file within its store."""
    return str(cast(Any, path).path)
