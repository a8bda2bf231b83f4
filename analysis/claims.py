"""The claims of the k-mixup paper, each with a verdict and the numbers that decided it.

    1  k-mixup improves on mixup
    2  its gain over mixup is similar to or larger than mixup's gain over ERM
    3  there are tasks where mixup gains nothing over ERM and k-mixup does
    4  1 and 2 under distribution shift: on the mean of the errors under noise and under FGSM

A claim is judged per task, on its units (see `gains`), and over all tasks. Over all tasks the units are the tasks, and
gains are divided by ERM's error so that tasks can be compared. "Similar" means within a margin that is fixed
beforehand, a share of ERM's error (10 % by default). No verdict rests on a ratio of two small numbers.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from . import gains
from .gains import SharedTestRows, interval
from .stats import FEWEST_UNITS, Estimate, holm, one_sided, t_interval

Outcome = Literal["supported", "contradicted", "undecided", "void"]
MARGIN = 0.1  # share of ERM's error
ALL_TASKS = "all tasks"
SHIFTED = "test_error_shifted"


@dataclass(frozen=True)
class Verdict:
    """The verdict on one claim.

    Attributes:
        claim: number of the claim.
        task: name of the task, or `ALL_TASKS`.
        outcome: "void" where the claim presupposes a gain of mixup that did not occur.
        reason: the numbers that decided it.
    """

    claim: int
    task: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class UnitGains:
    """Gains and ERM's error of each unit; arrays of shape (units,).

    `gain_rows` and `contrast_rows` are the shared test rows of k-mixup's gain over mixup, and of its difference from
    mixup's gain over ERM; None where units have test rows of their own.
    """

    mixup_over_erm: np.ndarray
    kmixup_over_mixup: np.ndarray
    erm_error: np.ndarray
    gain_rows: SharedTestRows | None = None
    contrast_rows: SharedTestRows | None = None

    def gain(self, level: float) -> Estimate:
        """k-mixup's gain over mixup."""
        return interval(self.kmixup_over_mixup, self.gain_rows, level)

    def contrast(self, level: float) -> Estimate:
        """k-mixup's gain over mixup minus mixup's gain over ERM."""
        return interval(self.kmixup_over_mixup - self.mixup_over_erm, self.contrast_rows, level)


def judge(rows: pd.DataFrame, level: float = 0.95, margin: float = MARGIN) -> list[Verdict]:
    """Judges claims 1, 2, 3 and 4, each over all tasks first and then per task.

    Args:
        rows: runs, as in `load.Runs`.
        level: confidence level of the intervals, between 0 and 1.
        margin: what counts as similar, a share of ERM's error.

    Returns:
        The verdicts; none for a claim whose methods or metrics are missing.
    """
    verdicts = [*judge_claims_1_and_2(rows, "test_error", level, margin), *judge_claim_3(rows, level, margin)]
    columns = [c for c in rows.columns if c.startswith(("test_error_noise_", "test_error_fgsm_"))]
    if columns and rows[columns].notna().to_numpy().any():
        shifted = rows.assign(**{SHIFTED: rows[columns].mean(axis=1, skipna=False)})
        for verdict in judge_claims_1_and_2(shifted, SHIFTED, level, margin):
            verdicts.append(Verdict(4, verdict.task, verdict.outcome, f"claim {verdict.claim}: {verdict.reason}"))
    return verdicts


def judge_claims_1_and_2(rows: pd.DataFrame, metric: str, level: float, margin: float) -> Iterator[Verdict]:
    by_task = {task: unit_gains for task in gains.tasks(rows) if (unit_gains := gains_of_task(rows, task, metric))}
    if not by_task:
        return
    scaled = [g for g in by_task.values() if g.erm_error.mean() > 0]
    over_all = UnitGains(
        np.array([g.mixup_over_erm.mean() / g.erm_error.mean() for g in scaled]),
        np.array([g.kmixup_over_mixup.mean() / g.erm_error.mean() for g in scaled]),
        np.ones(max(1, len(scaled))),
    )
    by_task = {ALL_TASKS: over_all, **by_task}
    for task, unit_gains in by_task.items():
        yield judge_claim_1(task, unit_gains.gain(level))
    for task, unit_gains in by_task.items():
        yield judge_claim_2(task, unit_gains, level, margin)


