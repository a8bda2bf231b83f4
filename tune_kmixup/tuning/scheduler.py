"""Ray Tune's scheduler in a suite: which worker runs a trial, and what to do with a trial at a rung."""

from typing import Any

from ray.tune.schedulers import FIFOScheduler

from tune_kmixup.tuning.searcher import SuiteSearcher


class SuiteScheduler(FIFOScheduler):  # type: ignore[misc]
    """Leaves a trial to the worker that is being started for it, and stops early those that the searcher names.

    Ray Tune's own schedulers give it to the first worker that falls free and kill the one that starts, which takes
    seconds. With trials as short as that, a slot whose worker was lost would never come back.
    """

    def __init__(self, searcher: SuiteSearcher):
        super().__init__()
        self.searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Where it says STOP, Ray ends the trial at once, as one that is complete."""
        queue, rung = self.searcher.queue_of(trial.trial_id), result.get("rung", [])
        return str(self.CONTINUE if all(queue.should_continue(trial.trial_id, row) for row in rung) else self.STOP)

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """None: trials are started in the order in which they were handed out."""
