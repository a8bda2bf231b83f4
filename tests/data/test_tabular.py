"""Tables from scikit-learn's cache of OpenML, and from a user's CSV."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers import datafiles
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data.tabular import load_abalone, load_digits, load_phishing, read_csv

MEASUREMENTS = ("Length", "Diameter", "Height", "Whole_weight", "Shucked_weight", "Viscera_weight", "Shell_weight")


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


def test_digits_use_the_full_range_of_uint8() -> None:
    x = load_digits()["x"]
    assert x.dtype == np.uint8 and x.min() == 0 and x.max() == 255 and len(np.unique(x)) == 17


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("size,label,colour\n1,cat,red\n2.5,ant,blue\n3,cat,blue\n")
    arrays = read_csv(path)
    assert arrays["y"].tolist() == [1, 0, 1]
    assert arrays["x"].tolist() == [[1, 0, 1], [2.5, 1, 0], [3, 1, 0]]  # size, blue, red
    path.write_text("size,label\n1,7\n2,3\n")
    assert read_csv(path)["y"].tolist() == [1, 0]  # class names may be numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size,kind\n1,2\n", "has no column 'label', only size, kind"),
        ("size,label\n1,a\n,b\n", "row 3: column 'size' is empty or infinite"),
        ("size,label\n1,\n2,b\n", "row 2: column 'label' is empty"),
        ("size,label\n1,a\ninf,b\n", "row 3: column 'size' is empty or infinite"),
        ("", "cannot be read as CSV"),
        ("size,label\n1,a\n1,2,3\n", "cannot be read as CSV"),
    ],
)
def test_bad_csv(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(BadInput) as error:
        read_csv(tmp_path / "mine.csv")
    assert message in str(error.value) and "mine.csv" in str(error.value)
