"""How trials of different tasks share GPUs: from the memory they need to their shares, and which of them fit now."""

from collections.abc import Mapping

from tune_kmixup.core.errors import BadInput

# Of what was measured, for what a short trial does not show: blocks that the allocator cannot fill after other values
# of α and k, kernels that are loaded later, workspaces that are chosen anew. A trial that outgrows its share takes its
# neighbours with it, and with a fifth to spare a GPU rarely loses more than one place.
MARGIN = 1.2
MOST = 100  # trials on a GPU: more do not pay, and of so many just as many fit as are meant, with rounded shares
PARTS = 10_000  # Ray counts GPUs in so many parts: a third rounded up, taken three times, would not fit

# A worker is begun for one share: where a trial of another follows, another worker is begun, which takes seconds. So a
# place stays with its share until other trials have twice the work left.
STAYS = 2.0

Needs = Mapping[str, int | None]  # task without its split -> bytes of a GPU; None: more than there are


def gpu_shares(needs: Needs, memory: int, cpus: float) -> dict[str, float]:
    """task -> the share of a GPU that one of its trials takes, 1/n where n of them fit with a margin.

    memory: bytes of a GPU. cpus: how many trials the CPUs of a GPU carry; no more are put there, so that a GPU whose
    shares are all taken has used its CPUs, and free shares alone say what fits. A trial that has a GPU to itself needs
    no margin. Raises BadInput for tasks that need more than a GPU has.
    """
    if large := sorted(task for task, need in needs.items() if need is None or need > memory):
        raise BadInput(
            f"gpus_per_trial='auto' finds no GPU for task={', '.join(large)}: a trial needs more than the "
            f"{memory / 2**30:.1f} GiB of one. Train its seeds in turn (--batch-seeds off), choose a smaller "
            "batch_size, leave the task out, or use GPUs with more memory."
        )
    fit = {task: min(memory / (need * MARGIN), cpus, MOST) for task, need in needs.items() if need is not None}
    return {task: PARTS // max(1, int(number + 1e-9)) / PARTS for task, number in fit.items()}


class GpuSharing:
    """What is free of each GPU. A trial goes to the fullest GPU that has room for it, as with Ray.

    Ray, not this, decides where a trial runs; should the two differ, a trial waits in Ray for the next to end.
    No GPU is kept free for a large trial that waits, for it would stand idle meanwhile. Without shares, where each
    trial has the same number of CPUs and GPUs, all fit: Ray Tune's limit of trials at once is enough.

    shares: of a GPU, by task. slots: GPUs, or without shares how many trials run at once. most: trials at once.
    """

    def __init__(self, shares: Mapping[str, float] | None = None, slots: int = 0, most: int | None = None):
        self.shares = dict(shares or {})
        self.free = [PARTS] * slots
        self.held: dict[str, tuple[int, int]] = {}  # by Ray's trial id: number of the GPU, parts of it
        self.warm: float | None = None  # the share of the trial that has just ended: its worker is still there
        self.max_concurrent = slots
        self.slots: float = slots  # what trials at once can take: less than all GPUs where `most` is small
        if self.shares:
            fit = slots * max(PARTS // self.parts(task) for task in self.shares)
            self.max_concurrent = min(fit, most or fit)
            self.slots = min(slots, self.max_concurrent * max(self.shares.values()))

    def weight(self, task: str) -> float:
        """The share of a GPU that a trial of a task takes; of a slot, where all are alike: 1."""
        return self.shares.get(task, 1.0)

    def priority(self, task: str, seconds: float) -> tuple[float, float]:
        """By which trials are handed out, the greatest first: the work left in slot-seconds; of equals, the share."""
        share = self.weight(task)
        return seconds * share * (STAYS if share == self.warm else 1.0), share

    def fits(self, task: str) -> bool:
        return task not in self.shares or max(self.free) >= self.parts(task)

    def parts(self, task: str) -> int:
        return round(PARTS * self.weight(task))

    def acquire(self, ray_id: str, task: str) -> None:
        """Takes a share for a trial that fits."""
        if task in self.shares:
            parts = self.parts(task)
            left, gpu = min((free, gpu) for gpu, free in enumerate(self.free) if free >= parts)
            self.free[gpu] = left - parts
            self.held[ray_id] = gpu, parts
            self.warm = None

    def release(self, ray_id: str) -> None:
        gpu, parts = self.held.pop(ray_id, (0, 0))
        if parts:
            self.free[gpu] += parts
            self.warm = parts / PARTS
