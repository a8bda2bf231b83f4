"""Follows the nodes of a cluster, and asks its autoscaler for what a launch can use."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import ray
from ray.autoscaler import sdk
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.experimental.internal_kv import _internal_kv_get

from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.text import plural
from tune_kmixup.planning.resources import Resources
from tune_kmixup.tuning.slots import Node

POLL_SECONDS = 1.0  # between two looks at the nodes of a cluster
# Ray keeps one request per cluster, the last one. Repeated, it outlives the end of another launch on the same cluster.
ASK_AGAIN_SECONDS = 30.0
MOST_BUNDLES = 1000  # trials that are asked for at once: an autoscaler compares each with every kind of node
WAIT_SECONDS, WAIT_FOR_AUTOSCALER_SECONDS = 60.0, 900.0  # by default, for the first node that carries a trial

Bundle = Mapping[str, float]  # the resources of a trial, e.g. {"CPU": 1, "GPU": 0.5}


class Capacity:
    """The nodes of a cluster, and what is asked of its autoscaler.

    Args:
        resources: those of a trial. Nothing is asked of a Ray that the launch has started itself.
    """

    def __init__(self, resources: Resources):
        self.resources = resources
        self.asked: list[Bundle] | None = None  # None: nothing has been asked
        self.asked_at = 0.0

    @property
    def most(self) -> int:
        """Trials that are asked for at once, at most."""
        return min(MOST_BUNDLES, self.resources.max_concurrent or MOST_BUNDLES)

    def nodes(self) -> list[Node]:
        """The nodes that are alive."""
        alive = [(node["NodeID"], node["Resources"]) for node in ray.nodes() if node["Alive"]]
        return [Node(id, found.get("CPU", 0.0), found.get("GPU", 0.0)) for id, found in alive]

    def carries_a_trial(self, nodes: Sequence[Node]) -> bool:
        """Whether a trial fits on one of the nodes."""
        return any(node.carries(self.resources.cpus_per_trial, self.resources.gpus_to_start) for node in nodes)

    def ask(self, bundles: Sequence[Bundle]) -> None:
        """Asks the autoscaler for nodes on which all of these fit at once, beside each other.

        Args:
            bundles: resources of each trial that could run now, of those that run too.
        """
        wanted = sorted(bundles, key=lambda bundle: sorted(bundle.items()))
        due = time.monotonic() - self.asked_at > ASK_AGAIN_SECONDS
        if self.resources.address and (wanted != self.asked or due):
            sdk.request_resources(bundles=[dict(bundle) for bundle in wanted])
            self.asked, self.asked_at = wanted, time.monotonic()

    def wait_for_node(self, bundles: Sequence[Bundle], on_phase: Callable[[str], None]) -> list[Node]:
        """Waits until a trial fits on a node.

        Args:
            bundles: see `ask`.
            on_phase: called once a second with what is waited for and what there is.

        Returns:
            The nodes that are there then.

        Raises:
            BadInput: if no node carries a trial within `resources.wait` seconds.
        """
        since = time.monotonic()
        while not self.carries_a_trial(nodes := self.nodes()):
            self.ask(bundles)
            seconds = self.wait_seconds()
            if time.monotonic() - since >= seconds:
                raise BadInput(misfit(self.resources, nodes, seconds))
            on_phase(f"Waiting for a node with {self.resources.to_start}: the cluster has {present(nodes)}")
            time.sleep(POLL_SECONDS)
        return nodes

    def wait_seconds(self) -> float:
        """How long a node is waited for, in seconds."""
        if self.resources.address is None:
            return 0.0
        if self.resources.wait is not None:
            return self.resources.wait
        return WAIT_FOR_AUTOSCALER_SECONDS if has_autoscaler() else WAIT_SECONDS


def misfit(resources: Resources, nodes: Sequence[Node], seconds: float = 0.0) -> str:
    """Why no trial fits on any of these nodes, and what to do.

    Args:
        resources: those of a trial.
        nodes: the nodes that are there.
        seconds: how long a larger one was waited for.
    """
    cpus, gpus = max((node.cpus for node in nodes), default=0), max((node.gpus for node in nodes), default=0)
    if resources.cpus_per_trial > cpus:
        problem = f"cpus_per_trial={resources.cpus_per_trial:g} does not fit: no node has more than {cpus:g} CPUs"
        choices = [f"cpus_per_trial ≤ {cpus:g}"] if cpus else []
    elif resources.gpus_to_start > gpus:
        needed = "'auto'" if resources.gpus_per_trial == "auto" else f"{resources.gpus_per_trial:g}"
        problem = f"gpus_per_trial={needed} does not fit: no node has more than {gpus:g} GPUs"
        choices = [f"gpus_per_trial ≤ {gpus:g}" if gpus else "gpus_per_trial=0 to train on CPUs"]
    else:
        problem = f"no node has {resources.to_start}: {present(nodes)}"
        choices = ["smaller cpus_per_trial or gpus_per_trial"]
    waited = f" after {seconds:g} s" if seconds else ""
    choices += ["a longer --wait", "more nodes"] if resources.address else ["--address of a larger cluster"]
    return f"{problem}{waited}. Choose {', or '.join(choices)}."


def present(nodes: Sequence[Node]) -> str:
    """What nodes have in words: `2 nodes, 4 CPUs, 1 GPU`."""
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    return ", ".join((plural(len(nodes), "node"), plural(cpus, "CPU"), plural(gpus, "GPU")))


@contextmanager
def capacity_of(resources: Resources) -> Iterator[Capacity]:
    """Follows the cluster for the duration of a launch. At its end, nothing is asked of the autoscaler any more."""
    capacity = Capacity(resources)
    try:
        yield capacity
    finally:
        if capacity.asked and ray.is_initialized():
            capacity.ask([])


def has_autoscaler() -> bool:
    """Whether the cluster adds nodes by itself.

    Ray runs its autoscaler in any case. Where it can only watch, it names the kind of each node after its id.
    """
    report = json.loads(_internal_kv_get("__autoscaling_status") or "{}").get("autoscaler_report") or {}
    kinds: dict[str, str] = report.get("node_type_mapping") or {}  # of its version 1
    if not kinds:
        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        kinds = {node.node_id: node.ray_node_type_name for node in (*status.active_nodes, *status.idle_nodes)}
    return any(kind != f"node_{node}" for node, kind in kinds.items())
