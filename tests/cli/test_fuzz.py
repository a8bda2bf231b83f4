"""Some 500 seeded mutations of what a launch and a report leave on disk, under every command that reads them.

Each ends with exit code 2 and one line, or with the right content. The gains that are reported never change. The fast
tests make 200 of the mutations, the slow ones the others.
"""

import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd
import pytest

from tests.helpers.launches import run_cli_in_process
from tests.helpers.reports import filled
from tests.helpers.searchers import make_searcher
from tests.helpers.suites import small_suite
from tune_kmixup.analysis.load import load, save_runs
from tune_kmixup.analysis.report import render, tables
from tune_kmixup.core import bitset
from tune_kmixup.core.config import Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.store.notes import Heartbeat, Period
from tune_kmixup.store.run_dir import RunDir

MUTATIONS = 500
SECONDS = 20  # after which a command counts as one that hangs

NESTED: Any = json.loads("[" * 60 + "]" * 60)
VALUES: list[Any] = [None, True, -1, 0, 1.5, 1e308, 10**30, float("nan"), float("inf"), "", "x", "\ud800", "\x1b[31m"]
VALUES += ["../../x", "=1+1", "<b>", [], {}, [[]], {"a": 1}, NESTED, "9" * 5000]


@contextmanager
def time_limit() -> Iterator[None]:
    def hangs(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"it takes longer than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# Mutations


def flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 1, 3))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def truncate(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def remove(path: Path, chance: random.Random) -> None:
    path.unlink()


def copy_beside(path: Path, chance: random.Random) -> None:
    """Under the name of a neighbour, or one that no launch writes."""
    names = [other.name for other in path.parent.iterdir() if other != path and other.is_file()]
    names += [f"{path.stem}-copy.json", path.name.replace("0", "7")]
    path.with_name(chance.choice(names)).write_bytes(path.read_bytes())


def to_folder(path: Path, chance: random.Random) -> None:
    path.unlink()
    path.mkdir()


def to_pipe(path: Path, chance: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_value(path: Path, chance: random.Random) -> None:
    """One value, at any depth, becomes one of another type or range; or a field is removed, added or doubled."""
    if path.suffix != ".json":
        return flip(path, chance)
    content = json.loads(path.read_bytes())
    containers = [item for item in walk(content) if isinstance(item, dict | list) and item]
    if not containers:
        return truncate(path, chance)
    at = chance.choice(containers)
    key: Any = chance.choice(sorted(at)) if isinstance(at, dict) else chance.randrange(len(at))
    action = chance.choice(("replace", "replace", "nudge", "remove", "double"))
    if action == "remove":
        del at[key]
    elif action == "double" and isinstance(at, list):
        at.append(at[key])
    elif action == "nudge" and isinstance(at[key], int | float):
        at[key] = at[key] + chance.choice((1, -1, 0.5))
    else:
        at[key] = chance.choice(VALUES)
    path.write_text(json.dumps(content))


def walk(value: Any) -> Iterator[Any]:
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(item)


ACTIONS: list[Callable[[Path, random.Random], None]] = [
    *[replace_value] * 4, flip, flip, truncate, remove, copy_beside, to_folder, to_pipe,
]  # fmt: skip


# What is mutated, and what must hold


@pytest.fixture(scope="module")
def suite() -> Suite:
    return small_suite(trials=2, studies=small_suite().studies[1:3])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, suite: Suite) -> Path:
    """A folder with a finished run directory `run`, and the folder of its report `report`."""
    root = tmp_path_factory.mktemp("sound")
    run = filled(RunDir(root / "run"), suite)
    for path in run.path.rglob("final-*.json"):  # with which rows were wrong, the test error is there twice
        rows = json.loads(path.read_text())
        for row in rows:
            wrong = round(1000 * row["test_error"])
            bits = bitset.encode([True] * wrong + [False] * (1000 - wrong))
            row |= {"test_error": wrong / 1000, "test_rows": 1000, "test_wrong": bits}
        path.write_text(json.dumps(rows))
    now: dict[str, Any] = {
        "since": 10.0,
        "updated": 900.0,
        "ended": True,
        "slots": 2,
        "options": ["--max-concurrent=2"],
    }
    run.write_heartbeat(Heartbeat("another", 5, **now, earlier=[Period(1.0, 2.0, 1)]))
    run.write_memory({2**34: {"iris/mlp": {1: 10**9, 10: None}}})
    (root / "report").mkdir()
    save_runs(load([run.path]), root / "report")
    return root


def study_gains(path: Path) -> dict[tuple[object, ...], float]:
    """The gains that a report of this folder shows."""
    table = tables.gain_estimates(load([path]).final, 0.95)
    return {tuple(row[:3]): row[3] for row in table[["task", "method", "reference", "mean"]].itertuples(index=False)}


def outcome(*args: str | Path) -> str:
    """What a command prints at exit code 0; the error line at exit code 2."""
    try:
        printed = run_cli_in_process(*args)
    except AssertionError:  # another exit code; a traceback would be another exception
        printed = run_cli_in_process(*args, code=2)
        (line,) = printed.splitlines()
        assert line.startswith("error: ") and len(line) < 320, line
    assert "\x1b" not in printed and "Traceback" not in printed
    return printed


def check(path: Path, suite: Suite, expected: dict[tuple[object, ...], float], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Runs all commands on a folder. Returns whether its report was refused."""
    try:
        gains, missing = study_gains(path), load([path]).missing
    except BadInput as error:
        assert len(str(error)) <= 300 and len(str(error).splitlines()) == 1, error
        gains = None
    else:
        unchanged = all(expected[key] == mean for key, mean in gains.items())
        assert unchanged or len(missing), "a gain changed without a word"
    if path.name == "run":
        status = outcome("status", path)
        readable = not status.startswith("error: ")
        assert readable or gains is None
        try:
            left = sum(queue.runs_left() for queue in make_searcher(suite, RunDir(path)).queues.values())
        except BadInput:
            assert "suite.json" in status or not readable
        else:
            assert not readable or (left == 0) == ("runs left" not in status), "launch and status disagree"
        to = path.with_name("optuna.db")
        to.unlink(missing_ok=True)
        with monkeypatch.context() as patch:
            patch.setattr("tune_kmixup.search.export.RDBStorage", lambda *a, **o: None)
            patch.setattr("tune_kmixup.search.export.optuna.create_study", lambda **options: Nothing())
            assert outcome("export", path, "--to", to).startswith("error: ") == (not readable)
    return gains is None


class Nothing:
    """Stands in for a study in SQLite, which takes most of the time of an export."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **options: None


@pytest.mark.parametrize("part", [0, 1, *(pytest.param(part, marks=pytest.mark.slow) for part in (2, 3, 4))])
def test_nothing_on_disk_makes_a_command_fail_hang_or_change_a_gain(
    part: int, sound: Path, suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(part)
    expected = study_gains(sound / "run")
    monkeypatch.setattr(render, "write_figure", lambda figure, folder: None)  # figures take most of the time
    monkeypatch.setattr(render, "page_svg", lambda figure, number: "")
    refused = 0
    for number in range(MUTATIONS // 5):
        root = tmp_path / str(number)
        shutil.copytree(sound, root)
        folder = root / chance.choice(("run", "run", "report"))
        path = chance.choice(sorted(file for file in folder.rglob("*") if file.is_file()))
        action = chance.choice(ACTIONS)
        action(path, chance)
        try:
            with time_limit():
                refused += check(folder, suite, expected, monkeypatch)
                if number % 20 == 0:
                    outcome("report", folder, "--out", root / "out", "--format", "md,csv")
        except BaseException as error:
            error.add_note(f"{action.__name__} of {path.relative_to(root)}, part {part}, number {number}")
            raise
        shutil.rmtree(root)
    assert refused > MUTATIONS // 5 // 3, "most mutations were not seen: the test shows little"


def test_the_gains_of_the_sound_directory_are_there(sound: Path) -> None:
    assert study_gains(sound / "run") == study_gains(sound / "report")
    assert pd.Series(study_gains(sound / "run")).notna().any()
