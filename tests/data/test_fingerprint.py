"""A fingerprint says which arrays training reads, and nothing about the file that holds them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.datafiles import write_npz_like
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data.fingerprint import GENERATED, fingerprint
from tune_kmixup.data.npz import Arrays


def arrays() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    return {"x": generator.normal(size=(60, 4)).astype("f4"), "y": np.arange(60) % 3}


def saved(folder: Path, arrays: Arrays, name: str = "mine", compressed: bool = False) -> str:
    (np.savez_compressed if compressed else np.savez)(folder / f"{name}.npz", allow_pickle=False, **arrays)
    return fingerprint(name, folder)


@pytest.mark.parametrize(("value", "part"), [(-1.8e308, "x_train"), (1e200, "x_test"), (np.nan, "x_test")])
def test_all_rows_are_checked(value: float, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no split finds a wrong number in the middle of a launch."""
    monkeypatch.setattr("tune_kmixup.data.npz.CHUNK_BYTES", 64)
    x = {"x_train": np.zeros((60, 4)), "x_test": np.zeros((30, 4))}
    x[part][21, 2] = value
    with pytest.raises(BadInput, match=rf"mine: {part} row 21: column 2 is .*: correct it, or remove the row"):
        saved(tmp_path, {**x, "y_train": np.arange(60) % 3, "y_test": np.arange(30) % 3})


def test_it_is_independent_of_name_compression_order_and_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = arrays()
    expected = saved(tmp_path, mine)
    assert len(expected) == 16 and saved(tmp_path, mine, "another") == expected
    assert saved(tmp_path, mine, compressed=True) == expected
    assert saved(tmp_path, {"y": mine["y"], "x": np.asfortranarray(mine["x"])}) == expected
    assert saved(tmp_path, {**mine, "feature_names": np.arange(4)}) == expected, "training does not read it"
    monkeypatch.setattr("tune_kmixup.data.npz.CHUNK_BYTES", 64)
    assert fingerprint("another", tmp_path) == expected, "it is independent of how much is read at once"


@pytest.mark.parametrize(
    "change",
    [
        lambda a: {**a, "y": np.where(np.arange(60) == 7, (a["y"] + 1) % 3, a["y"])},
        lambda a: {**a, "x": np.where(np.arange(240).reshape(60, 4) == 5, np.nextafter(a["x"], np.float32(9)), a["x"])},
        lambda a: {name: array[::-1] for name, array in a.items()},
        lambda a: {**a, "x": a["x"].astype("f8")},
        lambda a: {**a, "group": np.arange(60)},
    ],
    ids=["one label", "one bit", "order of rows", "type", "groups"],
)
def test_it_changes_with_what_training_reads(change: Any, tmp_path: Path) -> None:
    assert saved(tmp_path, change(arrays())) != saved(tmp_path, arrays())


@pytest.mark.parametrize(
    "name", ["x", "y", "group", "part", "categorical", "rate", "x_train", "y_train", "x_test", "y_test"]
)
def test_it_depends_on_every_array_that_training_reads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for value in (0, 1):
        monkeypatch.setattr(f"{fingerprint.__module__}.load_arrays", lambda *_, v=value: {name: np.full((3, 2), v)})
        found[fingerprint("mine", Path("nowhere"))] = value
    assert len(found) == 2


def test_data_sets_of_the_suite(tmp_path: Path) -> None:
    assert fingerprint("two_spirals", tmp_path) == GENERATED
    assert fingerprint("iris", tmp_path) == fingerprint("iris", tmp_path / "elsewhere") != fingerprint("wine", tmp_path)
    write_npz_like("mnist", tmp_path)
    write_npz_like("spoken_digits", tmp_path)
    official = [fingerprint(name, tmp_path) for name in ("mnist", "spoken_digits", "spoken_digits_speakers")]
    assert len(set(official)) == 3, "one file, of which two data sets read different arrays"
