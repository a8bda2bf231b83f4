"""The error for input that the user can correct."""


class BadInput(ValueError):
    """Input that the user can correct. The message names the argument, its value, the rule and the remedy."""
