"""Ray Tune's scheduler of a suite: which worker runs a trial, and whether a trial goes on after a rung."""

from typing import Any

from ray.tune.schedulers import FIFOScheduler

from tune_kmixup.core.rows import Row
from tune_kmixup.tuning.searcher import SuiteSearcher


class SuiteScheduler(FIFOScheduler):  # type: ignore[misc]
    """Leaves each trial to the worker that is being started for it, and stops trials early if their study says so.

    Ray Tune's own schedulers give a trial to the first worker that becomes free, and kill the worker that was being
    started for it. Starting a worker takes seconds. If trials are as short as that, no new worker would ever get to
    run, and a slot whose worker was lost would never come back.
    """

    def __init__(self, searcher: SuiteSearcher):
        super().__init__()
        self.searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """STOP makes Ray Tune end the trial at once, as a completed one."""
        queue, rows = self.searcher.queue_of(trial.trial_id), [Row.from_json(row) for row in result.get("rung", ())]
        return str(self.CONTINUE if all(queue.should_continue(trial.trial_id, row) for row in rows) else self.STOP)

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Chooses none, so that Ray Tune starts trials in the order in which they were handed out."""
