"""What is known of the gain on each task: shown, shown to be small, or not known, after correction for their number.

Holm's correction is over the tasks on which both methods have an outer split, and those of claim 1 that are still to
come. A gain and its smallness are two questions, each with p-values and a correction of its own.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd

from tune_kmixup.core.config import Claims

from . import gains
from .evidence import FEWEST_UNITS, gain_of
from .stats import Estimate
from .verdicts import holm, in_words

SATURATED = "saturated (both errors below 0.01 %)"
ONLY_BEFORE = "before correction only"
MARKS = "▲△▼▽≈∼"  # page.js has them, too
WORDS = (
    *("shown", "shown, and shown to be small", f"shown {ONLY_BEFORE}"),
    *("loss shown", "loss shown, and shown to be small", f"loss shown {ONLY_BEFORE}"),
    *("shown to be small", f"shown to be small {ONLY_BEFORE}"),
    *("not known", SATURATED, "one search", "2 searches"),
)  # of a `Finding`, in the order in which they are said


@dataclass(frozen=True)
class Finding:
    """What is known of the gain on one task.

    Attributes:
        gain: with its interval.
        p: two-sided, of no gain; NaN without an interval.
        p_holm: the same after correction.
        p_small: that the gain is not small, see `evidence.TaskErrors.p_small`; NaN if it is not in test error.
        p_small_holm: the same after correction.
        saturated: whether both methods err so rarely that no test error can be gained.
        level: of the interval; p-values below 1 - level show something.
    """

    gain: Estimate
    p: float
    p_holm: float
    p_small: float
    p_small_holm: float
    saturated: bool
    level: float

    @property
    def words(self) -> str:
        """One of `WORDS`. Where nothing is known after correction, it says what is known before it only."""
        if self.saturated:
            return SATURATED
        if self.gain.units < FEWEST_UNITS:
            return gains.searches(self.gain.units)
        after = str(in_words(self.gain.mean, self.p_holm, self.p_small_holm, self.level))
        before = str(in_words(self.gain.mean, self.p, self.p_small, self.level))
        if after == "not known" and before != "not known":
            return f"{before.partition(',')[0]} {ONLY_BEFORE}"
        return after

    @property
    def mark(self) -> str:
        """▲ a gain is shown, ▼ a loss, ≈ it is shown to be small; △ ▽ ∼ before correction only. Empty: not known."""
        if self.saturated:
            return ""
        least = 1 - self.level
        gain, loss = ("▲", "▼") if self.p_holm < least else ("△", "▽")
        shown = "" if not self.p < least else gain if self.gain.mean > 0 else loss
        if self.p_small_holm < least:
            return f"{shown}≈"
        return shown or ("∼" if self.p_small < least else "")


def findings(
    rows: pd.DataFrame, method: str, reference: str, claims: Claims, level: float, metric: str = "test_error"
) -> dict[str, Finding]:
    """What is known of the gain on every task on which both methods have an outer split.

    Args:
        rows: runs, as in `load.Runs`.
        method: name of the method.
        reference: name of the method that it is compared with.
        claims: δ, and the tasks for whose number p-values are corrected.
        level: confidence level, between 0 and 1.
        metric: column of `rows`.

    Returns:
        Task -> what is known.
    """
    found = {task: gains.gain(rows, task, method, reference, level, metric) for task in gains.tasks(rows)}
    found = {task: gain for task, gain in found.items() if gain.units}
    p = {task: gains.p_value(rows, task, method, reference, metric) for task in found}
    p_small = dict.fromkeys(found, math.nan)
    if metric == "test_error":
        p_small = {task: small_p_value(rows, task, method, reference, claims.delta) for task in found}
    p_holm, p_small_holm = over_tasks(p, claims), over_tasks(p_small, claims)
    return {
        task: Finding(
            *(gain, p[task], p_holm[task], p_small[task], p_small_holm[task]),
            metric == "test_error" and gains.is_saturated(rows, task, (reference, method)),
            level,
        )
        for task, gain in found.items()
    }


def small_p_value(rows: pd.DataFrame, task: str, method: str, reference: str, delta: float) -> float:
    """p that a gain in test error is not small; NaN without an interval, or without ERM."""
    errors = gains.final_errors(rows, task, [reference, method, "erm"]).task_errors()
    return float(errors.p_small(gain_of(method, reference), delta))


def over_tasks(p: Mapping[str, float], claims: Claims) -> dict[str, float]:
    """p-values by task after Holm's correction over these tasks, and those of claim 1 that are still to come."""
    to_come = family_size(p, claims) - len(p)
    return dict(zip(p, holm([*p.values(), *[math.nan] * to_come]).tolist(), strict=False))


def family_size(measured: Collection[str], claims: Claims) -> int:
    """How many tasks p-values are corrected for: those measured, and those of claim 1 that are still to come."""
    return len(set(measured) | set(claims.families.get("1", ())))
