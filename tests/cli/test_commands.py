"""Real Ray, real Optuna, real data, through the command line."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.launches import command, descendants, reproducible, tune
from tests.helpers.suites import small_suite
from tune_kmixup.core.batched_seeds import WORTHWHILE
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.selection import by_configuration, final_rows, ranking
from tune_kmixup.planning.resources import Resources
from tune_kmixup.store.lock import run_lock
from tune_kmixup.store.run_dir import RunDir

ARGS = ["launch", "iris/mlp@0", "iris/mlp@1", "--trials", "3", "--search-seeds", "2", "--final-seeds", "3"]
ARGS += [
    "--epochs",
    "20",
    "--sampler",
    "qmc",
    "--batch-seeds",
    "on",
]  # auto measures: two launches may round differently
RUNS = 2 * (1 * 2 + 3 + 2 * (3 * 2 + 3))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A small real suite, left alone."""
    out = tmp_path_factory.mktemp("launch") / "whole"
    printed = tune(*ARGS, "--out", out)
    assert "Done: every run" in printed
    return RunDir(out)


def test_a_launch_does_what_plan_announced(whole: RunDir) -> None:
    planned = tune("plan", *ARGS[1:-2])
    assert f"6 studies, 14 configurations, {RUNS} runs; sampler qmc" in planned
    assert len(reproducible(whole)) == RUNS
    for study in whole.suite().studies:
        rows = whole.rows(study.name)
        assert len(by_configuration(rows)) == (1 if study.method == "erm" else 3)
        assert {row["trial"] for row in final_rows(rows)} == {ranking(rows)[0]}
        assert all(row["test_error"] is not None for row in final_rows(rows))
        assert [row["batched"] for row in final_rows(rows)] == [3, 3, 3]
        assert all(row["test_error"] is None for row in rows if row["phase"] == "search")


def test_a_second_launch_has_nothing_to_do(whole: RunDir) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.path.rglob("studies/**/*.json")}
    assert "Nothing to do" in tune(*ARGS, "--out", whole.path)
    assert before == {path: path.stat().st_mtime_ns for path in whole.path.rglob("studies/**/*.json")}


