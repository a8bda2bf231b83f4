"""`benchmarks/gpu.py` with tiny sizes on a CPU. No figure of these runs says anything about a GPU."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu

ROOT = Path(__file__).parents[2]
QUICK = ("--device", "cpu", "--quick")


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


@pytest.fixture
def made_up_cifar(tmp_path: Path) -> Path:
    """A folder with random images under the name of CIFAR-10."""
    rng = np.random.default_rng(0)
    arrays = {f"x_{part}": rng.integers(0, 256, (40, 3, 32, 32), np.uint8) for part in ("train", "test")}
    arrays |= {f"y_{part}": np.arange(40) % 10 for part in ("train", "test")}
    np.savez(tmp_path / "cifar10.npz", **arrays)
    return tmp_path


@pytest.mark.parametrize(
    ("piece", "parts", "arms"),
    [
        pytest.param(
            "steps",
            ["as the suite trains", "contiguous", "float32", "compiled"],
            ["floor", gpu.REFERENCE, "ERM", "k=1", "k=2", "k=8"],
            marks=pytest.mark.slow,
        ),
        ("seeds", ["mlp", "lenet", "small_resnet"], ["1", "2"]),
        pytest.param("memory", ["lenet, 2"], ["launch", "trial"], marks=pytest.mark.slow),
        ("epoch", ["epoch"], ["on the GPU", "DataLoader"]),
        pytest.param("shares", ["lenet", "small_resnet", "small_resnet, float32"], ["1", "2"], marks=pytest.mark.slow),
    ],
)
def test_a_piece_measures_each_part_once(
    piece: str, parts: list[str], arms: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{piece}.json"
    assert gpu.main([piece, "--out", str(tmp_path), *QUICK]) == 0
    found = read(path)
    assert list(found["parts"]) == parts and list(found["parts"][parts[0]]) == arms
    assert all(value > 0 for part in found["parts"].values() for values in part.values() for value in values)
    assert found["about"]["data"] == "random, of the shape of CIFAR-10" and "--quick" in found["about"]["sizes"]
    table = capsys.readouterr().out
    assert table.count("\n| ") >= len(arms) and "random, of the shape of CIFAR-10" in table

    assert gpu.main([piece, "--out", str(tmp_path), *QUICK]) == 0
    assert read(path) == found and capsys.readouterr().out == table, "nothing is measured again"
    gpu.main(["report", str(tmp_path)])
    report = capsys.readouterr().out
    assert table in report and report.count("Not measured.") == len(gpu.PIECES) - 1


def test_a_part_that_is_missing_is_measured_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "seeds.json"
    gpu.main(["seeds", "--out", str(tmp_path), *QUICK, "--minutes", "0"])
    first = read(path)["parts"]
    assert list(first) == ["mlp"], "no second part begins without time"
    gpu.main(["seeds", "--out", str(tmp_path), *QUICK])
    parts = read(path)["parts"]
    assert list(parts) == ["mlp", "lenet", "small_resnet"] and parts["mlp"] == first["mlp"]


def test_an_interrupted_training_ends_as_one_that_was_not(
    made_up_cifar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(out: str, *options: str) -> dict[str, Any]:
        command = ["train", "--out", str(tmp_path / out), "--data-dir", str(made_up_cifar), *QUICK, *options]
        assert gpu.main(command) == 0
        return read(tmp_path / out / "train.json")["parts"]

    whole = train("whole")
    assert list(whole) == ["1 of 3", "2 of 3", "3 of 3"]
    assert len(train("cut", "--minutes", "0")) == 1 and (tmp_path / "cut" / "train.pt").exists()
    assert "2 of 3 parts are missing: run the same command again." in capsys.readouterr().out
    train("cut", "--minutes", "0")
    path = tmp_path / "cut" / "train.json"
    results = read(path)
    del results["parts"]["2 of 3"]  # as if it had been killed after the checkpoint, before the JSON
    path.write_text(json.dumps(results))
    train("cut", "--minutes", "0")

    def outcomes(parts: dict[str, Any]) -> list[Any]:
        return [(name, part["train_loss"], part["test_error"]) for name, part in parts.items()]

    assert outcomes(train("cut")) == outcomes(whole)
    path.unlink()
    assert gpu.main(["train", "--out", str(path.parent), "--data-dir", str(made_up_cifar), *QUICK]) == 2
    assert "train.pt is from a later epoch than 1" in capsys.readouterr().err


def test_what_cannot_be_measured_is_refused_in_a_line(
    made_up_cifar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def refused(*command: str) -> str:
        assert gpu.main([*command, "--out", str(out)]) == 2
        captured = capsys.readouterr()
        assert not captured.out and captured.err.count("\n") == 1 and not out.exists()
        return captured.err

    assert "train needs CIFAR-10, which is not in data_dir=None" in refused("train", *QUICK)
    assert "add --quick" in refused("steps", "--device", "cpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "device=cuda finds no GPU" in refused("steps", "--quick")
    monkeypatch.setattr(gpu, "HAS_SCIPY", False)
    assert "memory needs scipy" in refused("memory", *QUICK)
    out = tmp_path
    (out / "epoch.json").write_text(json.dumps({"about": {"machine": "another"}, "parts": {}}))
    assert gpu.main(["epoch", "--out", str(out), *QUICK]) == 2
    assert "has machine='another', and now it is 'no GPU" in capsys.readouterr().err


def test_cifar_10_is_read_from_its_folder(made_up_cifar: Path) -> None:
    train, test = gpu.cifar(made_up_cifar, 32, 16)
    with np.load(made_up_cifar / "cifar10.npz") as arrays:
        assert (train.x.numpy() == arrays["x_train"][:32]).all() and (test.y.numpy() == arrays["y_test"][:16]).all()


BARE = """
import runpy, sys

class Without:
    def __init__(self, finders):
        self.finders = finders

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {missing}:
            return next((spec for finder in self.finders if (spec := finder.find_spec(name, path, target))), None)

sys.meta_path[:] = [Without(list(sys.meta_path))]
sys.argv = ["gpu.py", "seeds", "--out", {out!r}, "--device", "cpu", "--quick"]
runpy.run_path({script!r}, run_name="__main__")
"""


def test_it_needs_no_more_than_torch_and_torchvision(tmp_path: Path) -> None:
    """A process that finds none of the suite's other packages stands in for a bare machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[^\w-]", requirement)[0] for requirement in project["dependencies"]}
    modules = {"pot": "ot", "scikit-learn": "sklearn", "universal-pathlib": "upath"}
    missing = {modules.get(name, name) for name in names - {"torch", "torchvision", "numpy", "jinja2"}} | {"fsspec"}
    code = BARE.format(missing=missing, out=str(tmp_path), script=str(ROOT / "benchmarks" / "gpu.py"))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "| mlp | 2 |" in done.stdout and "left out: k > 4 and memory, which need scipy" in done.stdout
