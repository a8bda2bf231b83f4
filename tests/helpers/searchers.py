"""A searcher over what a run directory holds."""

from collections.abc import Collection

from tune_kmixup.core.config import Suite
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.tuning.searcher import SuiteSearcher
from tune_kmixup.tuning.slots import EqualSlots, Slots


def make_searcher(
    suite: Suite, run: RunDir, batched: Collection[str] = (), slots: Slots | None = None
) -> SuiteSearcher:
    """By default no seeds are batched, and any number of trials fits."""
    return SuiteSearcher(suite, run, run.results(suite), batched, slots or EqualSlots())
