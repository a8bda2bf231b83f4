"""Ray clusters whose nodes are all on this machine: of one node, and one that Ray's own autoscaler changes."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ray.util import get_node_ip_address

from tests.helpers.launches import descendants, title

# What Ray's provider of fake nodes takes for the head.
HEAD_ID, HEAD_TYPE = "f" * 51 + "00000", "ray.head.default"


@dataclass(frozen=True)
class AutoscalingCluster:
    """A cluster whose head runs no trials, and whose other nodes come and go.

    Attributes:
        address: of its head.
        pid: process of its head, above those of all nodes.
    """

    address: str
    pid: int

    def raylets(self) -> list[int]:
        """The processes of the nodes that are there beside the head, oldest first."""
        found = [pid for pid in descendants(self.pid) if b"/raylet\0" in title(pid)[:300]]
        return sorted(found)[1:]

    def kill_node(self) -> None:
        """Ends a node without notice."""
        os.kill(self.raylets()[-1], signal.SIGKILL)


@contextmanager
def a_cluster() -> Iterator[str]:
    """The address of a cluster of one node: 4 CPUs, and two GPUs in name only."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 4, "num_gpus": 2, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster.address
    cluster.shutdown()


@contextmanager
def autoscaling_cluster(
    node_types: Mapping[str, Any], most: int, idle_seconds: float = 30.0
) -> Iterator[AutoscalingCluster]:
    """Starts a cluster with Ray's real autoscaler, whose provider starts nodes as processes of this machine.

    Ray's own `ray.cluster_utils.AutoscalingCluster` does the same, but first stops every Ray of the machine.

    Args:
        node_types: `available_node_types` of a file for Ray's cluster launcher, without that of the head.
        most: largest number of nodes beside the head.
        idle_seconds: after which a node without work leaves.
    """
    with tempfile.TemporaryDirectory(prefix="as", ignore_cleanup_errors=True) as folder, socket.socket() as free:
        free.bind(("", 0))
        host, port = get_node_ip_address(), free.getsockname()[1]
        address = f"{host}:{port}"
        lists = ("setup", "initialization", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
        # No node is set up by ssh, and nodes that share an address are told apart by their ids.
        flags = ("launch_multiple", "use_node_id_as_ip", "disable_node_updaters", "disable_launch_config_check")
        provider = {
            "type": "fake_multinode",
            "head_node_id": HEAD_ID,
            "gcs_address": address,
            **dict.fromkeys(flags, True),
        }
        config = {
            "cluster_name": "test",
            "max_workers": most,
            "idle_timeout_minutes": idle_seconds / 60,
            "provider": provider,
            "auth": {"ssh_user": "x"},
            "available_node_types": {HEAD_TYPE: {"resources": {}, "node_config": {}, "max_workers": 0}, **node_types},
            "head_node_type": HEAD_TYPE,
            **{name: {} for name in ("head_node", "worker_nodes", "file_mounts", "docker")},
            **{f"{name}_commands": [] for name in lists},
            **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
        }
        (path := Path(folder, "config.yaml")).write_text(yaml.safe_dump(config))
        free.close()
        start = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}"]
        start += ["--num-cpus=0", "--num-gpus=0", "--include-dashboard=false", f"--autoscaling-config={path}"]
        start += [f"--temp-dir={folder}", "--dashboard-agent-listen-port=0"]
        fake = {
            "RAY_AUTH_MODE": "disabled",  # or it asks for the token that `ray.init` once wrote to the home directory
            "RAY_FAKE_CLUSTER": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
            "RAY_health_check_period_ms": "1000",  # a node that was killed is missed after seconds
        }
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        head = subprocess.Popen(start, env={**os.environ, **fake}, start_new_session=True, **quiet)  # type: ignore[call-overload]
        try:
            until = time.monotonic() + 60
            while socket.socket().connect_ex((host, port)) and time.monotonic() < until:
                time.sleep(0.2)
            yield AutoscalingCluster(address, head.pid)
        finally:
            for pid in descendants(head.pid):  # one by one: `ray stop` would end every Ray of the machine
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            head.wait(timeout=60)
