"""A launch that follows its cluster: waits for nodes, asks for them, uses those that join, and gives them back."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.clusters import AutoscalingCluster, autoscaling_cluster
from tests.helpers.launches import ROOT, beat_of, command, reproducible, result_files, run_cli, workers
from tune_kmixup.core.errors import BadInput
from tune_kmixup.planning.resources import Resources
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.tuning import capacity
from tune_kmixup.tuning.capacity import Capacity, misfit
from tune_kmixup.tuning.slots import Node

CPU = {"CPU": 1.0}


@pytest.mark.parametrize(
    ("resources", "nodes", "message"),
    [
        (Resources(), [], "cpus_per_trial=1 does not fit: no node has more than 0 CPUs. Choose --address of a larger"),
        (
            Resources(address="auto", cpus_per_trial=8),
            [Node("a", 4, 0), Node("b", 6, 0)],
            "no node has more than 6 CPUs after 60 s. Choose cpus_per_trial ≤ 6, or a longer --wait, or more nodes.",
        ),
        (
            Resources(gpus_per_trial=0.5),
            [Node("a", 4, 0)],
            "gpus_per_trial=0.5 does not fit: no node has more than 0 GPUs. Choose gpus_per_trial=0 to train on CPUs,",
        ),
        (
            Resources(cpus_per_trial=4, gpus_per_trial="auto"),
            [Node("a", 8, 0), Node("b", 2, 1)],
            "no node has 4 CPUs and 1 GPU: 2 nodes, 10 CPUs, 1 GPU. Choose smaller cpus_per_trial or gpus_per_trial,",
        ),
    ],
)
def test_what_does_not_fit_is_said_with_a_remedy(resources: Resources, nodes: list[Node], message: str) -> None:
    assert message in misfit(resources, nodes, 60.0 if resources.address else 0.0)


class Asked:
    """Stands in for Ray's autoscaler, and remembers what it is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.requests: list[list[dict[str, float]]] = []
        monkeypatch.setattr(capacity.sdk, "request_resources", lambda bundles: self.requests.append(bundles))


def test_an_autoscaler_is_asked_when_the_demand_changes_and_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch)
    followed = Capacity(Resources(address="auto"))
    for count in (2, 2, 3, 3, 1):
        followed.ask([CPU] * count)
    assert asked.requests == [[CPU] * 2, [CPU] * 3, [CPU]]
    monkeypatch.setattr(capacity, "ASK_AGAIN_SECONDS", 0.0)
    followed.ask([CPU])
    assert asked.requests[-2:] == [[CPU], [CPU]], "another launch may have asked for less"
    Capacity(Resources()).ask([CPU])
    assert len(asked.requests) == 4, "a Ray that the launch has started itself does not grow"


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, BadInput])
def test_what_was_asked_is_taken_back_however_a_launch_ends(
    error: type[BaseException] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    monkeypatch.setattr(capacity.ray, "is_initialized", lambda: True)
    try:
        with capacity.capacity_of(Resources(address="auto")) as followed:
            followed.ask([CPU])
            if error:
                raise error
    except (KeyboardInterrupt, BadInput):
        pass
    assert asked.requests == [[CPU], []]


def test_a_first_node_is_waited_for_and_no_longer_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    Asked(monkeypatch)
    monkeypatch.setattr(capacity, "POLL_SECONDS", 0.01)
    followed = Capacity(Resources(address="auto", wait=0.2))
    arrivals = iter([[], [Node("small", 0.5, 0)], [Node("large", 2, 0)]])
    monkeypatch.setattr(followed, "nodes", lambda: next(arrivals))
    phases: list[str] = []
    assert followed.wait_for_node([CPU], phases.append) == [Node("large", 2, 0)]
    assert phases[0] == "Waiting for a node with 1 CPU: the cluster has 0 nodes, 0 CPUs, 0 GPUs"
    monkeypatch.setattr(followed, "nodes", lambda: [Node("head", 0, 0)])
    began = time.monotonic()
    with pytest.raises(BadInput, match=r"cpus_per_trial=1 does not fit: .* after 0\.2 s"):
        followed.wait_for_node([CPU], phases.append)
    assert 0.2 <= time.monotonic() - began < 5


# On a real autoscaler

# Long enough to outlast the eight seconds that Ray takes to notice a dead node, also where trials are fast.
SUITE = ["launch", "iris/mlp@0", "--method", "mixup", "--trials", "6", "--search-seeds", "1", "--shortlist", "1"]
SUITE += ["--final-seeds", "1", "--epochs", "4000", "--sampler", "qmc", "--batch-seeds", "off"]
WORKER = {"worker": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 3}}


