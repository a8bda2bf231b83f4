"""What ends a launch from outside: Ctrl-C, and what Slurm, Kubernetes and `ray job stop` send."""

import signal
import threading
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
        """Sets the handlers. Ray replaces that of SIGTERM when it connects."""
        for number in self.earlier:
            signal.signal(number, self.handle)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        first, self.received = self.received is None, self.received or number
        if not (first and self.graceful):
            raise KeyboardInterrupt(self.received)
