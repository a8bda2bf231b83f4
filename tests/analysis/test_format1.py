"""Run directories and a report of version 0.1.0 are still read, with the same numbers."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tune_kmixup.analysis.load import load
from tune_kmixup.analysis.report import tables
from tune_kmixup.search.export import export
from tune_kmixup.store import status
from tune_kmixup.store.run_dir import RunDir

FIXTURE = Path(__file__).parents[1] / "fixtures" / "format1"
RUN_DIRS, REPORT = [FIXTURE / "tables", FIXTURE / "early"], FIXTURE / "report"


@pytest.mark.parametrize("sources", [RUN_DIRS, [REPORT]], ids=["run directories", "report"])
def test_the_gains_are_those_of_the_report_of_version_0_1_0(sources: list[Path]) -> None:
    """But for the intervals of a task with one search: they were over its seeds, and are none any more."""
    runs = load(sources)
    assert len(runs.rows) == 106 and runs.missing.empty
    assert set(runs.rows["batched"]) == {1, 2, 3}, "the column was called fused"
    expected = pd.read_csv(REPORT / "gains.csv").set_index(["task", "method", "reference"])
    found = tables.gain_estimates(runs.rows, 0.95).set_index(["task", "method", "reference"])
    assert found["mean"].to_numpy() == pytest.approx(expected["mean"].to_numpy())
    one_search = ["letters-60/mlp"]
    assert found.loc[one_search, ["low", "high"]].isna().all(axis=None) and (found.loc[one_search, "units"] == 1).all()
    columns = ["low", "high", "units"]
    several = [task for task in runs.rows["task"].unique() if task not in one_search and task in found.index]
    assert several
    pd.testing.assert_frame_equal(found.loc[several, columns], expected.loc[several, columns], check_dtype=False)


def test_the_status_is_that_of_a_finished_launch() -> None:
    launch = status.launch_status(RunDir(FIXTURE / "tables"))
    assert launch.state == "ended" and launch.slots == 2
    assert {(study.missing, study.final_done) for study in launch.studies} == {(0, 3)}
    early = status.launch_status(RunDir(FIXTURE / "early"))
    assert sum(study.stopped for study in early.studies) > 0


def test_the_searches_are_exported(tmp_path: Path) -> None:
    shutil.copytree(FIXTURE / "early", tmp_path / "early")
    assert export(RunDir(tmp_path / "early"), str(tmp_path / "optuna.db")) == (1, 9)
