"""Arrays as people store them: each case is read right, or refused with the remedy."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from sklearn import datasets

from search_spaces.tasks import OUTER_FOLDS, TABLE, TASKS, task_entry
from tests.helpers.launches import registries_restored, run_cli_in_process
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.source import Source
from tune_kmixup.data.arrays import read_npz, understand
from tune_kmixup.data.npz import StoredArray, whole, write_npz
from tune_kmixup.data.registry import DATASETS, Dataset
from tune_kmixup.data.tables import Table

ROWS = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 4))
Y = np.arange(ROWS) % 3
PIXELS = RNG.integers(0, 256, (ROWS, 3, 5, 6)).astype(np.uint8)
PIXELS[0, 0, 0, :2] = 0, 255  # black and white, so that both ends of each range occur
GREY = PIXELS[:, 0]


def stored(path: Path, **arrays: Any) -> Table:
    write_npz(path / "mine.npz", arrays)
    return read_npz(Source(str(path / "mine.npz")))


NAMES = np.asarray(["cat", "dog", "fox"])

LABELS: dict[str, tuple[Any, list[str], str]] = {  # labels, names of the classes, what is said of them
    "as ours": (Y, ["0", "1", "2"], "int64"),
    "bytes of numbers": (Y.astype(np.uint8), ["0", "1", "2"], "uint8"),
    "N x 1": (Y[:, None], ["0", "1", "2"], "int64 N x 1"),
    "N x 1 floats": (Y[:, None].astype(np.float32), ["0", "1", "2"], "whole numbers N x 1 as float32"),
    "one-hot": (np.eye(3)[Y], ["0", "1", "2"], "labels one-hot"),
    "one-hot whole numbers": (np.eye(3, dtype=np.uint8)[Y], ["0", "1", "2"], "labels one-hot"),
    "one-hot bools": (np.eye(3, dtype=bool)[Y], ["0", "1", "2"], "labels one-hot"),
    "one-hot with an empty class": (np.eye(5)[Y * 2], ["0", "2", "4"], "labels one-hot"),
    "floats": (Y.astype(float), ["0", "1", "2"], "whole numbers as float64"),
    "from one": (Y + 1, ["1", "2", "3"], "int64"),
    "with a gap": (Y * 7, ["0", "7", "14"], "int64"),
    "huge": (Y * 10**12, ["0", "1000000000000", "2000000000000"], "int64"),
    "signs": (np.where(Y == 0, -1, 1), ["-1", "1"], "int64"),
    "float signs": (np.where(Y == 0, -1.0, 1.0), ["-1", "1"], "whole numbers as float64"),
    "bools": (Y == 0, ["False", "True"], "bool"),
    "text": (NAMES[Y], ["cat", "dog", "fox"], "text"),
    "text N x 1": (NAMES[Y][:, None], ["cat", "dog", "fox"], "text N x 1"),
    "bytes of text": (np.char.encode(np.asarray(["été", "hiver", "mai"])[Y], "utf-8"), ["hiver", "mai", "été"], "text"),
    "halves": (Y / 2, ["0", "0.5", "1"], "float64"),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_of_any_form_are_read(case: str, tmp_path: Path) -> None:
    labels, classes, form = LABELS[case]
    table = stored(tmp_path, x=X, y=labels)
    assert table.arrays["classes"].tolist() == classes and table.notes[1] == f"y {form}"
    values = labels.argmax(axis=1) if "one-hot" in form else labels.ravel()
    values = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
    assert np.array_equal(table.arrays["y"], np.unique(values, return_inverse=True)[1])
    assert table.warnings == ()


IMAGES: dict[str, tuple[Any, Any, str]] = {  # inputs, what is read, what is said of them
    "as ours": (PIXELS, PIXELS, "x images N x C x H x W, uint8"),
    "channels last": (PIXELS.transpose(0, 2, 3, 1), PIXELS, "x images N x H x W x C, uint8"),
    "one channel last": (GREY[..., None], GREY[:, None], "x images N x H x W x C, uint8"),
    "grey": (GREY, GREY[:, None], "x images N x H x W, uint8"),
    "four channels": (np.pad(PIXELS, ((0, 0), (0, 1), (0, 0), (0, 0))), None, "x images N x C x H x W, uint8"),
    "0 to 1": (PIXELS / 255, PIXELS, "x images N x C x H x W, float64 from 0 to 1"),
    "0 to 1, float32": ((PIXELS / 255).astype(np.float32), PIXELS, "x images N x C x H x W, float32 from 0 to 1"),
    "bools": (GREY > 99, (GREY > 99)[:, None] * 255, "x images N x H x W, bool from 0 to 1"),
    "-1 to 1": (PIXELS / 127.5 - 1, PIXELS, "x images N x C x H x W, float64 from -1 to 1"),
    "-1 to 1, channels last": (
        (PIXELS / 127.5 - 1).astype(np.float32).transpose(0, 2, 3, 1),
        PIXELS,
        "x images N x H x W x C, float32 from -1 to 1",
    ),
    "0 to 255": (PIXELS.astype(np.float32), PIXELS, "x images N x C x H x W, float32 from 0 to 255"),
    "0 to 255, resized": (PIXELS * 0.99, np.rint(PIXELS * 0.99), "x images N x C x H x W, float64 from 0 to 255"),
    "whole numbers": (GREY.astype(np.int64), GREY[:, None], "x images N x H x W, int64 from 0 to 255"),
    "Fortran": (np.asfortranarray(PIXELS), PIXELS, "x images N x C x H x W, uint8"),
}


@pytest.mark.parametrize("case", IMAGES)
def test_images_of_any_layout_and_range_are_read(case: str, tmp_path: Path) -> None:
    images, expected, form = IMAGES[case]
    table = stored(tmp_path, x=images, y=Y)
    x = whole(table.arrays["x"])
    assert x.dtype == np.uint8 and table.notes == (form, "y int64")
    assert np.array_equal(x, images if expected is None else expected)


@pytest.mark.parametrize("x", [X, X.astype(np.float32), X > 0, (10 * X).astype(np.int64)])
def test_tables_stay_as_they_are(x: Any, tmp_path: Path) -> None:
    table = stored(tmp_path, x=x, y=Y)
    assert table.notes[0] == f"x table N x D, {x.dtype}" and np.array_equal(whole(table.arrays["x"]), x)


def test_what_has_our_form_stays_on_the_disk(tmp_path: Path) -> None:
    arrays = stored(tmp_path, x_train=PIXELS, y_train=Y.astype(np.uint8), x_test=PIXELS, y_test=Y).arrays
    assert isinstance(arrays["x_train"], StoredArray) and isinstance(arrays["x_test"], StoredArray)
    assert arrays["y_train"].dtype == np.uint8, "so that the fingerprint of a known file stays"


KEYS: dict[str, tuple[list[str], set[str]]] = {  # keys of inputs and labels of each part, and ours
    "ours": (["x", "y"], {"x", "y"}),
    "scikit-learn's": (["data", "target"], {"x", "y"}),
    "capital": (["X", "y"], {"x", "y"}),
    "images": (["images", "labels"], {"x", "y"}),
    "Keras's": (["x_train", "y_train", "x_test", "y_test"], {"x_train", "y_train", "x_test", "y_test"}),
    "capital parts": (["X_train", "y_train", "X_test", "y_test"], {"x_train", "y_train", "x_test", "y_test"}),
    "part first": (["train_x", "train_y", "test_x", "test_y"], {"x_train", "y_train", "x_test", "y_test"}),
    "no line below": (["trainX", "trainY", "testX", "testY"], {"x_train", "y_train", "x_test", "y_test"}),
    "medmnist's": (
        [f"{part}_{what}" for part in ("train", "val", "test") for what in ("images", "labels")],
        {"x", "y", "part"},
    ),
    "validation": (
        [f"{what}_{part}" for part in ("test", "valid", "train") for what in ("X", "Y")],
        {"x", "y", "part"},
    ),
    "data and target of parts": (
        ["train_data", "train_target", "dev_data", "dev_target", "testing_data", "testing_target"],
        {"x", "y", "part"},
    ),
}


@pytest.mark.parametrize("case", KEYS)
def test_arrays_are_known_by_many_names(case: str, tmp_path: Path) -> None:
    keys, expected = KEYS[case]
    held = {key: (X, Y)[number % 2] for number, key in enumerate(keys)}
    arrays = stored(tmp_path, **held).arrays
    assert arrays.keys() - {"classes"} == expected
    if "part" in expected:
        assert arrays["part"].tolist() == [0] * ROWS + [1] * ROWS + [2] * ROWS and len(arrays["x"]) == 3 * ROWS


def test_a_given_validation_part_is_kept(tmp_path: Path) -> None:
    parts = {"train": slice(0, 30), "val": slice(30, 40), "test": slice(40, 60)}
    held = {f"{part}_images": GREY[rows] / 255 for part, rows in parts.items()}
    held |= {f"{part}_labels": Y[rows, None] + 1 for part, rows in parts.items()}
    table = stored(tmp_path, **held)
    assert np.bincount(table.arrays["part"]).tolist() == [30, 10, 20]
    assert np.array_equal(table.arrays["x"][:, 0], GREY) and np.array_equal(table.arrays["y"], Y)
    assert table.notes == ("train_images images N x H x W, float64 from 0 to 1", "train_labels int64 N x 1")


def test_names_of_classes_groups_and_what_is_not_used(tmp_path: Path) -> None:
    speakers = np.asarray(["ann", "bob"])[np.arange(ROWS) // 30]
    table = stored(
        tmp_path, x=X, y=Y + 1, target_names=NAMES, groups=speakers[:, None], feature_names=np.asarray(list("abcd"))
    )
    assert table.arrays["classes"].tolist() == ["cat", "dog", "fox"]
    assert table.arrays["group"].tolist() == [0] * 30 + [1] * 30
    assert table.notes[2] == "not used: feature_names"
    by_number = stored(tmp_path, x=X, y=Y * 2, class_names=np.asarray(["a", "b", "c", "d", "e"]))
    assert by_number.arrays["classes"].tolist() == ["a", "c", "e"]
    assert by_number.warnings == ("classes are counted from 0, and no row is of 'b': check y.",)


def test_labels_of_text_name_themselves(tmp_path: Path) -> None:
    words = np.asarray(["dog", "ant", "fox"])[Y]
    table = stored(tmp_path, x=X, y=words, classes=np.asarray(["fox", "dog", "ant", "owl"]))
    assert (table.arrays["classes"][table.arrays["y"]] == words).all()


def test_labels_of_text_may_have_blanks_and_are_warned_of_if_they_differ_in_case(tmp_path: Path) -> None:
    y = np.asarray(["fox ", "Dog", "dog"])[Y]
    np.savez(tmp_path / "mine.npz", x=X, y=y, classes=["fox ", "Dog", " dog"])
    table = read_npz(Source(str(tmp_path / "mine.npz")))
    assert table.arrays["classes"].tolist() == ["Dog", "dog", "fox"]
    assert table.warnings == (
        "classes 'Dog' and 'dog' differ in case or blanks alone: write them alike if they are one.",
    )


@pytest.mark.parametrize(
    ("train", "test", "limits"),
    [((-1, 1), (0, 1), (-1, 1)), ((0, 255), (0, 0), (0, 255)), ((0, 255), (0, 1), (0, 255))],
    ids=["bright test images", "black ones", "nearly black ones"],
)
def test_a_part_may_have_a_part_of_the_range(
    train: tuple[int, int], test: tuple[int, int], limits: tuple[int, int], tmp_path: Path
) -> None:
    def images(rows: int, ends: tuple[int, int]) -> Any:
        return np.resize(np.asarray(ends, float), (rows, 5, 6))

    np.savez(tmp_path / "mine.npz", x_train=images(60, train), y_train=Y, x_test=images(9, test), y_test=Y[:9])
    assert read_npz(Source(str(tmp_path / "mine.npz"))).form.image_range == limits


def test_a_class_of_rows_without_a_label_is_warned_of(tmp_path: Path) -> None:
    (warning,) = stored(tmp_path, x=X, y=Y - 1).warnings
    assert warning.startswith("class -1 of y often means that a row has no label: remove these rows")


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
def test_data_sets_of_scikit_learn(name: str, tmp_path: Path) -> None:
    bunch = getattr(datasets, f"load_{name}")()
    plain = {key: bunch[key] for key in ("data", "target", "target_names", "feature_names", "DESCR")}
    table = stored(tmp_path, **plain)
    assert np.array_equal(whole(table.arrays["x"]), bunch.data) and np.array_equal(table.arrays["y"], bunch.target)
    assert table.arrays["classes"].tolist() == bunch.target_names.astype(str).tolist()
    if name == "digits":
        images = stored(tmp_path, images=bunch.images, target=bunch.target).arrays["x"]
        assert np.array_equal(images[:, 0], bunch.images)


def with_value(x: Any, place: tuple[int, ...], value: float) -> Any:
    x = x.astype(float)
    x[place] = value
    return x


def parts(**changes: Any) -> dict[str, Any]:
    return {"x_train": X, "y_train": Y, "x_test": X[:9], "y_test": Y[:9]} | changes


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown keys": ({"a": X, "b": Y}, "holds a, b, and lacks x, y: store x and y to be cross-validated, or x_train"),
    "positions in place of names": ({"arr_0": X, "arr_1": Y}, "holds arr_0, arr_1, and lacks x, y: store x and y"),
    "many keys": ({f"a{i}": X for i in range(99)}, r"holds a0, a1, .*, a11, \.\.\., and lacks x, y"),
    "no labels": ({"data": X}, "holds data, and lacks y: store x and y"),
    "no test labels": ({"x_train": X, "y_train": Y, "x_test": X}, "lacks y_test: store"),
    "no validation inputs": (parts(y_val=Y), "lacks x_val: store"),
    "no test part": ({"x_train": X, "y_train": Y}, "holds x_train, y_train: add test rows, or leave them undivided"),
    "no test part but validation": (
        {"x_train": X, "y_train": Y, "x_val": X, "y_val": Y},
        "add test rows, or leave them undivided: then they are cross-validated",
    ),
    "undivided and parts": ({"x": X, "y": Y, "x_test": X, "y_test": Y}, "add train rows, or leave them undivided"),
    "two of one name": ({"x": X, "X": X, "y": Y}, "holds x and X, which mean the same: keep one of them"),
    "inputs twice": ({"data": X, "images": GREY, "target": Y}, "holds data and images, which mean the same: keep one"),
    "objects": ({"x": X, "y": Y.astype(object)}, "holds Python objects as y: store numbers or text, without pickles"),
    "labels of another length": ({"x": X, "y": Y[:59]}, "x has 60 rows, y has 59: store one label per row"),
    "test labels of another length": (parts(y_test=Y[:8]), "x_test has 9 rows, y_test has 8: store one label per row"),
    "other columns": (parts(x_test=X[:9, :3]), "x_train and x_test differ in shape or type of a row: make them the"),
    "NaN in an image": (
        {"x": with_value(PIXELS, (41, 1, 2, 3), np.nan), "y": Y},
        "x row 41: pixel 1, 2, 3 is nan: correct it, or remove the row",
    ),
    "infinite image": ({"x": with_value(GREY, (7, 2, 3), np.inf), "y": Y}, "x row 7: pixel 2, 3 is inf: correct it"),
    "standardised images": (
        {"x": RNG.normal(size=(ROWS, 5, 5)), "y": Y},
        "scale all images to 0 to 1, -1 to 1 or 0 to 255",
    ),
    "12 bits": ({"x": GREY.astype(np.uint16) * 16, "y": Y}, "values of x from 0 to 4080: scale all images to 0 to 1"),
    "fractions of 16": ({"x": GREY / 16, "y": Y}, "values of x from 0 to 15.9375: scale all images to 0 to 1"),
    "parts of other ranges": (
        parts(x_train=GREY / 255, x_test=GREY[:9].astype(float)),
        r"x_train from 0 to 1, x_test from 0 to \d+: scale all images to 0 to 1",
    ),
    "no certain channels": (
        {"x": PIXELS[:, :, :3, :3], "y": Y},
        "no axis of channels is shorter .*store N x C x H x W",
    ),
    "volumes": ({"x": np.zeros((ROWS, 4, 4, 4), np.uint8), "y": Y}, "no axis of channels is shorter"),
    "N x D x 1": ({"x": X[..., None], "y": Y}, r"is of shape \(60, 4, 1\), .*N x D for tables"),
    "one dimension": ({"x": X[:, 0], "y": Y}, r"x is float64 of shape \(60,\): store numbers N x C x H x W"),
    "text inputs": ({"x": X.astype(str), "y": Y}, "N x D for tables, int16 N x samples beside `rate` for recordings"),
    "complex": ({"x": X * 1j, "y": Y}, r"x is complex128 of shape \(60, 4\): store"),
    "float recordings": ({"x": X, "y": Y, "rate": np.asarray(8000)}, "int16 N x samples beside `rate` for recordings"),
    "no rows": ({"x": X[:0], "y": Y[:0]}, r"x is float64 of shape \(0, 4\): store"),
    "multi-label": (
        {"x": X, "y": np.asarray([[1, 1, 0], [0, 1, 0]])[Y % 2]},
        "y row 0 has 2 classes, which is multi-label and not supported: store one class per row",
    ),
    "no label in a row": ({"x": X, "y": np.eye(3)[Y] * (np.arange(ROWS) != 5)[:, None]}, "y row 5 has 0 classes"),
    "probabilities": ({"x": X, "y": np.full((ROWS, 3), 1 / 3)}, "not one-hot: store one label per row"),
    "text N x 2": ({"x": X, "y": NAMES[np.stack([Y, Y], 1)]}, "not one-hot: store one label per row"),
    "label maps": ({"x": GREY, "y": GREY}, r"y is uint8 of shape \(60, 5, 6\): store one label per row, or one-hot"),
    "regression": ({"x": X, "y": X[:, 0]}, "y has 60 different numbers, which is regression and not supported"),
    "whole numbers to predict": (
        {"x": X, "y": (np.arange(ROWS) * 7 + 25).astype(float)},
        "60 different numbers, which is regression and not supported: name another label, or write classes",
    ),
    "names of rows": (
        {"x": X, "y": np.arange(ROWS).astype(str)},
        "y has 60 different values in 60 rows: name a label of",
    ),
    "missing label": ({"x": X, "y": with_value(Y, (3,), np.nan)}, "y row 3 is nan: label the row, or remove it"),
    "blank label": ({"x": X, "y": np.where(Y == 2, " ", NAMES[Y])}, "y row 2 is empty: label the row, or remove it"),
    "nan as text": (
        {"x": X, "y": np.where(Y == 2, "nan", NAMES[Y])},
        "y row 2 is nan: label the row, in another",
    ),
    "empty label": ({"x": X, "y": np.where(Y == 2, "", NAMES[Y])}, "y row 2 is empty: label the row, or remove it"),
    "dates": ({"x": X, "y": Y.astype("datetime64[D]")}, r"y is datetime64\[D\] of shape \(60,\): store one label per"),
    "bytes that are no text": ({"x": X, "y": np.asarray([b"\xff", b"a"])[Y % 2]}, "y holds bytes that are no UTF-8"),
    "one class": ({"x": X, "y": 0 * Y}, "y is '0' in every row: name another label, or add another class"),
    "a class to test on alone": (
        parts(y_test=Y[:9] * 2),
        "row 2: y_test=4 is not among the classes of y_train: remove the row, or add the class to y_train",
    ),
    "text and numbers": (parts(y_test=NAMES[Y[:9]]), "y_train is int64, y_test is <U3: store both alike"),
    "groups of another length": (
        {"x": X, "y": Y, "group": Y[:9]},
        r"group is of shape \(9,\), y of \(60,\): store one",
    ),
    "no names": ({"x": X, "y": NAMES[Y], "classes": NAMES[:2]}, "y holds 'fox', which is not among classes"),
    "a number of classes": ({"x": X, "y": Y, "classes": 3}, r"classes is of shape \(\): store one name per class"),
    "names of other classes": ({"x": X, "y": Y, "classes": NAMES[:2]}, "classes has 2 names: store one for each of 3"),
    "parts of other numbers": ({"x": X, "y": Y, "part": Y + 1}, r"part holds \[1, 2, 3\]: store 0 for training, 1 for"),
    "rates": (
        {"x": (9 * X).astype(np.int16), "y": Y, "rate": np.full(ROWS, 8000)},
        "rate is not one number from 100 to 999,999: store the samples per second",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arrays_are_refused_with_the_remedy(case: str, tmp_path: Path) -> None:
    arrays, message = REFUSED[case]
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(BadInput, match=message) as error:
        read_npz(Source(str(tmp_path / "mine.npz")))
    assert str(error.value).startswith(str(tmp_path)) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["topobathy", "jacksboro_fault_dem"])
def test_real_files_of_other_things_are_refused(name: str) -> None:
    path = Path(matplotlib.__file__).parent / "mpl-data" / "sample_data" / f"{name}.npz"
    with pytest.raises(
        BadInput, match=r"holds .*(topo|elevation).*, and lacks x, y: store x and y to be cross-validated"
    ):
        read_npz(Source(str(path)))


def test_the_targets_of_diabetes_are_refused_as_regression() -> None:
    bunch = datasets.load_diabetes()
    with pytest.raises(BadInput, match="target has 214 different numbers, which is regression"):
        understand("diabetes", {"data": bunch.data, "target": bunch.target})


def test_a_data_set_that_users_load_may_pass_such_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bundled() -> dict[str, Any]:
        return {"data": GREY / 255, "target": NAMES[Y]}

    entry = Dataset("image", ROWS, None, 3, (1, 5, 6), "mine", "none", bundled=bundled)
    monkeypatch.setenv("COLUMNS", "80")
    with registries_restored():
        DATASETS["mine"] = entry
        TASKS.update(task_entry(OUTER_FOLDS, "mine", "small_cnn", TABLE))
        printed = run_cli_in_process("inspect", "mine/small_cnn", "--batch-size", "9", "--data-dir", tmp_path)
    assert "data: data images N x H x W, float64 from 0 to 1; target text" in printed and "fox" in printed


def test_a_newcomer_inspects_and_plans_an_npz_of_medmnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    rows = {"train": 90, "val": 20, "test": 30}
    held: dict[str, Any] = {}
    for part, count in rows.items():
        held[f"{part}_images"] = RNG.integers(0, 256, (count, 14, 14, 3)).astype(np.uint8)
        held[f"{part}_labels"] = (np.arange(count) % (2 if part == "val" else 3))[:, None].astype(np.uint8)
    np.savez_compressed(tmp_path / "bloodmnist.npz", **held)
    with registries_restored():
        printed = run_cli_in_process("inspect", "bloodmnist.npz")
        planned = run_cli_in_process("plan", "bloodmnist.npz", "--method", "erm")
        resized = run_cli_in_process("launch", "bloodmnist.npz", "--resize", "9", "--out", "run", code=2)
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert "bloodmnist/lenet: 140 rows, 3 classes, inputs of 3 x 14 x 14" in lines
    assert "data: train_images images N x H x W x C, uint8; train_labels uint8 N x 1" in lines
    assert "2 40 30 0 10" in lines and "all 140 90 20 30" in lines
    assert "in the first split no validation row is of class 2" in " ".join(lines)
    assert "bloodmnist/lenet" in planned and "resize=9 does not fit bloodmnist.npz" in resized
    assert list(tmp_path.iterdir()) == [tmp_path / "bloodmnist.npz"], "nothing was written"


def test_inspect_knows_official_test_rows_of_an_npz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "mine.npz", **parts())
    with registries_restored():
        printed = run_cli_in_process("inspect", "mine.npz", "--batch-size", "9")
    assert "6 of 9 test rows also occur among the training rows" in " ".join(printed.split())
