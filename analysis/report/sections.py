"""What the report says, in order: the first screen, sections over all tasks, and a section for each task."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tune_kmixup.core.config import Claims
from tune_kmixup.core.selection import SELECTED_BY

from .. import costs, cross_task, gains, search_budget
from ..claims import Judgement, judge_runs
from ..cross_task import DataSetGains
from ..load import Runs, study_names
from ..variances import POWER
from . import conclusions, figures, glossary, methods_text, tables
from .formats import display_unit, in_percent, method_label
from .style import Looks, looks_of

CALIBRATION_METRICS = {
    "test_nll": "NLL, nats",
    "test_brier": "Brier",
    "test_ece": "ECE, %",
    "test_ece_floor": "floor of ECE, %",
    "test_ece_adaptive": "adaptive ECE, %",
}
WORST_CLASS = "test_error_worst"


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes:
        caption: what it shows, with units that its heads lack.
        frame: as text for readers; a cell may be a `tables.Places`.
        folded: whether a page shows it on request.
        cards: whether a narrow page shows each row as a card.
    """

    caption: str
    frame: pd.DataFrame
    folded: bool = False
    cards: bool = False


@dataclass(frozen=True)
class Section:
    """One section of the report.

    Attributes:
        title: its heading.
        notes: sentences that explain its tables and figures.
        tables: those that are not empty.
        figures: by caption.
        task: name of the task that it is about; empty: of all.
    """

    title: str
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)
    task: str = ""


@dataclass(frozen=True)
class Report:
    """Everything that a report shows, for every format.

    Attributes:
        budget: what was compared, in a line.
        answer: a sentence for each gain.
        forest: gains of all tasks, as wide as a paper's text; None without two of the suite's methods.
        narrow_forest: the same as wide as a column.
        headline: one row per task.
        notes: on the intervals of the headline, and what does not follow.
        sections: over all tasks.
        tasks: a section for each task.
        glossary: term -> what it means.
        level: confidence level of the intervals, between 0 and 1.
        metric: column of the rows; metric of the headline and the forest.
    """

    budget: str
    answer: list[str]
    forest: Figure | None
    narrow_forest: Figure | None
    headline: Table
    notes: list[str]
    sections: list[Section]
    tasks: list[Section]
    glossary: dict[str, str]
    level: float
    metric: str


def make_report(runs: Runs, level: float, metric: str, earlier: pd.DataFrame | None = None) -> Report:
    """The whole report.

    Args:
        runs: what to report.
        level: confidence level of the intervals, between 0 and 1.
        metric: metric of the first table and figure, a column of the rows.
        earlier: rows of an earlier report, whose gains are compared with those of `runs`.
    """
    final, claims, looks = runs.final, runs.claims, looks_of(runs.rows)
    over = cross_task.compared_gains(final)
    values = search_budget.selected_values(runs.rows, runs.suites)
    forests = [figures.forest(final, over, level, metric, narrow) for narrow in (False, True)]
    headline = tables.headline(final, claims, level, metric)
    measured = f"{metric.replace('_', ' ').capitalize()} and gains in {display_unit(metric)}"
    caption = f"{measured}, ± {in_percent(level)} interval. {marks_in_words(claims, level)}"
    sections = [
        selected(final, values, looks),
        verdicts(runs),
        over_data_sets(final, over, claims, level),
        precision(final, claims, level),
        ends_of_ranges(values),
    ]
    if earlier is not None:
        notes = ["Gains of the earlier report beside those of this one; empty where a report lacks the task."]
        sections.append(section("What changed", notes, [Table("Gains", tables.changes(earlier, runs.rows, level))]))
    if len(runs.missing):
        notes = ["These studies are not finished; the figures above hold the runs that are done."]
        sections.append(section("Missing", notes, [Table("Unfinished studies", runs.missing)]))
    return Report(
        conclusions.budget(runs),
        conclusions.answer(runs, over),
        forests[0],
        forests[1],
        Table(caption, headline, cards=True),
        conclusions.caveats(runs, level, metric),
        [found for found in sections if found.tables],
        [reading_a_task(runs, claims, level), *task_sections(runs, values, claims, level, looks)],
        glossary.terms(claims, level),
        level,
        metric,
    )


