"""The claims of the k-mixup paper, each with a verdict and the numbers that decided it.

    1  k-mixup improves on mixup
    2  its gain over mixup is at least half of mixup's gain over ERM
    3  there are tasks where mixup gains next to nothing over ERM and k-mixup does
    4  1 and 2 under distribution shift: on the mean of the errors under noise and under FGSM

`verdicts` has the rules. What they depend on, `core.config.Claims`, is fixed in suite.json before the first trial: the
margin δ, the level, the endpoint, and per claim the family of tasks that can decide it. A claim is judged per task, on
its outer splits, with p-values corrected for the size of the family (Holm 1979). Claims 1 and 2 are also judged
overall, by the mean over data sets of gains that are divided by ERM's error; claim 3 is supported overall if any task
supports it. Suites that fixed different things are judged separately.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tune_kmixup.core.config import Claims
from tune_kmixup.core.methods import CLAIM_METHODS
from tune_kmixup.core.rows import COLUMNS
from tune_kmixup.core.text import plural

from . import cross_task, gains
from .cross_task import FixedWeights, gains_by_data_set
from .evidence import FEWEST_UNITS, MeanGain, TaskErrors, stacked
from .load import Launch, Runs, study_names
from .stats import estimate
from .verdicts import (
    AT_LEAST_HALF,
    KMIXUP_OVER_MIXUP,
    MIXUP_OVER_ERM,
    Verdicts,
    judge_at_least_half,
    judge_improvement,
    judge_where_mixup_fails,
)

OVERALL = "overall"
SHIFTED = "test_error_shifted"


@dataclass(frozen=True)
class Verdict:
    """The verdict on one claim.

    Attributes:
        claim: number of the claim: 1, 2, 3, 4.1 or 4.2 (claims 1 and 2 under shift).
        task: name of the task, or `OVERALL`.
        outcome: supported, contradicted, undecided, or void where the claim presupposes a gain of mixup that is not
            shown. Of a task: after Holm's correction.
        uncorrected: the same before Holm's correction; empty where nothing is corrected.
        p: p-value after Holm's correction; NaN where there is none.
        effect: the one number that decides most, with its interval: points of a task, % of ERM's error overall.
        reason: all numbers that decided it.
    """

    claim: str
    task: str
    outcome: str
    uncorrected: str
    p: float
    effect: str
    reason: str


@dataclass(frozen=True)
class Judgement:
    """The verdicts on runs whose suites fixed the same.

    Attributes:
        launches: names of the launches; empty where rows come without.
        claims: what was fixed.
        fixed_before: whether it was fixed before the first trial; not so in version 0.1.0.
        verdicts: by claim, overall first.
    """

    launches: tuple[str, ...]
    claims: Claims
    fixed_before: bool
    verdicts: list[Verdict]


def judge_runs(runs: Runs) -> list[Judgement]:
    """Judges the claims, separately for suites that fixed different things.

    Args:
        runs: what to judge.

    Returns:
        One judgement for each set of suites that agree, in the order of the launches.
    """
    if not runs.launches:
        return [Judgement((), Claims(), False, judge(runs.final, Claims()))]
    agreeing: list[list[Launch]] = []
    for launch in runs.launches:
        group = next((group for group in agreeing if agree(group[0].suite.claims, launch.suite.claims)), None)
        agreeing.append([launch]) if group is None else group.append(launch)
    return [judge_launches(runs.final, group) for group in agreeing]


def agree(one: Claims, other: Claims) -> bool:
    """Whether two suites fixed the same, whatever the order of the tasks in a family."""
    families, other_families = ({n: set(f) for n, f in claims.families.items()} for claims in (one, other))
    return families == other_families and replace(one, families={}) == replace(other, families={})


def judge_launches(final: pd.DataFrame, launches: Sequence[Launch]) -> Judgement:
    """Judges the runs of these launches. Others may have other outer splits of the same tasks."""
    claims = launches[0].suite.claims
    studies = {study.name for launch in launches for study in launch.suite.studies}
    theirs = [name in studies for name in study_names(final)]
    names = tuple(dict.fromkeys(launch.name for launch in launches))
    return Judgement(names, claims, bool(claims.families), judge(final[np.array(theirs, dtype=bool)], claims))


def judge(rows: pd.DataFrame, claims: Claims) -> list[Verdict]:
    """Judges claims 1 to 4 by what was fixed.

    Args:
        rows: final runs, as in `load.Runs`.
        claims: what was fixed; a claim without a family is decided by all tasks.

    Returns:
        The verdicts; none for a claim whose methods or metrics no task of its family has.
    """
    found = judge_claims(rows, claims, claims.endpoint, ("1", "2", "3"))
    shifted = with_shifted(rows)
    if shifted[SHIFTED].notna().any():
        found += judge_claims(shifted, claims, SHIFTED, ("4.1", "4.2"))
    return found


def with_shifted(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the endpoint of claim 4: the mean error under noise and FGSM, in the column `SHIFTED`."""
    columns = [c for c in COLUMNS if c.startswith(("test_error_noise_", "test_error_fgsm_")) and c in rows]
    return rows.assign(**{SHIFTED: rows[columns].mean(axis=1, skipna=False)})


