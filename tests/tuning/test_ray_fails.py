"""A Ray that does not start, or whose processes die."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.launches import LONG, begun, command, descendants, title
from tune_kmixup.core.errors import BadInput, LaunchError
from tune_kmixup.planning.resources import Resources
from tune_kmixup.tuning import cluster


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), TimeoutError("Timed out"), RuntimeError("\n")]
)
def test_a_ray_that_does_not_start_is_said_in_a_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(cluster.ray, "init", fail)
    monkeypatch.setenv("RAY_TMPDIR", "/small")
    with pytest.raises(LaunchError) as raised, cluster.ray_connection(Resources()):
        pass
    assert "check that its temporary folder '/small' can be written" in str(raised.value)
    assert cluster.first_line(error) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("address", ["h", "h:", ":x", "h:0", "h:99999", "h:-1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match="choose auto or HOST:PORT"):
        cluster.check_answers(address)


@contextmanager
def server(answer: bytes | None) -> Iterator[str]:
    """The address of a server that says this to whoever connects; None: nothing at all, without hanging up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                if answer is None:
                    ended.wait(10)
                else:
                    connection.sendall(answer)

        ended, thread = threading.Event(), threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (bytes((0, 0, 6, 4, 0, 0, 0, 0, 0)) + bytes(6), None),  # as a GCS does
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "something else than Ray listens there"),
        (b"SSH-2.0", "something else than Ray listens there"),
        (b"", "something else than Ray listens there"),
        (None, "timed out"),
    ],
)
def test_an_address_where_something_listens_is_that_of_ray_or_refused(
    answer: bytes | None, why: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 0.5)
    with server(answer) as address:
        if why is None:
            cluster.check_answers(address)
        else:
            with pytest.raises(LaunchError, match=rf"address='{address}' does not answer \({why}\): check that a Ray"):
                cluster.check_answers(address)


def test_an_address_where_nothing_listens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(LaunchError, match="does not answer"):
        cluster.check_answers(address)

    def wait(address: object, timeout: float) -> None:
        assert timeout == 30
        raise TimeoutError("timed out")

    monkeypatch.setattr(cluster.socket, "create_connection", wait)
    with pytest.raises(LaunchError, match=r"does not answer \(timed out\)"):
        cluster.check_answers("10.0.0.1:6379")


def test_a_ray_of_ones_own_takes_the_cpus_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_CPUS_ON_NODE", raising=False)
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert cluster.this_machine().cpus == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert 1 <= cluster.this_machine().cpus <= len(allowed), "a container may allow less"
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "1")
    assert cluster.this_machine().cpus == 1


@pytest.mark.parametrize(("kind", "dies"), [("raylet", True), ("gcs_server", True), ("log_monitor", False)])
def test_a_launch_hears_of_processes_that_it_cannot_do_without(
    kind: str, dies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "WATCH_SECONDS", 0.01)
    heard: list[LaunchError] = []
    ended = threading.Event()
    threading.Timer(0.3, ended.set).start()
    cluster.watch_ray(SimpleNamespace(dead_processes=lambda: [(kind, None)]), ended, heard.append)
    assert [str(error).startswith(f"Ray's process {kind} has died") for error in heard] == [True] * dies


def test_a_launch_hears_of_a_cluster_that_is_lost_and_not_of_one_that_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, seconds in {"CALL_SECONDS": 0.05, "LOST_SECONDS": 0.5}.items():
        monkeypatch.setattr(cluster, name, seconds)
    silences = iter([*[True] * 4, False, *[True] * 1000])  # the first lasts for 0.2 s

    def call(address: str, seconds: float) -> None:
        if next(silences):
            raise ConnectionRefusedError("refused")

    monkeypatch.setattr(cluster, "call", call)
    heard: list[LaunchError] = []
    began = time.monotonic()
    cluster.watch_cluster("10.0.0.1:6379", threading.Event(), heard.append)
    assert time.monotonic() - began > 0.7
    assert str(heard[0]).startswith("the Ray cluster at 10.0.0.1:6379 has not answered for ")
    ended = threading.Event()
    threading.Timer(0.2, ended.set).start()
    cluster.watch_cluster("10.0.0.1:6379", ended, heard.append)
    assert len(heard) == 1, "a launch that has ended hears nothing"


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["raylet", pytest.param("gcs_server", marks=pytest.mark.thorough)])
def test_a_ray_that_dies_ends_the_launch_in_a_line(victim: str, tmp_path: Path) -> None:
    out = tmp_path / "my run"
    process = begun(out)
    (pid,) = [pid for pid in descendants(process.pid) if title(pid).split(b"\0")[0].endswith(f"/{victim}".encode())]
    os.kill(pid, signal.SIGKILL)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 1, printed
    assert f"error: Ray's process {victim} has died" in printed and "Traceback" not in printed
    assert f"To go on: tune-kmixup resume '{out}'" in printed


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["a path too long for a socket", "a file"])
def test_a_temporary_folder_that_ray_cannot_use_ends_the_launch_in_a_line(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.touch() if kind == "a file" else folder.mkdir()
    env = {**os.environ, "TMPDIR": str(folder)}
    args = command(*LONG, "--out", tmp_path / "run")
    done = subprocess.run(args, env=env, capture_output=True, text=True, timeout=120)
    error, again = done.stderr.splitlines()
    assert done.returncode == 1 and error.startswith("error: Ray does not start (") and str(folder) in error
    assert again.startswith("To go on: tune-kmixup launch iris/mlp@0") and not (tmp_path / "run").exists()
