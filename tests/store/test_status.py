"""The status of a launch: how busy its slots were, how long it will still take, and how it is watched."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.helpers.launches import beat_of
from tests.helpers.reports import filled
from tests.helpers.suites import made_up_rows, small_suite
from tune_kmixup.core.config import Suite
from tune_kmixup.store.lock import run_lock
from tune_kmixup.store.notes import Heartbeat, Period
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.store.status import (
    HEARTBEAT_SECONDS,
    WATCH_STORE_SECONDS,
    LaunchStatus,
    RunningTrial,
    StudyStatus,
    busy_share,
    follow,
    merge_splits,
    seconds_left,
    study_status,
)


def test_status_needs_no_ray(run_dir: RunDir, suite: Suite) -> None:
    filled(run_dir, suite)
    code = "import sys; from tune_kmixup.cli.commands import app; app(sys.argv[1:], standalone_mode=False); "
    code += "assert not {'ray', 'torch', 'optuna'} & sys.modules.keys(), 'imported'"
    status = [sys.executable, "-c", code, "status", str(run_dir.path), "--splits"]
    done = subprocess.run(status, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "iris/mlp@1" in done.stdout and "8/8" in done.stdout and "3/3" in done.stdout


def test_busy_share_of_all_launches() -> None:
    beat = Heartbeat("h", 1, since=100.0, updated=150.0, ended=True, slots=2, earlier=[Period(0.0, 10.0, slots=10)])
    assert busy_share(beat, [("iris/mlp", 100.0), ("wine/mlp", 50.0)]) == 0.75
    assert busy_share(beat, [("iris/mlp", 0.0)]) is None, "no run is done"
    assert busy_share(beat, [("iris/mlp", 201.0)]) is None, "some of the results are not of these launches"
    assert busy_share(None, [("iris/mlp", 1.0)]) is None
    counted = replace(beat, slot_seconds=50.0)
    assert busy_share(counted, [("iris/mlp", 75.0)]) == 0.5, "slots came and went"


def test_busy_share_of_gpus_that_trials_share() -> None:
    shares = {"iris/mlp": 0.5, "wine/mlp": 0.25}
    beat = Heartbeat("h", 1, since=0.0, updated=100.0, ended=True, slots=2, shares=shares)
    run_seconds = [("iris/mlp", 150.0), ("wine/mlp", 200.0), ("iris/mlp", 50.0)]
    assert busy_share(beat, run_seconds) == (0.5 * 200 + 0.25 * 200) / 200
    same_shares = replace(beat, earlier=[Period(0.0, 100.0, slots=2, shares=shares)])
    assert busy_share(same_shares, run_seconds) == 150 / 400
    other_shares = replace(beat, earlier=[Period(0.0, 100.0, slots=2)])
    assert busy_share(other_shares, run_seconds) is None, "rows do not say which launch they belong to"


def test_seconds_left() -> None:
    def status(task: str) -> StudyStatus:
        """A study with 20 runs left, of 10 seconds each."""
        return StudyStatus(
            study=f"{task}/mixup",
            search_done=10,
            search_planned=20,
            final_done=0,
            final_planned=10,
            running=2,
            failed={},
            best=0.1,
            seconds=100.0,
            runs=10,
            stopped=0,
        )

    studies = [status("iris/mlp@0"), status("wine/mlp")]
    assert seconds_left(studies, 4, {}) == 400 / 4
    assert seconds_left(studies, 2, {"iris/mlp": 0.5, "wine/mlp": 0.25}) == (100 + 50) / 2
    assert seconds_left(studies, 0, {}) is None
    assert seconds_left([], 0, {}) == 0.0


def of_split(split: int, method: str = "mixup", **changes: Any) -> StudyStatus:
    fields = {"search_done": 3, "search_planned": 8, "final_done": 1, "final_planned": 2, "running": 2}
    rest = {"failed": {"search-0001": "error"}, "best": 0.1 * (split + 1), "seconds": 4.0, "runs": 4, "stopped": 1}
    return StudyStatus(f"iris/mlp@{split}/{method}", **(fields | rest | changes))  # type: ignore[arg-type]


def test_outer_splits_together() -> None:
    both, other = merge_splits([of_split(0), of_split(0, "erm"), of_split(1)])
    assert (both.study, other.study) == ("iris/mlp/mixup", "iris/mlp/erm")
    assert (both.search_done, both.search_planned, both.final_done, both.final_planned) == (6, 16, 2, 4)
    assert (both.running, both.missing, both.seconds, both.runs, both.stopped) == (4, 8, 8.0, 8, 2)
    assert both.failed == {f"iris/mlp@{split}/mixup/search-0001": "error" for split in (0, 1)}
    assert both.best == pytest.approx(0.15)
    (early,) = merge_splits([of_split(0), of_split(1, best=None)])
    assert early.best is None, "a mean over some of the splits cannot be compared with that of another method"


@pytest.mark.parametrize(("place", "pause"), [("", HEARTBEAT_SECONDS), ("memory://bucket/", WATCH_STORE_SECONDS)])
def test_a_watched_launch_is_seen_when_something_changes_until_it_ends(
    place: str, pause: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, suite = RunDir(f"{place or tmp_path}/watched-{uuid4()}"), small_suite()
    trial = suite.search_trial(suite.studies[0], 0, {})

    def first_heartbeat() -> None:
        run.write_suite(suite)
        now = time.time()
        run.write_heartbeat(Heartbeat("another", 1, since=now, updated=now, ended=False, slots=2))

    def another_heartbeat() -> None:
        run.write_heartbeat(replace(beat_of(run), updated=time.time()))

    def rows() -> None:
        run.write_proposal(trial.study, 0, {})
        run.write_rows(trial, made_up_rows(suite, trial))

    def end() -> None:
        run.write_heartbeat(replace(beat_of(run), ended=True))

    steps = [first_heartbeat, another_heartbeat, rows, end]
    pauses = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        steps.pop(0)()

    with run_lock(run), monkeypatch.context() as patch:
        patch.setattr("tune_kmixup.store.status.time.sleep", sleep)
        seen = [(status.state, sum(study.done for study in status.studies)) for status in follow(run)]
    assert seen == [("starting", 0), ("running", 0), ("running", 2), ("ended", 2)]
    assert pauses == [pause] * 4 and not steps


def test_the_fields_of_json_are_described() -> None:
    page = (Path(__file__).parents[2] / "docs" / "watching.md").read_text()
    status = LaunchStatus([of_split(0)], 1, {}, "running", 1, None, [], "error", "").to_json()
    for name in (*status, *status["studies"][0]):
        assert f"`{name}`" in page, name


def test_a_trial_of_hours_has_an_estimate_before_it_ends() -> None:
    """Two seeds together, a quarter trained in 100 s: what is left, five and a half runs, takes 1,100 s."""
    suite = small_suite(search_seeds=2, final_seeds=4, shortlist=1)
    study = suite.studies[0]  # erm: one configuration
    status = study_status(suite, study, [], {}, [RunningTrial(2, 0.25, 100.0)])
    assert seconds_left([status], 1, {}) == pytest.approx((6 - 0.5) * 100 / 0.5)
    assert seconds_left([study_status(suite, study, [], {}, [RunningTrial(2)])], 1, {}) is None, "nothing is known"
