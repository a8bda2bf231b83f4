"""Errors that end a command with one line instead of a traceback."""

import errno
from pathlib import Path


class BadInput(ValueError):
    """Input that the user can correct. The message names the argument, its value, the rule and the remedy."""


class LaunchError(RuntimeError):
    """A launch that cannot go on for a reason outside of it: a disk, Ray, a network. The message names the remedy."""


def is_disk_failure(error: BaseException) -> bool:
    """Whether a disk is full, has reached a quota or limit, or fails. Another path may be right all the same."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def unwritable_error(out: Path, error: OSError) -> BadInput | LaunchError:
    """What to raise where a command cannot write to its `--out`."""
    unwritable = f"out={str(out)!r} cannot be written ({error.strerror or error})"
    if is_disk_failure(error):
        return LaunchError(f"{unwritable}: free some space, check the disk, or choose another --out.")
    return BadInput(f"{unwritable}: choose another --out.")
