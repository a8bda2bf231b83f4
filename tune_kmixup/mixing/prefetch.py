"""Pairings computed ahead of their use: they depend on data alone, so the next is solved while the model trains."""

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from tune_kmixup.mixing.pairing import Cost, Solver, pair, pair_runs


class HasPartner(Protocol):
    """A batch and its partner, of one shape, as attributes."""

    @property
    def x(self) -> Tensor: ...

    @property
    def partner(self) -> Any: ...


TRIED = 3  # pairings that are timed before a thread is begun
THREAD_PAYS = 5e-4  # seconds: shorter ones cost less than two threads of Python disturb each other

B = TypeVar("B", bound=HasPartner)


def prefetch_pairings(
    batches: Iterable[B],
    k: int,
    *,
    cost: Cost = "sqeuclidean",
    solver: Solver = "hungarian",
    depth: int = 2,
    runs: bool = False,
) -> Generator[tuple[B, Tensor, float], None, None]:
    """Each batch with the pairing σ of its partner and the seconds that computing σ took.

    With `runs`, a batch holds one for each of several runs, R x B x ..., and σ is R x B.

    A thread draws and pairs up to `depth` batches beyond the one in use; the results are the same as with depth = 0,
    which computes each when it is asked for. k = 1 needs no thread, and pairings on a CPU that turn out to be short get
    none. An error raised by `batches` or by the pairing reaches the consumer; a consumer that stops early (`close`)
    ends the thread.
    """
    source = timed_pairings(batches, k, cost, solver, pair_runs if runs else pair)
    if depth == 0 or k == 1:
        yield from source
        return
    quickest = float("inf")
    for tried in islice(source, TRIED):
        quickest = quickest if tried[1].is_cuda else min(quickest, tried[2])
        yield tried
    if quickest < THREAD_PAYS:
        yield from source
        return
    ready: queue.Queue[tuple[B, Tensor, float] | BaseException | None] = queue.Queue(depth)
    stop = threading.Event()
    worker = threading.Thread(target=produce, args=(source, ready, stop), daemon=True)
    worker.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            record_use(item)
            yield item
    finally:
        stop.set()
        while worker.is_alive():  # it may be waiting to put
            drain(ready)
            worker.join(0.01)


def timed_pairings(
    batches: Iterable[B], k: int, cost: Cost, solver: Solver, match: Callable[..., Tensor]
) -> Iterator[tuple[B, Tensor, float]]:
    for batch in batches:
        clock = time.perf_counter()
        sigma = match(batch.x, batch.partner, k, cost=cost, solver=solver)
        yield batch, sigma, time.perf_counter() - clock


def produce(source: Iterator[Any], ready: "queue.Queue[Any]", stop: threading.Event) -> None:
    """Fills the queue until the source ends, it raises, or `stop` is set. On CUDA, in a stream of its own."""
    stream = torch.cuda.Stream() if torch.cuda.is_available() else None
    try:
        with torch.cuda.stream(stream):  # None: no stream, nothing to do
            for item in source:
                if stop.is_set():
                    return
                if stream is not None:
                    # The thread waits for its own stream, so that what the consumer gets is complete: the training
                    # stream never waits.
                    stream.synchronize()
                ready.put(item)
    except BaseException as error:
        ready.put(error)
    else:
        ready.put(None)


def record_use(item: tuple[Any, Tensor, float]) -> None:
    """Tells CUDA's allocator that the training stream uses what another stream made."""
    for tensor in (*item[0], item[1]):
        if isinstance(tensor, Tensor) and tensor.is_cuda:
            tensor.record_stream(torch.cuda.current_stream())


def drain(ready: "queue.Queue[Any]") -> None:
    while True:
        try:
            ready.get_nowait()
        except queue.Empty:
            return
