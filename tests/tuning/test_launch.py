"""Real Ray, real Optuna, real data, real training, through the command line."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.launches import (
    command,
    descendants,
    reproducible,
    result_files,
    results_of,
    run_cli,
    run_cli_in_process,
)
from tune_kmixup.core.numerics import NUMERICS
from tune_kmixup.core.selection import by_configuration, final_rows, ranking, selected
from tune_kmixup.search import retries
from tune_kmixup.store.run_dir import RunDir

SMALL = ["iris/mlp@0", "iris/mlp@1", "--trials", "3", "--search-seeds", "2", "--final-seeds", "3"]
SMALL += ["--shortlist", "2", "--epochs", "20", "--sampler", "qmc"]
LAUNCH = ["launch", *SMALL, "--batch-seeds", "on"]
RUNS = 2 * (1 * 2 + 3 + 2 * (3 * 2 + 2 * 4 + 3))

Cli = Callable[..., str]


@pytest.fixture
def cli(on_ray: list[str]) -> Cli:
    """Runs a command in this process, on the Ray that the tests share."""

    def run(*args: str | Path, code: int = 0) -> str:
        return run_cli_in_process(*args, *on_ray, code=code)

    return run


# A launch with a Ray of its own, as most users start it


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A small suite that nothing interrupted."""
    out = tmp_path_factory.mktemp("launch") / "whole"
    assert "Done: every run" in run_cli(*LAUNCH, "--out", out)
    return RunDir(out)


@pytest.mark.slow
def test_a_launch_does_what_plan_announced(whole: RunDir) -> None:
    planned = run_cli_in_process("plan", *SMALL)
    assert f"6 studies, 14 configurations, {RUNS} runs; sampler qmc" in planned
    assert len(reproducible(whole)) == RUNS
    for study in whole.suite().studies:
        rows = results_of(whole, study.name).rows
        assert len(by_configuration(rows)) == (1 if study.method == "erm" else 3)
        finals = final_rows(rows, 2, "error")
        chosen = selected(rows, 2, "error")
        assert [(row.trial, row.batched) for row in finals] == [(chosen, 3)] * 3
        assert all((row.test_error is None) == (row.phase != "final") for row in rows)
        compared = {row.trial for row in rows if row.phase == "shortlist"}
        assert compared == (set() if study.method == "erm" else set(ranking(rows, "error")[:2]))


@pytest.mark.slow
def test_a_second_launch_has_nothing_to_do(whole: RunDir) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.path.rglob("studies/**/*.json")}
    assert "Nothing to do" in run_cli_in_process(*LAUNCH, "--out", whole.path)
    assert before == {path: path.stat().st_mtime_ns for path in whole.path.rglob("studies/**/*.json")}


@pytest.mark.slow
def test_report_of_a_real_run(whole: RunDir, tmp_path: Path) -> None:
    printed = run_cli_in_process("report", whole.path, "--out", tmp_path / "report", "--format", "html")
    assert "iris/mlp" in printed and "report.html" in printed
    assert (tmp_path / "report" / "report.html").stat().st_size > 1000


@pytest.mark.slow
def test_suite_files_are_plain_json(whole: RunDir) -> None:
    for path in whole.path.rglob("*.json"):
        json.loads(path.read_text())
    assert not list(whole.path.rglob("*.pkl")) and not list(whole.path.rglob("*.part"))


@pytest.mark.slow
def test_killed_and_launched_again_ends_like_one_left_alone(whole: RunDir, tmp_path: Path) -> None:
    """Twice, driver, raylet and workers are all killed once a seeded number of result files exists."""
    out = tmp_path / "killed"
    for results in sorted(random.Random(0).sample(range(1, 14), 2)):
        kill_after(results, out)
    run_cli(*LAUNCH, "--out", out)
    assert reproducible(RunDir(out)) == reproducible(whole)


