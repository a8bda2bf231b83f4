"""Every benchmark and example runs as its docstring says, and prints what it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.reports import filled
from tune_kmixup.analysis.report.tables import format_estimate
from tune_kmixup.analysis.stats import t_interval
from tune_kmixup.core.config import Suite
from tune_kmixup.core.selection import final_rows
from tune_kmixup.store.run_dir import RunDir

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
        ("throughput", "| task | R | ms a step"),
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


@pytest.mark.slow
def test_the_example_of_the_next_best_trains_those_that_were_not_selected(run_dir: RunDir, suite: Suite) -> None:
    """For rank 1 it takes the existing final runs. They are made up, so their errors show that none was trained."""
    filled(run_dir, suite)
    lines = run_script("examples/next_best.py", str(run_dir.path), str(run_dir.path.parent), "2", "3").splitlines()
    assert [re.findall(r"^iris/mlp@[01]/(\w+) +rank (\d):", line)[0] for line in lines] == 2 * [
        *(("erm", "1"), ("mixup", "1"), ("mixup", "2"), ("kmixup", "1"), ("kmixup", "2"))
    ]
    made_up = {
        format_estimate(t_interval([row["test_error"] for row in final_rows(run_dir.rows(study.name), 1)]))
        for study in suite.studies
    }
    assert [line.partition("test error ")[2].removesuffix(" %") in made_up for line in lines] == 2 * [1, 1, 0, 1, 0]


def test_the_readme_shows_the_example_as_it_is() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    example = (ROOT / "examples" / "train_with_kmixup.py").read_text()
    assert len(shown) == 1 and shown[0] in example
