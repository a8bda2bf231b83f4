"""Lets only one launch at a time use a run directory."""

import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from threading import Event, Thread, main_thread

from filelock import FileLock, Timeout

from tune_kmixup.core.errors import BadInput, LaunchError, unwritable_error
from tune_kmixup.store import files
from tune_kmixup.store.notes import Holder, holder_of
from tune_kmixup.store.run_dir import RunDir, encode_json, lease_numbers, lease_path, newest_lease, read_note
from tune_kmixup.store.schema import check_holder
from tune_kmixup.store.status import DEAD_AFTER, HEARTBEAT_SECONDS, describe_holder, is_alive


@contextmanager
def run_lock(run: RunDir) -> Iterator[None]:
    """Holds a run directory for one launch.

    On disk this is a lock of the operating system, which ends with the process that took it. In an object store it is
    a lease: a file that its holder renews. Another launch may take over if it was not renewed for `DEAD_AFTER` seconds.

    Args:
        run: the run directory; on disk it is created if it does not exist.

    Raises:
        BadInput: if another launch holds the run directory, or it cannot be written.
        LaunchError: if its disk is full or fails.
    """
    with store_lease(run) if files.is_remote(run.path) else file_lock(run):
        yield


@contextmanager
def file_lock(run: RunDir) -> Iterator[None]:
    path = run.path / "launch.lock"
    lock, new = FileLock(path, timeout=0), [part for part in (path, *path.parents) if not part.exists()]
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise in_use_error(run, current_holder(run)) from None
    except OSError as error:
        raise unwritable_error(run.path, error) from error
    try:
        # Some network file systems do not share locks between machines, so a sign of life of another one counts too.
        beat = run.heartbeat()
        for other in (run.holder(), beat.holder if beat and not beat.ended else None):
            if other and other.host != socket.gethostname() and is_alive(other):
                raise in_use_error(run, other)
        with holder_note(run):
            yield
    except (BadInput, LaunchError):  # what is refused or does not start leaves nothing behind
        for part in new:
            with suppress(OSError):  # a folder that holds measurements stays
                part.rmdir() if part.is_dir() else part.unlink()
        raise
    finally:
        lock.release()


@contextmanager
def holder_note(run: RunDir) -> Iterator[None]:
    """Says on disk, and again and again, which launch holds the run directory."""
    holder = this_launch()

    def renew() -> bool:
        other = run.holder()
        if other and other.by != holder.by:
            stop_taken_over(run.path)
            return False
        run.write_holder(replace(holder, updated=time.time()))
        return True

    try:
        run.write_holder(holder)
    except OSError as error:
        raise unwritable_error(run.path, error) from error
    try:
        with renewal(renew):
            yield
    finally:
        with suppress(BadInput):  # it cannot be read
            if (last := run.holder()) and last.by == holder.by:
                run.remove_holder()


def this_launch() -> Holder:
    now = time.time()
    return Holder(socket.gethostname(), os.getpid(), now, now, by=uuid.uuid4().hex)


def current_holder(run: RunDir) -> Holder | None:
    """Who holds a run directory on disk: a launch writes it right after it has taken the lock."""
    until = time.monotonic() + 1
    while not (holder := run.holder()) and time.monotonic() < until:
        time.sleep(0.05)
    beat = run.heartbeat()
    return holder or (beat.holder if beat else None)


@contextmanager
def store_lease(run: RunDir) -> Iterator[None]:
    """Holds the lease of a run directory in a store: the file `launch-N.lock` with the largest N.

    A lease that is not renewed any more is taken over by creating the next number, which only one of several launches
    can do. Nobody removes a lease that may be in use: only its holder does, and the holder of a larger number.
    """
    lease = this_launch()
    try:
        last = max(lease_numbers(run.path), default=0)
        note = read_note(lease_path(run.path, last), check_holder)
        if note and is_alive(holder := holder_of(note)):
            raise in_use_error(run, holder)
        path = lease_path(run.path, last + 1)
        if not files.create(path, encode_json(asdict(lease))):
            raise in_use_error(run, run.holder())
        numbers = lease_numbers(run.path)
        if max(numbers) > last + 1:  # several launches came and went since `last` was read
            files.remove(path)
            raise in_use_error(run, run.holder())
        for number in numbers:
            if number <= last:
                files.remove(lease_path(run.path, number))
    except OSError as error:
        raise unwritable_error(run.path, error) from error
    try:
        with renewal(partial(renew_lease, path, lease)):
            yield
    finally:
        with suppress(OSError):
            files.remove(path)


def renew_lease(path: Path, lease: Holder) -> bool:
    """Renews a lease. If another launch has taken it over, stops this launch, and returns False.

    That happens to a launch that could not renew for long, e.g. because it was suspended.
    """
    if path != newest_lease(path.parent):
        stop_taken_over(path.parent)
        return False
    with files.atomic_write(path) as file:
        file.write(encode_json(asdict(replace(lease, updated=time.time()))))
    return True


def stop_taken_over(run_dir: Path) -> None:
    """Stops this launch like Ctrl-C, or like SIGTERM where a shell has it ignore Ctrl-C: `launch &` in a script.

    If it handles neither, as in a thread of a server, it ends when its next result is refused.
    """
    print(f"{run_dir} has been taken over by another launch: this one stops.", file=sys.stderr)
    for number in (signal.SIGINT, signal.SIGTERM):
        if callable(signal.getsignal(number)):
            signal.pthread_kill(main_thread().ident or 0, number)  # interrupts a blocking call
            return


@contextmanager
def renewal(renew: Callable[[], bool]) -> Iterator[None]:
    """Calls `renew` every few seconds from a thread, as long as it returns True."""
    released = Event()

    def keep_renewing() -> None:
        while not released.wait(HEARTBEAT_SECONDS):
            with suppress(OSError, BadInput):  # the next may succeed; results that cannot be written end the launch
                if not renew():
                    return

    thread = Thread(target=keep_renewing, name="renewal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        released.set()
        thread.join()


def in_use_error(run: RunDir, holder: Holder | None) -> BadInput:
    by = f" by {describe_holder(holder)}" if holder else ""
    return BadInput(
        f"out={str(run.path)!r} is in use{by}: stop it, wait for it ({DEAD_AFTER:.0f} s from its last heartbeat if it "
        "died), or choose another --out."
    )
