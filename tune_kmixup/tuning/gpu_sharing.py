"""How trials of different tasks share GPUs: the share of a GPU that each task needs, and which trials fit now."""

from collections.abc import Mapping, Sequence

from tune_kmixup.core.errors import BadInput
from tune_kmixup.tuning.slots import Node, bundle

# Factor on the measured memory, for what a short trial does not show: blocks that the allocator cannot reuse with other
# values of α and k, kernels that are loaded later, workspaces that are chosen anew. A trial that outgrows its share can
# make the other trials on its GPU run out of memory. The margin rarely costs a GPU more than one concurrent trial.
MEMORY_MARGIN = 1.2
# More trials on one GPU gain nothing. Up to 100, a share rounded to whole units still fits exactly 1/share times.
MAX_TRIALS_PER_GPU = 100
UNITS_PER_GPU = 10_000  # Ray counts GPUs in these units. Shares are rounded down: 3 x 0.3334 would not fit

# Ray Tune reuses a worker only for trials with the same share. Any other share needs a new worker, which takes seconds
# to start. So a freed share is used again until trials with another share have this many times as much work left.
REUSE_FACTOR = 2.0

MemoryNeeds = Mapping[str, int | None]  # task without its split -> bytes of GPU memory; None: more than a GPU has


def gpu_shares(needs: MemoryNeeds, gpu_memory: int, cpu_limit: float) -> dict[str, float]:
    """The share of a GPU that one trial of each task takes: 1/n if n of them fit with a margin.

    A trial that has a GPU to itself needs no margin.

    Args:
        needs: memory that one trial of each task takes.
        gpu_memory: bytes of one GPU.
        cpu_limit: trials that the CPUs per GPU can run. No more trials share a GPU, so that the CPUs never run out
            before the shares do, and the free shares alone decide what fits.

    Returns:
        Share by task without its split, in (0, 1] and a multiple of 1 / `UNITS_PER_GPU`.

    Raises:
        BadInput: for tasks that need more memory than a GPU has.
    """
    if large := sorted(task for task, need in needs.items() if need is None or need > gpu_memory):
        raise BadInput(
            f"gpus_per_trial='auto' finds no GPU for task={', '.join(large)}: a trial needs more than the "
            f"{gpu_memory / 2**30:.1f} GiB of one. Train its seeds in turn (--batch-seeds off), choose a smaller "
            "batch_size, leave the task out, or use GPUs with more memory."
        )
    fit = {
        task: min(gpu_memory / (need * MEMORY_MARGIN), cpu_limit, MAX_TRIALS_PER_GPU)
        for task, need in needs.items()
        if need is not None
    }
    return {task: UNITS_PER_GPU // max(1, int(trials + 1e-9)) / UNITS_PER_GPU for task, trials in fit.items()}


class GpuSharing:
    """Tracks what is free on each GPU. A trial goes to the fullest GPU that has room for it, as in Ray.

    Ray decides where a trial really runs. If it decides otherwise, the trial waits in Ray until another one ends.
    No GPU is reserved for a large trial that waits, because the GPU would be idle meanwhile.

    Args:
        shares: share of a GPU by task without its split.
        cpus_per_trial: CPUs of one trial.
        max_concurrent: upper limit on the number of trials at once; None: as many as fit.
    """

    def __init__(self, shares: Mapping[str, float], cpus_per_trial: float = 1.0, max_concurrent: int | None = None):
        self.shares = dict(shares)
        self.cpus_per_trial, self.max_concurrent = cpus_per_trial, max_concurrent
        self.free: dict[tuple[str, int], int] = {}  # (node, number of the GPU on it) -> free units
        self.allocated: dict[str, tuple[tuple[str, int], int]] = {}  # Ray's trial id -> its GPU, units
        self.warm_share: float | None = None  # share of the trial that ended last: its worker can be reused

    @property
    def slots(self) -> float:
        """GPUs that can be busy at once: fewer than all if `max_concurrent` is small."""
        if self.max_concurrent is None:
            return len(self.free)
        return min(len(self.free), self.max_concurrent * max(self.shares.values()))

    def follow(self, nodes: Sequence[Node]) -> None:
        """Adds the GPUs of nodes that have joined, and forgets those of nodes that have left.

        A node with fewer CPUs than its GPUs need counts as many GPUs as its CPUs can keep busy.
        """
        counts = {node.id: min(int(node.gpus), int(node.cpus / self.cpus_per_trial + 1e-9)) for node in nodes}
        gpus = [(node, i) for node, count in counts.items() for i in range(count)]
        self.free = {gpu: self.free.get(gpu, UNITS_PER_GPU) for gpu in gpus}

    def request(self, task: str) -> dict[str, float]:
        """The resources that Ray reserves for a trial of a task."""
        return bundle(self.cpus_per_trial, self.shares[task])

    def priority(self, task: str, seconds: float) -> tuple[float, float]:
        """Sort key of a task: trials of the task with the greatest key are handed out first.

        Args:
            task: its name without the split.
            seconds: training time that its remaining trials take, one after another.

        Returns:
            The work left in slot-seconds, and the share to break ties.
        """
        share = self.shares[task]
        return seconds * share * (REUSE_FACTOR if share == self.warm_share else 1.0), share

    def fits(self, task: str) -> bool:
        """Whether a trial of a task can run now, beside those that hold a share."""
        if self.max_concurrent is not None and len(self.allocated) >= self.max_concurrent:
            return False
        return max(self.free.values(), default=0) >= self.units(task)

    def units(self, task: str) -> int:
        return round(UNITS_PER_GPU * self.shares[task])

    def acquire(self, ray_id: str, task: str) -> None:
        """Takes the share of a trial that fits."""
        units = self.units(task)
        free, gpu = min((free, gpu) for gpu, free in self.free.items() if free >= units)
        self.free[gpu] = free - units
        self.allocated[ray_id] = gpu, units
        self.warm_share = None

    def release(self, ray_id: str) -> None:
        """Gives back the share of a trial, if it holds one. Its GPU may have left."""
        gpu, units = self.allocated.pop(ray_id, (("", 0), 0))
        if gpu in self.free:
            self.free[gpu] += units
            self.warm_share = units / UNITS_PER_GPU
