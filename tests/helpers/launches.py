"""Launches through the command line, in processes of their own or in this one, and what they leave behind."""

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from search_spaces.methods import METHODS
from search_spaces.suites import SUITES
from search_spaces.tasks import TASKS
from tests.helpers.suites import without_clock
from tune_kmixup.core.rows import Row
from tune_kmixup.data.registry import DATASETS
from tune_kmixup.models import ARCHITECTURES
from tune_kmixup.planning import plugins
from tune_kmixup.store.notes import Heartbeat, Holder
from tune_kmixup.store.run_dir import Results, RunDir

ROOT = Path(__file__).parents[2]

# Two studies of one search run and one final run, of a few seconds each: an interruption finds both training.
LONG = ["launch", "iris/mlp@0", "--method", "erm", "--method", "mixup", "--trials", "1", "--search-seeds", "1"]
LONG += ["--final-seeds", "1", "--epochs", "3000"]


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "tune_kmixup", *map(str, args)]


def run_cli(*args: str | Path, code: int = 0, cwd: Path | None = None) -> str:
    """Runs a command in a process of its own, checks its exit code, and returns what it printed."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command(*args), cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def run_cli_in_process(*args: str | Path, code: int = 0) -> str:
    """The same in this process, which saves seconds of imports. What `--load` files add is taken away again."""
    from tune_kmixup.cli import commands

    printed = io.StringIO()
    argv = ["tune-kmixup", *map(str, args)]
    with (
        registries_restored(),
        mock.patch.object(sys, "argv", argv),
        redirect_stdout(printed),
        redirect_stderr(printed),
    ):
        try:
            commands.main()
            exit_code = 0
        except SystemExit as end:
            exit_code = end.code if isinstance(end.code, int) else 0
    assert exit_code == code, printed.getvalue()
    return printed.getvalue()


def beat_of(run: RunDir) -> Heartbeat:
    """The last heartbeat of a launch, which has written one."""
    beat = run.heartbeat()
    assert beat is not None
    return beat


def holder_of(run: RunDir) -> Holder:
    """Who holds a run directory, which somebody does."""
    holder = run.holder()
    assert holder is not None
    return holder


@contextmanager
def registries_restored() -> Iterator[None]:
    registries = (METHODS, TASKS, SUITES, DATASETS, ARCHITECTURES, sys.modules)
    before = [dict(registry) for registry in registries]
    try:
        yield
    finally:
        plugins.take_back()
        for registry, entries in zip(registries[:-1], before[:-1], strict=True):
            registry.clear()
            registry.update(entries)
        ours = {name for name in sys.modules if name.startswith("tune_kmixup_loaded_")} | plugins.imported.keys()
        for name in ours - before[-1].keys():
            sys.modules.pop(name, None)
        plugins.imported.clear()


def results_of(run: RunDir, study: str) -> Results:
    """What a study of the run directory has proposed and finished."""
    suite = run.suite()
    return run.study_results(suite, suite.study(study))


def reproducible(run: RunDir) -> dict[tuple[object, ...], Row]:
    """Every run by its key, without the columns that a clock fills."""
    runs: dict[tuple[object, ...], Row] = {}
    for study, results in run.results(run.suite()).items():
        for row in results.rows:
            key = (study, row.phase, row.trial, row.seed)
            assert key not in runs, "a run was done twice"
            (runs[key],) = without_clock([row])
    return runs


def contents(path: Path) -> dict[str, str]:
    """Path of each file of a study -> its text."""
    return {str(file.relative_to(path)): file.read_text() for file in sorted(path.glob("studies/**/*.json"))}


def result_files(out: Path) -> list[Path]:
    """The files with rows, and those of failures, that a launch has written so far."""
    return [path for path in out.rglob("studies/**/*.json") if not path.name.startswith("proposal")]


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    table = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in table.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    pids, todo = [], [pid]
    while todo:
        pids.append(todo.pop())
        todo += children.get(pids[-1], [])
    return pids


def workers(pid: int) -> list[int]:
    """The processes below `pid` that are training."""
    return [below for below in descendants(pid) if b"Trainable.train" in title(below)]


def begun(out: Path, *options: str, on_cluster: bool = False, **env: str) -> "subprocess.Popen[str]":
    """A launch some of whose trials are in progress; on a cluster, whose nodes this process started."""
    process = subprocess.Popen(
        command(*LONG, "--out", out, *options),
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if workers(os.getpid() if on_cluster else process.pid):
            time.sleep(0.5)  # in the middle of a run
            return process
        time.sleep(0.2)
    raise AssertionError(process.communicate(timeout=10)[0])


def title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""
