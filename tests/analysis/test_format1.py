"""What version 0.1.0 left on disk is read and reported as it was then."""

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
def test_its_gains_are_those_of_its_own_report(sources: list[Path]) -> None:
    runs = load(sources)
    assert len(runs.rows) == 106 and runs.missing.empty
    assert set(runs.rows["batched"]) == {1, 2, 3}, "the column that was called fused"
    then = pd.read_csv(REPORT / "gains.csv")
    now = tables.estimates(runs.rows, 0.95)
    pd.testing.assert_frame_equal(now[then.columns], then, check_dtype=False, rtol=1e-9)


def test_its_status_is_that_of_a_finished_launch() -> None:
    launch = status.launch_status(RunDir(FIXTURE / "tables"))
    assert launch.state == "ended" and launch.slots == 2
    assert {(study.missing, study.final_done) for study in launch.studies} == {(0, 3)}
    early = status.launch_status(RunDir(FIXTURE / "early"))
    assert sum(study.stopped for study in early.studies) > 0


def test_its_searches_are_exported(tmp_path: Path) -> None:
    shutil.copytree(FIXTURE / "early", tmp_path / "early")
    assert export(RunDir(tmp_path / "early"), tmp_path / "optuna.db") == (1, 9)