def judge_claims(rows: pd.DataFrame, claims: Claims, metric: str, numbers: Sequence[str]) -> list[Verdict]:
    """Judges claims that are about one metric. Those of the same family read its errors once."""
    judges = {"1": judge_claim_1, "2": judge_claim_2, "3": judge_claim_3, "4.1": judge_claim_1, "4.2": judge_claim_2}
    families: dict[tuple[str, ...], Family] = {}
    found = []
    for claim in numbers:
        tasks = tuple(claims.families.get(claim[0], gains.tasks(rows)))
        if tasks not in families:
            families[tasks] = family_of(rows, tasks, metric)
        if families[tasks].errors:
            found += judges[claim](rows, families[tasks], claims, claim)
    return found


@dataclass(frozen=True)
class Family:
    """The tasks that can decide a claim.

    Attributes:
        metric: column of the rows that the claims are about.
        tasks: names of all of them, reported or not.
        errors: of the reported tasks on which the three methods share runs, by name.
        comparable: those of `errors` that enter the mean over data sets.
    """

    metric: str
    tasks: Sequence[str]
    errors: dict[str, TaskErrors]
    comparable: Sequence[str]

    def gains(self, weights: FixedWeights) -> MeanGain:
        """A gain of each task of `errors`, shape (tasks,)."""
        return stacked([errors.mean(weights) for errors in self.errors.values()])

    def texts(self, weights: FixedWeights, level: float) -> list[str]:
        """A gain of each task of `errors` in points, with its interval."""
        estimates = [estimate(errors.mean(weights), errors.units, level) for errors in self.errors.values()]
        return [f"{100 * e.mean:+.2f} [{100 * e.low:+.2f}, {100 * e.high:+.2f}]" for e in estimates]

    def corrected(self, found: Verdicts, level: float) -> Verdicts:
        """Verdicts on the tasks of `errors` after Holm's correction, for which tasks that are absent count too."""
        absent, present = len(self.tasks) - len(self.errors), slice(len(self.errors))
        outcome = np.append(found.outcome, np.full(absent, "undecided"))
        whole = Verdicts(outcome, np.append(found.p, np.full(absent, np.nan))).after_holm(level)
        return Verdicts(whole.outcome[present], whole.p[present])


def family_of(rows: pd.DataFrame, tasks: Sequence[str], metric: str) -> Family:
    """These tasks as a family; without `errors` where no task of it has runs of the three methods."""
    found = {
        task: gains.final_errors(rows, task, CLAIM_METHODS, metric) for task in tasks if (rows["task"] == task).any()
    }
    errors = {
        task: final.task_errors()
        for task, final in found.items()
        if len(final.by_unit)
        and gains.have_same_runs(rows, task, CLAIM_METHODS, metric)  # else a study is not finished
    }
    comparable = cross_task.comparable_tasks(rows[rows["task"].isin(errors)], CLAIM_METHODS, metric)
    return Family(metric, tasks, errors, [task for task in errors if task in comparable])


def judge_claim_1(rows: pd.DataFrame, family: Family, claims: Claims, claim: str) -> list[Verdict]:
    found = judge_improvement(family.gains(KMIXUP_OVER_MIXUP), claims.level)
    effects = family.texts(KMIXUP_OVER_MIXUP, claims.level)
    reasons = [f"gain of k-mixup over mixup {text} points" for text in effects]
    by_task = verdicts_by_task(claim, family, found, claims.level, effects, reasons)
    over = gains_by_data_set(rows, KMIXUP_OVER_MIXUP, family.comparable, family.metric)
    outcome = judge_improvement(over.over.deciding, claims.level)
    reason = f"mean gain {mean_text(over, claims.level)}"
    return [overall_verdict(claim, outcome, effect_text(over, claims.level), reason, by_task), *by_task]