def wait_until(condition: Callable[[], object], what: str, seconds: float = 120.0) -> float:
    """Waits, and returns how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - began


@pytest.mark.thorough  # three to six minutes of starting, losing and waiting for nodes
def test_a_launch_breathes_with_its_cluster(tmp_path: Path) -> None:
    """It begins on an empty cluster that grows to three nodes, loses one to SIGKILL, is stopped by SIGTERM, and is
    resumed on one node. Its rows are those of a launch left alone."""
    out = tmp_path / "run"
    with autoscaling_cluster(WORKER, most=3, idle_seconds=5.0) as cluster:
        launch = command(*SUITE, "--address", cluster.address, "--out", out)
        process = subprocess.Popen(launch, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            breathe(process, cluster, out)
            printed, _ = process.communicate(timeout=25)
        except AssertionError as error:
            process.kill()
            raise AssertionError(f"{error}\n{process.communicate()[0]}") from error
        finally:
            process.kill()
        assert process.returncode == 128 + signal.SIGTERM, printed
        assert "Waiting for a node with 1 CPU: the cluster has 1 node, 0 CPUs, 0 GPUs" in printed
        assert f"To go on: tune-kmixup resume {out} --address={cluster.address} --batch-seeds=off" in printed
        assert "Traceback" not in printed and beat_of(RunDir(out)).ended
        assert list((out / "checkpoints").rglob("*.pt")), "the trials in progress were saved"
        assert not workers(cluster.pid), "no process of the launch is left"
        wait_until(lambda: not cluster.raylets(), "the nodes are given back")
        assert "its node has died" not in printed and "(raylet)" not in printed, "a node that leaves is no news"
    run_cli("resume", out, "--batch-seeds", "off")
    run_cli(*SUITE, "--out", tmp_path / "alone")
    assert reproducible(RunDir(out)) == reproducible(RunDir(tmp_path / "alone"))


def breathe(process: "subprocess.Popen[str]", cluster: AutoscalingCluster, out: Path) -> None:
    """From no node to three, one of which is killed, to SIGTERM while trials run. Ray may replace the lost one."""
    wait_until(lambda: len(cluster.raylets()) == 3, "three nodes")
    seconds = wait_until(lambda: len(workers(cluster.pid)) == 3, "a trial on each node, all on this machine")
    print(f"{seconds:.1f} s from the third of three nodes on this machine to a trial on each")
    wait_until(lambda: (beat := RunDir(out).heartbeat()) is not None and beat.slots == 3, "three slots")
    cluster.kill_node()
    wait_until(lambda: beat_of(RunDir(out)).slots < 3, "two slots")
    wait_until(lambda: result_files(out) and workers(cluster.pid), "a result, and trials in progress")
    time.sleep(1)  # in the middle of a run
    process.send_signal(signal.SIGTERM)


@pytest.mark.slow
def test_a_cluster_without_a_node_is_refused_after_the_wait(tmp_path: Path) -> None:
    none = {"worker": WORKER["worker"] | {"max_workers": 0}}
    with autoscaling_cluster(none, most=0) as cluster:
        args = [*SUITE, "--out", tmp_path / "run", "--wait", "3s", "--address", cluster.address]
        printed = run_cli(*args, code=2)
    assert "no node has more than 0 CPUs after 3 s. Choose a longer --wait, or more nodes." in printed
    assert not (tmp_path / "run").exists() and not os.environ.get("RAY_ADDRESS")
