"""Files on a disk or in an object store, written whole or not at all.

A place is a `Path`, or for a URL such as `s3://bucket/run` a `UPath`, which answers to what is used of a `Path` here.
What a store's own package raises arrives as an OSError, as from a disk. Imports fsspec only where there is a URL.
"""

import io
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from tune_kmixup.core.errors import BadInput

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}  # what a store needs beside this package


def parse_location(where: str | Path) -> Path:
    """A folder on a disk, or in an object store where `where` is a URL.

    Raises BadInput for a kind of store that is unknown, or whose package is not installed.
    """
    protocol = re.match(r"([a-z0-9]+)://", str(where))
    if not protocol:
        return Path(where)
    from upath import UPath

    try:
        # Listings are not cached: another process writes there.
        found = UPath(str(where), use_listings_cache=False)
        found.fs  # noqa: B018  # the store's package is imported only now
    except (ImportError, ValueError) as error:
        package = PACKAGES.get(protocol[1])
        remedy = f"pip install {package} on every node" if package else "name a folder, s3://... or gs://..."
        raise BadInput(f"{str(where)!r} is in a store that cannot be used ({error}): {remedy}.") from error
    return cast(Path, found)


def is_remote(path: Path) -> bool:
    """Whether a place is in an object store: there are no folders there, and files appear whole by themselves."""
    return not isinstance(path, Path)


def call_store(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What a store answers; what its package raises becomes an OSError, and what is not there a FileNotFoundError."""
    try:
        return call(*args, **options)
    except OSError:
        raise
    except Exception as error:  # of botocore, aiohttp, google.auth, ...: they share no type
        raise OSError(f"{type(error).__name__}: {error}") from error


def exists(path: Path) -> bool:
    return bool(call_store(path.exists))


def read(path: Path) -> bytes:
    """In a store in one request: opened and then read, a file that is replaced in between is an error there."""
    return cast(bytes, call_store(store(path).cat_file, store_key(path)) if is_remote(path) else path.read_bytes())


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A file to write into that appears under its name when it is complete: readers see the old one or the new one."""
    if is_remote(path):
        buffer = io.BytesIO()
        yield buffer
        call_store(store(path).pipe_file, store_key(path), buffer.getvalue())
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


def has_other_files(folder: Path, names: Collection[str]) -> bool:
    """Whether a folder is there and holds anything but files of these names."""
    return exists(folder) and any(path.name not in names for path in call_store(list, folder.iterdir()))


def create(path: Path, content: bytes) -> bool:
    """Writes a file unless there is one of that name; gives whether it did.

    In a store that is one indivisible step; on a disk the caller has to hold the folder.
    """
    if is_remote(path):
        try:
            call_store(store(path).pipe_file, store_key(path), content, mode="create")
        except FileExistsError:
            return False
        return True
    if path.exists():
        return False
    with atomic_write(path) as file:
        file.write(content)
    return True


def remove(path: Path) -> None:
    """Removes a file; one that is not there is no error."""
    if not is_remote(path):
        path.unlink(missing_ok=True)
        return
    with suppress(FileNotFoundError):
        call_store(store(path).rm_file, store_key(path))


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, where there are folders."""
    if not is_remote(path):
        path.mkdir(parents=True, exist_ok=True)


def copy(folder: Path, to: Path, leave_out: str) -> None:
    """Copies what is below a folder of a store to a disk, many files at once, but for its subfolder `leave_out`."""
    root = store_key(folder).rstrip("/") + "/"
    for last in (False, False, True):
        found = [name for name in call_store(store(folder).find, root) if not name.startswith(f"{root}{leave_out}/")]
        try:
            if found:
                call_store(store(folder).get, found, [str(to / name.removeprefix(root)) for name in found])
            return
        except FileNotFoundError:  # removed since it was listed, by a launch that goes on
            if last:
                raise


def store(path: Path) -> Any:
    return cast(Any, path).fs


def store_key(path: Path) -> str:
    """The name of a file within its store."""
    return str(cast(Any, path).path)
