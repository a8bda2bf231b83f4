"""What ends a launch from outside: Ctrl-C, and what terminals, Slurm, Kubernetes and `ray job stop` send."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from tune_kmixup.core.errors import LaunchError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def hangups_blocked() -> Iterator[None]:
    """Blocks SIGHUP, also for good in every process that is started meanwhile.

    A terminal that closes sends it to all processes of a launch. Ray has to live until running trials have saved. It
    blocks SIGINT in the same way itself. Its processes need SIGTERM to end in time.
    """
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


class StopSignals:
    """Handles signals for the duration of a launch.

    The first one raises KeyboardInterrupt, or only asks the launch to stop while `graceful` is set: then running trials
    save. A further one raises KeyboardInterrupt in any case. A signal that was ignored stays ignored (`nohup`). In
    another thread than the main one, where handlers cannot be set, nothing changes.

    Attributes:
        received: the number of the first signal; None before.
        graceful: whether the first signal only asks to stop.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.graceful = False
        self.earlier: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in SIGNALS}
            self.earlier = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}
            self.install()
        return self

    def __exit__(self, *raised: object) -> None:
        for number, handler in self.earlier.items():
            signal.signal(number, handler)

    def install(self) -> None:
        """Sets the handlers. Ray replaces that of SIGTERM when it connects, and blocks SIGINT in submitted jobs."""
        for number in self.earlier:
            signal.signal(number, self.handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self.earlier)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        first, self.received = self.received is None, self.received or number
        if not (first and self.graceful):
            raise KeyboardInterrupt(self.received)

    def cause(self, error: LaunchError) -> LaunchError | KeyboardInterrupt:
        """What ended a launch whose Ray has died. After a signal it is the signal, with the error as the reason.

        What sends it to all processes of a launch ends Ray, too.
        """
        return KeyboardInterrupt(self.received, error) if self.received else error
