"""What the suite knows about its own methods: how reports show them, and what each extends.

`search_spaces.methods` has the spaces. A user's own method is shown by its name.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """A method of the suite.

    Attributes:
        label: how reports spell it.
        extends: the method over which its gain is reported; empty for ERM.
        colour: in figures and text, safe for colour-blind readers (Okabe and Ito).
        marker: in figures, as matplotlib calls it.
        glyph: the same mark in text.
    """

    label: str
    extends: str
    colour: str
    marker: str
    glyph: str


KNOWN = {  # in the order of every table
    "erm": Method("ERM", "", "#767676", "D", "◆"),
    "mixup": Method("mixup", "erm", "#0072B2", "o", "●"),
    "kmixup": Method("k-mixup", "mixup", "#D55E00", "s", "■"),
    "placebo": Method("placebo", "mixup", "#009E73", "X", "✖"),
}
CLAIM_METHODS = ("erm", "mixup", "kmixup")  # the methods that the claims compare
OTHER_COLOURS = ("#CC79A7", "#E69F00", "#56B4E9")  # of a user's own methods, in order
OTHER_MARKER, OTHER_GLYPH = "P", "✚"
