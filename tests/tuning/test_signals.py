"""What Ctrl-C, SIGTERM and SIGHUP do to a launch. Real signals, in this process."""

import signal
import subprocess
import sys
import threading
import time

import pytest
import ray

from tune_kmixup.core.errors import LaunchError
from tune_kmixup.tuning.launch import failures_in_a_line
from tune_kmixup.tuning.signals import SIGNALS, StopSignals, hangups_blocked


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


def test_a_process_that_is_started_with_hangups_blocked_survives_one() -> None:
    """And this process gets a hangup that came meanwhile."""
    with StopSignals() as signals:
        signals.graceful = True
        with hangups_blocked():
            child = subprocess.Popen([sys.executable, "-c", "print(input())"], stdin=-1, stdout=-1, text=True)
            signal.raise_signal(signal.SIGHUP)
            assert signals.received is None
        assert signals.received == signal.SIGHUP
    child.send_signal(signal.SIGHUP)
    assert child.communicate("alive", timeout=30)[0] == "alive\n"


@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_what_ray_raises_after_a_signal_is_that_signal_with_the_reason(number: signal.Signals | None) -> None:
    with StopSignals() as signals:
        signals.graceful = True
        if number:
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt if number else LaunchError) as raised, failures_in_a_line(signals):
            raise ray.exceptions.RaySystemError("its raylet has died")
        *received, reason = raised.value.args
        assert received == [number] * bool(number) and "its raylet has died" in str(reason)
        with pytest.raises(LaunchError), failures_in_a_line(signals):
            raise OSError("no space left on device")
