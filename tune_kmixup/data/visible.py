"""The files that a path stands for, and what tells that they have changed."""

import os
from pathlib import Path, PurePath

from tune_kmixup.core.errors import BadInput

Stamp = tuple[tuple[Path, int, int], ...]  # of each file: path, time of its last change in ns, size in bytes


def is_hidden(name: str) -> bool:
    return name.startswith(".") and name != "."


def is_hidden_folder(name: str) -> bool:
    """Whether a folder is one that systems put beside users' files, such as `__MACOSX`, or one put aside."""
    return is_hidden(name) or name.startswith("__")


def is_visible(path: PurePath) -> bool:
    """Whether neither a file nor one of its folders is hidden."""
    return not is_hidden(path.name) and not any(map(is_hidden_folder, path.parts[:-1]))


def visible_files(path: Path) -> list[Path]:
    """The files of a folder and of those below, sorted; of a file itself. Links to folders are followed."""
    if not path.is_dir():
        return [path]
    root = os.path.realpath(path)
    found, above = [], {str(path): {root}}  # folder -> where it and those above it really are
    for folder, folders, names in os.walk(path, followlinks=True):
        chain = above.pop(folder)
        for name in list(folders):
            real = os.path.realpath(below := os.path.join(folder, name))
            # What a link to a folder within this one leads to is read where it lies; one to a folder above has no end.
            inside = os.path.islink(below) and Path(real).is_relative_to(root)
            if is_hidden_folder(name) or inside or real in chain:
                folders.remove(name)
            else:
                above[below] = chain | {real}
        found += [file for name in names if not is_hidden(name) and (file := Path(folder, name)).is_file()]
    return sorted(found)


def stamp_of(path: Path) -> Stamp:
    """What tells that a file, or one in a folder, has changed. Raises BadInput if it is not there."""
    try:
        stats = [(file, file.stat()) for file in visible_files(path)]
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(f"path={str(path)!r} cannot be read ({reason}): put it back, or name it where it is.") from error
    return tuple((file, stat.st_mtime_ns, stat.st_size) for file, stat in stats)
