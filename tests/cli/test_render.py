"""The table of `status`, and how a launch is watched."""

import io
import json
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search_spaces.tasks import TASKS
from tests.helpers.launches import command, run_cli_in_process
from tests.helpers.reports import filled
from tests.helpers.suites import small_suite
from tune_kmixup.cli.progress import ProgressDisplay
from tune_kmixup.cli.render import PlainConsole, print_status, rough_duration, show_in_place, status_lines
from tune_kmixup.store.lock import run_lock
from tune_kmixup.store.notes import Heartbeat, Running
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.store.status import LaunchStatus, StudyStatus, launch_status

BEAT = Heartbeat("another", 1, since=time.time(), updated=0.0, ended=False, slots=2)


def launch(splits: int = 1, **changes: Any) -> LaunchStatus:
    """A launch of every task, with two methods."""
    counts = {"search_done": 44, "search_planned": 44, "final_done": 5, "final_planned": 5, "running": 1}
    rest: dict[str, Any] = {"failed": {}, "best": 0.9123, "seconds": 49.0, "runs": 49, "stopped": 0}
    names = [f"{task}@{split}/{method}" for task in TASKS for split in range(splits) for method in ("erm", "placebo")]
    fields: dict[str, Any] = {"state": "running", "slots": 2, "shares": {}, "trials_running": 2, "busy": None}
    studies = [StudyStatus(study=name, **counts, **rest) for name in names]
    return LaunchStatus(**({"studies": studies, **fields, "options": [], "select_by": "error", "holder": ""} | changes))


@pytest.mark.parametrize(("apart", "counts"), [(False, ["1320/1320", "150/150", "30"]), (True, ["44/44", "5/5", "1"])])
def test_the_status_of_every_task_fits_80_columns(apart: bool, counts: list[str]) -> None:
    """With thirty outer splits together, as many as any suite has."""
    console = PlainConsole(file=io.StringIO(), width=80, highlight=False)
    print_status(console, launch(splits=2 if apart else 30), Path("runs"), apart)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80
    methods = [line.split() for line in lines if line.split()[:1] == ["placebo"]]
    assert len(methods) == len(TASKS) * (2 if apart else 1)
    assert all(cells[1:4] == counts for cells in methods), "in one piece"
    assert sum("tiny_imagenet/wide_resnet101_2" in line for line in lines) == (2 if apart else 1)


def test_status_and_best_say_by_what_configurations_are_selected(run_dir: RunDir) -> None:
    filled(run_dir, small_suite(select_by="nll"))
    status, best = (run_cli_in_process(command, run_dir.path) for command in ("status", "best"))
    for printed in (status, best):
        assert "Configurations are selected by validation NLL (--select-by nll)." in printed
    assert "val. score" in status and "%" not in status
    assert json.loads(run_cli_in_process("status", run_dir.path, "--json"))["select_by"] == "nll"
    found = json.loads(run_cli_in_process("best", run_dir.path, "--format", "json"))
    assert {one["select_by"] for one in found} == {"nll"}


@pytest.mark.parametrize(("slots", "ending"), [(0, "to do."), (2, "of work.")])
def test_status_says_nothing_of_a_time_that_is_not_known(slots: int, ending: str) -> None:
    (line,) = [line for line in status_lines(launch(slots=slots), Path("runs")) if "runs left to do" in line]
    assert line.endswith(ending) and "?" not in line


def test_a_launch_says_nothing_of_a_time_that_is_not_known() -> None:
    """Its line is shown by a thread, before a first run has ended."""
    display = ProgressDisplay(small_suite(), PlainConsole(file=io.StringIO(), width=80))
    display.text, display.studies = "search 0/4", launch().studies
    assert "left" not in display.line() and "?" not in display.line()
    display.seconds_left = 90
    assert display.line().endswith(" elapsed, 1 min 30 s left")


def test_outer_splits_share_a_line_unless_told_otherwise(run_dir: RunDir) -> None:
    suite = small_suite()
    filled(run_dir, suite, finals=False)
    together, apart = (run_cli_in_process("status", run_dir.path, *args) for args in ([], ["--splits"]))
    assert together.count("  kmixup ") == 1 and "16/16" in together and "0/6" in together
    assert apart.count("  kmixup ") == 2 and "iris/mlp@1" in apart and "8/8" in apart


