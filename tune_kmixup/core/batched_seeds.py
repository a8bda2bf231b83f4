"""Which seeds of a trial are trained together as one batch of networks."""

from tune_kmixup.core.config import Device, Suite

MAX_BATCHED = 10  # seeds per trial: more gain little, and leave slots idle at the end of a launch
# The largest step of one seed whose seeds are trained together, in multiply-adds of its forward pass. Smaller steps
# spend most of their time on calls, which batching saves, larger ones on arithmetic, which it does not. On a GPU calls
# dominate up to far larger steps: the largest that was measured, PreAct ResNet-18 on 128 images of CIFAR-10 (71
# billion), still gains. From `benchmarks/throughput.py batched` and `benchmarks/gpu.py seeds` (docs/performance.md).
MOST_MULTIPLY_ADDS: dict[Device, int] = {"cpu": 10_000_000, "cuda": 75_000_000_000}


def batching_pays(multiply_adds: int, batch_size: int, device: Device) -> bool:
    """Whether seeds train faster together than one after another, by the arithmetic of a step of one of them.

    It is a rule and no measurement, so that a command rounds its sums in the same way on every machine whose trials run
    on the same kind of device.

    Args:
        multiply_adds: multiplications with additions that the network takes per row, forward.
        batch_size: rows of a step.
        device: what the trials run on, see `Resources.device`.
    """
    return multiply_adds * batch_size <= MOST_MULTIPLY_ADDS[device]


def largest_batch(suite: Suite) -> int:
    """The largest number of seeds that a trial of the suite trains together, of a task whose seeds are batched."""
    shortlist_seeds = suite.shortlist_seeds if suite.shortlist > 1 else 1
    return max(suite.search_seeds, shortlist_seeds, min(MAX_BATCHED, suite.final_seeds))
