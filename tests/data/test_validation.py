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
IMAGES = np.random.default_rng(1).integers(0, 256, (60, 1, 8, 8), np.uint8)


def with_value(x: Any, value: float) -> Any:
    x = x.copy()
    x[41, 2] = value
    return x


def official_arrays(**changes: Any) -> dict[str, Any]:
    return {"x_train": X, "y_train": Y, "x_test": X[:9], "y_test": Y[:9]} | changes


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "no labels": ({"x": X}, "lacks y: store x and y, or x_train"),
    "no test labels": ({"x_train": X, "y_train": Y, "x_test": X}, "lacks y_test"),
    "nothing": ({"z": X}, "lacks x, y"),
    "flat": ({"x": X[:, 0], "y": Y}, "x is float32 of shape (60,): store uint8 N x C x H x W"),
    "no rows": ({"x": X[:0], "y": Y[:0]}, "x is float32 of shape (0, 4)"),
    "no columns": ({"x": X[:, :0], "y": Y}, "x is float32 of shape (60, 0)"),
    "float images": ({"x": IMAGES.astype(np.float32), "y": Y}, "x is float32 of shape (60, 1, 8, 8)"),
    "text": ({"x": X.astype(str), "y": Y}, "store uint8 N x C x H x W for images, numbers N x D for tables"),
    "float recordings": ({"x": X, "y": Y, "rate": np.asarray(4)}, "int16 N x rate beside `rate` for recordings"),
    "float labels": ({"x": X, "y": Y.astype(float)}, "y is float64 of shape (60,): store one whole number per row"),
    "one-hot labels": ({"x": X, "y": np.eye(3, dtype=int)[Y]}, "y is int64 of shape (60, 3)"),
    "too few labels": ({"x": X, "y": Y[:59]}, "x has 60 rows, y has 59: store one label per row"),
    "too few groups": ({"x": X, "y": Y, "group": Y[:9]}, "group has 9 rows, y has 60"),
    "negative": ({"x": X, "y": np.where(np.arange(60) == 7, -1, Y)}, "row 7: y=-1 is negative: number classes from 0"),
    "empty class": ({"x": X, "y": Y + (Y == 2)}, "class 2 of 0 to 3 has no row in y: number classes without gaps"),
    "from one": ({"x": X, "y": Y + 1}, "class 0 of 0 to 3 has no row in y"),
    "huge label": ({"x": X, "y": Y * 10**12}, "class 1 of 0 to 2000000000000 has no row"),
    "one class": ({"x": X, "y": 0 * Y}, "all rows of y are of class 0: there is nothing to learn"),
    "NaN": ({"x": with_value(X, np.nan), "y": Y}, "row 41: column 2 is nan: fill it in, or remove the row"),
    "infinity": ({"x": with_value(X, -np.inf), "y": Y}, "row 41: column 2 is -inf"),
    "NaN in official train": (official_arrays(x_train=with_value(X, np.nan)), "x_train row 41: column 2 is nan"),
    "unknown test class": (
        official_arrays(y_test=Y[:9] * 2),
        "row 2: y_test=4 is not among the classes 0 to 2 of y_train",
    ),
    "other columns": (official_arrays(x_test=X[:9, :3]), "x_train and x_test differ in shape or type of a row"),
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
