"""Lets only one launch at a time use a run directory."""

import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread, main_thread
from typing import Any

from filelock import FileLock, Timeout

from tune_kmixup.core.errors import BadInput, LaunchError, is_disk_failure
from tune_kmixup.store import files
from tune_kmixup.store.run_dir import RunDir, encode_json, lease_numbers, lease_path, newest_lease, read_note
from tune_kmixup.store.schema import check_lease
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
        raise unwritable_error(run, error) from error
    try:
        launch = run.launch()
        # Some network file systems do not share locks between machines, so a fresh heartbeat of another one counts too.
        if launch and not launch["ended"] and launch["host"] != socket.gethostname() and is_alive(launch):
            raise in_use_error(run, launch)
        try:
            run.write_holder({"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()})
        except OSError as error:
            raise unwritable_error(run, error) from error
        yield
    except (BadInput, LaunchError):  # what is refused or does not start leaves nothing behind
        run.remove_holder()
        for part in new:
            with suppress(OSError):  # a folder that holds measurements stays
                part.rmdir() if part.is_dir() else part.unlink()
        raise
    finally:
        run.remove_holder()
        lock.release()


def current_holder(run: RunDir) -> Mapping[str, Any]:
    """Who holds a run directory on disk: a launch writes it right after it has taken the lock."""
    until = time.monotonic() + 1
    while not (holder := run.holder()) and time.monotonic() < until:
        time.sleep(0.05)
    return holder or run.launch()


@contextmanager
def store_lease(run: RunDir) -> Iterator[None]:
    """Holds the lease of a run directory in a store: the file `launch-N.lock` with the largest N.

    A lease that is not renewed any more is taken over by creating the next number, which only one of several launches
    can do. Nobody removes a lease that may be in use: only its holder does, and the holder of a larger number.
    """
    now = time.time()
    lease = {"host": socket.gethostname(), "pid": os.getpid(), "since": now, "updated": now, "by": uuid.uuid4().hex}
    try:
        last = max(lease_numbers(run.path), default=0)
        holder = read_note(lease_path(run.path, last), check_lease)
        if holder and is_alive(holder):
            raise in_use_error(run, holder)
        path = lease_path(run.path, last + 1)
        if not files.create(path, encode_json(lease)):
            raise in_use_error(run, run.holder())
        numbers = lease_numbers(run.path)
        if max(numbers) > last + 1:  # several launches came and went since `last` was read
            files.remove(path)
            raise in_use_error(run, run.holder())
        for number in numbers:
            if number <= last:
                files.remove(lease_path(run.path, number))
    except OSError as error:
        raise unwritable_error(run, error) from error
    released = Event()
    renewal = Thread(target=renew_lease, args=(path, lease, released), name="lease", daemon=True)
    renewal.start()
    try:
        yield
    finally:
        released.set()
        renewal.join()
        with suppress(OSError):
            files.remove(path)


def renew_lease(path: Path, lease: dict[str, Any], released: Event) -> None:
    """Renews a lease until it is released. If another launch has taken it over, stops this launch like Ctrl-C.

    That happens to a launch that could not renew for long, e.g. because it was suspended.
    """
    while not released.wait(HEARTBEAT_SECONDS):
        with suppress(OSError):  # the next renewal may succeed; results that cannot be written end the launch anyway
            if path != newest_lease(path.parent):
                print(f"{path.parent} has been taken over by another launch: this one stops.", file=sys.stderr)
                signal.pthread_kill(main_thread().ident or 0, signal.SIGINT)  # interrupts a blocking call
                return
            with files.atomic_write(path) as file:
                file.write(encode_json(lease | {"updated": time.time()}))


def in_use_error(run: RunDir, holder: Mapping[str, Any]) -> BadInput:
    by = f" by {describe_holder(holder)}" if holder else ""
    return BadInput(
        f"out={str(run.path)!r} is in use{by}: stop it, wait for it ({DEAD_AFTER:.0f} s from its last heartbeat if it "
        "died), or choose another --out."
    )


def unwritable_error(run: RunDir, error: OSError) -> BadInput | LaunchError:
    unwritable = f"out={str(run.path)!r} cannot be written ({error.strerror or error})"
    if is_disk_failure(error):
        return LaunchError(f"{unwritable}: free some space, check the disk, or choose another --out.")
    return BadInput(f"{unwritable}: choose another --out.")
