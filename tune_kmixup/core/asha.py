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


def should_continue(score: float, scores: Collection[float]) -> bool:
    """Whether a trial is among the best max(1, ⌊n / 3⌋) of the n scores recorded at a rung so far.

    Equal scores have equal ranks. So the best trial so far always continues, and so does every trial that ties with it.
    With few validation rows ties of errors are frequent, and more than one in three continue.

    Args:
        score: of the trial on validation rows, the smaller the better.
        scores: the n scores recorded at this rung, including `score`.
    """
    better = sum(other < score for other in scores)
    return better < max(1, len(scores) // REDUCTION_FACTOR)


class StudyRungs:
    """The scores on validation rows that the configurations of one study had at its rungs."""

    def __init__(self) -> None:
        self.scores: dict[int, dict[int, float]] = {}  # epoch -> index of the configuration -> score

    def record(self, index: int, scores: Mapping[int, float]) -> dict[int, float]:
        """Records the scores of a configuration. A score that is already recorded stays as it is.

        Args:
            index: index of the configuration.
            scores: epoch -> score.

        Returns:
            The part of `scores` that was not recorded before.
        """
        new = {epoch: score for epoch, score in scores.items() if index not in self.scores.get(epoch, {})}
        for epoch, score in new.items():
            self.scores.setdefault(epoch, {})[index] = score
        return new

    def should_continue(self, index: int, epoch: int) -> bool:
        """Whether a configuration continues past a rung where its score is recorded; see the function of this name."""
        return should_continue(self.scores[epoch][index], self.scores[epoch].values())