def judge_claim_2(rows: pd.DataFrame, family: Family, claims: Claims, claim: str) -> list[Verdict]:
    found = judge_at_least_half(
        family.gains(MIXUP_OVER_ERM), family.gains(KMIXUP_OVER_MIXUP), family.gains(AT_LEAST_HALF), claims.level
    )
    texts = [family.texts(weights, claims.level) for weights in (MIXUP_OVER_ERM, KMIXUP_OVER_MIXUP, AT_LEAST_HALF)]
    reasons = [
        f"mixup over ERM {mixup} points; k-mixup over mixup {kmixup} points; the latter minus half of the former "
        f"{contrast} points"
        for mixup, kmixup, contrast in zip(*texts, strict=True)
    ]
    by_task = verdicts_by_task(claim, family, found, claims.level, texts[2], reasons)
    mixup, kmixup, contrast = (
        gains_by_data_set(rows, weights, family.comparable, family.metric)
        for weights in (MIXUP_OVER_ERM, KMIXUP_OVER_MIXUP, AT_LEAST_HALF)
    )
    outcome = judge_at_least_half(mixup.over.deciding, kmixup.over.deciding, contrast.over.deciding, claims.level)
    reason = f"mean of k-mixup's gain minus half of mixup's {mean_text(contrast, claims.level)}; "
    reason += f"mixup's gain {mean_text(mixup, claims.level)}"
    return [overall_verdict(claim, outcome, effect_text(contrast, claims.level), reason, by_task), *by_task]


def judge_claim_3(rows: pd.DataFrame, family: Family, claims: Claims, claim: str) -> list[Verdict]:
    judged = [judge_where_mixup_fails(errors, claims.delta, claims.level) for errors in family.errors.values()]
    found = Verdicts(np.array([one.outcome for one in judged]), np.array([one.p for one in judged], dtype=float))
    texts = [family.texts(weights, claims.level) for weights in (MIXUP_OVER_ERM, KMIXUP_OVER_MIXUP)]
    margins = [100 * claims.delta * errors.by_method["erm"].mean() for errors in family.errors.values()]
    reasons = [
        f"mixup over ERM {mixup} points, δ is {margin:.2f}; k-mixup over mixup {kmixup} points"
        for mixup, kmixup, margin in zip(*texts, margins, strict=True)
    ]
    by_task = verdicts_by_task(claim, family, found, claims.level, texts[1], reasons)
    supporting = [verdict.task for verdict in by_task if verdict.outcome == "supported"]
    smallest_p = min((verdict.p for verdict in by_task if not math.isnan(verdict.p)), default=math.nan)
    outcome = Verdicts(np.asarray("supported" if supporting else "undecided"), np.asarray(smallest_p))
    effect = f"{len(supporting)} of {len(family.tasks)} tasks"
    reason = f"supported by {len(supporting)} of the {len(family.tasks)} tasks of the family"
    return [overall_verdict(claim, outcome, effect, reason, by_task), *by_task]


def verdicts_by_task(
    claim: str, family: Family, found: Verdicts, level: float, effects: Sequence[str], reasons: Sequence[str]
) -> list[Verdict]:
    """One verdict for each task that has an interval: of one search nothing can be said."""
    corrected = family.corrected(found, level)
    columns = zip(family.errors, corrected.outcome, found.outcome, corrected.p, effects, reasons, strict=True)
    return [
        Verdict(claim, task, str(outcome), str(uncorrected), float(p), effect, reason)
        for task, outcome, uncorrected, p, effect, reason in columns
        if family.errors[task].units >= FEWEST_UNITS
    ]


def overall_verdict(claim: str, found: Verdicts, effect: str, reason: str, by_task: Sequence[Verdict]) -> Verdict:
    """The overall verdict, with the tasks that carry it: those that have the same outcome after Holm's correction."""
    outcome = str(found.outcome)
    if outcome in ("supported", "contradicted"):
        carrying = ", ".join(verdict.task for verdict in by_task if verdict.outcome == outcome)
        reason += f"; carried by {carrying}" if carrying else "; no task shows it after Holm's correction"
    return Verdict(claim, OVERALL, outcome, "", float(found.p), effect, reason)


def effect_text(found: cross_task.DataSetGains, level: float) -> str:
    """The mean that decides, in per cent of ERM's error; empty without an interval."""
    mean = found.mean(level)
    return "" if math.isnan(mean.low) else f"{100 * mean.mean:+.2f} % [{100 * mean.low:+.2f}, {100 * mean.high:+.2f}]"


def mean_text(found: cross_task.DataSetGains, level: float) -> str:
    """The mean that decides, in per cent of ERM's error."""
    data_sets, mean = plural(found.count, "data set"), found.mean(level)
    if math.isnan(mean.low):
        return f"not known: {data_sets}, too few for an interval"
    return f"{100 * mean.mean:+.2f} % of ERM's error [{100 * mean.low:+.2f}, {100 * mean.high:+.2f}] over {data_sets}"
