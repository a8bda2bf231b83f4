"""Run directories in an object store, tested with moto's S3 server on the loopback interface."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from ray.util import get_node_ip_address

from tests.helpers.clusters import a_cluster
from tests.helpers.launches import (
    LONG,
    beat_of,
    descendants,
    holder_of,
    reproducible,
    results_of,
    run_cli,
    run_cli_in_process,
    workers,
)
from tests.helpers.suites import made_up_rows
from tune_kmixup.analysis.load import load
from tune_kmixup.core.config import Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.planning.suite import check_continues
from tune_kmixup.search.study_queue import StudyQueue
from tune_kmixup.store import files, lock
from tune_kmixup.store.lock import run_lock
from tune_kmixup.store.notes import Heartbeat
from tune_kmixup.store.run_dir import CorruptFile, Results, RunDir
from tune_kmixup.store.status import launch_status
from tune_kmixup.training import checkpoint

ROOT = Path(__file__).parents[2]
BUCKET = "experiments"


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedMotoServer]:
    """An S3 server. This process and those it starts find it by their environment."""
    moto_server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto_server.start()
    host, port = moto_server.get_host_and_port()
    credentials = {
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**credentials, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield moto_server
    moto_server.stop()


@pytest.fixture
def run(server: ThreadedMotoServer, request: pytest.FixtureRequest) -> RunDir:
    return RunDir(f"s3://{BUCKET}/{request.node.name}/run")


def keys(run: RunDir) -> set[str]:
    prefix = files.store_key(run.path).removeprefix(f"{BUCKET}/") + "/"
    objects = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return {entry["Key"].removeprefix(prefix) for entry in objects}


def test_written_files_are_read_back(run: RunDir, suite: Suite) -> None:
    assert not run.exists() and check_continues(run, suite) == suite
    run.write_suite(suite)
    study = suite.studies[1]
    trial = suite.search_trial(study, 0, {"alpha": 0.5})
    rows = made_up_rows(suite, trial)
    run.write_proposal(study.name, 0, {"alpha": 0.5})
    run.write_failure(trial, "went wrong")
    with run.local_copy() as local:
        assert results_of(local, study.name).failures == {"search-0000": "went wrong"}
    run.write_rows(trial, rows)
    run.write_rows(trial, rows)  # a store may say that what a retry has written exists
    with pytest.raises(FileExistsError, match="something else"):
        run.write_rows(trial, rows[:1])
    run.write_heartbeat(Heartbeat("a", 1, since=0.0, updated=1.0, ended=True, slots=2))
    run.write_memory({2**34: {"iris/mlp": {2: 10**9}}})
    reopened = RunDir(str(run.path))
    assert reopened.suite() == suite and reopened.memory() == {2**34: {"iris/mlp": {2: 10**9}}}
    with reopened.local_copy() as local:
        assert results_of(local, study.name).rows == rows and results_of(local, study.name).failures == {}
        assert results_of(local, study.name).proposals == {0: {"alpha": 0.5}}
        copy_path = local.path
    assert not copy_path.exists(), "the copy is removed"
    files.create(run.path.parent / "archive.tar", b"not of a run directory")
    with RunDir(run.path.parent).local_copy() as above:
        assert [path for path in above.path.rglob("*") if path.is_file()] == [above.path / "run" / "suite.json"]
        with pytest.raises(BadInput, match=r"holds no suite\.json, but run in it does: name the --out of a launch"):
            above.suite()
    assert keys(run) == {
        "suite.json",
        "launch.json",
        "memory.json",
        f"studies/{study.name}/proposal-0000.json",
        f"studies/{study.name}/search-0000.json",
    }
    assert launch_status(run).studies[1].search_done == len(rows)
    assert len(load([run.path]).rows) == len(rows)


def test_checkpoints(run: RunDir, suite: Suite) -> None:
    trial = suite.search_trial(suite.studies[1], 0, {"alpha": 0.5})
    path = run.checkpoint(trial)
    assert checkpoint.load(path, "me") is None
    rows = made_up_rows(suite, trial)
    checkpoint.save(path, "me", rows, None)
    assert checkpoint.load(path, "me") == (rows, None)
    assert checkpoint.load(path, "another") is None


def test_models_are_kept_and_not_copied(run: RunDir, suite: Suite) -> None:
    """With the models of a trial all are there before its rows are, and reading results takes none of them along."""
    suite = dataclasses.replace(suite, save_models=True)
    run.write_suite(suite)
    study = suite.studies[0]
    (trial,) = suite.final_trials(study, 0, {}, (), 10)
    queue = StudyQueue(suite, study, run, Results({0: {}}, [], {}), batched=True)
    queue.running["ray"] = trial
    for seed in trial.seeds[:-1]:
        files.create(run.ended_model(trial, seed), b"weights of %d" % seed)
    with pytest.raises(FileNotFoundError):
        queue.finish("ray", made_up_rows(suite, trial))
    assert not files.exists(run.rows_path(trial)), "a finished run always has its model"
    queue.running["ray"] = trial
    for seed in trial.seeds:  # a retry
        files.create(run.ended_model(trial, seed), b"again, of %d" % seed)
    queue.finish("ray", made_up_rows(suite, trial))
    models = [run.model(study.name, 0, seed) for seed in trial.seeds]
    assert [files.read(path) for path in models] == [b"again, of %d" % seed for seed in trial.seeds]
    assert not [key for key in keys(run) if key.startswith("checkpoints")]
    run.write_proposal(study.name, 0, {})
    with run.local_copy() as local:
        assert len(results_of(local, study.name).rows) == 3 and not (local.path / "models").exists()


def test_a_write_that_fails_leaves_nothing(run: RunDir) -> None:
    with pytest.raises(RuntimeError), files.atomic_write(run.path / "half.json") as file:
        file.write(b"[")
        raise RuntimeError
    assert keys(run) == set()


def test_a_file_that_is_replaced_meanwhile_is_read_whole(run: RunDir) -> None:
    path, done = run.path / "launch.lock", threading.Event()
    contents = [bytes([letter]) * size for letter, size in ((1, 10_000), (2, 20_000))]
    files.create(path, contents[0])

    def replace() -> None:
        while not done.is_set():
            for content in contents:
                with files.atomic_write(path) as file:
                    file.write(content)

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        assert {files.read(path) for _ in range(50)} <= set(contents)
    finally:
        done.set()
        writer.join()


def test_a_corrupt_result_is_named_by_its_url(run: RunDir, suite: Suite) -> None:
    run.write_suite(suite)
    path = run.rows_path(suite.search_trial(suite.studies[1], 0, {}))
    assert files.create(path, b"[{")
    with pytest.raises(CorruptFile, match=str(path)):
        launch_status(run)
    files.remove(path)
    files.remove(path)  # no error if it does not exist
    launch_status(run)


def test_a_location_with_other_files_is_refused(run: RunDir, suite: Suite) -> None:
    files.create(run.path / "thesis.tex", b"")
    with pytest.raises(BadInput, match="holds something else"):
        check_continues(run, suite)


def test_one_launch_at_a_time(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.1)
    with run_lock(run):
        first = holder_of(run)
        with pytest.raises(BadInput, match=f"in use by process {os.getpid()} on "), run_lock(run):
            pass
        deadline = time.monotonic() + 10
        while holder_of(run).updated == first.updated and time.monotonic() < deadline:
            time.sleep(0.05)
        assert holder_of(run).updated > first.updated, "the lease is renewed"
    assert keys(run) == set()
    with run_lock(run):
        pass


DEAD = {"host": "another", "pid": 1, "since": 0.0, "updated": 0.0, "by": "it"}


def lease(run: RunDir, number: int, **changes: object) -> None:
    """Another launch takes a lease."""
    assert files.create(run.path / f"launch-{number}.lock", json.dumps(DEAD | changes).encode())


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_at_once_one_holds_it(run: RunDir, stale: bool) -> None:
    """Also where all of them find a lease that nobody renews: none removes that of the one that took over."""
    if stale:
        lease(run, 7)
    holders: list[set[str]] = []
    refused, all_tried = [], threading.Barrier(8)

    def acquire(number: int) -> None:
        try:
            with run_lock(run):
                all_tried.wait(30)
                holders.append(keys(run))
        except BadInput:
            refused.append(number)
            all_tried.wait(30)

    threads = [threading.Thread(target=acquire, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert holders == [{f"launch-{8 if stale else 1}.lock"}] and len(refused) == 7
    assert keys(run) == set(), "it is released"


def test_a_lease_left_by_a_dead_process_is_taken_over(run: RunDir) -> None:
    lease(run, 3)
    with run_lock(run):
        assert holder_of(run).pid == os.getpid() and keys(run) == {"launch-4.lock"}


def test_a_launch_that_paused_while_others_came_and_went_is_refused(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It read that lease 3 is dead. Then another launch took 4 and died, and a third one took 5."""
    lease(run, 3)
    lease(run, 5, updated=time.time())
    numbers = [3]  # what it had read
    listed = lock.lease_numbers
    monkeypatch.setattr(lock, "lease_numbers", lambda folder: [numbers.pop()] if numbers else listed(folder))
    with pytest.raises(BadInput, match="in use"), run_lock(run):
        pass
    assert keys(run) == {"launch-3.lock", "launch-5.lock"}


