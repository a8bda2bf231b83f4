"""What the report says, in order: notes, tables and figures, for every format."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tune_kmixup.core.config import Claims
from tune_kmixup.core.selection import SELECTED_BY

from .. import costs, cross_task, gains, search_budget
from ..claims import OVERALL, Judgement, judge_runs
from ..gains import STUDY_KEY
from ..load import Runs, study_name
from ..variances import POWER
from . import conclusions, figures, tables
from .formats import method_label

CALIBRATION_METRICS = {
    "test_nll": "NLL, nats",
    "test_brier": "Brier",
    "test_ece": "ECE %",
    "test_ece_floor": "floor of ECE %",
    "test_ece_adaptive": "adaptive ECE %",
}
WORST_CLASS_METRIC = {"test_error_worst": "error of the worst class, %"}


@dataclass(frozen=True)
class Section:
    """One section of the report.

    Attributes:
        title: its heading.
        notes: sentences that explain its tables and figures.
        tables: as text for readers.
        figures: by file name without suffix.
    """

    title: str
    notes: list[str] = field(default_factory=list)
    tables: list[pd.DataFrame] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)


def make_sections(runs: Runs, level: float, metric: str, earlier: pd.DataFrame | None = None) -> list[Section]:
    """All sections that have a table or a figure; what was not measured is left out.

    Args:
        runs: what to report.
        level: confidence level of the intervals, between 0 and 1.
        metric: metric of the first table and figure, a column of the rows.
        earlier: rows of an earlier report, whose gains are compared with those of `runs`.
    """
    rows, final = runs.rows, runs.final
    sections = [
        comparison(runs, level, metric),
        verdicts(runs),
        over_data_sets(final, runs.claims, level),
        details(final, runs.claims, level),
        precision(final, level),
        calibration(final, level),
        robustness(final, level),
        budget(runs),
        sensitivity(rows),
        cost(runs),
    ]
    if earlier is not None:
        notes = ["Gains of the earlier report beside those of this one; empty where a report lacks the task."]
        sections.append(Section("What changed", notes, [tables.changes(earlier, rows, level)]))
    if len(runs.missing):
        notes = ["These studies are not finished; the figures above hold the runs that are done."]
        sections.append(Section("Missing", notes, [runs.missing]))
    return [section for section in sections if section.tables or section.figures]


def make_section(
    title: str, notes: list[str], candidates: list[pd.DataFrame], **named_figures: Figure | None
) -> Section:
    """A section without the empty tables and the figures that are None."""
    return Section(
        title,
        notes,
        [table for table in candidates if len(table)],
        {name: figure for name, figure in named_figures.items() if figure is not None},
    )


def comparison(runs: Runs, level: float, metric: str) -> Section:
    forest = figures.forest(runs.final, level, metric)
    table = tables.headline(runs.final, level, metric)
    notes = conclusions.conclusions(runs, level, metric)
    return Section("Gains", notes, [table], {"gains": forest} if forest else {})


def verdicts(runs: Runs) -> Section:
    judgements = [judgement for judgement in judge_runs(runs) if judgement.verdicts]
    notes = [
        "Claims of the paper: (1) k-mixup improves on mixup; (2) its gain over mixup is at least half of mixup's over "
        "ERM; (3) there are tasks where mixup gains next to nothing over ERM and k-mixup does; (4.1 and 4.2) claims 1 "
        "and 2 on the mean error under noise and FGSM.",
        "Undecided means that these runs cannot tell, not that there is no effect. Claim 2 is void where mixup's gain "
        "is not shown. The p-values of tasks are corrected for the size of the family (Holm). The overall verdicts on "
        "claims 1 and 2 come from the mean over data sets. Tasks with one search or unfinished studies have no verdict "
        "and enter no mean.",
    ]
    if any(gains.share_test_rows(runs.rows, task) for task in gains.tasks(runs.rows)):
        notes.append("Claim 4 is conditional on the test rows where repeats share them, the other claims are not.")
    if len(judgements) > 1:
        notes.append(
            "These launches fixed different things before their first trial, so each is judged by itself. Launch with "
            "the same --family to have them judged together."
        )
    notes += [fixed_sentence(judgement) for judgement in judgements]
    notes += [f"Expected of {suite.name}: {suite.expectation}" for suite in runs.suites if suite.expectation]
    found = []
    for judgement in judgements:
        overall = [verdict for verdict in judgement.verdicts if verdict.task == OVERALL]
        by_task = [verdict for verdict in judgement.verdicts if verdict.task != OVERALL]
        found += [tables.verdicts(overall), tables.verdicts(by_task)]
    return make_section("Claims", notes, found)


def fixed_sentence(judgement: Judgement) -> str:
    """What decides the claims, and when it was fixed."""
    claims, names = judgement.claims, f" ({', '.join(judgement.launches)})" if judgement.launches else ""
    margin = f"δ = {claims.delta:.0%} of ERM's error, {claims.level:.0%} intervals, endpoint {claims.endpoint}"
    if not judgement.fixed_before:
        return f"Fixed after these runs{names}: {margin}. All tasks can decide every claim."
    families = "; ".join(
        f"claim {', '.join(numbers)}: {', '.join(family)}" for family, numbers in claims.by_family().items()
    )
    return f"Fixed before the first trial{names}: {margin}. Tasks that can decide {families}."


def details(rows: pd.DataFrame, claims: Claims, level: float) -> Section:
    notes = [
        "Every gain in test error: in points, the median over pairs of runs, as a share of ERM's error with Fieller's "
        f"interval, and in words. Shown: the {claims.level:.0%} interval lies above 0. Shown to be small: the "
        f"{2 * claims.level - 1:.0%} interval lies within ± {claims.delta:.0%} of ERM's error.",
        "Then the share of pairs in which the method is better (ties count half), the bootstrap-t interval as a check "
        "of Student's, and a two-sided sign-flip permutation test on the outer splits, with the smallest p that so "
        "many allow. These two are left out where repeats share test rows, of whose luck they know nothing.",
        "Below are the errors themselves, and the error of the class that a run gets wrong most often. Where repeats "
        "share test rows, the intervals of the latter are conditional on these rows.",
    ]
    worst = tables.metric_means(with_worst_class(rows), WORST_CLASS_METRIC, level)
    return make_section(
        "Gains in detail", notes, [tables.gain_details(rows, claims, level), tables.error_means(rows, level), worst]
    )


def precision(rows: pd.DataFrame, level: float) -> Section:
    notes = [
        f"The detectable gain is the true gain that these outer splits, seeds and test rows show with {POWER:.0%} "
        f"power: the {level:.0%} interval then lies above 0. A smaller gain may well exist and stay unseen.",
        "The second table takes the standard error of each gain apart, and says what would halve the interval: more "
        "repeats, more final seeds, or more test rows, each with the other two as they are. Folds and toy sets have a "
        "fixed number.",
    ]
    found = [tables.detectable_gains(rows, level), tables.variances(rows, level)]
    return make_section("What could have been shown", notes, found)


def with_worst_class(rows: pd.DataFrame) -> pd.DataFrame:
    """Adds the error of the class that each run gets wrong most often, as `test_error_worst`."""
    worst = rows["test_error_by_class"].map(worst_of, na_action="ignore")
    return rows.assign(test_error_worst=worst.astype(float))


def worst_of(errors: Iterable[float | None]) -> float:
    """The largest of the errors by class; a class without test rows has none."""
    return max((error for error in errors if error is not None), default=math.nan)


def over_data_sets(rows: pd.DataFrame, claims: Claims, level: float) -> Section:
    logs = cross_task.log_errors(rows)
    if len(logs) < 2 or len(logs.columns) < 2:
        return Section("Over data sets")
    tests = cross_task.signed_ranks(logs)
    smallest_p = tests["smallest_p"].iloc[0]
    notes = [
        "The tasks of a data set are averaged first. Tasks with one search, and saturated ones, are left out. Gains "
        "are divided by ERM's "
        "error. The random-effects mean (Paule-Mandel, Hartung-Knapp-Sidik-Jonkman) decides, or the plain mean with "
        "Student's interval: for fewer than four data sets, or if one has more than a third of the weight or more than "
        "five times that of another. The last interval is for the true gain on one more data set of this kind.",
        f"Below is Wilcoxon's signed-rank test on log ratios of errors over {len(logs)} data sets, corrected for "
        f"{len(tests)} comparisons (Holm).",
    ]
    if smallest_p * len(tests) > 1 - level:
        notes.append(
            f"With {len(logs)} data sets the smallest possible p is {smallest_p:.3g}, times {len(tests)} comparisons: "
            "no signed-rank test can be significant, whatever the methods do."
        )
    ranks = cross_task.rank_methods(logs)
    if ranks:
        best_first = ranks.mean.sort_values(kind="stable")
        mean_ranks = ", ".join(f"{method_label(str(name))} {rank:.2f}" for name, rank in best_first.items())
        notes.append(
            f"Mean ranks (1 is best): {mean_ranks}. Friedman's test that all methods rank alike: p = {ranks.p:.3g}."
        )
    found = cross_task.compared_gains(rows)
    notes += conclusions.heavy_sentences(found, level)
    return make_section(
        "Over data sets", notes, [tables.over_data_sets(rows, found, claims, level), tables.signed_ranks(tests)]
    )


def budget(runs: Runs) -> Section:
    by, score, score_name = runs.select_by, f"val_{runs.select_by}", SELECTED_BY[runs.select_by]
    notes = [
        f"{score_name[0].upper()}{score_name[1:]} of the best configuration so far, mean over outer splits (for random "
        "search its unbiased expectation, for a grid the mean over all orders of its points). A curve that still falls "
        "at its end asks for more trials. Selection is optimistic: the table shows the smallest of many errors beside "
        f"the same configuration's {score_name} with fresh seeds. Where ties are many, the search could hardly tell "
        "configurations apart."
    ]
    if (runs.rows["status"] == "stopped").any():
        notes.append("Configurations that were stopped early are left out: their errors are of an earlier epoch.")
    # The order of the proposals means nothing in a grid, as in random search.
    unordered = {study.name for s in runs.suites if s.sampler in ("random", "grid") for study in s.studies}
    names = (study_name(*key) for key in runs.rows[STUDY_KEY].itertuples(index=False, name=None))
    random_order = np.array([name in unordered for name in names], dtype=bool)
    curves = pd.concat(
        [
            search_budget.budget_curves(runs.rows[random_order], random_order=True, score=score),
            search_budget.budget_curves(runs.rows[~random_order], random_order=False, score=score),
        ]
    )
    bias = tables.selection_bias(search_budget.selection_bias(runs.rows, score), by)
    ends = tables.range_ends(search_budget.range_ends(runs.rows, runs.suites))
    if len(ends):
        notes.append(
            "The last table counts the studies that selected a value within 5 % of its range from an end, beside the "
            "share of the range that lies there. Where it is much larger, the best value may lie outside."
        )
    return make_section("Was the budget enough", notes, [bias, ends], budget=figures.budget(curves, runs.rows, by))


def calibration(rows: pd.DataFrame, level: float) -> Section:
    notes = [
        "Metrics of the same final runs; gains are paired, and positive is better. Where repeats share test rows, "
        "intervals here are conditional on these rows. Proper scores (NLL, Brier) come "
        "first: a calibration error means little unless it is well above its floor, which a perfectly calibrated "
        "network of the same confidences would show on so few rows."
    ]
    means = tables.metric_means(rows, CALIBRATION_METRICS, level)
    return make_section("Likelihood and calibration", notes, [means], reliability=figures.reliability(rows))


def robustness(rows: pd.DataFrame, level: float) -> Section:
    notes = [
        "Test error under Gaussian noise, the same for every method, and after one signed gradient step (FGSM), in "
        "[0, 1] units of images, [-1, 1] of recordings, standard deviations of table columns. FGSM cannot move a row "
        "whose gradient is zero: the share of such rows is shown, and where it is large FGSM says little. Where "
        "repeats share test rows, intervals here are conditional on these rows."
    ]
    metrics = {
        column: f"{shift} {column.removeprefix(prefix)}, %"
        for prefix, shift in (("test_error_noise_", "noise"), ("test_error_fgsm_", "FGSM"))
        for column in rows
        if column.startswith(prefix)
    }
    means = tables.metric_means(rows, metrics | {"test_fgsm_zero_gradient": "zero gradient, share"}, level)
    return make_section("Robustness", notes, [means], robustness=figures.robustness(rows))


def sensitivity(rows: pd.DataFrame) -> Section:
    notes = [
        "Every configuration that was searched, except those stopped early: validation error, mean over search seeds, "
        "against α, over α and k, and against the expected squared displacement of a training point. k-mixup shortens "
        "the distances, so equal α is not equal perturbation."
    ]
    by_task = {f"sensitivity-{task.replace('/', '-')}": figures.sensitivity(rows, task) for task in gains.tasks(rows)}
    return make_section("Sensitivity to α and k", notes, [], **by_task)


def cost(runs: Runs) -> Section:
    notes = [
        "Wall-clock seconds of runs on their share of a machine. At equal seconds: each method's configurations in the "
        "order proposed, as many as fit the smallest total among the searched methods of the same outer split, and the "
        "best of these by the search alone. Where that is the best at equal trials too, and there is no shortlist, the "
        "final runs hold at equal seconds as well."
    ]
    busy = [f"{launch.busy:.0%} ({launch.name})" for launch in runs.launches if launch.busy is not None]
    if busy:
        notes.append(f"Slots were training, not waiting, during {', '.join(busy)} of the launches' time.")
    run_costs = tables.run_costs(costs.run_costs(runs.rows))
    by = runs.select_by
    equal_seconds = tables.equal_seconds(costs.equal_seconds(runs.rows, f"val_{by}"), by)
    return make_section("Cost", notes, [run_costs, equal_seconds])
