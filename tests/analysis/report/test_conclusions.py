"""Sentences about the gains of made-up rows with known effects."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.report import made_up
from tune_kmixup.analysis.findings import SATURATED
from tune_kmixup.analysis.load import Launch, Runs
from tune_kmixup.analysis.report.conclusions import answer, budget, caveats, tasks_in_words
from tune_kmixup.core.config import Claims, Suite


@pytest.mark.parametrize(("effect", "words"), [(0.05, "shown"), (-0.05, "loss shown"), (0.0, "not known")])
def test_tasks_are_grouped_by_what_is_known(effect: float, words: str) -> None:
    rows = made_up(np.random.default_rng(1), {"erm": 0.0, "mixup": effect})
    assert tasks_in_words(rows, "mixup", "erm", Claims(delta=0.001)) == {words: ["a/mlp", "b/mlp", "c/lenet"]}


def test_a_small_gain_is_shown_to_be_small() -> None:
    rows = made_up(np.random.default_rng(0), {"erm": 0.0, "mixup": 0.0}, splits=25, seeds=20)
    assert set(tasks_in_words(rows, "mixup", "erm", Claims(delta=0.2))) == {"shown to be small"}


def test_saturated_tasks_are_marked() -> None:
    """A task where one of the two methods errs is not saturated."""
    rows = made_up(np.random.default_rng(0))
    rows.loc[(rows["task"] == "a/mlp") & (rows["phase"] == "final"), "test_error"] = 0.0
    rows.loc[(rows["task"] == "b/mlp") & (rows["phase"] == "final") & (rows["method"] == "erm"), "test_error"] = 0.0
    tasks = tasks_in_words(rows, "mixup", "erm", Claims())
    assert tasks[SATURATED] == ["a/mlp"] and tasks["loss shown"] == ["b/mlp"]
    assert "saturated (both errors below 0.01 %) on 1" in answer(Runs(rows))[0]


def test_methods_that_share_no_outer_split_yet_are_not_compared() -> None:
    rows = made_up(np.random.default_rng(0), tasks=["a/mlp", "b/mlp"])
    done = {"erm": 0, "mixup": 1}
    unfinished = (
        (rows["task"] == "a/mlp") & (rows["phase"] == "final") & (rows["outer_split"] != rows["method"].map(done))
    )
    assert list(tasks_in_words(rows[~unfinished], "mixup", "erm", Claims()).values()) == [["b/mlp"]]


@pytest.mark.parametrize(
    ("methods", "said"),
    [(["erm", "placebo"], "No two methods that are compared"), (["erm"], "No two methods have final")],
)
def test_what_cannot_be_compared_is_not_said_to_be_missing(methods: list[str], said: str) -> None:
    rows = made_up(np.random.default_rng(0), dict.fromkeys(methods, 0.0), tasks=["a/mlp"])
    assert answer(Runs(rows))[0].startswith(said)


def test_scores_that_leave_out_what_diverged_are_named() -> None:
    rows = made_up(np.random.default_rng(0), tasks=["a/mlp"])
    said = "Other scores leave out final runs that diverged, and their partners, which favours a method that diverges."
    assert said not in caveats(Runs(rows))
    rows.loc[(rows["phase"] == "final") & (rows["method"] == "kmixup") & (rows["outer_split"] == 0), "status"] = (
        "diverged"
    )
    assert said in caveats(Runs(rows))


def test_the_answer_counts_tasks_by_what_is_known_and_has_the_mean_over_data_sets() -> None:
    rows = made_up(np.random.default_rng(0), {"erm": 0.0, "mixup": 0.05, "kmixup": 0.0})
    mixup, kmixup = answer(Runs(rows))
    assert mixup.startswith("mixup over ERM: shown on 3 of 3 tasks; mean over 3 data sets +")
    assert kmixup.startswith("k-mixup over mixup: loss shown on 3 of 3 tasks; mean over 3 data sets -")
    assert "% of ERM's error, on one more of their kind [" in mixup
    assert answer(Runs(rows[rows["method"] == "erm"])) == [
        "No two methods have final runs yet, so nothing can be compared."
    ]


def test_the_budget_is_one_line(suite: Suite) -> None:
    rows = made_up(np.random.default_rng(0), tasks=["a/mlp"])
    assert budget(Runs(rows)) == f"ERM · mixup · k-mixup; 1 task of 1 data set; 5 outer splits each; {len(rows)} runs."
    line = budget(Runs(rows, launches=[Launch("made-up", replace(suite, shortlist=1), None)]))
    seeds = f"{suite.search_seeds} seed{'s' if suite.search_seeds > 1 else ''}"
    assert f"per method and split {suite.trials} configurations x {seeds}, {suite.final_seeds} final runs" in line

    def line_of(**changes: int) -> str:
        return budget(Runs(rows, launches=[Launch("made-up", replace(suite, **changes), None)]))

    assert "the best 3 again with" in line_of(shortlist=3)
    assert "the best 4 again with" in line_of(shortlist=5, trials=4), "no more than there are"
    without = replace(suite, shortlist=1, shortlist_seeds=1)  # as in version 0.1.0
    both = [Launch("old", without, None), Launch("new", replace(suite, shortlist=3, shortlist_seeds=4), None)]
    assert "the best 3 again with 4 more seeds" in budget(Runs(rows, launches=both))
    assert "; 1 outer split each;" in budget(Runs(rows[rows["outer_split"] == 0]))
    assert "1 configuration x" in line_of(shortlist=5, trials=1) and "again" not in line_of(shortlist=5, trials=1)


def test_what_the_placebo_gained_is_said_beside_the_table() -> None:
    rows = made_up(np.random.default_rng(0), {"erm": 0.0, "mixup": 0.01, "placebo": 0.01}, tasks=["a/mlp"])
    assert any("The placebo's gain over mixup, in points of test error: " in line for line in caveats(Runs(rows)))


@pytest.mark.parametrize(
    ("mixup", "kmixup", "said"),
    [
        ((), (), False),
        ((), ("aa",), False),
        (("aa",), ("aa",), False),
        (("aa",), ("aa", "bb"), False),
        (("aa",), ("bb",), True),
    ],
)
def test_methods_trained_with_different_files_are_named(
    mixup: tuple[str, ...], kmixup: tuple[str, ...], said: bool
) -> None:
    """Launches may add methods of different files to a task; then nobody knows whether its network is the same."""
    rows = made_up(np.random.default_rng(0), {"erm": 0.0, "mixup": 0.01, "kmixup": 0.01}, tasks=["a/mlp"])
    files = {"erm": (), "mixup": mixup, "kmixup": kmixup}
    rows["loaded"] = pd.Series([files[method] for method in rows["method"]], index=rows.index, dtype=object)
    assert any("The runs of a/mlp have different --load files" in line for line in caveats(Runs(rows))) == said
