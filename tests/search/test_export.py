"""The Optuna studies exported from a run directory, read back by Optuna."""

import math
import random
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from tests.helpers.launches import results_of, run_cli_in_process
from tests.helpers.suites import made_up_rows, one_row, small_suite
from tune_kmixup.analysis.load import read_report
from tune_kmixup.core.config import Study, Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row, Rung
from tune_kmixup.core.selection import completed_configurations, ranking, selected, validation_score
from tune_kmixup.search.export import (
    NOT_COMPARED,
    NOT_FINITE,
    STOPPED,
    TIE_BREAK,
    UNKNOWN_TIME,
    export,
    exported_trials,
    times,
)
from tune_kmixup.store.run_dir import Results, RunDir
from tune_kmixup.store.schema import StudyRows

PUBLISHED = Path(__file__).parents[2] / "docs" / "results" / "comparison" / "comparison-mnist-250-mlp"


@pytest.fixture
def half_done(run_dir: RunDir, suite: Suite) -> RunDir:
    """A study with two finished configurations, one that failed, and one that was interrupted. The rows are made up."""
    run_dir.write_suite(suite)
    study = suite.study("iris/mlp@0/kmixup")
    for index, values in enumerate([{"alpha": 0.5, "log2_k": 1}, {"alpha": 2.0, "log2_k": 3}] * 2):
        run_dir.write_proposal(study.name, index, values)
        trial = suite.search_trial(study, index, values)
        if index < 2:
            run_dir.write_rows(trial, [replace(row, started=1e9) for row in made_up_rows(suite, trial)])
        elif index == 2:
            run_dir.write_failure(trial, "out of memory")
    return run_dir


def test_states_values_and_attributes(half_done: RunDir, tmp_path: Path) -> None:
    assert export(half_done, str(tmp_path / "optuna.db")) == (6, 4)
    study = optuna.load_study(study_name="iris/mlp@0/kmixup", storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING]
    rows = results_of(half_done, "iris/mlp@0/kmixup").rows
    assert study.best_trial.user_attrs["index"] == ranking(rows, "error")[0]
    assert study.best_value == validation_score((r for r in rows if r.trial == ranking(rows, "error")[0]), "error")[0]
    assert study.trials[1].params == {"alpha": 2.0, "log2_k": 3}
    assert study.trials[2].user_attrs["error"] == "out of memory"
    assert study.user_attrs["task"] == "iris/mlp@0" and study.user_attrs["method"] == "kmixup"
    assert study.user_attrs["run directory"] == str(half_done.path)
    assert study.user_attrs["value"].startswith("mean validation error over the runs")
    assert study.metric_names == ["validation error"]
    assert (study.trials[0].datetime_start, study.trials[0].datetime_complete) == (at(1e9), at(1e9 + 2))
    assert study.trials[2].datetime_complete == UNKNOWN_TIME, "no file says when a trial failed"


def test_no_file_is_overwritten(half_done: RunDir, tmp_path: Path) -> None:
    (tmp_path / "existing.db").write_text("")
    with pytest.raises(BadInput, match="exists: choose another file"):
        export(half_done, str(tmp_path / "existing.db"))
    with pytest.raises(BadInput, match="is in a folder that does not exist"):
        export(half_done, str(tmp_path / "nowhere" / "optuna.db"))


@pytest.mark.parametrize("name", ["a?b.db", "50%.db", "#1.db", "with space.db", "%41.db", "ü'\".db", "?mode=memory"])
def test_the_name_of_the_file_may_hold_any_character(half_done: RunDir, tmp_path: Path, name: str) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    assert export(half_done, str(tmp_path / name)) == (6, 4)
    assert {path.name for path in tmp_path.iterdir()} - before == {name}
    with sqlite3.connect(tmp_path / name) as database:
        assert database.execute("SELECT count(*) FROM trials").fetchone() == (4,)


