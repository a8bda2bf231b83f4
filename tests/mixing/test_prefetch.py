"""Prefetched pairings equal those computed on demand, and the thread always ends."""

import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tune_kmixup.core.errors import BadInput
from tune_kmixup.mixing import prefetch
from tune_kmixup.mixing.pairing import pair_runs
from tune_kmixup.mixing.prefetch import prefetch_pairings


@pytest.fixture(autouse=True)
def always_use_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "THREAD_PAYS", 0.0)


class Pair(NamedTuple):
    x: Tensor
    partner: Tensor


def batches(count: int = 6) -> Iterator[Pair]:
    """Batches of two runs."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        yield Pair(torch.randn(2, 20, 3, generator=generator), torch.randn(2, 20, 3, generator=generator))


@pytest.mark.parametrize("k", [1, 4, 20])
def test_prefetched_pairings_equal_those_computed_on_demand(k: int) -> None:
    prefetched = list(prefetch_pairings(batches(), k))
    assert len(prefetched) == 6
    for expected, (batch, sigma, seconds) in zip(batches(), prefetched, strict=True):
        assert torch.equal(batch.x, expected.x) and torch.equal(batch.partner, expected.partner)
        assert torch.equal(sigma, pair_runs(expected.x, expected.partner, k)) and seconds >= 0


def test_it_runs_ahead_no_further_than_the_limit() -> None:
    drawn = 0

    def count_batches() -> Iterator[Pair]:
        nonlocal drawn
        for batch in batches(30):
            drawn += 1
            yield batch

    for used, _ in enumerate(prefetch_pairings(count_batches(), 4), start=1):
        in_thread = 2  # one that is paired but does not fit into the queue, one that is being drawn
        assert drawn <= used + prefetch.LOOK_AHEAD + in_thread


def test_closing_the_generator_ends_the_thread() -> None:
    threads_before = threading.active_count()
    pairings = prefetch_pairings(batches(1000), 4)
    for _ in range(prefetch.TIMED_PAIRINGS + 1):
        next(pairings)
    assert threading.active_count() == threads_before + 1
    pairings.close()
    assert threading.active_count() == threads_before


def test_an_error_of_the_source_reaches_the_consumer() -> None:
    def failing_batches() -> Iterator[Pair]:
        yield from batches(5)
        raise RuntimeError("no more data")

    threads_before = threading.active_count()
    with pytest.raises(RuntimeError, match="no more data"):
        list(prefetch_pairings(failing_batches(), 4))
    assert threading.active_count() == threads_before


def test_an_error_of_the_pairing_reaches_the_consumer() -> None:
    """The bad batch comes after those that are paired before the thread starts."""
    bad = Pair(torch.full((1, 4, 2), float("nan")), torch.zeros(1, 4, 2))
    with pytest.raises(BadInput, match="not finite"):
        list(prefetch_pairings([*batches(prefetch.TIMED_PAIRINGS), bad], 2))


def test_short_pairings_start_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "THREAD_PAYS", 60.0)
    threads_before = threading.active_count()
    for _ in prefetch_pairings(batches(), 4):
        assert threading.active_count() == threads_before
