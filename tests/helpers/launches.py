"""Launches through the command line, and what they left behind."""

import os
import subprocess
import sys
from pathlib import Path

from tune_kmixup.store.run_dir import RunDir

ROOT = Path(__file__).parents[2]
CLOCK = ("seconds", "pairing_seconds", "started")

# Two studies of one search run and one final run, of several seconds each: an interruption finds both in the middle.
LONG = ["launch", "iris/mlp@0", "--method", "erm", "--method", "mixup", "--trials", "1", "--search-seeds", "1"]
LONG += ["--final-seeds", "1", "--epochs", "8000"]


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "tune_kmixup", *map(str, args)]


def tune(*args: str | Path, code: int = 0, cwd: Path | None = None) -> str:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command(*args), cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def reproducible(run: RunDir) -> dict[tuple[object, ...], dict[str, object]]:
    """Every run by its key, without what the clock measured."""
    found: dict[tuple[object, ...], dict[str, object]] = {}
    for study in run.suite().studies:
        for row in run.rows(study.name):
            key = (study.name, row["phase"], row["trial"], row["seed"])
            assert key not in found, "a run was done twice"
            found[key] = {name: value for name, value in row.items() if name not in CLOCK}
    return found


def descendants(pid: int) -> list[int]:
    table = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in table.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def workers(pid: int) -> list[int]:
    """Processes that train, of all below `pid`."""
    return [below for below in descendants(pid) if b"Trainable.train" in title(below)]


def title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""
