"""What the report says, in order: notes, tables and figures, for every format."""

import math
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from .. import claims, costs, cross_task, gains, search_budget
from ..load import Runs
from . import conclusions, figures, tables

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
    rows, final = runs.rows, runs.rows[runs.rows["selected"].astype(bool)]
    sections = [
        comparison(rows, final, level, metric),
        verdicts(final, level),
        details(final, level),
        over_tasks(final, level),
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


def comparison(rows: pd.DataFrame, final: pd.DataFrame, level: float, metric: str) -> Section:
    forest = figures.forest(final, level, metric)
    table = tables.headline(final, level, metric)
    return Section("Gains", conclusions.conclusions(rows, level), [table], {"gains": forest} if forest else {})


def verdicts(rows: pd.DataFrame, level: float) -> Section:
    notes = [
        "Claims of the paper: (1) k-mixup improves on mixup; (2) its gain over mixup is similar to or larger than "
        "mixup's over ERM; (3) there are tasks where mixup gains nothing and k-mixup does; (4) claims 1 and 2 on the "
        "mean error under noise and FGSM.",
        f"{level:.0%} intervals decide. Similar means within {claims.MARGIN:.0%} of ERM's error, fixed beforehand. "
        "Undecided means that these runs cannot tell, not that there is no effect. Over all tasks the units are the "
        "tasks, and gains are shares of ERM's error. Verdicts per task are not corrected for their number, except for "
        "claim 3.",
    ]
    judged = claims.judge(rows, level)
    overall = pd.DataFrame([vars(verdict) for verdict in judged if verdict.task == claims.ALL_TASKS])
    by_task = pd.DataFrame([vars(verdict) for verdict in judged if verdict.task != claims.ALL_TASKS])
    return make_section("Claims", notes, [overall, by_task])


def details(rows: pd.DataFrame, level: float) -> Section:
    notes = [
        "Every gain in test error: in points, as a share of the reference's error, the share of paired runs in which "
        "the method is better (ties count half), and a two-sided sign-flip permutation test on the units, with the "
        "smallest p that so many units allow. The bootstrap-t interval checks Student's.",
        "Then the errors themselves, and the error of the class that a run gets wrong most often.",
    ]
    worst = tables.metric_means(with_worst_class(rows), WORST_CLASS_METRIC, level)
    return make_section(
        "Gains in detail", notes, [tables.gain_details(rows, level), tables.error_means(rows, level), worst]
    )


def with_worst_class(rows: pd.DataFrame) -> pd.DataFrame:
    """Adds the error of the class that each run gets wrong most often, as `test_error_worst`."""
    worst = rows["test_error_by_class"].map(worst_of, na_action="ignore")
    return rows.assign(test_error_worst=worst.astype(float))


def worst_of(errors: str) -> float:
    """The largest of the errors by class; a class without test rows has none (NaN)."""
    return max((float(error) for error in errors.split() if error != "nan"), default=math.nan)


def over_tasks(rows: pd.DataFrame, level: float) -> Section:
    means = cross_task.task_means(rows)
    if len(means) < 2 or len(means.columns) < 2:
        return Section("Over all tasks")
    tests = cross_task.signed_ranks(means)
    smallest_p = tests["smallest_p"].iloc[0]
    notes = [
        f"{len(means)} tasks, one value each: outer splits are averaged first. Wilcoxon's signed-rank test, corrected "
        f"for {len(tests)} comparisons (Holm)."
    ]
    if smallest_p * len(tests) > 1 - level:
        notes.append(
            f"With {len(means)} tasks the smallest possible p is {smallest_p:.3g}, times {len(tests)} comparisons: "
            "nothing here can be significant, whatever the methods do."
        )
    ranks = cross_task.rank_methods(means)
    if ranks:
        best_first = ranks.mean.sort_values(kind="stable")
        mean_ranks = ", ".join(f"{tables.method_label(str(name))} {rank:.2f}" for name, rank in best_first.items())
        notes.append(
            f"Mean ranks (1 is best): {mean_ranks}. Friedman's test that all methods rank alike: p = {ranks.p:.3g}."
        )
    return make_section("Over all tasks", notes, [tables.over_tasks(rows, tests, means, level)])


def budget(runs: Runs) -> Section:
    notes = [
        "Validation error of the best configuration so far, mean over outer splits (for random search its unbiased "
        "expectation, for a grid the mean over all orders of its points). A curve that still falls at its end asks for "
        "more trials. Selection is optimistic: the table shows the smallest of many errors beside the same "
        "configuration's validation error with fresh seeds. Where ties are many, the search could hardly tell "
        "configurations apart."
    ]
    if (runs.rows["status"] == "stopped").any():
        notes.append("Configurations that were stopped early are left out: their errors are of an earlier epoch.")
    # The order of the proposals means nothing in a grid, as in random search.
    random_order = runs.rows["suite"].isin({s.name for s in runs.suites if s.sampler in ("random", "grid")})
    curves = pd.concat(
        [
            search_budget.budget_curves(runs.rows[random_order], random_order=True),
            search_budget.budget_curves(runs.rows[~random_order], random_order=False),
        ]
    )
    bias = tables.selection_bias(search_budget.selection_bias(runs.rows))
    return make_section("Was the budget enough", notes, [bias], budget=figures.budget(curves, runs.rows))


def calibration(rows: pd.DataFrame, level: float) -> Section:
    notes = [
        "Metrics of the same final runs; gains are paired, and positive is better. Proper scores (NLL, Brier) come "
        "first: a calibration error means little unless it is well above its floor, which a perfectly calibrated "
        "network of the same confidences would show on so few rows."
    ]
    means = tables.metric_means(rows, CALIBRATION_METRICS, level)
    return make_section("Likelihood and calibration", notes, [means], reliability=figures.reliability(rows))


def robustness(rows: pd.DataFrame, level: float) -> Section:
    notes = [
        "Test error under Gaussian noise, the same for every method, and after one signed gradient step (FGSM), in "
        "[0, 1] units of images, [-1, 1] of recordings, standard deviations of table columns. FGSM cannot move a row "
        "whose gradient is zero: the share of such rows is shown, and where it is large FGSM says little."
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
        "order proposed, as many as fit the smallest total among the searched methods of the same outer split. Where "
        "the same configuration is selected as at equal trials, the final runs hold at equal seconds as well."
    ]
    busy = [f"{launch.busy:.0%} ({launch.name})" for launch in runs.launches if launch.busy is not None]
    if busy:
        notes.append(f"Slots were training, not waiting, during {', '.join(busy)} of the launches' time.")
    run_costs = tables.run_costs(costs.run_costs(runs.rows))
    return make_section("Cost", notes, [run_costs, tables.equal_seconds(costs.equal_seconds(runs.rows))])
