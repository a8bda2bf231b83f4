"""One launch at a time on a run directory of a disk; object stores are in test_object_store.py."""

import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.launches import holder_of
from tune_kmixup.core.config import Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.store import lock
from tune_kmixup.store.lock import run_lock
from tune_kmixup.store.notes import Heartbeat, Holder
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.store.status import launch_status
from tune_kmixup.tuning.signals import StopSignals


def test_a_second_launch_on_one_directory_is_refused(tmp_path: Path) -> None:
    """From the first moment, before the holder has written a heartbeat."""
    run = RunDir(tmp_path / "new" / "run")
    holder = rf"in use by process {os.getpid()} on {socket.gethostname()} since \d{{4}}-"
    with run_lock(run):
        with pytest.raises(BadInput, match=holder), run_lock(run):
            pass
        status = launch_status(run)
        assert (status.state, status.studies) == ("starting", []) and status.holder.startswith(
            f"process {os.getpid()} on"
        )
        assert run.holder(), "the refused launch took nothing away"
    assert not run.holder()
    with run_lock(run):
        pass


def test_a_launch_that_starts_is_not_an_interrupted_one(run_dir: RunDir, suite: Suite) -> None:
    run_dir.write_suite(suite)
    assert launch_status(run_dir).state == "not launched"
    with run_lock(run_dir):
        assert launch_status(run_dir).state == "starting"
        run_dir.write_holder(replace(holder_of(run_dir), pid=2**22 + 1))
        assert launch_status(run_dir).state == "not launched", "the process that took it is dead"
        elsewhere = replace(holder_of(run_dir), host="another", updated=time.time())
        run_dir.write_holder(elsewhere)
        assert launch_status(run_dir).state == "starting"
        run_dir.write_holder(replace(elsewhere, updated=time.time() - 3600))
        assert launch_status(run_dir).state == "not launched", "its machine was lost"
    assert launch_status(run_dir).state == "not launched"


def test_a_launch_that_resumes_is_starting_until_its_first_heartbeat(run_dir: RunDir, suite: Suite) -> None:
    run_dir.write_suite(suite)
    hour_ago = time.time() - 3600
    run_dir.write_heartbeat(Heartbeat("h", 1, since=hour_ago, updated=hour_ago, ended=True, slots=1, options=[]))
    assert launch_status(run_dir).state == "ended"
    with run_lock(run_dir):
        assert launch_status(run_dir).state == "starting"
        tomorrow = replace(holder_of(run_dir), since=time.time() + 86400)
        run_dir.write_holder(tomorrow)
        assert launch_status(run_dir).state == "ended", "a clock was wrong"


@pytest.mark.parametrize("existing", ["nothing", "folder", "measurement", "suite"])
def test_what_is_refused_leaves_nothing_behind(existing: str, tmp_path: Path, suite: Suite) -> None:
    run = RunDir(tmp_path / "a" / "b" / "run")
    if existing != "nothing":
        run.path.mkdir(parents=True)
    if existing == "measurement":
        run.write_memory({})
    if existing == "suite":
        run.write_suite(suite)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(BadInput, match="does not fit"), run_lock(run):
        raise BadInput("cpus_per_trial=99 does not fit")
    assert set(tmp_path.rglob("*")) == before


def test_a_launch_on_another_machine_holds_the_directory_as_long_as_it_gives_signs_of_life(tmp_path: Path) -> None:
    """Also while it starts, on a file system whose locks machines do not share."""
    run = RunDir(tmp_path)
    holder = Holder("another", 1234, since=0.0, updated=time.time())
    run.write_holder(holder)
    with pytest.raises(BadInput, match="in use by process 1234 on another since"), run_lock(run):
        pass
    assert run.holder() == holder, "the refused launch took nothing away"
    run.remove_holder()
    beat = Heartbeat("another", 1234, since=0.0, updated=time.time(), ended=False, slots=2)  # as of an earlier version
    run.write_heartbeat(beat)
    with pytest.raises(BadInput, match="in use by process 1234 on another since"), run_lock(run):
        pass
    run.write_heartbeat(replace(beat, ended=True))
    for minute in (-60, 60):  # a time in the future is no sign of life
        run.write_holder(replace(holder, updated=time.time() + minute))
        with run_lock(run):
            assert holder_of(run).pid == os.getpid()


@pytest.mark.parametrize("ignored", [False, True], ids=["in a terminal", "in a script with &"])
def test_a_launch_on_a_disk_that_was_taken_over_stops(
    ignored: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It was suspended, on a file system whose locks machines do not share. Shells make scripts ignore Ctrl-C."""
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.05)
    run, before = RunDir(tmp_path), signal.getsignal(signal.SIGINT)
    other = Holder("another", 1234, since=time.time(), updated=time.time(), by="another")
    try:
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        with StopSignals(), pytest.raises(KeyboardInterrupt) as raised, run_lock(run):
            run.write_holder(other)
            time.sleep(10)
    finally:
        signal.signal(signal.SIGINT, before)
    assert raised.value.args == (signal.SIGTERM if ignored else signal.SIGINT,)
    assert "has been taken over by another launch: this one stops" in capfd.readouterr().err
    assert run.holder() == other, "its note stays"


def test_the_holder_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.05)
    run = RunDir(tmp_path)
    with run_lock(run):
        first, until = holder_of(run), time.monotonic() + 10
        while (now := holder_of(run)) == first:
            assert time.monotonic() < until
        assert now == replace(first, updated=now.updated)
    assert not run.holder()