@pytest.mark.parametrize(
    ("reason", "kind", "message"),
    [
        ("database or disk is full", OSError, "disk is full: '.*optuna.db'"),
        (
            "attempt to write a readonly database",
            BadInput,
            r"cannot be written \(attempt to write.*choose another file",
        ),
    ],
)
def test_a_file_that_cannot_be_written_is_not_left_half_written(
    reason: str, kind: type[Exception], message: str, half_done: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise sqlite3.OperationalError(reason)

    monkeypatch.setattr(optuna.study.Study, "add_trials", fail)
    with pytest.raises(kind, match=message):
        export(half_done, str(tmp_path / "optuna.db"))
    assert not (tmp_path / "optuna.db").exists()


# The best trial


def best_of(trials: Sequence[FrozenTrial]) -> int:
    """The index of what Optuna calls the best trial."""
    study = optuna.create_study()
    study.add_trials(trials)
    return int(study.best_trial.user_attrs["index"])


def simulated_rows(chance: random.Random) -> list[Row]:
    """A study in progress or done: errors are few, so that they tie, and some trials were stopped early."""
    rows = []
    for index in range(chance.randint(1, 9)):
        known = {"trial": index, "alpha": chance.choice([0.5, 1.0]), "k": chance.choice([2, 4])}
        for phase, seeds in (("search", (0,)), ("shortlist", (1, 2))):
            if phase == "shortlist" and chance.random() < 0.5:
                continue
            stopped = phase == "search" and chance.random() < 0.2
            for seed in seeds:
                scores = {"val_error": chance.choice([0.0, 0.1, 0.2]), "val_nll": chance.choice([0.3, 0.4, None])}
                status = {"status": "stopped", "epochs": 1} if stopped else {}
                rows.append(one_row(**known, phase=phase, seed=seed, **scores, **status))
            if stopped:
                break
    return sorted(rows, key=lambda row: row.phase)


@pytest.mark.parametrize("part", range(4))
def test_the_best_trial_is_the_one_that_is_selected(suite: Suite, part: int) -> None:
    """And where none is selected yet, the first of the search."""
    chance, seen = random.Random(part), set[str]()
    for _ in range(50):
        rows, shortlist = simulated_rows(chance), chance.choice([1, 3])
        proposals = {row.trial: {"alpha": row.alpha, "log2_k": row.k // 2} for row in rows}
        trials = exported_trials(Results(proposals, rows, {}), suite.studies[2], replace(suite, shortlist=shortlist))
        chosen, complete = selected(rows, shortlist, "error"), completed_configurations(rows)
        assert [t.user_attrs["index"] for t in trials if "selected" in t.user_attrs] == [chosen] * (chosen is not None)
        if complete:
            assert best_of(trials) == (ranking(rows, "error")[0] if chosen is None else chosen)
        least = min((trial.value for trial in trials if trial.state == TrialState.COMPLETE), default=0.0)
        for trial in trials:
            index, why = trial.user_attrs["index"], trial.user_attrs.get("pruned")
            runs = [row for row in rows if row.trial == index]
            ties = trial.value == pytest.approx(least + TIE_BREAK, abs=TIE_BREAK / 10)
            value = validation_score(runs, "error")[0] + TIE_BREAK * ties
            assert trial.value == pytest.approx(value, abs=TIE_BREAK / 10)
            assert trial.user_attrs["runs"] == len(runs) and (trial.state == TrialState.PRUNED) == (why is not None)
            assert (why == STOPPED) == (index not in complete)
            assert why != NOT_COMPARED or trial.value < least
            seen |= {why or "complete", "tie" if ties else "no tie"}
    assert seen == {STOPPED, NOT_COMPARED, "complete", "tie", "no tie"}


def test_the_best_trials_of_published_searches_are_those_of_their_report() -> None:
    entries, ((launch, _),) = read_report(PUBLISHED)
    by_study: dict[tuple[int | None, str], list[Row]] = {}
    for entry in entries:
        by_study.setdefault((entry.row.outer_split, entry.row.method), []).append(entry.row)
    changed = 0
    for study in launch.suite.studies:
        rows = by_study[study.task.outer_split, study.method]
        if study.space:
            best = best_of(published_trials(launch.suite, study, rows))
            assert best == selected(rows, launch.suite.shortlist, "error")
            changed += best != ranking(rows, "error")[0]
    assert changed > 10, "the shortlist changed what was best on the search seeds"


def published_trials(suite: Suite, study: Study, rows: list[Row]) -> list[FrozenTrial]:
    """The trials of rows whose proposals are not published, but follow from them."""
    proposals = {row.trial: StudyRows(suite, study).values_of(row) for row in rows}
    return exported_trials(Results(proposals, rows, {}), study, suite)


def test_of_values_that_are_not_finite_only_that_of_the_best_trial_is_complete(suite: Suite) -> None:
    rows = [one_row(trial=index, val_nll=None, alpha=1.0 - 0.1 * index) for index in range(3)]
    by_nll = replace(suite, select_by="nll")
    trials = exported_trials(Results({i: {"alpha": 1.0} for i in range(3)}, rows, {}), suite.studies[1], by_nll)
    assert [trial.user_attrs.get("pruned") for trial in trials] == [NOT_FINITE, NOT_FINITE, None]
    assert best_of(trials) == selected(rows, 1, "nll") == 2


# Times and curves


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds)


def test_a_search_starts_with_its_first_run_and_ends_with_its_last() -> None:
    runs = [one_row(seed=seed, started=1000.0 + 10 * seed, seconds=9.0) for seed in (0, 1)]
    assert times(runs) == (at(1000), at(1019))
    together = [one_row(seed=seed, started=1000.0, seconds=9.0, batched=2) for seed in (0, 1)]
    assert times(together) == (at(1000), at(1018))
    assert times([one_row()]) == (UNKNOWN_TIME, UNKNOWN_TIME)


def test_intermediate_values_are_curves_or_else_errors_at_rungs() -> None:
    suite = small_suite()
    curves = {"train_loss_by_epoch": (1.0, 0.5), "val_error_by_epoch": (0.75, 0.5)}
    rows = [one_row(trial=0, rungs=(Rung(1, 0.75),)), one_row(trial=0, seed=1)]
    rows += [one_row(trial=1, rungs=(Rung(1, 0.75),), **curves)]
    rows += [one_row(trial=1, seed=1, **{**curves, "val_error_by_epoch": (0.25, 0.0)})]
    rungs, means = exported_trials(Results({0: {"alpha": 1.0}, 1: {"alpha": 1.0}}, rows, {}), suite.studies[1], suite)
    assert rungs.intermediate_values == {1: 0.75}, "the error of the first seed at its rung"
    assert means.intermediate_values == {1: 0.5, 2: 0.25}, "means over the seeds"
    by_nll = replace(suite, select_by="nll")
    rows[2] = replace(rows[2], rungs=(Rung(1, None),))
    _, of_nll = exported_trials(Results({0: {"alpha": 1.0}, 1: {"alpha": 1.0}}, rows, {}), suite.studies[1], by_nll)
    assert of_nll.intermediate_values == {1: math.inf}, "curves are of the error"


# Other storages


def test_a_storage_may_hold_other_studies_and_none_of_these(half_done: RunDir, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/optuna.db"
    optuna.create_study(storage=url, study_name="mine")
    assert "6 studies, 4 trials: sqlite:///" in run_cli_in_process("export", half_done.path, "--to", url)
    assert len(optuna.get_all_study_names(url)) == 7
    before = (tmp_path / "optuna.db").read_bytes()
    refused = run_cli_in_process("export", half_done.path, "--to", url, code=2)
    assert "has a study iris/mlp@0/erm: choose another, or delete it there." in refused
    assert (tmp_path / "optuna.db").read_bytes() == before


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////nowhere/at/all.db",
        "postgresql://me:secret@127.0.0.1:1/optuna",
        "mysql://me:secret@127.0.0.1:1/optuna",
        "redis://127.0.0.1:1",
        "nowhere://at-all",
        "postgresql://host:port/optuna",
        "://",
    ],
)
def test_a_storage_that_cannot_be_opened_is_refused_in_a_line(half_done: RunDir, url: str) -> None:
    """Whether its driver is installed or not."""
    refused = run_cli_in_process("export", half_done.path, "--to", url, code=2)
    assert refused.startswith("error: to='") and "cannot be written (" in refused and refused.count("\n") == 1
    assert "secret" not in refused


def test_a_storage_that_fails_keeps_no_half_of_an_export(
    half_done: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/optuna.db"
    optuna.create_study(storage=url, study_name="mine")
    written = []

    def fail_at_the_third(study: optuna.Study, trials: object) -> None:
        written.append(study.study_name)
        if len(written) == 3:
            raise sqlite3.OperationalError("connection lost")

    monkeypatch.setattr(optuna.study.Study, "add_trials", fail_at_the_third)
    with pytest.raises(BadInput, match=r"cannot be written \(connection lost\)"):
        export(half_done, url)
    assert len(written) == 3 and optuna.get_all_study_names(url) == ["mine"]
