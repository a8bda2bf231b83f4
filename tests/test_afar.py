"""A launch through Ray's client."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Guarded
from test_survival import LONG, workers
from test_tuning import reproducible, tune

from tune_kmixup import afar
from tune_kmixup.extensions import Extensions
from tune_kmixup.results import RunDir
from tune_kmixup.study import BadInput

ROOT = Path(__file__).parent.parent


def test_options_that_mean_something_else_there_are_left_out() -> None:
    typed = ["launch", "iris/mlp", "--load", "mine.py", "--address=ray://h:1", "--out", "/x", "--load=b.py", "--loader"]
    assert afar.without(typed, afar.HERE_ALONE) == ["launch", "iris/mlp", "--out", "/x", "--loader"]


@pytest.mark.parametrize("address", [None, "auto", "h:6379"])
def test_other_addresses_are_not_of_the_client(address: str | None) -> None:
    afar.hand_over(address, Extensions(), out=Path("runs"))


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(BadInput, match=r"data_dir='data' is relative.* absolute path"):
        afar.hand_over("ray://h:10001", Extensions(), out=Path("/runs"), data_dir=Path("data"))


def test_a_command_says_what_it_prints_and_how_it_ended() -> None:
    """Here one that does not run on a cluster, and says so. Of the user's modules the text alone came along."""
    command = afar.Command(["tasks"], Extensions((("gone/mine.py", "X = 1"),)))
    command.process.wait(timeout=60)
    _, load, copy, *rest = command.process.args[-5:]  # type: ignore[index]
    assert (load, rest) == ("--load", ["--address", "auto"]) and Path(copy).read_text() == "X = 1"
    text, code = command.said()
    assert code == 2 and "No such option" in text
    assert command.said() == ("", 2), "said once"


@pytest.mark.slow
def test_a_launch_through_the_client_is_stopped_and_resumed(guarded: Guarded, tmp_path: Path) -> None:
    """What it says comes here, Ctrl-C goes there, and it ends like one left alone."""
    address, env = guarded.client, guarded.env

    def command(*args: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "tune_kmixup", *args, "--address", address],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    out = tmp_path / "run"
    launched = command(*LONG, "--out", str(out))
    until = time.monotonic() + 120
    while not workers(os.getpid()) and launched.poll() is None and time.monotonic() < until:
        time.sleep(0.2)
    time.sleep(2)  # in the middle of it
    launched.send_signal(signal.SIGINT)
    printed, _ = launched.communicate(timeout=90)
    assert launched.returncode == 130, printed
    assert f"To go on: tune-kmixup resume {out}" in printed and "Traceback" not in printed
    resumed = command("resume", str(out))
    printed, _ = resumed.communicate(timeout=200)
    assert resumed.returncode == 0 and f"Done: every run in {out} is finished." in printed
    tune(*LONG, "--out", tmp_path / "alone")
    assert reproducible(RunDir(out)) == reproducible(RunDir(tmp_path / "alone"))
