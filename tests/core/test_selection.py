"""The selection rule, and which rows it counts."""

from typing import Any

from tests.helpers.suites import one_row, small_suite
from tune_kmixup.core.rows import Row
from tune_kmixup.core.selection import (
    completed_configurations,
    final_rows,
    ranking,
    selected,
    stopped_configurations,
    validation_score,
)


def make_row(index: int, error: float, nll: float | None, **columns: Any) -> Row:
    test_error = 0.5 if columns.get("phase") == "final" else None
    return one_row(trial=index, val_error=error, val_nll=nll, test_error=test_error, **columns)


def test_selection_rule() -> None:
    """Validation error; then NLL; then the smaller α; then the smaller k; then the earlier trial."""
    assert ranking([make_row(0, 0.2, 0.1), make_row(1, 0.1, 0.9)], "error") == [1, 0]
    assert ranking([make_row(0, 0.1, 0.9), make_row(1, 0.1, 0.1)], "error") == [1, 0]
    assert ranking([make_row(0, 0.1, 0.1, alpha=2), make_row(1, 0.1, 0.1, alpha=1)], "error") == [1, 0]
    assert ranking([make_row(0, 0.1, 0.1, k=4), make_row(1, 0.1, 0.1, k=2)], "error") == [1, 0]
    assert ranking([make_row(1, 0.1, 0.1), make_row(0, 0.1, 0.1)], "error") == [0, 1]
    without_nll = [make_row(0, 0.1, None), make_row(1, 0.1, 5.0)]
    assert ranking(without_nll, "error") == [1, 0], "a run without a finite NLL comes last"


def test_another_score_may_decide_and_ties_are_broken_as_ever() -> None:
    scores = [(0.3, 0.1, 0.5), (0.1, 0.9, 0.6), (0.2, 0.5, 0.5)]
    rows = [make_row(i, error, nll, val_balanced_error=even) for i, (error, nll, even) in enumerate(scores)]
    assert ranking(rows, "error") == [1, 2, 0]
    assert ranking(rows, "nll") == [0, 2, 1]
    assert ranking(rows, "balanced_error") == [0, 2, 1], "the first two tie, and the NLL decides"
    assert selected(rows, 1, "nll") == 0 and validation_score(rows[:2], "nll") == (0.5, 0.5)
    diverged = [make_row(0, 0.1, None, alpha=2), make_row(1, 0.2, None, alpha=1), make_row(2, 0.9, 7.0)]
    assert ranking(diverged, "nll") == [2, 1, 0], "of those without a finite NLL the milder"


def test_selection_averages_over_seeds_and_ignores_final_runs() -> None:
    rows = [make_row(0, 0.0, 0.1), make_row(0, 0.4, 0.1), make_row(1, 0.1, 0.1), make_row(1, 0.1, 0.1)]
    assert ranking([*rows, make_row(0, 0.0, 0.0, phase="final")], "error") == [1, 0]
    assert validation_score(rows[:2], "error") == (0.2, 0.1)


def test_a_configuration_that_was_stopped_early_is_not_selected() -> None:
    """Its error may be the lowest, but is that of one seed before the last epoch."""
    stopped = make_row(0, 0.0, 0.0, status="stopped")
    finals = [make_row(0, 0.0, 0.0, phase="final"), make_row(1, 0.1, 0.1, phase="final")]
    rows = [stopped, make_row(1, 0.1, 0.1), make_row(2, 0.1, 0.2), *finals]
    assert stopped_configurations(rows) == {0} and completed_configurations(rows).keys() == {1, 2}
    assert ranking(rows, "error") == [1, 2]
    assert final_rows(rows, 1, "error") == finals[1:]


def test_final_rows_are_those_of_the_selected_configuration() -> None:
    finals = [make_row(0, 0.1, 0.1, phase="final"), make_row(1, 0.1, 0.1, phase="final")]
    assert final_rows([make_row(0, 0.2, 0.1), make_row(1, 0.1, 0.1), *finals], 1, "error") == finals[1:]


def test_the_shortlist_is_compared_by_all_of_its_runs() -> None:
    """The best of the search was lucky: with its further runs it falls behind the second."""
    search = [make_row(0, 0.10, 0.1), make_row(1, 0.11, 0.1), make_row(2, 0.20, 0.1)]
    again = [make_row(0, 0.20, 0.1, phase="shortlist"), make_row(1, 0.11, 0.1, phase="shortlist")]
    assert selected(search + again, 1, "error") == 0 and selected(search + again, 2, "error") == 1
    assert selected(search, 2, "error") is None, "nothing has been compared again yet"
    assert selected(search + again[:1], 2, "error") == 0, "of those that have"
    assert selected([make_row(0, 0.1, 0.1)], 5, "error") == 0, "a single configuration has nothing to be compared with"
    larger = [*search, make_row(3, 0.05, 0.1)]
    assert selected(larger + again, 2, "error") == 0, "a larger search changes the shortlist; 1 is no longer on it"


def test_finished_final_seeds_are_not_repeated() -> None:
    suite = small_suite(final_seeds=7)
    study = suite.studies[1]
    trials = list(suite.final_trials(study, 2, {}, (), 2))
    assert [len(trial.seeds) for trial in trials] == [2, 2, 2, 1]
    missing = list(suite.final_trials(study, 2, {}, trials[0].seeds, 2))
    assert [trial.seeds for trial in missing] == [trial.seeds for trial in trials[1:]]
