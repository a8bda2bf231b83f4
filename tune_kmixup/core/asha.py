"""Early stopping by asynchronous successive halving (ASHA): after which epochs a trial is judged, and by which rule.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, arXiv 1810.05934. The paper pauses
a trial at a rung and may promote it later. Here it is continued or stopped at once, as in Ray Tune's ASHAScheduler.
"""

import math
from collections.abc import Collection, Mapping

REDUCTION_FACTOR = 3  # about one in three trials continues at each rung


def rung_epochs(epochs: int) -> tuple[int, ...]:
    """The epochs after which a trial is judged: a ninth and a third of its training, rounded up.

    Args:
        epochs: epochs of a whole training, ≥ 1.

    Returns:
        Numbers of epochs, ascending, each at least 1 and less than `epochs`. Empty for a single epoch.
    """
    thirds = {math.ceil(epochs / REDUCTION_FACTOR**2), math.ceil(epochs / REDUCTION_FACTOR)}
    return tuple(sorted(thirds - {epochs}))


def should_continue(error: float, errors: Collection[float]) -> bool:
    """Whether a trial is among the best max(1, ⌊n / 3⌋) of the n errors recorded at a rung so far.

    Equal errors have equal ranks. So the best trial so far always continues, and so does every trial that ties with it.
    With few validation rows ties are frequent, and more than one in three continue.

    Args:
        error: validation error of the trial; NaN counts as the worst.
        errors: the n errors recorded at this rung, including `error`.
    """
    better = sum(nan_as_worst(other) < nan_as_worst(error) for other in errors)
    return better < max(1, len(errors) // REDUCTION_FACTOR)


def nan_as_worst(error: float) -> float:
    return math.inf if math.isnan(error) else error


class StudyRungs:
    """The validation errors that the configurations of one study had at its rungs."""

    def __init__(self) -> None:
        self.errors: dict[int, dict[int, float]] = {}  # epoch -> index of the configuration -> error

    def record(self, index: int, errors: Mapping[int, float]) -> dict[int, float]:
        """Records the errors of a configuration. An error that is already recorded stays as it is.

        Args:
            index: index of the configuration.
            errors: epoch -> validation error.

        Returns:
            The part of `errors` that was not recorded before.
        """
        new = {epoch: error for epoch, error in errors.items() if index not in self.errors.get(epoch, {})}
        for epoch, error in new.items():
            self.errors.setdefault(epoch, {})[index] = error
        return new

    def should_continue(self, index: int, epoch: int) -> bool:
        """Whether a configuration continues past a rung where its error is recorded; see the function of this name."""
        return should_continue(self.errors[epoch][index], self.errors[epoch].values())
