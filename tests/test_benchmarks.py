"""Every benchmark and example runs as its docstring says, and prints what it promises."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.asha import Curve, last_epochs, simulate
from benchmarks.costs import costs
from search_spaces.costs import COSTS
from tests.helpers.suites import one_row

ROOT = Path(__file__).parent.parent


def run_script(*command: str) -> str:
    """What a script prints. It has one thread: several would wait for each other if other work shares the cores."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("script", "columns"),
    [
        ("pairing", "| B | D | k | ours, ms |"),
        ("step", "| network | B | arm |"),
        ("structure", "| set | measure | fresh |"),
        ("report", "| rows | seconds |"),
        ("throughput", "| data | architecture | B | million"),
        ("scale", "| runs | s | overhead"),
        ("coverage", "| repeats | test rows, % | interval"),
    ],
)
def test_a_benchmark_prints_its_table(script: str, columns: str) -> None:
    text = run_script(f"benchmarks/{script}.py", *["batched"] * (script == "throughput"), "--quick")
    assert columns in text and text.count("\n| ") > 2


@pytest.mark.slow
def test_the_table_of_data_sets(tmp_path: Path) -> None:
    text = run_script("benchmarks/data.py", "--data-dir", str(tmp_path))
    assert "| iris | table | 150 | 3 |" in text and "not on disk" in text


@pytest.mark.slow
def test_the_example_trains_with_all_three_methods() -> None:
    text = run_script("examples/train_with_kmixup.py")
    lines = re.findall(r"(ERM|mixup|k-mixup) .*?: test error ((?:[\d.]+ % ?){3})", text)
    assert [method for method, _ in lines] == ["ERM", "mixup", "k-mixup"]
    assert all(5 < float(error) < 25 for _, errors in lines for error in errors.replace("%", "").split())


@pytest.mark.thorough
def test_the_example_of_vanishing_alpha_has_an_arm_for_each_law_of_lambda() -> None:
    """With folded λ, a vanishing α is ERM except in the few steps whose λ is not 1. ERM gains nothing over itself."""
    gains = re.findall(r"gain over ERM (\S+) ± ", run_script("examples/limit_of_mixup.py", "3"))
    assert len(gains) == 5 and gains[0] == "+0.00"
    assert abs(float(gains[2])) < 0.3 and float(gains[3]) < 0


def test_the_costs_of_tasks_are_those_of_the_published_runs() -> None:
    """A later launch may add tasks, or show that one takes less: `benchmarks/costs.py` prints the new entries."""
    found = costs()
    assert {name: found[name][0] for name in COSTS} == pytest.approx(COSTS, rel=0.05), "two digits"


def test_a_simulated_search_stops_what_the_rungs_say() -> None:
    """Epochs 1 and 3 of 9. The best so far continues; of six at a rung the best two do; ties continue."""
    rungs = [(0.5, 0.5), (0.6, 0.1), (0.4, 0.6), (0.4, 0.5), (0.3, 0.2), (0.4, 0.1)]
    assert last_epochs([{1: first, 3: second} for first, second in rungs], 9) == [9, 1, 3, 9, 9, 9]


def made_up_curves(count: int, rungs: Callable[[float], float]) -> list[Curve]:
    """Configurations whose final validation error is their test error, and whose errors at rungs follow from it."""
    curves = []
    for trial, truth in enumerate(np.random.default_rng(0).random(count).tolist()):
        runs = [one_row(trial=trial, val_error=truth, val_nll=truth, phase=phase) for phase in ("search", "shortlist")]
        curves.append(Curve({1: rungs(truth), 3: rungs(truth)}, runs, truth))
    return curves


def test_rungs_that_tell_the_truth_keep_the_best_and_cost_nothing() -> None:
    means = simulate(made_up_curves(48, lambda truth: truth), 9, 100)
    assert means["best kept, %"] == means["same selected, %"] == 100 and means["all kept, %"] < 40
    assert means["regret, points"] == means["regret without asha"] == 0 and 40 < means["epochs saved, %"] < 100


def test_rungs_that_tell_nothing_keep_the_best_as_often_as_any() -> None:
    rng = np.random.default_rng(1)
    means = simulate(made_up_curves(2000, lambda truth: rng.random()), 9, 800)
    assert 5 < means["all kept, %"] < 30
    assert abs(means["best kept, %"] - means["all kept, %"]) < 5
    assert means["regret, points"] == pytest.approx(means["best kept is worse by, points"]) != 0
    assert means["regret without asha"] == 0


@pytest.mark.thorough
def test_the_benchmark_of_asha_trains_only_what_its_file_lacks(tmp_path: Path) -> None:
    out = tmp_path / "asha.jsonl"
    command = ("benchmarks/asha.py", "--quick", "--out", str(out))
    text, trainings = run_script(*command), out.read_text()
    assert "| breast_cancer-40/mlp@0/kmixup |" in text and trainings.count("\n") == 6
    assert run_script(*command) == text and out.read_text() == trainings
