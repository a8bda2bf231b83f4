"""Launches that once pooled what does not belong together, or trained for ever, with exit code 0 and without a word.

Real launches through the command line, on the Ray that the tests share.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.launches import reproducible, run_cli_in_process
from tune_kmixup.store.run_dir import RunDir

pytestmark = pytest.mark.slow

MINE = """
from torch import nn
from search_spaces.tasks import TASKS
from tune_kmixup.models import ARCHITECTURES
from tune_kmixup.study import Recipe, Task
ARCHITECTURES["mine"] = lambda shape, classes: nn.Sequential(nn.Linear(shape[0], WIDTH), nn.Linear(WIDTH, classes))
TASKS["mine/mine"] = (Task("mine", "mine", Recipe(epochs=1, batch_size=10, lr=0.1), outer_split=0),)
"""
Launch = Callable[..., RunDir]


@pytest.fixture
def launch(on_ray: list[str], tmp_path: Path) -> Launch:
    """Launches into a folder of this name, and returns the run directory."""

    def run(name: str, *args: str | Path) -> RunDir:
        budget = ["--trials", "2", "--search-seeds", "1", "--final-seeds", "1", "--shortlist", "1"]
        run_cli_in_process("launch", *args, *budget, *on_ray, "--out", tmp_path / name)
        return RunDir(tmp_path / name)

    return run


def refused(*args: str | Path) -> str:
    """The line with which a command is refused."""
    (line,) = run_cli_in_process(*args, code=2).splitlines()
    return line


def write_data(folder: Path, y: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "mine.npz", x=np.random.default_rng(0).normal(size=(60, 4)).astype("f4"), y=y)


def test_labels_or_a_network_that_change_between_launch_and_resume(
    launch: Launch, on_ray: list[str], tmp_path: Path
) -> None:
    labels, mine, data = np.arange(60) % 3, tmp_path / "mine.py", tmp_path / "data"
    write_data(data, labels)
    mine.write_text(MINE.replace("WIDTH", "8"))
    run = launch("run", "mine/mine", "--method", "erm", "--load", mine, "--data-dir", data)
    resume = ["resume", run.path, "--final-seeds", "2", *on_ray]
    before = reproducible(run)
    write_data(data, np.random.default_rng(1).permutation(labels))
    assert "holds results of other data: mine (was " in refused(*resume)
    write_data(data, labels)
    mine.write_text(MINE.replace("WIDTH", "64"))
    assert f"holds results of other --load files: {mine} (was " in refused(*resume)
    assert reproducible(run) == before
    mine.write_text(MINE.replace("WIDTH", "8"))
    run_cli_in_process(*resume)
    assert before.items() < reproducible(run).items()


def test_a_result_without_rows_and_a_missing_proposal(launch: Launch, on_ray: list[str], tmp_path: Path) -> None:
    """One after the other, on the run directory of one launch."""
    run = launch("run", "iris/mlp@0", "--method", "mixup", "--epochs", "2")
    before, folder = reproducible(run), run.folder("iris/mlp@0/mixup")
    damages: list[Callable[[], object]] = [
        lambda: (folder / "search-0001.json").write_text("[]"),
        lambda: (folder / "proposal-0001.json").unlink(),
    ]
    for damage in damages:
        damage()
        for command in (["status"], ["resume"], ["report", "--out", tmp_path / "report"]):
            line = refused(command[0], run.path, *command[1:])
            assert "search-0001.json cannot be read (" in line
        advice = re.search(r"delete (it|.+ of its folder) and launch again", line)
        assert advice
        for pattern in re.findall(r"\S+\.json", advice[1]) or ["search-0001.json"]:
            for path in folder.glob(pattern):
                path.unlink()
        run_cli_in_process("resume", run.path, *on_ray)
        assert reproducible(run) == before