def section(title: str, notes: list[str], candidates: Sequence[Table]) -> Section:
    """A section without the empty tables."""
    return Section(title, notes, [table for table in candidates if len(table.frame)])


def marks_in_words(claims: Claims, level: float) -> str:
    return (
        f"▲ gain shown, ▼ loss shown: the {in_percent(level)} interval leaves out 0. ≈ shown to be small: the "
        f"{in_percent(2 * level - 1)} interval lies within ± {in_percent(claims.delta)} of ERM's error. Both after "
        "Holm's correction over the tasks of the column and those that are still to come (△ ▽ ∼: only before it). No "
        "mark: not known."
    )


def selected(final: pd.DataFrame, values: pd.DataFrame, looks: Looks) -> Section:
    notes = [
        "What the searches selected on validation data: the median over outer splits and the range. Each dot is an "
        "outer split, placed in the range that was searched, which is logarithmic. Dots all over the line say that the "
        "validation error hardly depends on the value, or that it cannot tell."
    ]
    found = tables.selected_alpha_and_k(final, values, looks)
    return section("Selected α and k", notes, [Table("Selected α and k, over outer splits.", found, cards=True)])


def verdicts(runs: Runs) -> Section:
    judgements = [judgement for judgement in judge_runs(runs) if judgement.verdicts]
    notes = [
        "Claims of the paper: (1) k-mixup improves on mixup; (2) its gain over mixup is at least half of mixup's over "
        "ERM; (3) there are tasks where mixup gains next to nothing over ERM and k-mixup does; (4.1 and 4.2) claims 1 "
        "and 2 on the mean error under noise and FGSM.",
        "Undecided means that these runs cannot tell, not that there is no effect. Claim 2 is void where mixup's gain "
        "is not shown. The p-values of tasks are corrected for the size of the family (Holm). The overall verdicts on "
        "claims 1 and 2 come from the mean over data sets. Tasks with one search or unfinished studies, or whose "
        "methods have other final seeds, have no verdict and enter no mean.",
    ]
    if any(gains.share_test_rows(runs.rows, task) for task in gains.tasks(runs.rows)):
        notes.append("Claim 4 is conditional on the test rows where repeats share them, the other claims are not.")
    if len(judgements) > 1:
        notes.append(
            "These launches fixed different things before their first trial, so each is judged by itself. Launch with "
            "the same --family to have them judged together."
        )
    notes += [fixed_sentence(judgement) for judgement in judgements]
    found = []
    caption = (
        "Verdicts, with the effect that decides (1, 3, 4.1: k-mixup's gain over mixup; 2, 4.2: that minus half of "
        "mixup's over ERM; points with their interval, overall % of ERM's error) and p after Holm's correction."
    )
    for judgement in judgements:
        found.append(Table(caption, tables.claim_matrix(judgement.verdicts, gains.tasks(runs.rows))))
        found.append(Table("The numbers behind each verdict.", tables.verdicts(judgement.verdicts), folded=True))
    return section("Claims", notes, found)


def fixed_sentence(judgement: Judgement) -> str:
    """What decides the claims, and when it was fixed."""
    claims, names = judgement.claims, f" ({', '.join(judgement.launches)})" if judgement.launches else ""
    margin = f"δ = {in_percent(claims.delta)} of ERM's error, {in_percent(claims.level)} intervals"
    margin += f", endpoint {claims.endpoint}"
    if not judgement.fixed_before:
        return f"Fixed after these runs{names}: {margin}. All tasks can decide every claim."
    families = "; ".join(
        f"claim {', '.join(numbers)}: {', '.join(family)}" for family, numbers in claims.by_family().items()
    )
    return f"Fixed before the first trial{names}: {margin}. Tasks that can decide {families}."


