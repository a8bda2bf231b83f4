"""The claims of the k-mixup paper, each with a verdict and the numbers that decided it.

    1  k-mixup improves on mixup
    2  its gain over mixup is similar to or larger than mixup's gain over ERM
    3  there are tasks where mixup gains nothing over ERM and k-mixup does
    4  1 and 2 under distribution shift: on the mean of the errors under noise and under FGSM

A claim is judged per task, on its exchangeable units (see `gains`), and over all tasks, where the units are the tasks
and gains are divided by ERM's error so that tasks compare. "Similar" means within a margin that is fixed beforehand, a
share of ERM's error (10 % unless told otherwise). Nothing is concluded from a ratio of two small numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from . import gains
from .gains import Estimate, t_interval

Outcome = Literal["supported", "contradicted", "undecided", "void"]
MARGIN = 0.1  # of ERM's error
ALL = "all tasks"
SHIFTED = "test_error_shifted"


@dataclass(frozen=True)
class Verdict:
    claim: int
    task: str  # or ALL
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Parts:
    """Per unit: mixup's gain over ERM, k-mixup's over mixup, and ERM's error."""

    first: np.ndarray
    second: np.ndarray
    erm: np.ndarray

    @property
    def difference(self) -> np.ndarray:
        return np.asarray(self.second - self.first)


def parts(rows: pd.DataFrame, task: str, metric: str) -> Parts | None:
    """Of the runs that all three methods have, seed by seed; None where there are none."""
    runs = [gains.finals(rows, task, method, metric) for method in ("erm", "mixup", "kmixup")]
    together = pd.concat(runs, axis=1, keys=["erm", "mixup", "kmixup"], join="inner").dropna()
    if together.empty:
        return None
    first, second = together["erm"] - together["mixup"], together["mixup"] - together["kmixup"]
    return Parts(gains.units(first), gains.units(second), gains.units(together["erm"]))


def judge(rows: pd.DataFrame, level: float = 0.95, margin: float = MARGIN) -> list[Verdict]:
    """Every verdict that can be given: claims 1, 2, 3 and 4, each for all tasks first and then per task."""
    found = [*first_two(rows, "test_error", level, margin), *third(rows, level, margin)]
    columns = [c for c in rows.columns if c.startswith(("test_error_noise_", "test_error_fgsm_"))]
    if columns and rows[columns].notna().to_numpy().any():
        shifted = rows.assign(**{SHIFTED: rows[columns].mean(axis=1, skipna=False)})
        for verdict in first_two(shifted, SHIFTED, level, margin):
            found.append(Verdict(4, verdict.task, verdict.outcome, f"claim {verdict.claim}: {verdict.reason}"))
    return found


def first_two(rows: pd.DataFrame, metric: str, level: float, margin: float) -> Iterator[Verdict]:
    """Claims 1 and 2."""
    found = {task: part for task in gains.tasks(rows) if (part := parts(rows, task, metric))}
    if not found:
        return
    scaled = [part for part in found.values() if part.erm.mean() > 0]
    first = np.array([part.first.mean() / part.erm.mean() for part in scaled])
    second = np.array([part.second.mean() / part.erm.mean() for part in scaled])
    overall = Parts(first, second, np.ones(max(1, len(scaled))))
    everything = {ALL: overall, **found}
    for task, part in everything.items():
        yield improvement(task, t_interval(part.second, level))
    for task, part in everything.items():
        yield similar(task, part, level, margin)


def improvement(task: str, gain: Estimate) -> Verdict:
    """Claim 1."""
    outcome: Outcome = "supported" if gain.low > 0 else "contradicted" if gain.high < 0 else "undecided"
    return Verdict(1, task, outcome, f"gain of k-mixup over mixup {words(gain, task)}")


def similar(task: str, part: Parts, level: float, margin: float) -> Verdict:
    """Claim 2: supported where claim 1 is and the gain falls short of mixup's by less than the margin, at most."""
    delta = margin * part.erm.mean()
    difference, first = t_interval(part.difference, level), part.first.mean()
    reason = f"difference of the gains {words(difference, task)}, margin {percent(delta, task)}"
    if first <= 0:
        return Verdict(2, task, "void", f"mixup gains nothing over ERM ({percent(first, task)}); {reason}")
    outcome: Outcome = "undecided"
    if t_interval(part.second, level).low > 0 and difference.low > -delta:
        outcome = "supported"
    elif difference.high < -delta:
        outcome = "contradicted"
    return Verdict(2, task, outcome, reason)


def third(rows: pd.DataFrame, level: float, margin: float) -> Iterator[Verdict]:
    """Claim 3. Tasks are chosen with one half of the seeds (mixup's gain within ± margin, by two one-sided tests) and
    k-mixup's gain over ERM is tested with the other, corrected over the chosen tasks (Holm 1979)."""
    size = 1 - level
    compared, chosen = 0, {}
    for task in gains.tasks(rows):
        mixup, block = (gains.paired_differences(rows, task, method, "erm") for method in ("mixup", "kmixup"))
        if mixup.empty or block.empty:
            continue
        compared += 1
        choosing, testing = gains.units(half(mixup, 0)), gains.units(half(block, 1))
        delta = margin * gains.error(rows, task, "erm").mean
        within = t_interval(choosing, 1 - 2 * size)  # two one-sided tests at `size` are this interval inside the margin
        if len(testing) >= gains.FEWEST_UNITS and -delta < within.low and within.high < delta:
            chosen[task] = testing
    if not compared:
        return
    p = holm({task: one_sided(values) for task, values in chosen.items()})
    shown = [task for task, value in p.items() if value < size]
    reason = f"mixup gains nothing, shown within the margin, on {len(chosen)} of {compared} tasks"
    if chosen:
        reason += f"; k-mixup gains over ERM on {len(shown)} of these"
    yield Verdict(3, ALL, "supported" if shown else "undecided", reason)
    for task, value in p.items():
        outcome: Outcome = "supported" if task in shown else "undecided"
        gain = t_interval(chosen[task], level)
        yield Verdict(3, task, outcome, f"gain of k-mixup over ERM {words(gain, task)}, Holm's p {value:.3g}")


def half(values: pd.Series, which: int) -> pd.Series:
    """Every second seed of each outer split, the first or the other half."""
    return values[values.groupby(level=0).cumcount() % 2 == which]


def one_sided(values: np.ndarray) -> float:
    """p that the mean of the units is not above 0, by Student's t."""
    if values.std() == 0:
        return 0.0 if values.mean() > 0 else 1.0
    return float(stats.ttest_1samp(values, 0, alternative="greater").pvalue)


def holm(p: dict[str, float]) -> dict[str, float]:
    """p-values corrected for their number, step down (Holm 1979), in order of size."""
    found, largest = {}, 0.0
    for rank, (name, value) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p) - rank) * value))
        found[name] = largest
    return found


def words(estimate: Estimate, task: str) -> str:
    if np.isnan(estimate.mean):
        return "not measured"
    mean = percent(estimate.mean, task)
    if np.isnan(estimate.low):
        return f"{mean}, {estimate.units} units: too few for an interval"
    return f"{mean} [{100 * estimate.low:+.2f}, {100 * estimate.high:+.2f}], {estimate.units} units"


def percent(value: float, task: str) -> str:
    return f"{100 * value:+.2f} {'% of ERM' if task == ALL else 'points'}"
