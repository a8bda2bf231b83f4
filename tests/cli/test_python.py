"""The commands for Python: the options of the command line by the same names, and a notebook."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_wine

import tune_kmixup
from tests.helpers.launches import ROOT, registries_restored
from tune_kmixup.cli.options import DataOptions, Experiment, RunOptions, SearchOptions
from tune_kmixup.cli.python import launch_arguments
from tune_kmixup.core.errors import BadInput, LaunchError


def test_options_are_those_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = launch_arguments({"method": "erm", "load": ["mine.py"], "trials": 3, "lr": None, "data_dir": "data"})
    search, data = SearchOptions(method=["erm"], trials=3), DataOptions(tmp_path / "data", [tmp_path / "mine.py"])
    assert given == {"experiment": Experiment(search=search, data=data), "options": RunOptions()}
    with pytest.raises(TypeError, match=r"launch\(\) has no option 'trails': choose among .*trials"):
        launch_arguments({"trails": 3})


def test_what_does_not_fit_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    refused = {
        "belongs to a file": {"label": "Churn"},
        "trials=0 is too small": {"trials": 0},
        "is the address of Ray Client": {"address": "ray://head:10001"},
    }
    for message, options in refused.items():
        with registries_restored(), pytest.raises(BadInput, match=message):
            tune_kmixup.launch("iris/mlp", out=tmp_path / "run", **options)
    with pytest.raises(BadInput, match="is not there: name the --out"):
        tune_kmixup.load(tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_ray_that_dies_is_said_once_and_is_no_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`launch` is a stand-in: the thread that watches Ray says so, and what it interrupts looks like Ctrl-C."""

    def dying(
        suite: object, run: object, data_dir: object, resources: object, plugins: object, *listening: Any
    ) -> None:
        listening[0].death(LaunchError("Ray's process raylet has died: check the free memory."))
        time.sleep(30)

    monkeypatch.setattr("tune_kmixup.tuning.launch.launch", dying)
    with registries_restored(), pytest.raises(LaunchError, match="is not finished"):
        tune_kmixup.launch("iris/mlp", out=tmp_path / "run")
    assert capsys.readouterr().err.count("raylet has died") == 1


@pytest.mark.slow
def test_a_table_is_tuned_in_one_call_and_again_in_the_same_process(
    ray_address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "cultivars.csv"
    load_wine(as_frame=True).frame.to_csv(table, index=False)
    budget = {"trials": 1, "search_seeds": 1, "shortlist": 1, "final_seeds": 1, "epochs": 2}
    on_ray = {"address": ray_address, "max_concurrent": 1}
    with registries_restored():
        for drop in ([], ["proline"]):
            out = tmp_path / f"run{len(drop)}"
            results = tune_kmixup.launch(
                table, label="target", drop=drop, method=["erm", "mixup"], out=out, **budget, **on_ray
            )
            assert len(results.gains()) == 1 and results.rows["selected"].sum() == 10
            assert tune_kmixup.load(out).rows.equals(results.rows)
            assert "network: mlp" in capsys.readouterr().out, "what was chosen for the file is said"


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    """Its cells one after another in Python, as there is no Jupyter here."""
    notebook = json.loads((ROOT / "examples" / "own_table.ipynb").read_text())
    code = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kmixup = KMixup(" in done.stdout and (tmp_path / "report" / "report.html").exists()