def test_a_launch_that_was_taken_over_stops(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.1)
    with pytest.raises(KeyboardInterrupt), run_lock(run):
        lease(run, 2, updated=time.time())
        time.sleep(10)
    assert keys(run) == {"launch-2.lock"}, "the other launch keeps its lease"


@pytest.mark.slow
def test_a_store_that_is_not_there_is_said_in_a_line(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    no_bucket = RunDir("s3://no-such-bucket/run")
    with pytest.raises(BadInput, match="cannot be written"), run_lock(no_bucket):
        pass
    with pytest.raises(BadInput, match=r"cannot be read .*bucket does not exist"):
        launch_status(no_bucket)
    with pytest.raises(BadInput, match=r"holds no suite\.json"):
        launch_status(run)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    files.filesystem(no_bucket.path).clear_instance_cache()  # so that the variable is read again
    with pytest.raises(BadInput, match=r"cannot be read .*Could not connect"):
        launch_status(RunDir("s3://another-bucket/run"))
    with pytest.raises(
        OSError, match=r"node \S+ cannot read s3://\S+ .*Could not connect.*: give it access in the env"
    ):
        checkpoint.load(files.parse_location("s3://another-bucket/checkpoint.pt"), "of a node without access")
    files.filesystem(no_bucket.path).clear_instance_cache()  # later tests need the previous value


LAUNCH = [
    "launch",
    "iris/mlp@0",
    "--trials",
    "3",
    "--search-seeds",
    "1",
    "--final-seeds",
    "2",
    "--shortlist",
    "1",
    "--epochs",
    "20",
]


@pytest.fixture(scope="module")
def ray_address(server: ThreadedMotoServer) -> Iterator[str]:
    """A Ray whose workers find the server, by the environment in which it starts."""
    with a_cluster() as address:
        yield address


@pytest.mark.slow
def test_a_launch_into_a_store_from_the_command_line(run: RunDir, ray_address: str, tmp_path: Path) -> None:
    url, on_ray = str(run.path), ["--address", ray_address, "--max-concurrent", "1", "--batch-seeds", "off"]
    assert f"Done: every run in {url} is finished" in run_cli_in_process(*LAUNCH, *on_ray, "--out", url)
    assert "Nothing to do" in run_cli_in_process("resume", url)
    assert "3/3" in run_cli_in_process("status", url) and "2/2" in run_cli_in_process("status", url)
    assert "iris/mlp" in run_cli_in_process("report", url, "--out", tmp_path / "report", "--format", "md")
    assert "3 studies, 7 trials" in run_cli_in_process("export", url, "--to", tmp_path / "optuna.db")
    assert not {key for key in keys(run) if key.startswith("checkpoints") or key.endswith("lock")}
    assert "leave it out" in run_cli_in_process("resume", url, "--trials", "4", "--log-to", "tensorboard", code=2)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("nothing://a/b", "name a folder, s3://"),
        ("gs://a/b", "pip install gcsfs"),
        ("S3://a/b", "is no URL of a store: write s3://"),
        ("s3:/a/b", "is no URL of a store: write s3://"),
        ("simplecache::s3://a/b", "is no URL of a store: write s3://"),
    ],
)
def test_a_store_without_its_package_is_refused(location: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(BadInput, match=message):
        files.parse_location(location)


ON_OWN_DISK = """
mount -t tmpfs tmpfs "$DISK" && mkdir -p "$DISK/home" "$DISK/ray" && cd "$DISK" && exec "$@"
"""


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder where each node mounts a disk of its own. Its path is short enough for sockets."""
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run(
            ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True
        ).returncode:
            pytest.skip("this process may not mount a disk")
        yield Path(folder)


@pytest.mark.thorough
def test_nodes_that_share_no_disk(run: RunDir, disk: Path, tmp_path: Path) -> None:
    """A launch is interrupted on two nodes and resumed from the store on one of them. Results are equal bit by bit."""
    ray = str(Path(sys.executable).with_name("ray"))
    env = os.environ | {"DISK": str(disk), "HOME": f"{disk}/home", "TMPDIR": str(disk), "RAY_TMPDIR": f"{disk}/ray"}
    env |= {"TUNE_KMIXUP_DATA": f"{disk}/data", "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    with socket.socket() as free_port:
        free_port.bind(("127.0.0.1", 0))
        address = f"{get_node_ip_address()}:{free_port.getsockname()[1]}"
    quiet = {"env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def start_node(*options: str) -> "subprocess.Popen[bytes]":
        start = [ray, "start", "--block", "--num-cpus=1", "--dashboard-agent-listen-port=0", *options]
        command = ["unshare", "--mount", "bash", "-c", ON_OWN_DISK, "node", *start]
        return subprocess.Popen(command, **quiet)  # type: ignore[call-overload, no-any-return]

    def start_on_head(*args: str) -> "subprocess.Popen[str]":
        command = ["nsenter", "--mount", f"--target={head.pid}", f"--wd={disk}", sys.executable, "-m", "tune_kmixup"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": env}
        return subprocess.Popen([*command, *args, "--address", address], **pipes)  # type: ignore[call-overload, no-any-return]

    head = start_node("--head", f"--port={address.rpartition(':')[2]}", "--include-dashboard=false")
    deadline = time.monotonic() + 60
    while socket.socket().connect_ex((address.partition(":")[0], int(address.partition(":")[2]))):
        assert time.monotonic() < deadline and head.poll() is None
        time.sleep(0.2)
    other = start_node(f"--address={address}")
    try:
        launched = start_on_head("launch", *LONG[1:], "--epochs", "15000", "--out", str(run.path))
        deadline = time.monotonic() + 120
        while len(workers(os.getpid())) < 2 and launched.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(2)  # both are in training then
        launched.send_signal(signal.SIGINT)
        printed, _ = launched.communicate(timeout=60)
        assert launched.returncode == 130, printed
        assert beat_of(run).slots == 2
        assert {key for key in keys(run) if key.endswith(".pt")} == {
            f"checkpoints/iris/mlp@0/{method}/search-0000.pt" for method in ("erm", "mixup")
        }
        other.kill()
        resumed = start_on_head("resume", str(run.path))
        printed, _ = resumed.communicate(timeout=200)
        assert resumed.returncode == 0, printed
    finally:
        for process in (other, head):
            for pid in descendants(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
    assert not list(disk.iterdir()), "each node wrote only to its own disk"
    run_cli(*LONG, "--epochs", "15000", "--out", tmp_path / "uninterrupted")
    with run.local_copy() as local:
        assert reproducible(local) == reproducible(RunDir(tmp_path / "uninterrupted"))
