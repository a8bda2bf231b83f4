"""Yes-or-no answers in a short text: eight to a byte, in base64."""

import base64
from collections.abc import Sequence


def encode(bits: Sequence[bool]) -> str:
    """As text: n bits take about n / 6 characters.

    Args:
        bits: any number of them, in order.

    Returns:
        The number of bits, a colon, and the bits in base64, the first in the highest bit of the first byte.
    """
    padded = [*bits, *[False] * (-len(bits) % 8)]
    packed = bytes(
        sum(1 << (7 - place) for place, bit in enumerate(padded[start : start + 8]) if bit)
        for start in range(0, len(padded), 8)
    )
    return f"{len(bits)}:{base64.b64encode(packed).decode()}"


def decode(text: str) -> tuple[int, bytes]:
    """What `encode` made of bits.

    Returns:
        The number of bits, and the bits packed into bytes as `numpy.unpackbits` takes them.

    Raises:
        ValueError: if the text is something else.
    """
    count, _, coded = text.partition(":")
    packed = base64.b64decode(coded, validate=True)
    if not count.isdecimal() or len(packed) != -(-int(count) // 8):
        raise ValueError(f"{text[:20]!r} is not a count and as many bits in base64")
    return int(count), packed
