import json
import re
import shutil
from pathlib import Path

import pytest

from tests.helpers.suites import made_up_rows, small_suite
from tune_kmixup.core.config import Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import COLUMNS
from tune_kmixup.core.selection import completed, final_rows, ranking, score, stopped, tied
from tune_kmixup.store.run_dir import CorruptFile, RunDir
from tune_kmixup.store.status import StudyStatus, busy_share, seconds_left


def row(trial: int, error: float, nll: float | None, alpha: float = 1.0, k: int = 1, phase: str = "search") -> dict:
    found = {"phase": phase, "trial": trial, "val_error": error, "val_nll": nll, "alpha": alpha, "k": k, "seed": 0}
    return found | {"status": "ok"}


def test_a_suite_written_is_the_suite_read(run_dir: RunDir, suite: Suite) -> None:
    run_dir.write_suite(suite)
    assert run_dir.suite() == suite


def test_a_suite_of_an_earlier_version_is_read(run_dir: RunDir, suite: Suite) -> None:
    run_dir.write_suite(suite)
    path = run_dir.path / "suite.json"
    old = json.loads(path.read_text())
    del old["scheduler"]
    path.write_text(json.dumps(old))
    assert run_dir.suite() == suite and suite.scheduler == "none"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": "x"}', '{"studies": [{"task": 1}]}'])
def test_a_corrupt_suite_is_refused_with_its_path(run_dir: RunDir, text: str) -> None:
    run_dir.path.mkdir()
    (run_dir.path / "suite.json").write_text(text)
    with pytest.raises(BadInput, match=r"suite\.json is not a suite"):
        run_dir.suite()


@pytest.mark.parametrize("field", ["dataset", "architecture", "train_size", "outer_split", "method"])
@pytest.mark.parametrize("value", ["../../elsewhere", "..", "a/../../b", "/tmp/elsewhere"])
def test_no_name_in_a_suite_leads_out_of_the_run_directory(
    run_dir: RunDir, suite: Suite, field: str, value: str
) -> None:
    run_dir.write_suite(suite)
    path = run_dir.path / "suite.json"
    edited = json.loads(path.read_text())
    study = edited["studies"][0]
    (study if field == "method" else study["task"])[field] = value
    path.write_text(json.dumps(edited))
    with pytest.raises(BadInput, match=f"{re.escape(repr(value))} is not allowed"):
        run_dir.suite()


def test_a_folder_without_suite_is_refused(run_dir: RunDir) -> None:
    with pytest.raises(BadInput, match=r"holds no suite\.json"):
        run_dir.suite()


