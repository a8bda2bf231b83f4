"""Trials that ended without rows: which run again, and which have failed."""

from collections import Counter

from tune_kmixup.core.config import Trial

RETRIES = 2  # per launch, of a trial that raised an error, or whose worker died
LOST_NODES = 20  # that a trial survives per launch, or kills for lack of memory: it may be the cause, and never end


class Retries:
    """The trials of one study that run again. Failures of earlier launches are forgotten, and run again too.

    Attributes:
        waiting: trials to run again.
        failed: trial -> last line of its error, of those whose retries are used up.
    """

    def __init__(self) -> None:
        self.waiting: list[Trial] = []
        self.failed: dict[str, str] = {}
        self.errors: Counter[str] = Counter()  # trial -> attempts that failed
        self.lost_nodes: Counter[str] = Counter()  # trial -> nodes that left under it, or killed its worker

    def add(self, trial: Trial, error: str, node_lost: bool = False, hopeless: bool = False) -> bool:
        """Lets a trial run again, unless its retries are used up.

        Args:
            trial: the trial.
            error: the last line of its error.
            node_lost: whether its node left or ran low on memory, for which the trial can do nothing as a rule.
            hopeless: whether it would fail again.

        Returns:
            Whether it has failed for good.
        """
        (self.lost_nodes if node_lost else self.errors)[trial.name] += 1
        if hopeless or self.errors[trial.name] > RETRIES or self.lost_nodes[trial.name] > LOST_NODES:
            self.failed[trial.name] = error
            return True
        self.waiting.append(trial)
        return False
