"""What the report says, in order: titles, words, tables and figures, for whichever format writes them."""

from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from analysis import figures, gains, tables
from analysis.load import Runs

CALIBRATION = {
    "test_nll": "NLL, nats",
    "test_brier": "Brier",
    "test_ece": "ECE %",
    "test_ece_floor": "floor of ECE %",
    "test_ece_adaptive": "adaptive ECE %",
}


@dataclass(frozen=True)
class Section:
    title: str
    words: list[str] = field(default_factory=list)
    tables: list[pd.DataFrame] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)  # by file name


def sections(runs: Runs, level: float, metric: str, earlier: pd.DataFrame | None = None) -> list[Section]:
    """All that can honestly be said of these runs; what was not measured is left out."""
    rows = runs.rows
    found = [comparison(rows, level, metric), calibration(rows, level), robustness(rows, level), sensitivity(rows)]
    if earlier is not None:
        words = ["Gains of the earlier report beside those of this one; empty where a report lacks the task."]
        found.append(Section("What changed", words, [tables.changes(earlier, rows, level)]))
    if len(runs.missing):
        words = ["These studies are not finished; the figures above hold what there is."]
        found.append(Section("Missing", words, [runs.missing]))
    return [section for section in found if section.tables or section.figures]


def comparison(rows: pd.DataFrame, level: float, metric: str) -> Section:
    return Section(
        "Gains",
        tables.conclusions(rows, level),
        [tables.headline(rows, level, metric)],
        {"gains": figures.forest(rows, level, metric)},
    )


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
        "Every configuration that was searched: validation error, mean over search seeds, against α, over α and k, and "
        "against the expected squared displacement of a training point. k-mixup shortens the distances, so equal α is "
        "not equal perturbation."
    ]
    names = {f"sensitivity-{task.replace('/', '-')}": figures.sensitivity(rows, task) for task in gains.tasks(rows)}
    return Section("Sensitivity to α and k", words, figures=drawn(**names))


def drawn(**figures: Figure | None) -> dict[str, Figure]:
    return {name: figure for name, figure in figures.items() if figure is not None}
