"""Invalid data are refused with the file, the row and the rule."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tune_kmixup.core.config import Recipe, Task
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data import npz
from tune_kmixup.data.prepare import prepare


def make_task(outer_split: int | None) -> Task:
    return Task("mine", "mlp", Recipe(epochs=1, batch_size=8, lr=0.1), outer_split=outer_split)


X = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
Y = np.arange(60) % 3
R = np.zeros((60, 100), np.int16)
IMAGES = np.random.default_rng(1).integers(0, 256, (60, 1, 8, 8), np.uint8)


def with_value(x: Any, value: float) -> Any:
    x = x.copy()
    x[41, 2] = value
    return x


def official_arrays(**changes: Any) -> dict[str, Any]:
    return {"x_train": X, "y_train": Y, "x_test": X[:9], "y_test": Y[:9]} | changes


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "flat": ({"x": X[:, 0], "y": Y}, "x is float32 of shape (60,): store numbers N x C x H x W"),
    "no rows": ({"x": X[:0], "y": Y[:0]}, "x is float32 of shape (0, 4)"),
    "no columns": ({"x": X[:, :0], "y": Y}, "x is float32 of shape (60, 0)"),
    "float recordings": ({"x": X, "y": Y, "rate": np.asarray(4)}, "int16 N x samples beside `rate` for recordings"),
    "too few groups": ({"x": X, "y": Y, "group": Y[:9]}, "group is of shape (9,), y of (60,)"),
    "one group": ({"x": X, "y": Y, "group": np.asarray(3)}, "group is of shape (1,), y of (60,)"),
    "a row without a group": (
        {"x": X, "y": Y, "group": np.where(Y == 2, np.nan, Y)},
        "group row 2 is empty: give every row a group",
    ),
    "a group without a name": ({"x": X, "y": Y, "group": np.asarray(["a", "", "b"] * 20)}, "group row 1 is empty"),
    "a group in bytes": ({"x": X, "y": Y, "group": np.asarray(["Ä".encode(), b"", b"b"] * 20)}, "group row 1 is empty"),
    "one part": ({"x": X, "y": Y, "part": np.asarray(1)}, "part is of shape (), y of (60,)"),
    "one label": ({"x": X, "y": np.asarray(1)}, "y is int64 of shape (): store one label per row"),
    "one kind of column": ({"x": X, "y": Y, "categorical": np.asarray(True)}, "categorical is of shape ()"),
    "numbers of columns": ({"x": X, "y": Y, "categorical": np.asarray([2, 3, 0, 0])}, "store true and false"),
    "half a category": (
        {"x": with_value(X.round(), 0.5), "y": Y, "categorical": np.asarray([False, False, True, False])},
        "x row 41: column 2 of categories is 0.5: store whole numbers",
    ),
    "a class twice": ({"x": X, "y": Y, "classes": np.asarray(["a", "b", "a"])}, "classes has a name twice"),
    "a rate in words": ({"x": R, "y": Y, "rate": np.asarray("4000")}, "rate is not one number from 100 to 999,999"),
    "NaN": ({"x": with_value(X, np.nan), "y": Y}, "row 41: column 2 is nan: correct it, or remove the row"),
    "infinity": ({"x": with_value(X, -np.inf), "y": Y}, "row 41: column 2 is -inf"),
    "NaN in official train": (official_arrays(x_train=with_value(X, np.nan)), "x_train row 41: column 2 is nan"),
    "other type": (official_arrays(x_test=X[:9].astype(float)), "x_train and x_test differ in shape or type"),
    "empty test part": (official_arrays(x_test=X[:0], y_test=Y[:0]), "x_test is float32 of shape (0, 4)"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_data_are_refused(name: str, tmp_path: Path) -> None:
    arrays, message = INVALID[name]
    npz.write_npz(tmp_path / "mine.npz", arrays)
    with pytest.raises(BadInput) as error:
        prepare(make_task(None if "x_train" in arrays else 0), tmp_path, test=True)
    assert str(error.value).startswith((f"{tmp_path / 'mine.npz'}", "mine: "))
    assert message in str(error.value)


@pytest.mark.parametrize("x", [X, X.astype(np.float64), X > 0, (10 * X).astype(np.int64), IMAGES])
def test_valid_data_pass(x: Any, tmp_path: Path) -> None:
    npz.write_npz(tmp_path / "mine.npz", {"x": x, "y": Y.astype(np.uint8)})
    data = prepare(make_task(0), tmp_path, test=True)
    assert data.classes == 3 and data.shape == x.shape[1:]


def test_labels_may_use_all_values_of_their_type(tmp_path: Path) -> None:
    """256 classes in bytes: the number of classes is none of these."""
    x, y = np.random.default_rng(0).standard_normal((1280, 2)).astype(np.float32), np.arange(1280).astype(np.uint8)
    names = np.asarray([f"class {number}" for number in range(256)])
    npz.write_npz(tmp_path / "mine.npz", {"x": x, "y": y, "classes": names})
    assert prepare(make_task(0), tmp_path, test=True).classes == 256
