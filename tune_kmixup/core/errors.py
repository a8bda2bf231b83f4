"""The one error that a person can fix."""


class BadInput(ValueError):
    """Something a person can mend: the message names the argument, its value, the rule and the remedy."""