def test_json_is_one_object_in_every_state(run_dir: RunDir, tmp_path: Path) -> None:
    suite = small_suite()
    (tmp_path / "new").mkdir()
    starting = RunDir(tmp_path / "new")
    with run_lock(starting):
        first = json.loads(run_cli_in_process("status", starting.path, "--json"))
        assert "It is being launched by process" in run_cli_in_process("status", starting.path)
    assert (first["state"], first["slots"], first["runs_planned"], first["studies"]) == ("starting", 0, 0, [])
    filled(run_dir, suite)
    before = json.loads(run_cli_in_process("status", run_dir.path, "--json"))
    assert (before["state"], before["slots"], before["trials_running"]) == ("not launched", 0, 0)
    run_dir.rows_path(suite.search_trial(suite.studies[1], 1, {})).unlink()
    run_dir.write_failure(suite.search_trial(suite.studies[1], 1, {}), "RuntimeError: \x1b no")
    running = {f"{suite.studies[1].name}/search-0001": Running(1.0, seeds=2)}
    run_dir.write_heartbeat(replace(BEAT, updated=time.time(), running=running))
    now = json.loads(run_cli_in_process("status", run_dir.path, "--json"))
    assert (now["state"], now["slots"], now["trials_running"], now["trials_failed"]) == ("running", 2, 1, 1)
    assert now["runs_planned"] == before["runs_planned"] == before["runs_done"] == now["runs_done"] + 2
    study = now["studies"][1]
    assert (study["task"], study["outer_split"], study["method"]) == ("iris/mlp", 0, "mixup")
    assert study["running"] == 2 and study["failed"] == {"search-0001": "RuntimeError: \x1b no"}
    assert now.keys() == first.keys() and len(now["studies"]) == len(suite.studies)


def test_json_of_nothing_is_refused_with_nothing_on_stdout(tmp_path: Path) -> None:
    done = subprocess.run(command("status", tmp_path, "--json"), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "") and "holds no suite.json" in done.stderr


def test_a_launch_that_is_watched_can_be_left(run_dir: RunDir) -> None:
    filled(run_dir, small_suite())
    run_dir.write_heartbeat(replace(BEAT, updated=time.time()))
    process = subprocess.Popen(
        command("status", run_dir.path, "--watch", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert json.loads(process.stdout.readline())["state"] == "running"
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors.strip()) == (130, "", "")


def test_watching_what_has_ended_shows_it_once(run_dir: RunDir) -> None:
    filled(run_dir, small_suite())
    run_dir.write_heartbeat(replace(BEAT, updated=time.time(), ended=True))
    assert run_cli_in_process("status", run_dir.path, "--watch") == run_cli_in_process("status", run_dir.path)


def test_on_a_terminal_the_last_status_stays(run_dir: RunDir) -> None:
    filled(run_dir, small_suite())
    ended, name = launch_status(run_dir), "iris/mlp@0/mixup"
    failing = StudyStatus(name, 0, 1, 0, 1, 0, {"search-0000": "\x1b]0;title\x07 " + 20 * "long "}, None, 0.0, 0, 0)
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=True, width=80, highlight=False)
    show_in_place(console, iter([ended, launch(studies=[failing], state="interrupted")]), Path("my run"))
    printed, last = file.getvalue(), file.getvalue().splitlines()[-1]
    assert "launch: interrupted" in printed.rpartition("\x1b[2K")[2], "after the last line that was erased"
    assert "\x1b]0;title" not in printed and r"\x1b]0;title" in printed
    assert last == "To go on: tune-kmixup resume 'my run'"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.123, "0.12 s"), (59, "59 s"), (60, "1 min"), (3599, "60 min"), (11_111, "3.1 h")]
)
def test_an_estimate_has_two_digits(seconds: float, text: str) -> None:
    assert rough_duration(seconds) == text
    assert rough_duration(1234 * 3600) == "1200 h"
