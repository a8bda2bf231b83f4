"""What is read from run directories and reports, what is merged, and what is refused."""

import dataclasses
import errno
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import IO

import pandas as pd
import pytest

from tests.helpers.reports import filled
from tests.helpers.suites import made_up_rows
from tune_kmixup.analysis.load import load, save_runs
from tune_kmixup.core.config import Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.store.notes import Heartbeat
from tune_kmixup.store.run_dir import RunDir


def save(run: Path, folder: Path) -> Path:
    """Saves the runs of a run directory as a report does."""
    folder.mkdir()
    save_runs(load([run]), folder)
    return folder


def test_rows_are_loaded_with_their_columns_and_the_selected_ones_marked(run_dir: RunDir, suite: Suite) -> None:
    runs = load([filled(run_dir, suite).path])
    assert set(runs.rows["suite"]) == {"small"} and runs.missing.empty
    assert runs.rows.groupby("phase")["selected"].agg(list).map(any).to_dict() == {"final": True, "search": False}
    assert len(runs.rows[runs.rows["selected"]]) == 6 * 3


def test_missing_runs_are_named_with_the_command_that_completes_them(tmp_path: Path, suite: Suite) -> None:
    run_dir = filled(RunDir(tmp_path / "it's mine"), suite, finals=False)
    (run_dir.folder("iris/mlp@1/mixup") / "search-0003.json").unlink()
    options = ["--gpus-per-trial=0.5"]
    run_dir.write_heartbeat(Heartbeat("h", 1, since=1.0, updated=2.0, ended=True, slots=1, options=options))
    missing = load([run_dir.path]).missing.set_index("study")
    assert missing.loc["iris/mlp@1/mixup", "missing"] == "2 search runs, 3 final runs"
    pasted = shlex.split(missing.loc["iris/mlp@0/erm", "command"])
    assert pasted == ["tune-kmixup", "resume", str(run_dir.path), "--gpus-per-trial=0.5"]


def test_a_report_into_its_own_source_is_replaced_whole_or_not_at_all(
    tmp_path: Path, suite: Suite, run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(filled(run_dir, suite).path, tmp_path / "report")
    runs, before = load([folder]), {path: path.read_bytes() for path in folder.iterdir()}

    def full_disk(table: pd.DataFrame, file: IO[bytes], **_: object) -> None:
        file.write(b"PAR1")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_runs(runs, folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 2.5], [1, 2.5]), ([1, "fast"], ["1", "fast"]), ([True, 2], ["True", "2"]), ([None, True], [None, True])],
)
def test_a_column_of_a_later_version_is_kept_whatever_its_runs_hold(
    values: list[object], expected: list[object], run_dir: RunDir, tmp_path: Path, suite: Suite
) -> None:
    paths = sorted(filled(run_dir, suite).path.rglob("final-*.json"))
    for path, value in zip(paths, values, strict=False):
        path.write_text(json.dumps([row | {"later": value} for row in json.loads(path.read_text())]))
    later = load([save(run_dir.path, tmp_path / "report")]).rows["later"]
    assert {value for value in later if not pd.isna(value)} == {value for value in expected if value is not None}


def test_copies_are_merged_and_contradictions_refused(tmp_path: Path, suite: Suite) -> None:
    one = filled(RunDir(tmp_path / "one"), suite)
    shutil.copytree(one.path, tmp_path / "two")
    assert len(load([one.path, tmp_path / "two"]).rows) == len(load([one.path]).rows)
    path = next((tmp_path / "two").rglob("final-*.json"))
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([{**rows[0], "val_error": 0.9}, *rows[1:]]))
    with pytest.raises(BadInput, match="contradict each other"):
        load([one.path, tmp_path / "two"])


def test_what_another_directory_has_is_not_missing(tmp_path: Path, suite: Suite) -> None:
    """An earlier copy of a directory beside the directory, and one directory twice."""
    one = filled(RunDir(tmp_path / "one"), suite)
    shutil.copytree(one.path, tmp_path / "two")
    for path in (tmp_path / "two").rglob("final-*.json"):
        path.unlink()
    assert not load([tmp_path / "two"]).missing.empty
    assert load([tmp_path / "two", one.path]).missing.empty
    assert len(load([one.path, tmp_path / "two"]).launches) == 1
    next(one.path.rglob("search-0003.json")).unlink()
    for sources in ([tmp_path / "two", one.path], [one.path, tmp_path / "two"]):
        assert load(sources).missing.empty
    for path in one.path.rglob("final-*.json"):
        path.unlink()
    report = save(one.path, tmp_path / "report")
    for sources in ([report, one.path], [one.path, report]):
        assert set(load(sources).missing["command"]) == {f"tune-kmixup resume {one.path}"}