def over_data_sets(
    rows: pd.DataFrame, over: Mapping[tuple[str, str], DataSetGains], claims: Claims, level: float
) -> Section:
    notes = [
        "The tasks of a data set are averaged first. Tasks with one search, and saturated ones, are left out. Gains "
        "are divided by ERM's error. The random-effects mean (Paule-Mandel, Student's t) decides, or the plain mean "
        "with Student's interval: for fewer than four data sets, or if one has more than a third of the weight or more "
        "than five times that of another. The last interval is for the true gain on one more data set of this kind."
    ]
    means = Table("Mean gains over data sets, % of ERM's error.", tables.over_data_sets(rows, over, claims, level))
    logs = cross_task.log_errors(rows)
    if len(logs) < 2 or len(logs.columns) < 2:
        return section("Over data sets", notes, [means])
    tests = cross_task.signed_ranks(logs)
    smallest_p = tests["smallest_p"].iloc[0]
    compared = ", ".join(map(method_label, logs.columns))
    notes.append(
        f"Below is Wilcoxon's signed-rank test on log ratios of errors over the {len(logs)} data sets that have "
        f"{compared}, corrected for {len(tests)} comparisons (Holm)."
    )
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
    return section("Over data sets", notes, [means, Table("Signed-rank tests.", tables.signed_ranks(tests))])


def precision(rows: pd.DataFrame, claims: Claims, level: float) -> Section:
    notes = [
        "The detectable gain is the true gain that these outer splits, seeds and test rows show with "
        f"{in_percent(POWER)} power, after correction, if no other task gains. A smaller gain may well exist and stay "
        "unseen."
    ]
    found = tables.detectable_gains(rows, claims, level)
    return section("What could have been shown", notes, [Table("Detectable gains.", found, folded=True)])


def ends_of_ranges(values: pd.DataFrame) -> Section:
    notes = [
        "Studies that selected a value within 5 % of its range from an end, beside the share of the range that lies "
        "there. Where it is much larger, the best value may lie outside."
    ]
    ends = tables.range_ends(search_budget.range_ends(values))
    return section("Was the range wide enough", notes, [Table("Selected values near an end of their range.", ends)])


def reading_a_task(runs: Runs, claims: Claims, level: float) -> Section:
    """What the sections of all tasks have in common."""
    score_name = SELECTED_BY[runs.select_by]
    notes = [
        "Gains: in points, the median over pairs of runs, as a share of ERM's error with Fieller's interval, and in "
        "words; Student's p-value, and that of the two tests for a small gain, each also after Holm's correction over "
        "the tasks. Then the share of pairs in which the method is better (ties count half), the bootstrap-t interval "
        "as a check of Student's, and a two-sided sign-flip permutation test on the outer splits, with the smallest p "
        "that so many allow. These two are left out where repeats share test rows, of whose luck they know nothing.",
        "Metrics: of the same final runs; gains are paired, and positive is better. Proper scores (NLL, Brier) come "
        "first: a calibration error means little unless it is well above its floor, which a perfectly calibrated "
        "network of the same confidences would show on so few rows. Where repeats share test rows, intervals other "
        "than those of the test error are conditional on these rows.",
        "Shifts: Gaussian noise, the same for every method, and one signed gradient step (FGSM), in [0, 1] units of "
        "images, [-1, 1] of recordings, standard deviations of table columns. FGSM cannot move a row whose gradient is "
        "zero: the share of such rows is shown, and where it is large FGSM says little.",
        f"Search: {score_name} of the best configuration so far, mean over outer splits (for random search its "
        "unbiased expectation, for a grid the mean over all orders of its points). A curve that still falls at its end "
        "asks for more trials. Selection is optimistic: the table shows the score that selected a configuration beside "
        f"its {score_name} with fresh seeds. Where ties in the search are many, its seeds could hardly tell "
        "configurations apart. Configurations that were stopped early, or have no finite score, are left out.",
        "Sensitivity: every configuration that was searched, except those stopped early, in bins of α or of the "
        "expected squared displacement of a training point: the median, and a band of the middle half. k-mixup "
        "shortens the distances, so equal α is not equal perturbation. Whatever else was tuned varies within a bin; "
        "the worst tenth is cut off.",
        "Uncertainty: the standard error of each gain by what causes it, and what would halve the interval: more "
        "repeats, more final seeds, or more test rows, each with the other two as they are. Folds and toy sets have a "
        "fixed number.",
        "Cost: wall-clock seconds of runs on their share of a machine. At equal seconds: each method's configurations "
        "in the order proposed, as many as fit the smallest total among the searched methods of the same outer split, "
        "and the best of these by the search alone. Where that is the best at equal trials too, and there is no "
        "shortlist, the final runs hold at equal seconds as well.",
    ]
    busy = [f"{launch.busy:.0%} ({launch.name})" for launch in runs.launches if launch.busy is not None]
    if busy:
        notes.append(f"Slots were training, not waiting, during {', '.join(busy)} of the launches' time.")
    return Section("How to read a task", notes)


