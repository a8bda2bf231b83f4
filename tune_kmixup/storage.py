"""Files on a disk or in an object store (`s3://`, `gs://`, ...), written whole or not at all. Standard library only.

On a disk a path is a `pathlib.Path`; in an object store it is a `upath.UPath`, which has the same methods and is
imported only then. What goes wrong with either is an OSError.
"""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tune_kmixup.study import BadInput

Place = Any  # pathlib.Path, or upath.UPath where the package is there


def place(name: Any) -> Place:
    """The path of a name such as `runs/iris` or `s3://bucket/iris`.

    Raises BadInput for a scheme that there is not, or whose package is not installed.
    """
    if not isinstance(name, str) or "://" not in name:
        return Path(name) if isinstance(name, str) else name
    from upath import UPath

    try:
        # Listings are not cached: other processes write there.
        found = UPath(name.rstrip("/"), use_listings_cache=False)
        _ = found.fs
    except (ImportError, ValueError) as error:
        scheme = name.partition("://")[0]
        raise BadInput(
            f"{name!r} cannot be used ({error}): name a folder, or install what {scheme}:// needs "
            "(pip install 'tune-kmixup[s3]' or 'tune-kmixup[gs]')."
        ) from error
    return found


def on_disk(path: Place) -> bool:
    return isinstance(path, Path)


@contextmanager
def whole(path: Place) -> Iterator[IO[bytes]]:
    """A file to write into that appears under its name when it is complete: readers see the old one or the new one."""
    if not on_disk(path):
        content = io.BytesIO()
        yield content
        with as_os_error(path):
            path.fs.pipe_file(path.path, content.getvalue())  # an object appears whole
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


def read_all(paths: Sequence[Place]) -> list[bytes]:
    """The contents of many files: from an object store, at the same time."""
    if not paths or on_disk(paths[0]):
        return [path.read_bytes() for path in paths]
    with as_os_error(paths[0]):
        found = paths[0].fs.cat([path.path for path in paths])
    return [found[path.path] for path in paths]


def listed(folder: Place, pattern: str) -> list[Place]:
    """Files of a folder, sorted by name; none where there is no folder."""
    with as_os_error(folder):
        return sorted(folder.glob(pattern), key=lambda path: str(path.name))


def remove(path: Place) -> None:
    """Of a file that may not be there."""
    with as_os_error(path):
        path.unlink(missing_ok=True)


@contextmanager
def as_os_error(path: Place) -> Iterator[None]:
    """What the clients of object stores raise has many types."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(None, f"{type(error).__name__}: {error}", str(path)) from error
