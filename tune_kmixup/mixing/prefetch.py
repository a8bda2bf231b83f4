"""Computes pairings ahead of their use. They depend on the data alone, so a thread solves them during training."""

import math
import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from tune_kmixup.mixing.pairing import Cost, pair_runs


class HasPartner(Protocol):
    """The batches of R runs and their partners, both R x B x ..., as attributes of a tuple."""

    @property
    def x(self) -> Tensor: ...

    @property
    def partner(self) -> Any: ...


LOOK_AHEAD = 2  # batches that are ready beyond the one in use
TIMED_PAIRINGS = 3  # the first ones, whose time decides whether a thread is started
THREAD_PAYS = 5e-4  # seconds per pairing: below that, two Python threads slow each other down more than they gain

B = TypeVar("B", bound=HasPartner)


def prefetch_pairings(
    batches: Iterable[B], k: int, *, cost: Cost = "sqeuclidean"
) -> Generator[tuple[B, Tensor, float], None, None]:
    """Pairs batches with their partners, in a thread that runs up to `LOOK_AHEAD` batches ahead.

    The results are the same as without a thread. No thread is started for k = 1, nor on a CPU if the first pairings
    are short. An error raised by `batches` or by the pairing is raised to the consumer. Closing the generator ends the
    thread.

    Args:
        batches: tuples with attributes `x` and `partner`, R x B x ... each.
        k: rows per block, ≥ 1.
        cost: cost of pairing two rows, see `pairing.pair`.

    Yields:
        Each batch, its pairings σ (R x B integers, see `pairing.pair_runs`), and the seconds that they took.

    Raises:
        BadInput: see `pairing.pair`.
    """
    source = timed_pairings(batches, k, cost)
    if k == 1:
        yield from source
        return
    device, shortest = torch.device("cpu"), math.inf
    for item in islice(source, TIMED_PAIRINGS):
        device, shortest = item[1].device, min(shortest, item[2])
        yield item
    if device.type != "cuda" and shortest < THREAD_PAYS:
        yield from source
        return
    ready: queue.Queue[tuple[B, Tensor, float] | BaseException | None] = queue.Queue(LOOK_AHEAD)
    stop = threading.Event()
    worker = threading.Thread(target=produce, args=(source, device, ready, stop), daemon=True)
    worker.start()
    try:
        while (item_or_error := ready.get()) is not None:
            if isinstance(item_or_error, BaseException):
                raise item_or_error
            record_use(item_or_error)
            yield item_or_error
    finally:
        stop.set()
        while worker.is_alive():  # it may be waiting for room in the queue
            drain(ready)
            worker.join(0.01)


def timed_pairings(batches: Iterable[B], k: int, cost: Cost) -> Iterator[tuple[B, Tensor, float]]:
    for batch in batches:
        start = time.perf_counter()
        sigma = pair_runs(batch.x, batch.partner, k, cost=cost)
        yield batch, sigma, time.perf_counter() - start


def produce(source: Iterator[Any], device: torch.device, ready: "queue.Queue[Any]", stop: threading.Event) -> None:
    """Fills the queue until the source ends or raises, or `stop` is set. On CUDA it uses a stream of its own.

    The last item is the error that the source raised, or None.
    """
    try:
        stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        with nullcontext() if stream is None else torch.cuda.stream(stream):
            for item in source:
                if stop.is_set():
                    return
                if stream is not None:
                    # This thread waits for its stream, so the consumer gets complete tensors and the training stream
                    # never waits.
                    stream.synchronize()
                ready.put(item)
    except BaseException as error:
        ready.put(error)
    else:
        ready.put(None)


def record_use(item: tuple[Any, Tensor, float]) -> None:
    """Tells CUDA's allocator that the training stream uses tensors that another stream made."""
    for tensor in (*item[0], item[1]):
        if isinstance(tensor, Tensor) and tensor.is_cuda:
            tensor.record_stream(torch.cuda.current_stream(tensor.device))


def drain(ready: "queue.Queue[Any]") -> None:
    while True:
        try:
            ready.get_nowait()
        except queue.Empty:
            return