def task_sections(runs: Runs, values: pd.DataFrame, claims: Claims, level: float, looks: Looks) -> list[Section]:
    """One section per task. Each table is made for all tasks at once, and each section has its rows of it."""
    rows, final, by, score = runs.rows, runs.final, runs.select_by, f"val_{runs.select_by}"
    metrics = {"test_error": "test error, %", WORST_CLASS: "error of the worst class, %"}
    everything = {
        "Gains.": tables.gain_details(final, claims, level),
        "Metrics of the final runs.": tables.metric_means(
            with_worst_class(final), metrics | CALIBRATION_METRICS | shift_metrics(final), level
        ),
        "Test error and its spread.": tables.error_means(final, level),
        "Selected values.": tables.selected_values(values, looks),
        "Where the uncertainty comes from.": tables.variances(final, level),
        "Scores on validation rows at selection and after.": tables.selection_bias(
            search_budget.selection_bias(rows, score), by
        ),
        "Cost.": tables.run_costs(costs.run_costs(rows)),
        "At equal seconds.": tables.equal_seconds(costs.equal_seconds(rows, score), by),
    }
    recipes = {task: [line] for task, line in methods_text.recipes(runs.suites).items()}
    for suite in runs.suites:
        for task in dict.fromkeys(study.task.base for study in suite.studies):
            recipes[task] += [f"Expected before the first trial: {suite.expectation}"] if suite.expectation else []
    curves = budget_curves(runs)
    return [
        Section(
            task,
            recipes.get(task, []),
            [Table(caption, part) for caption, frame in everything.items() if len(part := of_task(frame, task))],
            figures.by_task(rows[rows["task"] == task], curves, task, looks, by),
            task,
        )
        for task in gains.tasks(rows)
    ]


def of_task(frame: pd.DataFrame, task: str) -> pd.DataFrame:
    """The rows of one task, without the columns that are empty there."""
    if frame.empty:
        return frame
    part = frame[frame["task"] == task].drop(columns="task")
    return part[[column for column in part if not part[column].eq("").all()]]


def shift_metrics(rows: pd.DataFrame) -> dict[str, str]:
    """The metrics under noise and FGSM that rows have: name to show by column."""
    shifts = (("test_error_noise_", "error, noise"), ("test_error_fgsm_", "error, FGSM"))
    found = {
        column: f"{shift} {column.removeprefix(prefix)}, %"
        for prefix, shift in shifts
        for column in rows
        if column.startswith(prefix)
    }
    return found | {"test_fgsm_zero_gradient": "zero gradient, share"}


def with_worst_class(rows: pd.DataFrame) -> pd.DataFrame:
    """Adds the error of the class that each run gets wrong most often, as `test_error_worst`."""
    worst = rows["test_error_by_class"].map(worst_of, na_action="ignore")
    return rows.assign(**{WORST_CLASS: worst.astype(float)})


def worst_of(errors: Iterable[float | None]) -> float:
    """The largest of the errors by class; a class without test rows has none."""
    return max((error for error in errors if error is not None), default=math.nan)


def budget_curves(runs: Runs) -> pd.DataFrame:
    """Budget curves of all studies. The order of the proposals means nothing in a grid, as in random search."""
    unordered = {study.name for s in runs.suites if s.sampler in ("random", "grid") for study in s.studies}
    random_order = np.array([name in unordered for name in study_names(runs.rows)], dtype=bool)
    score = f"val_{runs.select_by}"
    parts = (search_budget.budget_curves(runs.rows[random_order == order], order, score) for order in (True, False))
    return pd.concat(parts)
