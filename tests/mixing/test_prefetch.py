import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tune_kmixup.mixing import prefetch
from tune_kmixup.mixing.prefetch import prefetch_pairings


@pytest.fixture(autouse=True)
def a_thread_always_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "THREAD_PAYS", 0.0)


class Pair(NamedTuple):
    x: Tensor
    partner: Tensor


def batches(count: int = 6) -> Iterator[Pair]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        yield Pair(torch.randn(20, 3, generator=generator), torch.randn(20, 3, generator=generator))


def threads() -> int:
    return threading.active_count()


@pytest.mark.parametrize("k", [1, 4, 20])
def test_same_results_with_and_without_look_ahead(k: int) -> None:
    inline, ahead = (list(prefetch_pairings(batches(), k, depth=depth)) for depth in (0, 3))
    assert len(inline) == len(ahead) == 6
    for (a, sigma_a, _), (b, sigma_b, seconds) in zip(inline, ahead, strict=True):
        assert torch.equal(a.x, b.x) and torch.equal(sigma_a, sigma_b) and seconds >= 0


def test_it_runs_ahead_by_no_more_than_depth() -> None:
    drawn = []

    def counted() -> Iterator[Pair]:
        for number, batch in enumerate(batches(30)):
            drawn.append(number)
            yield batch

    for used, _ in enumerate(prefetch_pairings(counted(), 4, depth=2)):
        assert len(drawn) <= used + 1 + 2 + 2  # in use, in the queue, one solved and one drawn


def test_a_consumer_that_stops_early_ends_the_thread() -> None:
    before = threads()
    ahead = prefetch_pairings(batches(1000), 4)
    for _ in range(prefetch.TRIED + 1):
        next(ahead)
    assert threads() == before + 1
    ahead.close()
    assert threads() == before


def test_an_error_of_the_source_reaches_the_consumer() -> None:
    def breaks() -> Iterator[Pair]:
        yield from batches(5)
        raise RuntimeError("no more data")

    before = threads()
    with pytest.raises(RuntimeError, match="no more data"):
        list(prefetch_pairings(breaks(), 4))
    assert threads() == before


def test_an_error_of_the_pairing_reaches_the_consumer() -> None:
    bad = Pair(torch.full((4, 2), float("nan")), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="not finite"):
        list(prefetch_pairings([bad], 2))


def test_short_pairings_get_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "THREAD_PAYS", 60.0)
    before = threads()
    for _ in prefetch_pairings(batches(), 4):
        assert threads() == before
