"""One launch at a time on a run directory of a disk; object stores are in test_object_store.py."""

import time
from pathlib import Path

import pytest

from tune_kmixup.core.errors import BadInput
from tune_kmixup.store.lock import run_lock
from tune_kmixup.store.run_dir import RunDir


def test_a_second_launch_on_one_directory_is_refused(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.write_launch({"host": "here", "pid": 1234, "since": 0.0, "updated": 0.0, "ended": False})
    with run_lock(run), pytest.raises(BadInput, match="in use by process 1234 on here since"), run_lock(run):
        pass
    with run_lock(run):
        pass


def test_a_launch_on_another_machine_holds_the_directory_as_long_as_it_gives_signs_of_life(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    heartbeat = {"host": "another", "pid": 1234, "since": 0.0, "updated": time.time(), "ended": False}
    run.write_launch(heartbeat)
    with pytest.raises(BadInput, match="in use by process 1234 on another since"), run_lock(run):
        pass
    run.write_launch(heartbeat | {"updated": time.time() - 60})
    with run_lock(run):
        pass
    run.write_launch(heartbeat | {"ended": True})
    with run_lock(run):
        pass
