"""What the report says, in order: titles, words, tables and figures, for whichever format writes them."""

from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from .. import claims, costs, cross_task, gains, search_budget
from ..load import Runs
from . import conclusions, figures, tables

CALIBRATION = {
    "test_nll": "NLL, nats",
    "test_brier": "Brier",
    "test_ece": "ECE %",
    "test_ece_floor": "floor of ECE %",
    "test_ece_adaptive": "adaptive ECE %",
}
WORST = {"test_error_worst": "error of the worst class, %"}


@dataclass(frozen=True)
class Section:
    title: str
    words: list[str] = field(default_factory=list)
    tables: list[pd.DataFrame] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)  # by file name


def sections(runs: Runs, level: float, metric: str, earlier: pd.DataFrame | None = None) -> list[Section]:
    """All that can honestly be said of these runs; what was not measured is left out."""
    rows, final = runs.rows, runs.rows[runs.rows["selected"].astype(bool)]
    found = [
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
        words = ["Gains of the earlier report beside those of this one; empty where a report lacks the task."]
        found.append(Section("What changed", words, [tables.changes(earlier, rows, level)]))
    if len(runs.missing):
        words = ["These studies are not finished; the figures above hold what there is."]
        found.append(Section("Missing", words, [runs.missing]))
    return [section for section in found if section.tables or section.figures]


def comparison(rows: pd.DataFrame, final: pd.DataFrame, level: float, metric: str) -> Section:
    table = tables.headline(final, level, metric)
    picture = figures.forest(final, level, metric)
    return Section("Gains", conclusions.conclusions(rows, level), [table], drawn(gains=picture))


def verdicts(rows: pd.DataFrame, level: float) -> Section:
    words = [
        "Claims of the paper: (1) k-mixup improves on mixup; (2) its gain over mixup is similar to or larger than "
        "mixup's over ERM; (3) there are tasks where mixup gains nothing and k-mixup does; (4) claims 1 and 2 on the "
        "mean error under noise and FGSM.",
        f"Decided by {level:.0%} intervals; similar is within {claims.MARGIN:.0%} of ERM's error, fixed beforehand. "
        "Undecided means that these runs do not tell, not that there is no effect. Over all tasks the units are the "
        "tasks, and gains are shares of ERM's error. Verdicts per task are not corrected for their number, save "
        "claim 3's.",
    ]
    found = claims.judge(rows, level)
    overall = pd.DataFrame([vars(v) for v in found if v.task == claims.ALL])
    by_task = pd.DataFrame([vars(v) for v in found if v.task != claims.ALL])
    return Section("Claims", words, [table for table in (overall, by_task) if len(table)])


def details(rows: pd.DataFrame, level: float) -> Section:
    words = [
        "Every gain in test error: in points, as a share of the reference's error, the share of paired runs that are "
        "better (ties half), and a two-sided sign-flip permutation test on the units, beside the least p that so many "
        "units allow. Bootstrap-t intervals check Student's.",
        "Then the errors themselves, and the error of the class that a run gets wrong most.",
    ]
    found = [tables.details(rows, level), tables.errors(rows, level), tables.scores(worst(rows), WORST, level)]
    return Section("Gains in detail", words, [table for table in found if len(table)])


def worst(rows: pd.DataFrame) -> pd.DataFrame:
    """With the error of the class that each run gets wrong most."""
    by_class = rows["test_error_by_class"].map(lambda cell: max(map(float, cell.split())), na_action="ignore")
    return rows.assign(test_error_worst=by_class.astype(float))


def over_tasks(rows: pd.DataFrame, level: float) -> Section:
    means = cross_task.task_means(rows)
    if len(means) < 2 or len(means.columns) < 2:
        return Section("Over all tasks")
    tests = cross_task.signed_ranks(means)
    words = [
        f"{len(means)} tasks, one value each: outer splits are averaged first. Wilcoxon's signed-rank test, corrected "
        f"for {len(tests)} comparisons (Holm)."
    ]
    if tests["least"].iloc[0] * len(tests) > 1 - level:
        words.append(
            f"With {len(means)} tasks the least p is {tests['least'].iloc[0]:.3g}, times {len(tests)} comparisons: "
            "nothing here could have been significant, whatever the methods do."
        )
    found = cross_task.ranks(means, level)
    picture = figures.critical_difference(found.mean, found.difference, rows) if found else None
    if found:
        words.append(f"Friedman's test that all methods rank alike: p = {found.p:.3g}.")
    return Section("Over all tasks", words, [tables.over_tasks(rows, tests, means, level)], drawn(ranks=picture))


def budget(runs: Runs) -> Section:
    words = [
        "Validation error of the best configuration so far, mean over outer splits (for random search its unbiased "
        "expectation, for a grid the mean over all orders of its points): a curve that still falls at its end asks for "
        "more trials. Selection is optimistic: the least of many errors, beside the same configuration's validation "
        "error with fresh seeds. Where ties are many, the search could hardly tell configurations apart."
    ]
    if (runs.rows["status"] == "stopped").any():
        words.append("Configurations that were stopped early are left out: their errors are of an earlier epoch.")
    # Of a grid as of random search, the order of the proposals says nothing.
    unordered = {suite.name for suite in runs.suites if suite.sampler in ("random", "grid")}
    in_any_order = runs.rows["suite"].isin(unordered)
    curves = pd.concat(
        [search_budget.curves(runs.rows[in_any_order], True), search_budget.curves(runs.rows[~in_any_order], False)]
    )
    table = tables.selection(search_budget.selection(runs.rows))
    picture = drawn(budget=figures.budget(curves, runs.rows))
    return Section("Was the budget enough", words, [table] if len(table) else [], picture)


def calibration(rows: pd.DataFrame, level: float) -> Section:
    words = [
        "Of the same final runs; gains are paired, and positive is better. Proper scores (NLL, Brier) come first: a "
        "calibration error means little unless it is well above its floor, which is what a perfectly calibrated "
        "network of the same confidences would show on so few rows."
    ]
    table = tables.scores(rows, CALIBRATION, level)
    return Section(
        "Likelihood and calibration", words, [table] if len(table) else [], drawn(reliability=figures.reliability(rows))
    )


def robustness(rows: pd.DataFrame, level: float) -> Section:
    words = [
        "Test error under Gaussian noise, the same for every method, and after one signed gradient step (FGSM), in "
        "[0, 1] units of images, [-1, 1] of recordings, standard deviations of table columns. A network whose gradient "
        "vanishes is not moved by FGSM: the share of such rows is shown, and where it is large FGSM says little."
    ]
    stems = {"test_error_noise_": "noise", "test_error_fgsm_": "FGSM"}
    metrics = {
        c: f"{what} {c.removeprefix(stem)}, %" for stem, what in stems.items() for c in rows if c.startswith(stem)
    }
    table = tables.scores(rows, metrics | {"test_fgsm_zero_gradient": "zero gradient, share"}, level)
    return Section("Robustness", words, [table] if len(table) else [], drawn(robustness=figures.robustness(rows)))


def sensitivity(rows: pd.DataFrame) -> Section:
    words = [
        "Every configuration that was searched, but for those stopped early: validation error, mean over search seeds, "
        "against α, over α and k, and against the expected squared displacement of a training point. k-mixup shortens "
        "the distances, so equal α is not equal perturbation."
    ]
    names = {f"sensitivity-{task.replace('/', '-')}": figures.sensitivity(rows, task) for task in gains.tasks(rows)}
    return Section("Sensitivity to α and k", words, figures=drawn(**names))


def cost(runs: Runs) -> Section:
    rows = runs.rows
    shares = [f"{launch.busy:.0%} ({launch.name})" for launch in runs.launches if launch.busy is not None]
    words = [
        "Wall-clock seconds of runs on their share of a machine. At equal seconds: each method's configurations in the "
        "order proposed, as many as fit the least total among the searched methods of the same outer split; `same` is "
        "the share of splits in which the selection does not change, so that the final runs answer for it as well."
    ]
    if shares:
        words.append(f"Slots were training, not waiting, during {', '.join(shares)} of the launches' time.")
    found = [tables.costs(costs.costs(rows)), tables.equal_seconds(costs.equal_seconds(rows))]
    return Section("Cost", words, [table for table in found if len(table)])


def drawn(**figures: Figure | None) -> dict[str, Figure]:
    return {name: figure for name, figure in figures.items() if figure is not None}
