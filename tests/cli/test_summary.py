"""What `report` and `demo` print."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.report import made_up
from tune_kmixup.analysis.load import Runs
from tune_kmixup.analysis.report import render
from tune_kmixup.analysis.report.sections import make_report
from tune_kmixup.cli.summary import show_comparison


def test_the_report_ends_with_the_answer_in_ten_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 80 columns, after a table with one line for each task."""
    written = lambda runs, *_: render.Written(make_report(runs, 0.95, "test_error"), {})  # noqa: E731
    monkeypatch.setattr(render, "write", written)
    console = Console(width=80, record=True, file=io.StringIO())
    tasks = ["a/mlp", "b/mlp", "fashion_mnist-2000/lenet"]
    show_comparison(console, Runs(made_up(np.random.default_rng(0), tasks=tasks)), Path("reports/made-up"))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert all(len(line) <= 80 for line in lines)
    table, answer = lines[: lines.index("")], lines[-10:]
    assert [sum(line.lstrip().startswith(task) for line in lines) for task in tasks] == [1, 1, 1] and table
    assert answer[-1] == "report: reports/made-up"
    for start in ("▲ gain", "mixup over ERM: ", "k-mixup over mixup: "):
        assert any(line.startswith(start) for line in answer)
