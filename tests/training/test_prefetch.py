"""Items made in a thread are the same, not too far ahead, and the thread always ends."""

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tune_kmixup.training import prefetch

CPU = torch.device("cpu")


def items(count: int = 6) -> Iterator[tuple[int, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    for number in range(count):
        yield number, torch.randn(20, generator=generator)


def test_a_thread_gives_the_same_items() -> None:
    made = list(prefetch.in_thread(items(), CPU))
    for (number, tensor), (other_number, other) in zip(items(), made, strict=True):
        assert number == other_number and torch.equal(tensor, other)


def test_it_runs_ahead_no_further_than_the_limit() -> None:
    made = 0

    def count_items() -> Iterator[tuple[int, Tensor]]:
        nonlocal made
        for item in items(30):
            made += 1
            yield item

    for used, _ in enumerate(prefetch.in_thread(count_items(), CPU), start=1):
        assert made <= used + prefetch.AHEAD + 1, "one more may not fit into the queue"


def test_closing_the_generator_ends_the_thread() -> None:
    threads_before = threading.active_count()
    made = prefetch.in_thread(items(1000), CPU)
    next(made)
    assert threading.active_count() == threads_before + 1
    made.close()
    assert threading.active_count() == threads_before


def test_an_error_reaches_the_consumer() -> None:
    def failing_items() -> Iterator[tuple[int, Tensor]]:
        yield from items(5)
        raise RuntimeError("no more data")

    threads_before = threading.active_count()
    with pytest.raises(RuntimeError, match="no more data"):
        list(prefetch.in_thread(failing_items(), CPU))
    assert threading.active_count() == threads_before


def test_a_cpu_needs_no_thread() -> None:
    threads_before = threading.active_count()
    for _ in prefetch.prefetch(items(), CPU):
        assert threading.active_count() == threads_before
