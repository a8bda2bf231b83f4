"""Early stopping by asynchronous successive halving (ASHA): when a trial is judged, and whether it goes on.

Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, arXiv 1810.05934, in the form that decides
at once and stops trials where they stand, as Ray Tune's ASHAScheduler does, in place of pausing and promoting them.
"""

import math
from collections.abc import Collection, Mapping

SCHEDULERS = ("none", "asha")
FACTOR = 3  # one in so many goes on from a rung


def rungs(epochs: int) -> tuple[int, ...]:
    """The numbers of epochs after which a trial of `epochs` is judged: a ninth and a third of them, rounded up."""
    return tuple(sorted({-(-epochs // FACTOR**2), -(-epochs // FACTOR)} - {epochs}))


def should_continue(error: float, recorded: Collection[float]) -> bool:
    """Whether a trial is among the best max(1, ⌊n / 3⌋) of the n errors recorded at a rung so far, its own included.

    Equal errors rank alike, so the best so far always goes on, and so does what ties with it: on few validation rows
    errors tie often, and more than one in three go on. NaN counts as the worst.
    """
    better = sum(nan_as_worst(other) < nan_as_worst(error) for other in recorded)
    return better < max(1, len(recorded) // FACTOR)


class Rungs:
    """The errors that the configurations of one study have had at its rungs."""

    def __init__(self) -> None:
        self.errors: dict[int, dict[int, float]] = {}  # epoch -> configuration -> error

    def record(self, index: int, errors: Mapping[int, float]) -> dict[int, float]:
        """Keeps a configuration's errors by epoch, and gives those that are new."""
        new = {epoch: error for epoch, error in errors.items() if index not in self.errors.get(epoch, {})}
        for epoch, error in new.items():
            self.errors.setdefault(epoch, {})[index] = error
        return new

    def should_continue(self, index: int, epoch: int) -> bool:
        return should_continue(self.errors[epoch][index], self.errors[epoch].values())


def nan_as_worst(error: float) -> float:
    return math.inf if math.isnan(error) else error


def format_rungs(errors: Mapping[int, float]) -> str | None:
    """Errors by epoch as a row holds them, exact; None where there are none."""
    return " ".join(f"{epoch}:{error!r}" for epoch, error in errors.items()) or None


def parse_rungs(text: str | None) -> dict[int, float]:
    """What `written` wrote."""
    pairs = (part.split(":") for part in (text or "").split())
    return {int(epoch): float(error) for epoch, error in pairs}
