"""Which seeds of a trial are trained together as one batch of networks."""

from typing import Literal

from tune_kmixup.core.config import Suite

MAX_BATCHED = 10  # seeds per trial: more gain little, and leave slots idle at the end of a launch
# Forward, in a step. Most time of a smaller step goes into calls, which batching saves, and of a larger one into
# arithmetic, which it does not. A GPU waits for calls in far larger steps. From `benchmarks/throughput.py batched` and
# `benchmarks/gpu.py seeds` (docs/performance.md). The largest step that was measured on a GPU, where batching still
# pays, is that of PreAct ResNet-18 on 128 images of CIFAR-10: 71 billion.
MOST_MULTIPLY_ADDS = {"cpu": 10_000_000, "cuda": 75_000_000_000}


def batching_pays(multiply_adds: int, batch_size: int, device: Literal["cpu", "cuda"]) -> bool:
    """Whether seeds train faster together than one after another, by the arithmetic of a step of one of them.

    It is a rule and no measurement, so that a command rounds its sums in the same way wherever it runs.

    Args:
        multiply_adds: multiplications with additions that the network takes per row, forward.
        batch_size: rows of a step.
        device: what it runs on.
    """
    return multiply_adds * batch_size <= MOST_MULTIPLY_ADDS[device]


def largest_batch(suite: Suite) -> int:
    """The largest number of seeds that a trial of the suite trains together, of a task whose seeds are batched."""
    shortlist_seeds = suite.shortlist_seeds if suite.shortlist > 1 else 1
    return max(suite.search_seeds, shortlist_seeds, min(MAX_BATCHED, suite.final_seeds))
