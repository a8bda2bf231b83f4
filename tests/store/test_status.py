"""The status of a launch: how busy its slots were, and how long it will still take."""

import subprocess
import sys

from tests.helpers.reports import filled
from tune_kmixup.core.config import Suite
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.store.status import StudyStatus, busy_share, seconds_left


def test_status_needs_no_ray(run_dir: RunDir, suite: Suite) -> None:
    filled(run_dir, suite)
    code = "import sys; from tune_kmixup.cli.commands import app; app(sys.argv[1:], standalone_mode=False); "
    code += "assert not {'ray', 'torch', 'optuna'} & sys.modules.keys(), 'imported'"
    status = [sys.executable, "-c", code, "status", str(run_dir.path)]
    done = subprocess.run(status, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "iris/mlp@1/kmixup" in done.stdout and "8/8" in done.stdout and "3/3" in done.stdout


def test_busy_share_of_all_launches() -> None:
    launch = {"since": 100.0, "updated": 150.0, "slots": 2, "earlier": [{"since": 0.0, "updated": 10.0, "slots": 10}]}
    assert busy_share(launch, [("iris/mlp", 100.0), ("wine/mlp", 50.0)]) == 0.75
    assert busy_share(launch, [("iris/mlp", 0.0)]) is None, "no run is done"
    assert busy_share(launch, [("iris/mlp", 201.0)]) is None, "some of the results are not of these launches"
    assert busy_share({}, [("iris/mlp", 1.0)]) is None


def test_busy_share_of_gpus_that_trials_share() -> None:
    shares = {"iris/mlp": 0.5, "wine/mlp": 0.25}
    launch = {"since": 0.0, "updated": 100.0, "slots": 2, "shares": shares}
    run_seconds = [("iris/mlp", 150.0), ("wine/mlp", 200.0), ("iris/mlp", 50.0)]
    assert busy_share(launch, run_seconds) == (0.5 * 200 + 0.25 * 200) / 200
    same_shares = launch | {"earlier": [{"since": 0.0, "updated": 100.0, "slots": 2, "shares": shares}]}
    assert busy_share(same_shares, run_seconds) == 150 / 400
    other_shares = launch | {"earlier": [{"since": 0.0, "updated": 100.0, "slots": 2}]}
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
