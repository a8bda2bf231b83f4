"""Which seeds of a trial are trained together as one batch of networks."""

from tune_kmixup.core.config import Suite

MAX_BATCHED = 10  # seeds per trial: more gain little, and leave slots idle at the end of a launch
# Forward, in a step. Most time of a smaller step goes into calls, which batching saves, and of a larger one into
# arithmetic, which it does not. From `benchmarks/throughput.py batched` (docs/performance.md), on a CPU. On a GPU it is
# not measured yet (`benchmarks/gpu.py seeds`). There it is a cautious limit: a GPU waits for calls in larger steps too.
MOST_MULTIPLY_ADDS = 10_000_000


def batching_pays(multiply_adds: int, batch_size: int) -> bool:
    """Whether seeds train faster together than one after another, by the arithmetic of a step of one of them.

    It is a rule and no measurement, so that a command rounds its sums in the same way wherever it runs.

    Args:
        multiply_adds: multiplications with additions that the network takes per row, forward.
        batch_size: rows of a step.
    """
    return multiply_adds * batch_size <= MOST_MULTIPLY_ADDS


def largest_batch(suite: Suite) -> int:
    """The largest number of seeds that a trial of the suite trains together, of a task whose seeds are batched."""
    shortlist_seeds = suite.shortlist_seeds if suite.shortlist > 1 else 1
    return max(suite.search_seeds, shortlist_seeds, min(MAX_BATCHED, suite.final_seeds))
