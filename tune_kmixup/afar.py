"""`--address ray://HOST:PORT`: a launch through Ray's client, from a machine that is not part of the cluster.

The whole command runs on the cluster, where its files are; here only what it says is shown. Its run directory is one
of the cluster: in an object store, or an absolute path there.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tune_kmixup import storage
from tune_kmixup.extensions import Extensions
from tune_kmixup.study import BadInput

HERE_ALONE = ("--address", "--load")  # options that mean something else there
POLL_SECONDS = 0.5


class Command:
    """An actor: this package's command line in a process of its own, as at a terminal of the cluster."""

    def __init__(self, arguments: Sequence[str], extensions: Extensions):
        self.folder = tempfile.TemporaryDirectory(prefix="tune-kmixup-")
        loads = []
        for number, (path, text) in enumerate(extensions.modules):
            copy = Path(self.folder.name) / f"{number}-{Path(path).name}"
            copy.write_text(text)
            loads += ["--load", str(copy)]
        self.output = Path(self.folder.name) / "output"
        self.told = 0
        earlier = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked here, it would be there as well
        try:
            with self.output.open("wb") as file:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "tune_kmixup", *arguments, *loads, "--address", "auto"],
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},  # the code that came with the client
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, earlier)

    def said(self) -> tuple[str, int | None]:
        """What was printed since last asked, and the exit code once it has ended."""
        code = self.process.poll()
        found = self.output.read_bytes()[self.told :]
        self.told += len(found)
        return found.decode(errors="replace"), code

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)


def hand_over(address: str | None, extensions: Extensions, **paths: Path | None) -> None:
    """Where `address` is Ray's client, runs the command of this process there and exits with its exit code.

    `paths`: option -> what it names, for the cluster. Raises BadInput for a relative one, and where the cluster cannot
    be reached.
    """
    if address is None or not address.startswith("ray://"):
        return
    for name, path in paths.items():
        if path is not None and not storage.remote(path) and not path.is_absolute():
            raise BadInput(
                f"{name}={str(path)!r} is relative, and address={address!r} runs elsewhere: "
                "name an absolute path that the cluster has, or s3://..., gs://..."
            )
    import ray

    from tune_kmixup.tuning import connect

    connect(address)
    try:
        actor: Any = ray.remote(num_cpus=0)(Command).remote(without(sys.argv[1:], HERE_ALONE), extensions)
        code = watched(actor)
    finally:
        ray.shutdown()
    raise SystemExit(code)


def watched(actor: Any) -> int:
    """Shows what the command says until it has ended, and gives its exit code. Ctrl-C is passed on."""
    import ray

    while True:
        try:
            text, code = ray.get(actor.said.remote())
            sys.stdout.write(text)
            sys.stdout.flush()
            if code is not None:
                return int(code)
            time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            actor.interrupt.remote()


def without(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """Arguments of a command without these options and their values."""
    kept, rest = [], iter(arguments)
    for argument in rest:
        if argument in options:
            next(rest, None)
        elif not argument.startswith(tuple(f"{option}=" for option in options)):
            kept.append(argument)
    return kept
