"""The Optuna studies exported from a run directory, read back by Optuna."""

import sqlite3
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.helpers.suites import made_up_rows
from tune_kmixup.core.config import Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.selection import ranking, validation_score
from tune_kmixup.search.export import export
from tune_kmixup.store.run_dir import RunDir


@pytest.fixture
def half_done(run_dir: RunDir, suite: Suite) -> RunDir:
    """A study with two finished configurations, one that failed, and one that was interrupted. The rows are made up."""
    run_dir.write_suite(suite)
    study = suite.study("iris/mlp@0/kmixup")
    for index, values in enumerate([{"alpha": 0.5, "log2_k": 1}, {"alpha": 2.0, "log2_k": 3}] * 2):
        run_dir.write_proposal(study.name, index, values)
        trial = suite.search_trial(study, index, values)
        if index < 2:
            run_dir.write_rows(trial, made_up_rows(suite, trial))
        elif index == 2:
            run_dir.write_failure(trial, "out of memory")
    return run_dir


def test_states_values_and_attributes(half_done: RunDir, tmp_path: Path) -> None:
    assert export(half_done, tmp_path / "optuna.db") == (6, 4)
    study = optuna.load_study(study_name="iris/mlp@0/kmixup", storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING]
    rows = half_done.rows("iris/mlp@0/kmixup")
    assert study.best_trial.user_attrs["index"] == ranking(rows)[0]
    assert study.best_value == validation_score(r for r in rows if r.trial == ranking(rows)[0])[0]
    assert study.trials[1].params == {"alpha": 2.0, "log2_k": 3}
    assert study.trials[2].user_attrs["error"] == "out of memory"
    assert study.user_attrs == {"task": "iris/mlp@0", "method": "kmixup"}


def test_no_file_is_overwritten(half_done: RunDir, tmp_path: Path) -> None:
    (tmp_path / "existing.db").write_text("")
    with pytest.raises(BadInput, match="exists: choose another file"):
        export(half_done, tmp_path / "existing.db")
    with pytest.raises(BadInput, match="is in a folder that does not exist"):
        export(half_done, tmp_path / "nowhere" / "optuna.db")


@pytest.mark.parametrize("name", ["a?b.db", "50%.db", "#1.db", "with space.db", "%41.db", "ü'\".db", "?mode=memory"])
def test_the_name_of_the_file_may_hold_any_character(half_done: RunDir, tmp_path: Path, name: str) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    assert export(half_done, tmp_path / name) == (6, 4)
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
        export(half_done, tmp_path / "optuna.db")
    assert not (tmp_path / "optuna.db").exists()
