"""What a launch survives, done for real: real Ray, real signals, real training."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.helpers.launches import (
    LONG,
    beat_of,
    begun,
    command,
    descendants,
    reproducible,
    run_cli,
    run_cli_in_process,
    title,
    workers,
)
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.store.status import DEAD_AFTER

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def alone(on_ray: list[str], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """What the other launches end like. It has one slot on a cluster, and they have a Ray of their own."""
    out = tmp_path_factory.mktemp("alone") / "run"
    run_cli_in_process(*LONG, *on_ray, "--out", out)
    return RunDir(out)


@dataclass(frozen=True)
class Interrupted:
    """A launch that was ended by Ctrl-C once."""

    out: Path
    printed: str
    code: int


@pytest.fixture(scope="session")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    out = tmp_path_factory.mktemp("interrupted") / "run"
    process = begun(out)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    printed, _ = process.communicate(timeout=60)
    return Interrupted(out, printed, process.returncode)


def test_ctrl_c_once_saves_what_runs_and_says_how_to_go_on(interrupted: Interrupted) -> None:
    out, printed = interrupted.out, interrupted.printed
    assert interrupted.code == 130, printed
    assert f"To go on: tune-kmixup resume {out}" in printed and "Traceback" not in printed
    assert list((out / "checkpoints").rglob("*.pt")), "the trials in progress were saved"
    assert beat_of(RunDir(out)).ended


def test_resumed_elsewhere_on_fewer_slots_it_ends_like_one_left_alone(
    interrupted: Interrupted, alone: RunDir, tmp_path: Path
) -> None:
    """Copied to another place, begun by another machine, named from another folder, one trial at a time."""
    copied = RunDir(tmp_path / "copied")
    shutil.copytree(interrupted.out, copied.path)
    beat = beat_of(copied)
    copied.write_heartbeat(replace(beat, host="another", ended=False, updated=time.time() - DEAD_AFTER - 1))
    assert beat.slots > 1 or os.cpu_count() == 1
    (tmp_path / "folder").mkdir()
    run_cli("resume", Path("..") / "copied", "--max-concurrent", "1", cwd=tmp_path / "folder")
    assert beat_of(copied).slots == 1
    assert reproducible(copied) == reproducible(alone)
    assert not list((copied.path / "checkpoints").rglob("*.pt"))


def test_a_run_directory_that_is_read_only_is_refused_in_a_line(alone: RunDir, tmp_path: Path) -> None:
    """By a mount: whoever is root may write whatever the permissions say."""
    disk = tmp_path / "disk"
    shutil.copytree(alone.path, disk / "run")
    if subprocess.run(["mount", "--bind", disk, disk], capture_output=True).returncode:
        pytest.skip("a read-only disk cannot be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", disk], check=True)
        for args, out in ((["resume"], disk / "run"), ([*LONG, "--out"], disk / "new")):
            printed = run_cli(*args, out, code=2)
            assert f"out='{out}' cannot be written" in printed
            assert "Read-only file system" in printed and "Traceback" not in printed
        assert "iris/mlp" in run_cli("status", disk / "run"), "what is there can be read"
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_and_sighup_do_what_ctrl_c_does(number: signal.Signals, tmp_path: Path) -> None:
    """Kubernetes, Ray's jobs and deploy/slurm.sh send SIGTERM to the launch alone. A terminal that closes sends SIGHUP
    to all its processes.
    """
    out = tmp_path / "run"
    process = begun(out)
    ours = descendants(process.pid)
    for pid in ours if number == signal.SIGHUP else [process.pid]:
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, number)
    printed, _ = process.communicate(timeout=25)
    assert process.returncode == 128 + number, printed
    assert printed.endswith(f"Stopped before the end.\nTo go on: tune-kmixup resume {out}\n")
    assert "Traceback" not in printed and "SIGTERM" not in printed
    assert list((out / "checkpoints").rglob("*.pt")) and beat_of(RunDir(out)).ended
    until = time.monotonic() + 5
    while left := [title(pid) for pid in ours if title(pid)]:
        assert time.monotonic() < until, left
        time.sleep(0.1)


@pytest.mark.thorough
def test_sigterm_to_all_processes_ends_at_once(tmp_path: Path) -> None:
    """As `scancel`, systemd and `timeout` send it: it ends Ray before trials can save. Ray may end the launch first."""
    out = tmp_path / "run"
    process = begun(out)
    os.killpg(process.pid, signal.SIGTERM)
    printed, _ = process.communicate(timeout=25)
    said = re.search(rf"Stopped (at once: .+|before the end\.)\nTo go on: tune-kmixup resume {out}\n$", printed)
    assert process.returncode == (143 if said else 1), printed
    assert "Traceback" not in printed and "error:" not in printed


@pytest.mark.thorough
def test_ctrl_c_twice_ends_at_once(tmp_path: Path) -> None:
    process = begun(tmp_path / "run")
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    assert "Traceback" not in printed


def test_a_worker_that_dies_is_replaced(alone: RunDir, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = begun(out)
    for pid in workers(process.pid):
        os.kill(pid, signal.SIGKILL)
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0, printed
    assert reproducible(RunDir(out)) == reproducible(alone)


def refused(process: "subprocess.Popen[str]", out: Path) -> str:
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 1, printed
    assert f"out='{out}' cannot be written" in printed and "Traceback" not in printed
    assert f"To go on: tune-kmixup resume {out}" in printed
    return printed


@pytest.mark.thorough
def test_a_run_directory_that_vanishes_ends_the_launch_in_a_line(
    alone: RunDir, on_ray: list[str], tmp_path: Path
) -> None:
    out, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    process = begun(out)
    out.rename(elsewhere)
    assert "vanished" in refused(process, out)
    assert not out.exists()
    elsewhere.rename(out)
    run_cli_in_process("resume", out, *on_ray)
    assert reproducible(RunDir(out)) == reproducible(alone)


def test_a_full_disk_ends_the_launch_in_a_line_and_loses_nothing(
    alone: RunDir, on_ray: list[str], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        out = disk / "run"
        process = begun(out)
        with pytest.raises(OSError, match="No space left"), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        assert "No space left" in refused(process, out)
        assert not list(out.rglob("*.part")), "what was not written whole is not left"
        (disk / "filler").unlink()
        run_cli_in_process("resume", out, *on_ray)
        assert reproducible(RunDir(out)) == reproducible(alone)
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def busy(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["subprocess.Popen[bytes]"]:
    """A launch of many short trials, which has work for longer than a test lasts."""
    many = [
        "launch",
        "iris/mlp",
        "--trials",
        "400",
        "--search-seeds",
        "1",
        "--final-seeds",
        "1",
        "--batch-seeds",
        "off",
    ]
    process = subprocess.Popen(
        command(*many, "--max-concurrent", "2", "--out", tmp_path_factory.mktemp("busy") / "run"),
        env={**os.environ, "HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def test_a_slot_whose_worker_is_lost_comes_back_where_trials_are_short(busy: "subprocess.Popen[bytes]") -> None:
    """Ray Tune's own schedulers would kill every new worker before it has started: see `scheduler.SuiteScheduler`."""

    def steady() -> set[int]:
        """Two workers that have trained for three seconds."""
        until, since, found = time.monotonic() + 150, time.monotonic(), set[int]()
        while time.monotonic() < until and busy.poll() is None:
            time.sleep(0.2)
            names = {pid: title(pid) for pid in descendants(busy.pid)}
            now = {pid for pid, name in names.items() if b"Trainable" in name or b"TrialActor" in name}
            found, since = (found, since) if now == found else (now, time.monotonic())
            if len(found) == 2 and time.monotonic() - since > 3:
                return found
        raise AssertionError("two workers are never there for three seconds")

    lost = min(steady())
    os.kill(lost, signal.SIGKILL)
    assert lost not in steady()


def test_a_ray_of_ones_own_has_no_dashboard_and_asks_for_a_token(busy: "subprocess.Popen[bytes]", home: Path) -> None:
    """Ray starts the dashboard's process in any case: it counts usage, where that is not turned off."""
    until = time.monotonic() + 60
    while not workers(busy.pid) and time.monotonic() < until:
        time.sleep(0.2)
    processes = [title(pid) for pid in descendants(busy.pid)]
    dashboards = [name for name in processes if b"dashboard/dashboard.py\0" in name]
    assert dashboards and all(b"\0--disable-frontend" in name for name in dashboards)
    (address,) = {found[1] for name in processes if (found := re.search(rb"--gcs-address=([^\0 ]+)", name))}
    ask = [Path(sys.executable).with_name("ray"), "status", f"--address={address.decode()}"]
    env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "b" * 64}
    stranger = subprocess.run(ask, env=env, capture_output=True, text=True, timeout=60)
    assert not (home / ".ray").exists(), "no token is left behind"
    assert stranger.returncode and "InvalidAuthToken" in stranger.stderr, stranger.stdout + stranger.stderr