def kill_after(results: int, out: Path) -> None:
    process = subprocess.Popen(command(*LAUNCH, "--out", out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while len(result_files(out)) < results and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    assert process.poll() is None, "the launch ended before it could be killed"
    for pid in descendants(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(timeout=30)


# Launches on the Ray that the tests share


@pytest.mark.slow
def test_resume_extends_and_goes_on_where_an_earlier_version_measured(cli: Cli, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    budget = ["--trials", "2", "--search-seeds", "2", "--final-seeds", "12", "--epochs", "5", "--shortlist", "1"]
    cli("launch", "iris/mlp@0", *budget, "--out", run.path)
    before = reproducible(run)
    for study in run.suite().studies:
        assert {row.batched for row in final_rows(results_of(run, study.name).rows, 1, "error")} == {10, 2}
    (run.path / "speedups.json").write_text('{"iris/mlp": {"2": 0.5, "10": 0.5}}')
    cli("resume", run.path, "--trials", "4", "--final-seeds", "15")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "Ray Tune's handler of Ctrl-C is gone"
    assert before.items() <= reproducible(run).items()
    for study in run.suite().studies:
        rows = results_of(run, study.name).rows
        assert len(by_configuration(rows)) == (1 if study.method == "erm" else 4)
        assert len(final_rows(rows, 1, "error")) == 15
    assert all(row.batched > 1 for row in rows), "what was measured then is ignored"


# What fails on a node alone passes the check before the launch. `oom` stands in for a network too large for the device:
# torch's error can be raised without a GPU.
BROKEN = """
import sys
import torch
from search_spaces.tasks import TASKS
from tune_kmixup.models import ARCHITECTURES, mlp
from tune_kmixup.study import Recipe, Task

def broken(shape, classes):
    raise RuntimeError("this network is broken")

def oom(shape, classes):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

def lacking(shape, classes):
    import a_package_that_no_node_has

recipe = Recipe(epochs=2, batch_size=50, lr=0.1)
for name, network in {"broken": broken, "oom": oom, "lacking": lacking, "fine": mlp}.items():
    ARCHITECTURES[name] = network if "default_worker" in sys.argv[0] else mlp
    TASKS[f"iris/{name}"] = (Task("iris", name, recipe, outer_split=0),)
"""
WHY = {
    "broken": "RuntimeError: this network is broken",
    "oom": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.",
    "lacking": "ModuleNotFoundError: No module named 'a_package_that_no_node_has'",
}


@pytest.mark.slow
def test_a_trial_that_fails_fails_alone(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own error, memory that runs out, and a package that its node lacks, beside a trial that succeeds."""
    monkeypatch.setattr(retries, "RETRIES", 0)  # retries have tests of their own
    (tmp_path / "mine.py").write_text(BROKEN)
    args = ["launch", *(f"iris/{name}" for name in WHY), "iris/fine", "--method", "mixup", "--trials", "1"]
    args += ["--search-seeds", "1", "--final-seeds", "1", "--load", tmp_path / "mine.py", "--out", tmp_path / "run"]
    printed = cli(*args, code=1)
    status = run_cli_in_process("status", tmp_path / "run")
    for name, why in WHY.items():
        assert f"failed: iris/{name}@0/mixup/search-0000: {why}" in status
        assert why in printed
    (go_on,) = [line for line in printed.splitlines() if line.startswith("To go on: ")]
    assert go_on in status.splitlines(), "both have the options of the launch"
    assert re.fullmatch(r"To go on: tune-kmixup resume \S+ --address=\S+ --max-concurrent=1", go_on)
    assert len(results_of(RunDir(tmp_path / "run"), "iris/fine@0/mixup").rows) == 2


MINE = """
from neighbour import NAME
from search_spaces.tasks import TASKS
from tune_kmixup.study import Recipe, Task
TASKS[f"{NAME}/mlp"] = (Task(NAME, "mlp", Recipe(epochs=2, batch_size=50, lr=0.1), outer_split=0),)
"""


@pytest.mark.slow
@pytest.mark.thorough  # tests/cli has what the options and the variable do without a launch
@pytest.mark.parametrize("named_by", ["environment", "option"])
def test_own_data_and_files_may_be_named_from_the_working_directory(
    named_by: str, ray_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "my data").mkdir()
    x, y = generator.normal(size=(150, 4)).astype("f4"), generator.integers(0, 3, 150)
    np.savez(tmp_path / "my data" / "mine.npz", x=x, y=y)
    (tmp_path / "neighbour.py").write_text("NAME = 'mine'")
    (tmp_path / "mine.py").write_text(MINE)
    args = ["launch", "mine/mlp", "--method", "erm", "--final-seeds", "1", "--load", "mine.py", "--out", "runs/mine"]
    args += ["--address", ray_address]
    if named_by == "environment":
        monkeypatch.setenv("TUNE_KMIXUP_DATA", "my data")
    else:
        args += ["--data-dir", "my data"]
    run_cli(*args, cwd=tmp_path)
    monkeypatch.setenv("TUNE_KMIXUP_DATA", "nowhere")
    (tmp_path / "elsewhere").mkdir()
    again = ["resume", "../runs/mine", "--final-seeds", "2", "--address", ray_address]
    run_cli(*again, cwd=tmp_path / "elsewhere")
    run = RunDir(tmp_path / "runs" / "mine")
    rows, identity = results_of(run, "mine/mlp@0/erm").rows, run.suite().identity
    assert len(rows) == 3, "the directory remembers data and files"
    expected = (identity.data["mine"], identity.loaded, NUMERICS)
    assert {(row.data, row.loaded, row.numerics) for row in rows} == {expected}


# On workers it takes the data away before they are read, once: as if the directory had vanished, or were not mounted.
VANISHES = """
import sys
from pathlib import Path
from search_spaces.tasks import TASKS
from tune_kmixup.study import Recipe, Task

data = Path(__file__).parent / "data"
if "default_worker" in sys.argv[0] and not data.with_name("vanished").exists():
    data.rename(data.with_name("vanished"))
recipe = Recipe(epochs=2, batch_size=50, lr=0.1)
TASKS["mine/mlp"] = (Task("mine", "mlp", recipe, outer_split=0),)
"""


@pytest.mark.slow
def test_a_data_directory_that_vanishes_stops_what_needs_it_alone(on_ray: list[str], tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    generator = np.random.default_rng(0)
    data.mkdir()
    np.savez(data / "mine.npz", x=generator.normal(size=(150, 4)).astype("f4"), y=generator.integers(0, 3, 150))
    (tmp_path / "mine.py").write_text(VANISHES)
    args = [*on_ray, "--batch-seeds", "off", "--load", tmp_path / "mine.py", "--data-dir", data]
    budget = ["--method", "erm", "--search-seeds", "1", "--final-seeds", "1", "--epochs", "2"]
    printed = run_cli_in_process("launch", "mine/mlp", "iris/mlp@0", *budget, *args, "--out", run, code=1)
    gone = f"there is no mine.npz, mine.csv or folder mine in {data}: put one there"
    assert gone in printed and gone in run_cli_in_process("status", run)
    runs = {study: len(results.rows) for study, results in RunDir(run).results(RunDir(run).suite()).items()}
    assert runs == {"iris/mlp@0/erm": 2, "mine/mlp@0/erm": 0}
    refused = run_cli_in_process("resume", run, *args, code=2)
    assert gone in refused and "Traceback" not in refused and len(refused.splitlines()) == 1
    shutil.copytree(tmp_path / "vanished", data)
    run_cli_in_process("resume", run, *args)
    assert len(results_of(RunDir(run), "mine/mlp@0/erm").rows) == 2