def gains_of_task(rows: pd.DataFrame, task: str, metric: str) -> UnitGains | None:
    """Gains over the runs that all three methods share, paired by seed; None where they share none."""
    by_method = {method: gains.final_metric(rows, task, method, metric) for method in ("erm", "mixup", "kmixup")}
    paired = pd.concat(by_method, axis=1, join="inner").dropna()
    if paired.empty:
        return None
    return UnitGains(
        gains.unit_values(paired["erm"] - paired["mixup"]),
        gains.unit_values(paired["mixup"] - paired["kmixup"]),
        gains.unit_values(paired["erm"]),
        gains.shared_test_rows(rows, task, {"mixup": 1, "kmixup": -1}, paired.index, metric),
        gains.shared_test_rows(rows, task, {"erm": -1, "mixup": 2, "kmixup": -1}, paired.index, metric),
    )


def judge_claim_1(task: str, gain: Estimate) -> Verdict:
    outcome: Outcome = "supported" if gain.low > 0 else "contradicted" if gain.high < 0 else "undecided"
    return Verdict(1, task, outcome, f"gain of k-mixup over mixup {format_gain(gain, task)}")


def judge_claim_2(task: str, unit_gains: UnitGains, level: float, margin: float) -> Verdict:
    """Supported where claim 1 is supported and k-mixup's gain falls short of mixup's by less than the margin."""
    largest_shortfall = margin * unit_gains.erm_error.mean()
    difference = unit_gains.contrast(level)
    reason = (
        f"difference of the gains {format_gain(difference, task)}, margin {format_percent(largest_shortfall, task)}"
    )
    mixup_gain = unit_gains.mixup_over_erm.mean()
    if mixup_gain <= 0:
        return Verdict(2, task, "void", f"mixup gains nothing over ERM ({format_percent(mixup_gain, task)}); {reason}")
    outcome: Outcome = "undecided"
    if unit_gains.gain(level).low > 0 and difference.low > -largest_shortfall:
        outcome = "supported"
    elif difference.high < -largest_shortfall:
        outcome = "contradicted"
    return Verdict(2, task, outcome, reason)


def judge_claim_3(rows: pd.DataFrame, level: float, margin: float) -> Iterator[Verdict]:
    """Selects tasks with one half of the seeds and tests them with the other half.

    A task is selected if mixup's gain over ERM is within ± margin by two one-sided tests. On these tasks k-mixup's gain
    over ERM is tested, corrected for their number (Holm 1979).
    """
    significance = 1 - level
    compared, kmixup_gains = 0, {}
    for task in gains.tasks(rows):
        mixup, kmixup = (gains.paired_differences(rows, task, method, "erm") for method in ("mixup", "kmixup"))
        if mixup.empty or kmixup.empty:
            continue
        compared += 1
        largest_gain = margin * gains.mean_metric(rows, task, "erm").mean
        # Two one-sided tests at `significance` pass exactly where this interval lies inside the margin.
        mixup_gain = t_interval(gains.unit_values(half_of_seeds(mixup, 0)), 1 - 2 * significance)
        tested = gains.unit_values(half_of_seeds(kmixup, 1))
        if len(tested) >= FEWEST_UNITS and -largest_gain < mixup_gain.low and mixup_gain.high < largest_gain:
            kmixup_gains[task] = tested
    if not compared:
        return
    p_values = holm({task: one_sided(values) for task, values in kmixup_gains.items()})
    significant = [task for task, p in p_values.items() if p < significance]
    reason = f"mixup gains nothing, shown within the margin, on {len(kmixup_gains)} of {compared} tasks"
    if kmixup_gains:
        reason += f"; k-mixup gains over ERM on {len(significant)} of these"
    yield Verdict(3, ALL_TASKS, "supported" if significant else "undecided", reason)
    for task, p in p_values.items():
        outcome: Outcome = "supported" if task in significant else "undecided"
        gain = t_interval(kmixup_gains[task], level)
        yield Verdict(3, task, outcome, f"gain of k-mixup over ERM {format_gain(gain, task)}, Holm's p {p:.3g}")


def half_of_seeds(values: pd.Series, which: int) -> pd.Series:
    """Every second seed of each outer split, starting from the first (`which` 0) or the second (1)."""
    return values[values.groupby(level=0).cumcount() % 2 == which]


def format_gain(gain: Estimate, task: str) -> str:
    if math.isnan(gain.mean):
        return "not measured"
    mean = format_percent(gain.mean, task)
    if math.isnan(gain.low):
        return f"{mean}, {gain.units} units: too few for an interval"
    return f"{mean} [{100 * gain.low:+.2f}, {100 * gain.high:+.2f}], {gain.units} units"


def format_percent(value: float, task: str) -> str:
    return f"{100 * value:+.2f} {'% of ERM' if task == ALL_TASKS else 'points'}"
