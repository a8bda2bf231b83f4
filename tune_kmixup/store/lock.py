"""A run directory is held by one launch at a time."""

import json
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

from tune_kmixup.core.errors import BadInput
from tune_kmixup.store import files
from tune_kmixup.store.run_dir import RunDir, encode_json
from tune_kmixup.store.status import DEAD_AFTER, HEARTBEAT_SECONDS, alive


@contextmanager
def run_lock(run: RunDir) -> Iterator[None]:
    """The run directory, for one launch at a time. Raises BadInput where another holds it, or it cannot be written.

    On a disk a lock of the operating system ends with the process that took it. An object store has none: there the
    lock is a file that its holder renews, and that may be taken over when it has not for `DEAD_AFTER` seconds.
    """
    with store_lease(run) if files.is_remote(run.path) else file_lock(run):
        yield


@contextmanager
def file_lock(run: RunDir) -> Iterator[None]:
    lock = FileLock(run.path / "launch.lock", timeout=0)
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise in_use_error(run, run.launch()) from None
    except OSError as error:
        raise unwritable_error(run, error) from error
    try:
        last = run.launch()
        # Not every file system carries locks from one machine to another: a fresh heartbeat says as much.
        if last and not last["ended"] and last["host"] != socket.gethostname() and alive(last):
            raise in_use_error(run, last)
        yield
    finally:
        lock.release()


@contextmanager
def store_lease(run: RunDir) -> Iterator[None]:
    lock, now = run.path / "launch.lock", time.time()
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "since": now, "updated": now, "by": uuid.uuid4().hex}
    try:
        if not files.create(lock, encode_json(mine)):
            holder = read_lock(lock)
            if holder and alive(holder):
                raise in_use_error(run, holder)
            files.remove(lock)
            if not files.create(lock, encode_json(mine)):  # another was faster
                raise in_use_error(run, read_lock(lock))
    except OSError as error:
        raise unwritable_error(run, error) from error
    over = Event()
    renewal = Thread(target=renew, args=(lock, mine, over), name="lease", daemon=True)
    renewal.start()
    try:
        yield
    finally:
        over.set()
        renewal.join()
        with suppress(OSError):
            if read_lock(lock).get("by") == mine["by"]:
                files.remove(lock)


def renew(lock: Path, mine: dict[str, Any], over: Event) -> None:
    """Signs of life, until it is over, or until another has taken over: this launch is stopped as by Ctrl-C then.

    A launch that finds itself replaced has been without a sign of life for long: stopped with SIGSTOP, say. Where it
    writes in the very moment of being replaced, it is the other that finds itself replaced: still, one goes on.
    """
    while not over.wait(HEARTBEAT_SECONDS):
        with suppress(OSError):  # what cannot be written now may be later; results that cannot be end the launch
            if read_lock(lock).get("by", mine["by"]) != mine["by"]:
                print(f"{lock.parent} has been taken over by another launch: this one stops.", file=sys.stderr)
                signal.pthread_kill(main_thread().ident or 0, signal.SIGINT)  # wakes it where it waits
                return
            with files.atomic_write(lock) as file:
                file.write(encode_json(mine | {"updated": time.time()}))


def read_lock(lock: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(files.read(lock)))
    except (FileNotFoundError, TypeError, ValueError):
        return {}


def in_use_error(run: RunDir, by: Mapping[str, Any]) -> BadInput:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(by.get("since")))
    return BadInput(
        f"out={str(run.path)!r} is in use by process {by.get('pid')} on {by.get('host')} since {since}: "
        f"stop it, wait for it ({DEAD_AFTER:.0f} s from its last sign of life if it died), or choose another --out."
    )


def unwritable_error(run: RunDir, error: OSError) -> BadInput:
    return BadInput(f"out={str(run.path)!r} cannot be written ({error.strerror or error}): choose another --out.")
