"""Errors that end a command with one line instead of a traceback."""


class BadInput(ValueError):
    """Input that the user can correct. The message names the argument, its value, the rule and the remedy."""


class LaunchError(RuntimeError):
    """A launch that cannot go on for a reason outside of it: a disk, Ray, a network. The message names the remedy."""
