"""A run directory goes on only with the data, the `--load` files and the numbers that it began with."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.launches import registries_restored, run_cli_in_process
from tune_kmixup.core.config import Draft, Identity, Suite, from_json, to_json
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.numerics import NUMERICS
from tune_kmixup.planning.identity import identified
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.suite import build_suite
from tune_kmixup.store.run_dir import RunDir

MINE = """
from torch import nn
from layers import width
from search_spaces.tasks import TASKS
from tune_kmixup.models import ARCHITECTURES
from tune_kmixup.study import Recipe, Task
ARCHITECTURES["mine"] = lambda shape, classes: nn.Linear(shape[0], classes)
TASKS["mine/mine"] = (Task("mine", "mine", Recipe(epochs=1, batch_size=10, lr=0.1), outer_split=0),)
"""
LAUNCH = ["launch", "mine/mine", "--method", "erm"]


@pytest.fixture
def begun(tmp_path: Path) -> RunDir:
    """A run directory of own data and an own network, in which nothing has been trained yet."""
    (tmp_path / "data").mkdir()
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "layers.py").write_text("width = 1")
    write_data(tmp_path, np.arange(60) % 3)
    run, plugins = RunDir(tmp_path / "my run"), Plugins.read([tmp_path / "mine.py"])
    with registries_restored():
        plugins.load()
        suite = build_suite(Draft("custom", ("mine/mine",), methods=("erm",)), tmp_path / "data")
        run.write_suite(identified(suite, run, tmp_path / "data", plugins))
    return run


def write_data(folder: Path, y: np.ndarray) -> None:
    np.savez(folder / "data" / "mine.npz", x=np.random.default_rng(0).normal(size=(60, 4)).astype("f4"), y=y)


def shuffle_labels(folder: Path) -> None:
    write_data(folder, np.random.default_rng(1).permutation(np.arange(60) % 3))


def change_network(folder: Path) -> None:
    (folder / "mine.py").write_text(MINE.replace("nn.Linear(", "nn.LazyLinear(").replace("shape[0], ", ""))


def change_neighbour(folder: Path) -> None:
    (folder / "layers.py").write_text("width = 2")


CHANGES = {
    "labels": (shuffle_labels, "holds results of other data: mine (was {data:.8}, now "),
    "network": (change_network, "holds results of other --load files: {folder}/mine.py (was {loaded:.8}, now "),
    "neighbour": (change_neighbour, "holds results of other --load files: {folder}/mine.py (was {loaded:.8}, now "),
}


@pytest.mark.parametrize("command", ["resume", "launch"])
@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_what_changed_since_the_launch_is_refused(
    change: object, message: str, command: str, begun: RunDir, tmp_path: Path
) -> None:
    """It was averaged with the earlier results without a word."""
    assert callable(change)
    change(tmp_path)
    identity, before = begun.suite().identity, contents(begun.path)
    options = ["--load", tmp_path / "mine.py", "--data-dir", tmp_path / "data", "--out", begun.path]
    refused = run_cli_in_process(*(["resume", begun.path] if command == "resume" else [*LAUNCH, *options]), code=2)
    expected = message.format(data=identity.data["mine"], loaded=identity.loaded[0], folder=tmp_path)
    error = refused.splitlines()[-1]  # a slow machine says before that it starts
    assert error.startswith(f"error: out='{begun.path}' {expected}") and error.endswith("launch into another --out.")
    assert contents(begun.path) == before


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_other_numerics_and_forgotten_files_are_refused(
    begun: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, data_dir, plugins = begun.suite(), tmp_path / "data", Plugins.read([tmp_path / "mine.py"])
    with pytest.raises(BadInput, match=r"other --load files: .*mine\.py \(was [0-9a-f]{8}, now none\)"):
        identified(suite, begun, data_dir, Plugins())
    monkeypatch.setattr("tune_kmixup.planning.identity.NUMERICS", NUMERICS + 1)
    expected = rf"of numerics {NUMERICS}, and this version .* trains with numerics {NUMERICS + 1}: go on with the"
    with pytest.raises(BadInput, match=expected):
        identified(suite, begun, data_dir, plugins)


def test_moved_files_and_data_are_the_same_and_remembered(begun: RunDir, tmp_path: Path) -> None:
    (tmp_path / "data").rename(tmp_path / "moved")
    (tmp_path / "sub").mkdir()
    for name, new in {"mine.py": "renamed.py", "layers.py": "layers.py"}.items():
        (tmp_path / name).rename(tmp_path / "sub" / new)
    plugins = Plugins.read([tmp_path / "sub" / "renamed.py"])
    identity = identified(begun.suite(), begun, tmp_path / "moved", plugins).identity
    assert identity.without_paths() == begun.suite().identity.without_paths()
    assert identity.load == (str(tmp_path / "sub" / "renamed.py"),) and identity.data_dir == str(tmp_path / "moved")


def test_a_suite_without_identity_takes_that_of_the_next_launch(run_dir: RunDir, suite: Suite, tmp_path: Path) -> None:
    raw = json.loads(to_json(suite))
    del raw["identity"]
    assert from_json(json.dumps(raw)).identity == Identity() == Identity(numerics=0)
    run_dir.write_suite(suite)
    (tmp_path / "mine.py").touch()
    found = identified(suite, run_dir, tmp_path, Plugins.read([tmp_path / "mine.py"]))
    assert found.identity.data.keys() == {"iris"} and len(found.identity.loaded) == 1 and found.identity.numerics
    assert from_json(to_json(found)) == found
    with pytest.raises(BadInput, match="fingerprint of iris=3 is not allowed: choose text"):
        dataclasses.replace(found.identity, data={"iris": 3})  # type: ignore[dict-item]
