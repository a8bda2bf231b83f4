"""On a Ray cluster of several nodes, all of them on this machine."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from ray.cluster_utils import Cluster
from ray.util import get_node_ip_address

from tests.helpers.launches import (
    ROOT,
    begun,
    command,
    reproducible,
    result_files,
    run_cli,
    workers,
)
from tune_kmixup.core.rows import Row
from tune_kmixup.store.run_dir import RunDir

pytestmark = pytest.mark.slow

SUITE = [
    "launch",
    "iris/mlp@0",
    "iris/mlp@1",
    "--trials",
    "3",
    "--search-seeds",
    "1",
    "--final-seeds",
    "2",
    "--shortlist",
    "1",
]
SUITE += ["--epochs", "1000", "--sampler", "qmc", "--batch-seeds", "on"]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield found
    found.shutdown()


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    out = tmp_path_factory.mktemp("alone") / "run"
    run_cli(*SUITE, "--out", out)
    return RunDir(out)


def without_machine(run: RunDir) -> dict[tuple[object, ...], Row]:
    return {key: replace(row, code=None) for key, row in reproducible(run).items()}


def test_a_cluster_gives_what_one_machine_gives_and_runs_the_code_of_the_launch(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The launch comes from a copy of the source that no node has on its path."""
    short = [*SUITE, "--epochs", "20"]  # the last one counts
    run_cli(*short, "--out", tmp_path / "alone")
    cluster.add_node(num_cpus=1)
    for package in ("tune_kmixup", "search_spaces"):
        shutil.copytree(ROOT / package, tmp_path / "copy" / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "copy" / "tune_kmixup" / "data" / "synthetic.py").open("a") as file:
        file.write("\n# another version\n")
    launch = command(*short, "--address", cluster.address, "--out", tmp_path / "run")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "copy")}
    done = subprocess.run(launch, cwd=tmp_path / "copy", env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    ours, theirs = RunDir(tmp_path / "run"), RunDir(tmp_path / "alone")
    assert without_machine(ours) == without_machine(theirs)
    versions = [{row.code for row in reproducible(run).values()} for run in (ours, theirs)]
    assert len(versions[0]) == len(versions[1]) == 1 and versions[0] != versions[1]


@pytest.mark.thorough
def test_a_node_leaves_and_another_joins(cluster: Cluster, alone: RunDir, tmp_path: Path) -> None:
    leaving = cluster.add_node(num_cpus=1)
    out = tmp_path / "run"
    launch = command(*SUITE, "--address", cluster.address, "--out", out)
    process = subprocess.Popen(launch, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until = time.monotonic() + 120
    while time.monotonic() < until and not list(out.rglob("search-*.json")):
        time.sleep(0.2)
    cluster.remove_node(leaving, allow_graceful=False)
    cluster.add_node(num_cpus=1)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0, printed
    assert reproducible(RunDir(out)) == reproducible(alone)


def test_a_cluster_whose_server_dies_ends_the_launch_in_a_line(tmp_path: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    out, address = tmp_path / "my run", cluster.address
    options = [f"--address={address}", "--max-concurrent=1"]
    process = begun(out, *options, "--epochs=60000", on_cluster=True, RAY_gcs_rpc_server_reconnect_timeout_s="20")
    try:
        os.kill(cluster.head_node.all_processes["gcs_server"][0].process.pid, signal.SIGKILL)
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        cluster.shutdown()
    assert process.returncode == 1, printed
    assert f"error: the Ray cluster at {address} has not answered for 1" in printed
    assert (
        printed.endswith(f"To go on: tune-kmixup resume '{out}' {' '.join(options)}\n") and "Traceback" not in printed
    )


VICTIMS = ("worker", "node", "driver", "worker")


@pytest.mark.thorough
def test_kills_of_driver_workers_and_nodes_lose_nothing(alone: RunDir, tmp_path: Path) -> None:
    """Each strikes once a further result exists or some seconds have passed. The runs at the end are those of a launch
    without kills, bit for bit, none twice."""
    chance = random.Random(0)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    out = tmp_path / "run"
    launch = command(*SUITE, "--address", cluster.address, "--out", out)
    process = begin(launch)
    try:
        for number in range(20):
            results, until = len(result_files(out)), time.monotonic() + chance.uniform(5, 15)
            while len(result_files(out)) == results and time.monotonic() < until:
                time.sleep(0.1)
            if process.poll() is not None:  # it was killed, or retried a trial too often
                process = begin(launch)
            victim = VICTIMS[number % len(VICTIMS)]
            if victim == "driver":
                process.kill()
                process.wait()
            elif victim == "worker":
                for pid in workers(os.getpid())[:1]:  # this process started the nodes
                    os.kill(pid, signal.SIGKILL)
            else:
                cluster.remove_node(nodes.pop(chance.randrange(len(nodes))), allow_graceful=False)
                nodes.append(cluster.add_node(num_cpus=1))
        if process.poll() is None:
            process.wait(timeout=200)
        for _ in range(3):  # the last launch may have been a victim
            done = subprocess.run(launch, cwd=ROOT, capture_output=True, text=True, timeout=200)
            if done.returncode == 0:
                break
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        process.kill()
        cluster.shutdown()
    assert reproducible(RunDir(out)) == reproducible(alone)


def begin(launch: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(launch, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Guarded(NamedTuple):
    """A cluster of one node that asks for a token."""

    address: str
    env: dict[str, str]  # an environment that has its token


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    short = tempfile.mkdtemp()  # the paths of sockets may not be long
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64, "RAY_TMPDIR": short}
    start = ["start", "--head", "--block", f"--port={port}", "--num-cpus=2"]
    start += ["--include-dashboard=false", "--dashboard-agent-listen-port=0"]
    quiet = {"env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    node = subprocess.Popen([Path(sys.executable).with_name("ray"), *start], **quiet)  # type: ignore[call-overload]
    try:
        host, until = get_node_ip_address(), time.monotonic() + 60
        while socket.socket().connect_ex((host, port)) and time.monotonic() < until:
            time.sleep(0.5)
        yield Guarded(f"{host}:{port}", env)
    finally:
        node.terminate()
        node.wait(timeout=60)
        shutil.rmtree(short, ignore_errors=True)


@pytest.mark.thorough
def test_a_cluster_that_asks_for_a_token(guarded: Guarded, tmp_path: Path) -> None:
    """Ray's token authentication, on loopback: with the token a launch runs, with another it is refused in a line."""
    launch = command("launch", "iris/mlp@0", "--method", "erm", "--final-seeds", "1")
    launch += ["--address", guarded.address, "--out", str(tmp_path / "run")]
    wrong = guarded.env | {"RAY_AUTH_TOKEN": "b" * 64}
    refused = subprocess.run(launch, cwd=ROOT, env=wrong, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 2 and "give its token" in refused.stderr, refused.stdout + refused.stderr
    done = subprocess.run(launch, cwd=ROOT, env=guarded.env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