def test_status_needs_no_ray(whole: RunDir) -> None:
    code = "import sys; from tune_kmixup.cli.commands import app; app(sys.argv[1:], standalone_mode=False); "
    code += "assert not {'ray', 'torch', 'optuna'} & sys.modules.keys(), 'imported'"
    done = subprocess.run(
        [sys.executable, "-c", code, "status", str(whole.path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "iris/mlp@1/kmixup" in done.stdout and "6/6" in done.stdout and "3/3" in done.stdout


def test_report_of_a_real_run(whole: RunDir, tmp_path: Path) -> None:
    printed = tune("report", whole.path, "--out", tmp_path / "report")
    assert "iris/mlp" in printed and "report.html" in printed
    assert (tmp_path / "report" / "report.html").stat().st_size > 1000


def kill_after(seconds: float, out: Path) -> None:
    """Launches, and kills all of it at once: driver, raylet, workers."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command(*ARGS, "--out", out), **quiet)
    time.sleep(seconds)
    for pid in descendants(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(timeout=30)


@pytest.mark.slow
def test_killed_and_launched_again_ends_like_one_left_alone(whole: RunDir, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    chance = random.Random(0)
    for _ in range(2):
        kill_after(chance.uniform(7, 14), out)
    tune(*ARGS, "--out", out)
    assert reproducible(RunDir(out)) == reproducible(whole)


@pytest.mark.slow
def test_resume_extends(tmp_path: Path) -> None:
    args = ["launch", "iris/mlp@0", "--epochs", "5", "--search-seeds", "1", "--out", tmp_path / "run"]
    tune(*args, "--trials", "2", "--final-seeds", "2")
    before = reproducible(RunDir(tmp_path / "run"))
    tune("resume", tmp_path / "run", "--trials", "4", "--final-seeds", "3")
    after = reproducible(RunDir(tmp_path / "run"))
    assert before.items() <= after.items()
    for study in RunDir(tmp_path / "run").suite().studies:
        rows = RunDir(tmp_path / "run").rows(study.name)
        assert len(by_configuration(rows)) == (1 if study.method == "erm" else 4)
        assert len(final_rows(rows)) == 3


@pytest.mark.slow
def test_seeds_are_trained_together_where_that_was_measured_to_pay(tmp_path: Path) -> None:
    args = ["launch", "iris/mlp@0", "--epochs", "5", "--trials", "2", "--search-seeds", "2", "--final-seeds", "12"]
    tune(*args, "--out", tmp_path / "run")
    run = RunDir(tmp_path / "run")
    measured = run.speedups()["iris/mlp"]
    assert measured.keys() == {2, 10} and all(ratio > 0 for ratio in measured.values())
    expected = 10 if measured[10] >= WORTHWHILE else 1
    for study in run.suite().studies:
        assert {row["batched"] for row in final_rows(run.rows(study.name))} == {expected, 2 if expected > 1 else 1}
    run.write_speedups({"iris/mlp": {2: 0.5, 10: 0.5}})
    tune("resume", run.path, "--final-seeds", "15")
    rows = final_rows(run.rows("iris/mlp@0/kmixup"))
    assert [row["batched"] for row in rows[12:]] == [1, 1, 1], "what was measured is remembered"


# `oom` stands in for a network too large for the device: no GPU is needed for torch's error to be raised.
BROKEN = """
import torch
from search_spaces.tasks import TASKS
from tune_kmixup.models import ARCHITECTURES, mlp
from tune_kmixup.study import Recipe, Task

def broken(shape, classes):
    raise RuntimeError("this network is broken")

def oom(shape, classes):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

def missing_runs(shape, classes):
    import a_package_that_no_node_has

recipe = Recipe(epochs=2, batch_size=50, lr=0.1)
for name, network in {"broken": broken, "oom": oom, "missing_runs": missing_runs, "fine": mlp}.items():
    ARCHITECTURES[name] = network
    TASKS[f"iris/{name}"] = (Task("iris", name, recipe, outer_split=0),)
"""
WHY = {
    "broken": "RuntimeError: this network is broken",
    "oom": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.",
    "missing_runs": "ModuleNotFoundError: No module named 'a_package_that_no_node_has'",
}


@pytest.mark.slow
def test_a_trial_that_fails_fails_alone(tmp_path: Path) -> None:
    """Its own error, memory that runs out, and a package that its node lacks, side by side with one that is fine."""
    (tmp_path / "mine.py").write_text(BROKEN)
    args = ["launch", *(f"iris/{name}" for name in WHY), "iris/fine", "--method", "mixup", "--trials", "1"]
    args += ["--search-seeds", "1", "--final-seeds", "1", "--load", tmp_path / "mine.py", "--out", tmp_path / "run"]
    printed = tune(*args, code=1)
    status = tune("status", tmp_path / "run")
    for name, why in WHY.items():
        assert f"failed: iris/{name}@0/mixup/search-0000: {why}" in status
        assert why in printed
    assert "tune-kmixup resume" in printed
    assert len(RunDir(tmp_path / "run").rows("iris/fine@0/mixup")) == 2


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
def test_a_data_directory_that_vanishes_stops_what_needs_it_alone(tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    generator = np.random.default_rng(0)
    data.mkdir()
    np.savez(data / "mine.npz", x=generator.normal(size=(150, 4)).astype("f4"), y=generator.integers(0, 3, 150))
    (tmp_path / "mine.py").write_text(VANISHES)
    args = ["--max-concurrent", "1", "--batch-seeds", "off", "--load", tmp_path / "mine.py", "--data-dir", data]
    small = ["--method", "erm", "--search-seeds", "1", "--final-seeds", "1", "--epochs", "2"]
    printed = tune("launch", "mine/mlp", "iris/mlp@0", *small, *args, "--out", run, code=1)
    gone = f"there is no mine.npz, mine.csv or folder mine in {data}: put one there"
    assert gone in printed and gone in tune("status", run)
    assert len(RunDir(run).rows("iris/mlp@0/erm")) == 2 and not RunDir(run).rows("mine/mlp@0/erm")
    refused = tune("resume", run, *args, code=2)
    assert gone in refused and "Traceback" not in refused and len(refused.splitlines()) == 1
    shutil.copytree(tmp_path / "vanished", data)
    tune("resume", run, *args)
    assert len(RunDir(run).rows("mine/mlp@0/erm")) == 2


BAD = [
    (["launch", "irsi/mlp", "--out", "x"], "did you mean iris/mlp"),
    (["launch", "../../elsewhere", "--out", "x"], "task='../../elsewhere' is unknown"),
    (["launch", "iris/mlp@../../elsewhere", "--out", "x"], "names an outer split that there is not"),
    (["launch", "iris/mlp", "--method", "../elsewhere", "--out", "x"], "method='../elsewhere' is unknown"),
    (["launch", "iris/mlp", "--trials", "0", "--out", "x"], "trials=0 is too small"),
    (["launch", "iris/mlp", "--out", "x", "--gpus-per-trial", "99"], "gpus_per_trial=99 does not fit"),
    (["launch", "iris/mlp", "--out", "x", "--gpus-per-trial", "half"], "gpus_per_trial='half' is neither"),
    (["plan", "iris/mlp", "--gpus-per-trial", "-1"], "gpus_per_trial=-1.0 is not a number ≥ 0"),
    (["launch", "iris/mlp", "--out", "x", "--cpus-per-trial", "9999"], "cpus_per_trial=9999 does not fit"),
    (["launch", "iris/mlp", "--out", "/proc/nowhere/run"], "cannot be written"),
    (
        ["launch", "iris/mlp", "--out", "x", "--address", "ray://h:10001"],
        "ray job submit --address http://h:8265 -- tune-kmixup launch iris/mlp --out x --address auto",
    ),
    (["launch", "iris/mlp", "--out", "x", "--batch-seeds", "yes"], "batch_seeds='yes' is unknown"),
    (["launch", "iris/mlp", "--out", "x", "--fuse", "off"], "use --batch-seeds off"),
    (["launch", "iris/mlp", "--load", "nowhere.py", "--out", "x"], "load='nowhere.py' cannot be read"),
    (["resume", "nowhere"], "holds no suite.json"),
    (["status", "nowhere"], "holds no suite.json"),
    (["report", "nowhere", "--out", "y"], "nowhere"),
]


@pytest.mark.parametrize(("args", "message"), BAD, ids=[" ".join(args) for args, _ in BAD])
def test_bad_input_is_refused_with_exit_code_2(
    args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tune_kmixup.cli import commands

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tune-kmixup", *args])
    with pytest.raises(SystemExit) as end:
        commands.main()
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.rglob("suite.json")) == [], "nothing was begun"


@pytest.mark.parametrize("command", ["launch", "resume", "demo"])
def test_shares_of_gpus_that_are_not_there_are_refused(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tune_kmixup.cli import commands

    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    run = RunDir(tmp_path / "x")
    where = {"launch": ["iris/mlp", "--out"], "resume": [], "demo": ["--out"]}[command]
    if command == "resume":
        run.write_suite(small_suite())
    monkeypatch.setattr(sys, "argv", ["tune-kmixup", command, *where, str(run.path), "--gpus-per-trial", "auto"])
    with pytest.raises(SystemExit) as end:
        commands.main()
    assert end.value.code == 2
    expected = "gpus_per_trial='auto' measures on a GPU, and there are 0: choose gpus_per_trial=0 to train on CPUs, or"
    assert expected in capsys.readouterr().err
    assert run.exists() == (command == "resume"), "nothing was begun"


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        ("0", "each trial: 1 CPU"),
        ("0.5", "each trial: 1 CPU 0.5 GPU"),
        ("auto", "each trial: 1 CPU, a share of a GPU as measured"),
    ],
)
def test_plan_says_what_a_trial_gets(gpus: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    from tune_kmixup.cli import commands

    commands.app(["plan", "iris/mlp", "--gpus-per-trial", gpus], standalone_mode=False)
    assert f"{expected}\n" in "\n".join(map(str.strip, capsys.readouterr().out.splitlines())) + "\n"


def test_a_second_launch_on_one_directory_is_refused(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.write_launch({"host": "here", "pid": 1234, "since": 0.0, "updated": 0.0, "ended": False})
    with run_lock(run), pytest.raises(BadInput, match="in use by process 1234 on here since"), run_lock(run):
        pass
    with run_lock(run):
        pass


def test_a_launch_on_another_machine_holds_the_directory_as_long_as_it_gives_signs_of_life(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    beat = {"host": "another", "pid": 1234, "since": 0.0, "updated": time.time(), "ended": False}
    run.write_launch(beat)
    with pytest.raises(BadInput, match="in use by process 1234 on another since"), run_lock(run):
        pass
    run.write_launch(beat | {"updated": time.time() - 60})
    with run_lock(run):
        pass
    run.write_launch(beat | {"ended": True})
    with run_lock(run):
        pass


def test_slots() -> None:
    assert Resources(cpus_per_trial=0.5).slots(4, 0) == 8
    assert Resources(gpus_per_trial=0.25).slots(64, 2) == 8
    assert Resources(max_concurrent=3).slots(64, 0) == 3
    with pytest.raises(BadInput, match="max_concurrent=0"):
        Resources(max_concurrent=0)
    with pytest.raises(BadInput, match="choose 0 to train on CPUs"):
        Resources(gpus_per_trial=-1)
    auto = Resources(cpus_per_trial=2, gpus_per_trial="auto", max_concurrent=3)
    assert auto.slots(64, 5) == 5, "GPUs, of which each holds a trial or more"
    assert auto.slots(7, 5) == 3, "two have no CPUs left"
    with pytest.raises(BadInput, match="cpus_per_trial=2 does not fit"):
        auto.slots(1, 5)


def test_suite_files_are_plain_json(whole: RunDir) -> None:
    for path in whole.path.rglob("*.json"):
        json.loads(path.read_text())
    assert not list(whole.path.rglob("*.pkl")) and not list(whole.path.rglob("*.part"))
