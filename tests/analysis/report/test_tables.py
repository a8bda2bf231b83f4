"""Tables of made-up rows with known effects."""

from dataclasses import replace

import numpy as np
import pandas as pd

from benchmarks.report import made_up
from tune_kmixup.analysis.claims import Verdict
from tune_kmixup.analysis.report import tables
from tune_kmixup.analysis.report.style import looks_of
from tune_kmixup.core.config import Claims

LEAST = Claims(delta=1e-6)  # so that nothing is shown to be small


def test_the_headline_marks_what_is_shown_before_and_after_holms_correction() -> None:
    """On one task with a clear gain, one with a loss, and one with neither."""
    rng = np.random.default_rng(0)
    parts = [
        made_up(rng, {"erm": 0.0, "mixup": effect}, tasks=[task], splits=10)
        for task, effect in (("up/mlp", 0.05), ("down/mlp", -0.05), ("null/mlp", 0.0))
    ]
    rows = pd.concat(parts, ignore_index=True)
    headline = tables.headline(rows, LEAST)
    assert list(headline.columns) == ["task", "ERM, %", "mixup, %", "mixup over ERM, points"]

    def marks(claims: Claims, level: float = 0.95) -> list[str]:
        cells = tables.headline(rows, claims, level)["mixup over ERM, points"]
        return [cell.mark for cell in cells]

    assert marks(LEAST) == ["▲", "▼", ""] and marks(replace(LEAST, delta=0.99)) == ["▲≈", "▼≈", "≈"]
    p = [tables.gains.p_value(rows, task, "mixup", "erm") for task in ("up/mlp", "down/mlp")]
    level = 1 - 2 * max(p)  # of three tasks the second smallest p is doubled
    assert marks(LEAST, level)[p.index(max(p))] in "△▽"


def test_a_method_that_few_tasks_have_gets_no_column() -> None:
    rng = np.random.default_rng(0)
    rows = pd.concat([made_up(rng), made_up(rng, {"placebo": 0.0}, tasks=["a/mlp"])], ignore_index=True)
    assert not any("placebo" in column for column in tables.headline(rows, LEAST))
    estimates = tables.gain_estimates(rows).set_index(["task", "method", "reference"])
    assert ("a/mlp", "placebo", "mixup") in estimates.index, "a method of the user's own has its gain as well"
    assert "placebo over mixup" in set(tables.gain_details(rows, LEAST)["gain of"])
    alone = rows[rows["task"] == "a/mlp"]
    assert {"placebo, %", "placebo over mixup, points"} <= set(tables.headline(alone, LEAST))


def test_the_selected_values_are_medians_and_ranges_over_outer_splits() -> None:
    rows = made_up(np.random.default_rng(0), tasks=["a/mlp"], splits=3)
    final = rows[rows["selected"].astype(bool)].copy()
    for split, (alpha, k) in enumerate([(0.01, 2), (0.1, 128), (1.0, 4)]):
        final.loc[(final["method"] == "kmixup") & (final["outer_split"] == split), ["alpha", "k"]] = (alpha, k)
    values = pd.DataFrame(
        {"task": "a/mlp", "method": "kmixup", "coordinate": "alpha", "place": [0.5, 0.25, 0.75]},
    )
    selected = tables.selected_alpha_and_k(final, values, looks_of(rows)).set_index("method").loc["k-mixup"]
    assert selected[["α, median", "α, range", "k, median", "k, range"]].tolist() == ["0.1", "0.01–1", "4", "2–128"]
    assert selected["α in its range"] == tables.Places((0.25, 0.5, 0.75), "#D55E00")
    assert str(selected["α in its range"]) == "0.25 0.50 0.75" and selected["outer splits"] == 3


def test_claims_are_a_matrix_with_the_numbers_behind_each_cell() -> None:
    found = [
        Verdict("1", "a/mlp", "undecided", "supported", 0.08, "+0.36 [+0.14, +0.58]", "why"),
        Verdict("2", "b/mlp", "void", "void", 1.0, "+0.10 [-0.20, +0.40]", "why"),
        Verdict("1", "overall", "supported", "", 0.01, "+3.00 % [+1.00, +5.00]", "why"),
    ]
    matrix = tables.claim_matrix(found, ["a/mlp", "b/mlp", "c/mlp"]).set_index("task")
    assert list(matrix.index) == ["overall", "a/mlp", "b/mlp"]
    assert matrix.loc["overall", "1: k-mixup gains"] == "✓ supported\n+3.00 % [+1.00, +5.00]\np = 0.01"
    assert matrix.loc["a/mlp"].tolist() == ["? undecided\n+0.36 [+0.14, +0.58]\np = 0.08, ✓ before Holm", ""]
    assert matrix.loc["b/mlp", "2: at least half"] == "– void\n+0.10 [-0.20, +0.40]\np = 1"
