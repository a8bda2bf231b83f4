"""The files of a run directory on disk: what is written, and what is refused when it is read."""

import errno
import json
import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.launches import results_of
from tests.helpers.suites import made_up_rows
from tune_kmixup.core.config import Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.planning.suite import check_unused
from tune_kmixup.store import files
from tune_kmixup.store.notes import Heartbeat
from tune_kmixup.store.run_dir import CorruptFile, RunDir, trial_remedy


def test_a_written_suite_is_read_back(run_dir: RunDir, suite: Suite) -> None:
    run_dir.write_suite(suite)
    assert run_dir.suite() == suite


def test_a_suite_of_an_earlier_version_is_read(run_dir: RunDir, suite: Suite) -> None:
    run_dir.write_suite(suite)
    path = run_dir.path / "suite.json"
    content = json.loads(path.read_text())
    del content["scheduler"]
    path.write_text(json.dumps(content))
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
    content = json.loads(path.read_text())
    study = content["studies"][0]
    (study if field == "method" else study["task"])[field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(BadInput, match=f"{re.escape(repr(value))} is not allowed"):
        run_dir.suite()


def test_a_folder_without_suite_is_refused(run_dir: RunDir) -> None:
    with pytest.raises(BadInput, match="is not there: name the --out"):
        run_dir.suite()
    RunDir(run_dir.path / "mine").path.mkdir(parents=True)
    with pytest.raises(BadInput, match=r"holds no suite\.json: name the --out"):
        run_dir.suite()
    (run_dir.path / "mine" / "suite.json").touch()
    with pytest.raises(BadInput, match=r"holds no suite\.json, but mine in it does: name the --out"):
        run_dir.suite()


def test_written_rows_are_read_back_and_never_overwritten(run_dir: RunDir, suite: Suite) -> None:
    study = suite.studies[1]
    trial = suite.search_trial(study, 0, {"alpha": 1.0})
    rows = made_up_rows(suite, trial)
    run_dir.write_suite(suite)
    run_dir.write_proposal(study.name, 0, {"alpha": 1.0})
    run_dir.write_rows(trial, rows)
    with pytest.raises(FileExistsError, match="something else"):
        run_dir.write_rows(trial, rows[:1])
    assert results_of(run_dir, study.name).rows == rows


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        RunDir(tmp_path).write_heartbeat(Heartbeat("h", 1, since=math.nan, updated=1.0, ended=True, slots=1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", '[{"seed"', "{}", '[{"no": "row"}]'])
def test_a_corrupt_result_is_refused_with_its_path(run_dir: RunDir, suite: Suite, text: str) -> None:
    trial = suite.search_trial(suite.studies[1], 0, {"alpha": 1.0})
    run_dir.write_suite(suite)
    run_dir.write_proposal(trial.study, 0, {"alpha": 1.0})
    run_dir.rows_path(trial).write_text(text)
    with pytest.raises(CorruptFile, match=r"search-0000\.json.*delete it"):
        results_of(run_dir, trial.study)


def test_a_note_of_a_failure_that_cannot_be_read_is_bad_input(run_dir: RunDir, suite: Suite) -> None:
    run_dir.write_suite(suite)
    (folder := run_dir.folder(suite.studies[1].name)).mkdir(parents=True)
    (note := folder / "search-0000.failed.json").symlink_to(note)
    with pytest.raises(BadInput, match=r"search-0000\.failed\.json.*cannot be read"):
        run_dir.results(suite)


def test_the_remedy_for_a_missing_proposal_names_the_files_of_its_configuration_alone(tmp_path: Path) -> None:
    theirs = ["proposal-6189.json", "search-6189.json", "search-6189.failed.json", "final-6189-7.json"]
    others = ["final-0003-6189700196426901.json", "search-61890.json"]
    for name in theirs + others:
        (tmp_path / name).touch()
    patterns = re.findall(r"\S+\.json", trial_remedy(6189))
    assert sorted(path.name for pattern in patterns for path in tmp_path.glob(pattern)) == sorted(theirs)


def test_a_file_that_is_still_being_written_is_not_read(run_dir: RunDir, suite: Suite) -> None:
    trial = suite.search_trial(suite.studies[1], 0, {"alpha": 1.0})
    run_dir.write_suite(suite)
    run_dir.write_proposal(trial.study, 0, {"alpha": 1.0})
    run_dir.rows_path(trial).with_name(".search-0000.json.1.part").write_text("[{")
    assert results_of(run_dir, trial.study).rows == []


def test_a_run_directory_that_vanished_is_not_created_again(run_dir: RunDir, suite: Suite) -> None:
    run_dir.write_suite(suite)
    shutil.rmtree(run_dir.path)
    with pytest.raises(FileNotFoundError, match="vanished"):
        run_dir.write_proposal(suite.studies[0].name, 0, {})
    assert not run_dir.path.exists()


def test_a_proposal_is_never_overwritten(run_dir: RunDir, suite: Suite) -> None:
    """A launch that was suspended does not know at once that another one has taken over."""
    run_dir.write_suite(suite)
    study = suite.studies[1].name
    run_dir.write_proposal(study, 0, {"alpha": 1.0})
    run_dir.write_proposal(study, 0, {"alpha": 1.0})
    with pytest.raises(FileExistsError, match=r"something else.*proposal-0000"):
        run_dir.write_proposal(study, 0, {"alpha": 2.0})
    assert results_of(run_dir, study).proposals == {0: {"alpha": 1.0}}


def test_a_launch_that_ends_while_it_writes_its_suite_can_be_launched_again(
    run_dir: RunDir, suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full, or the launch is killed, at any of its steps."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "atomic_write", full)
        with pytest.raises(OSError, match="No space"):
            run_dir.write_suite(suite)
    check_unused(run_dir)
    (run_dir.path / ".suite.json.123.part").write_text("{")
    (run_dir.path / ".holder.json.123.part").write_text("{")
    check_unused(run_dir)
    run_dir.write_suite(suite)
    shutil.rmtree(run_dir.path / "checkpoints")
    RunDir(run_dir.path).write_suite(suite)
    assert all((run_dir.path / "checkpoints" / study.name).is_dir() for study in suite.studies)


def test_a_disk_that_cannot_tell_whether_a_suite_is_there_fails_a_write(
    run_dir: RunDir, suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes handles OSError. BadInput went past the searcher, and ended the thread that renews the lock."""
    run_dir.write_suite(suite)
    stat = Path.stat

    def stale(self: Path, **options: Any) -> os.stat_result:
        if self.name == "suite.json":
            raise OSError(errno.ESTALE, "Stale file handle", str(self))
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", stale)
    with pytest.raises(OSError, match="Stale"):
        run_dir.write_proposal(suite.studies[1].name, 0, {"alpha": 1.0})


@pytest.mark.parametrize("name", ["launch.json", "memory.json"])
@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_notes_that_are_garbled_count_as_none(run_dir: RunDir, suite: Suite, name: str, text: str) -> None:
    run_dir.write_suite(suite)
    (run_dir.path / name).write_text(text)
    assert run_dir.heartbeat() is None and run_dir.memory() == {}


def test_written_memory_is_read_back(run_dir: RunDir) -> None:
    memory = {80 * 2**30: {"iris/mlp": {1: 10**9, 10: None}}}
    run_dir.write_memory(memory)
    assert run_dir.memory() == memory


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a loss of power could leave an empty result."""
    synced: list[tuple[int, bool]] = []

    def fsync(fd: int) -> None:
        synced.append((os.fstat(fd).st_ino, path.exists()))

    path = tmp_path / "result.json"
    monkeypatch.setattr(os, "fsync", fsync)
    with files.atomic_write(path) as file:
        file.write(b"{}")
    assert synced == [(path.stat().st_ino, False)] and path.read_bytes() == b"{}"
