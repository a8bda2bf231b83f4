"""Text that may come from anywhere, made safe to show; and numbers of things in words."""


def printable(text: str) -> str:
    r"""Writes control characters as escapes (`\x1b`): a terminal would obey them. Line breaks stay.

    Characters that change the direction of text, have no width or are half of a pair count as well.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """`printable` text without line breaks."""
    return printable(" ".join(text.splitlines()))


def first_line(error: BaseException) -> str:
    """The first line of an error's message without its full stop, or the error's type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def plural(count: float, noun: str) -> str:
    """A number with its noun: `1 node`, `2 CPUs`, `0.5 GPUs`."""
    number = count if isinstance(count, int) else f"{count:g}"
    return f"{number} {noun}{'' if count == 1 else 's'}"
