"""Makes items ahead of their use in a thread, on a CUDA stream of its own."""

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor

AHEAD = 1  # items that are ready beyond the one in use

T = TypeVar("T", bound=tuple[Any, ...])


def prefetch(items: Iterator[T], device: torch.device) -> Generator[T, None, None]:
    """Yields the same items. On CUDA a thread makes them, up to `AHEAD` items ahead.

    On a CPU a thread does not pay: trials keep all cores busy, and two Python threads disturb each other.
    An error raised by `items` is raised to the consumer. Closing the generator ends the thread.

    Args:
        items: tuples of tensors and other values.
        device: device of the tensors.

    Yields:
        The items, complete: neither thread has to wait for the other's stream.
    """
    return in_thread(items, device) if device.type == "cuda" else (item for item in items)


def in_thread(items: Iterator[T], device: torch.device) -> Generator[T, None, None]:
    ready: queue.Queue[T | BaseException | None] = queue.Queue(AHEAD)
    stop = threading.Event()
    thread = threading.Thread(target=produce, args=(items, device, ready, stop), daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            record_use(item)
            yield item
    finally:
        stop.set()
        while thread.is_alive():  # it may be waiting for room in the queue
            drain(ready)
            thread.join(0.01)


def produce(items: Iterator[Any], device: torch.device, ready: "queue.Queue[Any]", stop: threading.Event) -> None:
    """Fills the queue until the items end or raise, or `stop` is set. The last one is the error, or None."""
    try:
        stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        with nullcontext() if stream is None else torch.cuda.stream(stream):
            for item in items:
                if stop.is_set():
                    return
                if stream is not None:
                    stream.synchronize()  # so that the consumer gets complete tensors and never waits
                ready.put(item)
    except BaseException as error:
        ready.put(error)
    else:
        ready.put(None)


def record_use(item: tuple[Any, ...]) -> None:
    """Tells CUDA's allocator that the training stream uses tensors that another stream made."""
    for tensor in item:
        if isinstance(tensor, Tensor) and tensor.is_cuda:
            tensor.record_stream(torch.cuda.current_stream(tensor.device))


def drain(ready: "queue.Queue[Any]") -> None:
    while True:
        try:
            ready.get_nowait()
        except queue.Empty:
            return