def test_rows_written_are_the_rows_read_and_stay(run_dir: RunDir, suite: Suite) -> None:
    study = suite.studies[1]
    trial = suite.search_trial(study, 0, {"alpha": 1.0})
    rows = made_up_rows(suite, trial)
    run_dir.write_rows(trial, rows)
    run_dir.write_rows(trial, [{"seed": 1}])
    assert run_dir.rows(study.name) == rows


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        RunDir(tmp_path).write_launch({"since": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", '[{"seed"', "{}", '[{"no": "row"}]'])
def test_a_garbled_result_names_its_file(run_dir: RunDir, suite: Suite, text: str) -> None:
    trial = suite.search_trial(suite.studies[1], 0, {"alpha": 1.0})
    run_dir.file(trial).parent.mkdir(parents=True)
    run_dir.file(trial).write_text(text)
    with pytest.raises(CorruptFile, match=r"search-0000\.json.*delete it"):
        run_dir.rows(trial.study)


def test_what_is_being_written_is_not_read(run_dir: RunDir, suite: Suite) -> None:
    trial = suite.search_trial(suite.studies[1], 0, {"alpha": 1.0})
    run_dir.file(trial).parent.mkdir(parents=True)
    run_dir.file(trial).with_name(".search-0000.json.1.part").write_text("[{")
    assert run_dir.rows(trial.study) == []


def test_selection_rule() -> None:
    """Validation error; then NLL; then the smaller α; then the smaller k; then the earlier trial."""
    assert ranking([row(0, 0.2, 0.1), row(1, 0.1, 0.9)]) == [1, 0]
    assert ranking([row(0, 0.1, 0.9), row(1, 0.1, 0.1)]) == [1, 0]
    assert ranking([row(0, 0.1, 0.1, alpha=2), row(1, 0.1, 0.1, alpha=1)]) == [1, 0]
    assert ranking([row(0, 0.1, 0.1, k=4), row(1, 0.1, 0.1, k=2)]) == [1, 0]
    assert ranking([row(1, 0.1, 0.1), row(0, 0.1, 0.1)]) == [0, 1]
    assert ranking([row(0, 0.1, None), row(1, 0.1, 5.0)]) == [1, 0], "a run without a finite NLL comes last"


def test_selection_averages_over_seeds_and_ignores_final_runs() -> None:
    rows = [row(0, 0.0, 0.1), row(0, 0.4, 0.1), row(1, 0.1, 0.1), row(1, 0.1, 0.1), row(0, 0.0, 0.0, phase="final")]
    assert ranking(rows) == [1, 0]
    assert score(rows[:2]) == (0.2, 0.1)


def test_what_was_stopped_early_is_not_selected() -> None:
    """However low its error: it is that of one seed, before the last epoch."""
    early = row(0, 0.0, 0.0) | {"status": "stopped"}
    rows = [early, row(1, 0.1, 0.1), row(2, 0.1, 0.2), row(0, 0.0, 0.0, phase="final"), row(1, 0.1, 0.1, phase="final")]
    assert stopped(rows) == {0} and completed(rows).keys() == {1, 2}
    assert ranking(rows) == [1, 2] and tied(rows) == 2
    assert final_rows(rows) == rows[-1:]


def test_ties_are_counted() -> None:
    assert tied([row(0, 0.1, 0.1), row(1, 0.1, 0.2), row(2, 0.3, 0.2)]) == 2
    assert tied([]) == 0


def test_final_rows_are_those_of_the_selected_configuration() -> None:
    finals = [row(0, 0.1, 0.1, phase="final"), row(1, 0.1, 0.1, phase="final")]
    assert final_rows([row(0, 0.2, 0.1), row(1, 0.1, 0.1), *finals]) == finals[1:]


def test_every_column_is_explained() -> None:
    assert all(kind in ("str", "int", "float") and meaning for kind, meaning in COLUMNS.values())


def test_final_seeds_that_are_done_are_not_repeated() -> None:
    suite = small_suite(final_seeds=7)
    study = suite.studies[1]
    first = list(suite.final_trials(study, 2, {}, (), 2))
    assert [len(trial.seeds) for trial in first] == [2, 2, 2, 1]
    rest = list(suite.final_trials(study, 2, {}, first[0].seeds, 2))
    assert [trial.seeds for trial in rest] == [trial.seeds for trial in first[1:]]


def test_the_share_of_time_that_slots_were_busy() -> None:
    last = {"since": 100.0, "updated": 150.0, "slots": 2, "earlier": [{"since": 0.0, "updated": 10.0, "slots": 10}]}
    assert busy_share(last, [("iris/mlp", 100.0), ("wine/mlp", 50.0)]) == 0.75
    assert busy_share(last, [("iris/mlp", 0.0)]) is None, "nothing is done yet"
    assert busy_share(last, [("iris/mlp", 201.0)]) is None, "results that these launches cannot have made"
    assert busy_share({}, [("iris/mlp", 1.0)]) is None


def test_a_slot_that_trials_share_is_busy_by_their_shares() -> None:
    shares = {"iris/mlp": 0.5, "wine/mlp": 0.25}
    last = {"since": 0.0, "updated": 100.0, "slots": 2, "shares": shares}
    spent = [("iris/mlp", 150.0), ("wine/mlp", 200.0), ("iris/mlp", 50.0)]
    assert busy_share(last, spent) == (0.5 * 200 + 0.25 * 200) / 200
    again = last | {"earlier": [{"since": 0.0, "updated": 100.0, "slots": 2, "shares": shares}]}
    assert busy_share(again, spent) == 150 / 400
    before = last | {"earlier": [{"since": 0.0, "updated": 100.0, "slots": 2}]}
    assert busy_share(before, spent) is None, "rows do not say which of the launches they are of"


def test_the_time_left_is_that_of_the_shares() -> None:
    def study(task: str) -> StudyStatus:
        return StudyStatus(f"{task}/mixup", 10, 20, 0, 10, 2, {}, 0.1, 100.0, 10, 0)  # 20 runs left of 10 s each

    studies = [study("iris/mlp@0"), study("wine/mlp")]
    assert seconds_left(studies, 4, {}) == 400 / 4
    assert seconds_left(studies, 2, {"iris/mlp": 0.5, "wine/mlp": 0.25}) == (100 + 50) / 2
    assert seconds_left(studies, 0, {}) is None
    assert seconds_left([], 0, {}) == 0.0


def test_a_run_directory_that_vanishes_is_not_made_again(run_dir: RunDir, suite: Suite) -> None:
    run_dir.write_suite(suite)
    shutil.rmtree(run_dir.path)
    with pytest.raises(FileNotFoundError, match="vanished"):
        run_dir.write_proposal(suite.studies[0].name, 0, {})
    assert not run_dir.path.exists()


@pytest.mark.parametrize("name", ["launch.json", "speedups.json", "memory.json"])
@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_notes_that_are_garbled_count_as_none(run_dir: RunDir, suite: Suite, name: str, text: str) -> None:
    run_dir.write_suite(suite)
    (run_dir.path / name).write_text(text)
    assert run_dir.launch() == run_dir.speedups() == run_dir.memory() == {}


def test_the_memory_that_was_measured_is_read_as_it_was_written(run_dir: RunDir) -> None:
    found = {80 * 2**30: {"iris/mlp": {1: 10**9, 10: None}}}
    run_dir.write_memory(found)
    assert run_dir.memory() == found
