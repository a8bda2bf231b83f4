"""The files that a path stands for, and what tells that they have changed."""

from pathlib import Path

from tune_kmixup.core.errors import BadInput

Stamp = tuple[tuple[Path, int, int], ...]  # of each file: path, time of its last change in ns, size in bytes


def is_hidden(part: str) -> bool:
    """Whether a part of a path is one that systems put beside users' files."""
    return part in ("__MACOSX", "__pycache__") or (part.startswith(".") and part != ".")


def visible_files(path: Path) -> list[Path]:
    """The files of a folder and of those below, sorted; of a file itself."""
    if not path.is_dir():
        return [path]
    below = (file for file in sorted(path.rglob("*")) if file.is_file())
    return [file for file in below if not any(map(is_hidden, file.relative_to(path).parts))]


def stamp_of(path: Path) -> Stamp:
    """What tells that a file, or one in a folder, has changed. Raises BadInput if it is not there."""
    try:
        stats = [(file, file.stat()) for file in visible_files(path)]
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(f"path={str(path)!r} cannot be read ({reason}): put it back, or name it where it is.") from error
    return tuple((file, stat.st_mtime_ns, stat.st_size) for file, stat in stats)
