"""What a cluster carries: its nodes, and how many trials run on them at once."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from tune_kmixup.core.checks import MOST


class Node(NamedTuple):
    """A node of a Ray cluster.

    Attributes:
        id: Ray's id of it.
        cpus: its CPUs, free or not.
        gpus: its GPUs, free or not.
    """

    id: str
    cpus: float
    gpus: float

    def carries(self, cpus: float, gpus: float) -> int:
        """The number of trials that fit on it at once.

        Args:
            cpus: CPUs of a trial, > 0.
            gpus: GPUs of a trial, ≥ 0. A trial with less than one GPU does not fit on parts of two.
        """
        fit = int(self.cpus / cpus + 1e-9)
        if 0 < gpus < 1:
            return min(fit, int(self.gpus) * int(1 / gpus + 1e-9))
        return min(fit, int(self.gpus / gpus + 1e-9)) if gpus else fit


def bundle(cpus: float, gpus: float) -> dict[str, float]:
    """What Ray calls a bundle of resources. An autoscaler takes a GPU of size 0 for one that no node has."""
    return {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}


class Slots(Protocol):
    """Which trials can run now, on nodes that come and go. Tasks are named without their split."""

    @property
    def slots(self) -> float: ...  # what can be busy at once: trials, or GPUs where trials share them

    @property
    def shares(self) -> Mapping[str, float]: ...  # task -> share of a slot, where that is not a whole one

    def follow(self, nodes: Sequence[Node]) -> None: ...  # takes note of the nodes that are there now

    def request(self, task: str) -> dict[str, float]: ...  # resources that Ray reserves for a trial

    def priority(self, task: str, seconds: float) -> tuple[float, float]: ...  # sort key: greatest first

    def fits(self, task: str) -> bool: ...

    def acquire(self, ray_id: str, task: str) -> None: ...

    def release(self, ray_id: str) -> None: ...


ENDLESS = Node("endless", MOST, MOST)  # a node that carries any number of trials


class EqualSlots:
    """Slots for trials that all need the same CPUs and GPUs: a trial takes one.

    Args:
        cpus_per_trial: CPUs of one trial, > 0.
        gpus_per_trial: GPUs of one trial, ≥ 0.
        max_concurrent: upper limit on the number of trials at once; None: as many as fit.
        nodes: the nodes that are there.
    """

    shares: Mapping[str, float] = {}

    def __init__(
        self,
        cpus_per_trial: float = 1.0,
        gpus_per_trial: float = 0.0,
        max_concurrent: int | None = None,
        nodes: Sequence[Node] = (ENDLESS,),
    ):
        self.cpus_per_trial, self.gpus_per_trial, self.max_concurrent = cpus_per_trial, gpus_per_trial, max_concurrent
        self.taken: set[str] = set()  # Ray's ids of the trials that hold a slot
        self.follow(nodes)

    def follow(self, nodes: Sequence[Node]) -> None:
        """Counts the trials that fit on the nodes that are there now."""
        fit = sum(node.carries(self.cpus_per_trial, self.gpus_per_trial) for node in nodes)
        self.slots: float = min(fit, self.max_concurrent or fit)

    def request(self, task: str) -> dict[str, float]:
        """The resources that Ray reserves for a trial."""
        return bundle(self.cpus_per_trial, self.gpus_per_trial)

    def priority(self, task: str, seconds: float) -> tuple[float, float]:
        """The training time that the remaining trials of a task take: the longest goes first."""
        return seconds, 1.0

    def fits(self, task: str) -> bool:
        """Whether a slot is free."""
        return len(self.taken) < self.slots

    def acquire(self, ray_id: str, task: str) -> None:
        """Takes a slot for a trial."""
        self.taken.add(ray_id)

    def release(self, ray_id: str) -> None:
        """Gives back the slot of a trial, if it holds one."""
        self.taken.discard(ray_id)
