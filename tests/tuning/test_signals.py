"""What Ctrl-C, SIGTERM and SIGHUP do to a launch. Real signals, in this process."""

import signal
import threading
import time

import pytest

from tune_kmixup.tuning.signals import SIGNALS, StopSignals


@pytest.fixture(autouse=True)
def handlers_are_restored() -> object:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    after = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_asks_to_stop_and_the_second_ends_at_once(number: signal.Signals) -> None:
    with StopSignals() as signals:
        signals.graceful = True
        signal.raise_signal(number)
        assert signals.received == number
        with pytest.raises(KeyboardInterrupt) as raised:
            signal.raise_signal(signal.SIGINT)
        assert raised.value.args == (number,), "the exit code tells the first"


@pytest.mark.parametrize("number", SIGNALS)
def test_before_the_first_trial_a_signal_ends_at_once(number: signal.Signals) -> None:
    with StopSignals(), pytest.raises(KeyboardInterrupt) as raised:
        signal.raise_signal(number)
        time.sleep(1)
    assert raised.value.args == (number,)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As after `nohup`, or for a job in the background of a script."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert signals.received is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_another_library_sets_meanwhile_can_be_undone() -> None:
    with StopSignals() as signals:
        signals.graceful = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as Ray does when it connects
        signals.install()
        signal.raise_signal(signal.SIGTERM)
        assert signals.received == signal.SIGTERM


def test_in_another_thread_no_handler_is_set() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def enter() -> None:
        with StopSignals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]