def test_of_copies_the_one_with_most_runs_says_how_to_go_on(tmp_path: Path, suite: Suite) -> None:
    """A report of two launches of one name counted the runs of both for either."""
    studies = ([s for s in suite.studies if (s.method == "erm") == erm] for erm in (True, False))
    one, other = (dataclasses.replace(suite, studies=tuple(part)) for part in studies)
    runs = [filled(RunDir(tmp_path / name), part) for name, part in (("one", one), ("other", other))]
    gone = [next(runs[1].path.rglob(f"search-000{number}.json")) for number in (2, 3)]
    texts = [path.read_text() for path in gone]
    for path in gone:
        path.unlink()
    (tmp_path / "report").mkdir()
    save_runs(load([run.path for run in runs]), tmp_path / "report")
    gone[0].write_text(texts[0])
    assert set(load([runs[1].path, tmp_path / "report"]).missing["command"]) == {f"tune-kmixup resume {runs[1].path}"}


def test_a_report_keeps_what_is_missing_and_names_no_directory_that_it_does_not_know(
    run_dir: RunDir, tmp_path: Path, suite: Suite
) -> None:
    filled(run_dir, suite)
    (run_dir.folder("iris/mlp@1/mixup") / "search-0003.json").unlink()
    (record,) = load([save(run_dir.path, tmp_path / "report")]).missing.to_dict("records")
    said = "resume the run directory called run"
    assert record == {"study": "iris/mlp@1/mixup", "missing": "2 search runs", "command": said}


def test_two_states_of_one_launch_are_refused(run_dir: RunDir, tmp_path: Path, suite: Suite) -> None:
    """With a larger budget another configuration was selected, so the final runs of both would count."""
    run = filled(run_dir, suite)
    earlier = save(run.path, tmp_path / "earlier")
    study, suite = suite.studies[1], dataclasses.replace(suite, trials=5)
    run.write_suite(suite)
    run.write_proposal(study.name, 4, {"alpha": 1.0})
    better = suite.search_trial(study, 4, {"alpha": 1.0})
    run.write_rows(better, [dataclasses.replace(row, val_error=0.0) for row in made_up_rows(suite, better)])
    for trial in suite.final_trials(study, 4, {"alpha": 1.0}, (), 2):
        run.write_rows(trial, made_up_rows(suite, trial))
    two_states = r"hold two states of iris/mlp@0/mixup .*: leave out the earlier one"
    with pytest.raises(BadInput, match=two_states):
        load([earlier, run.path])
    for path in run.folder(study.name).glob("final-0004-*.json"):
        path.unlink()
    for sources in ([earlier, run.path], [run.path, earlier]):
        with pytest.raises(BadInput, match=two_states):
            load(sources)


@pytest.mark.parametrize("damaged", ["launches.json", "results.parquet"])
def test_an_incomplete_report_is_refused(damaged: str, run_dir: RunDir, tmp_path: Path, suite: Suite) -> None:
    report = save(filled(run_dir, suite).path, tmp_path / "report")
    (report / damaged).write_text("{")
    with pytest.raises(BadInput, match=f"report/{re.escape(damaged)} is not of a complete report"):
        load([report])
    (report / damaged).unlink()
    with pytest.raises(BadInput, match=r"not of a complete report|holds no suite\.json"):
        load([report])


def test_directories_without_results_are_refused(run_dir: RunDir, suite: Suite, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no suite\.json"):
        load([tmp_path])
    run_dir.write_suite(suite)
    with pytest.raises(BadInput, match="hold no result yet"):
        load([run_dir.path])


def test_old_and_new_runs_of_a_task_are_not_one_experiment(tmp_path: Path, suite: Suite) -> None:
    """Version 0.1.0 searched once and seeded differently."""
    old = filled(RunDir(tmp_path / "old"), dataclasses.replace(suite, format=1))
    new = filled(RunDir(tmp_path / "new"), suite)
    with pytest.raises(BadInput, match=r"run_dirs=old, new both hold iris/mlp, but old is of version 0\.1\.0"):
        load([old.path, new.path])
