"""Rows of new files become the inputs that the model was trained on, or are refused in a line."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import wavfile

from tests.helpers.launches import registries_restored
from tests.helpers.models import RECIPE, customers, customers_task
from tune_kmixup.core.config import Task
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.source import Source
from tune_kmixup.data import npz
from tune_kmixup.data.download import load_arrays
from tune_kmixup.data.inputs import UNKNOWN, UNLABELLED, Preprocessing, from_json, read_rows
from tune_kmixup.data.prepare import prepare, split_rows
from tune_kmixup.data.table_files import read_table_file
from tune_kmixup.planning.plugins import register


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    with registries_restored():
        yield


@pytest.fixture
def table(tmp_path: Path) -> Preprocessing:
    return prepare(customers_task(tmp_path), tmp_path, test=False).preprocessing


WRITERS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "the same form": lambda table, path: table.to_csv(path.with_suffix(".csv"), index=False, sep=";", decimal=","),
    "tabs and points": lambda table, path: table.to_csv(path.with_suffix(".tsv"), index=False, sep="\t"),
    "Parquet": lambda table, path: table.to_parquet(path.with_suffix(".parquet")),
}


@pytest.mark.parametrize("form", [*WRITERS, "DataFrame", "DataFrame as pandas reads it"])
def test_test_rows_from_a_file_of_their_own_are_those_of_training(form: str, tmp_path: Path) -> None:
    """Without their class, columns in another order, beside one that the model does not use."""
    task = customers_task(tmp_path)
    data, rows = prepare(task, tmp_path, test=True), split_rows(task, load_arrays("customers", tmp_path)).test
    new = customers().iloc[rows].drop(columns="churn").iloc[:, ::-1].assign(more="x")
    given: Any = new
    if form in WRITERS:
        WRITERS[form](new, tmp_path / "new")
        (given,) = tmp_path.glob("new.*")
    elif form == "DataFrame as pandas reads it":  # 7 for 007
        new.to_csv(tmp_path / "new.csv", index=False)
        given = pd.read_csv(tmp_path / "new.csv")
    found = read_rows(data.preprocessing, given)
    assert data.test is not None and np.array_equal(found.x, data.test.x.numpy())
    assert found.y is None and found.names == tuple(map(str, range(1, len(new) + 1)))
    alone = read_rows(data.preprocessing, new.iloc[:1].drop(columns="more"))
    assert np.array_equal(alone.x, found.x[:1]), "a row is read as among others"


def test_a_value_that_no_training_row_has_counts_as_rare(table: Preprocessing) -> None:
    new = customers().iloc[4:8].assign(city=["Oslo", "Atlantis", "Rome", None])
    found = read_rows(table, new)
    one_hot = found.x[:, 3:8]  # after age, income and whether that is missing: Bonn, Paris, Rome, missing, rare
    assert table.table and one_hot.argmax(1).tolist() == [4, 4, 2, 3]
    assert found.warnings == ("column city holds 'Atlantis', unknown to the model: taken as rare.",)


def test_classes_are_known_by_their_names(table: Preprocessing) -> None:
    new = customers().iloc[:4].assign(churn=["yes", "no", "perhaps", None])
    found = read_rows(table, new)
    assert found.y is not None and found.y.tolist() == [1, 0, UNKNOWN, UNLABELLED]
    numbered = dataclasses.replace(table, classes=("1", "2.5"))
    found = read_rows(numbered, customers().iloc[:3].assign(churn=[1.0, 2.5, 3.0]))
    assert found.y is not None and found.y.tolist() == [0, 1, UNKNOWN]


REFUSED: list[tuple[Any, str]] = [
    (customers().drop(columns=["age", "city"]), "the DataFrame lacks 2 columns .* trained on: 'age', 'city'"),
    (customers().assign(age="old"), "column age is of numbers, and holds 'old': correct it, or empty the cell"),
    (customers().assign(age=pd.Timestamp("2020-01-01")), "column age of the DataFrame is of dates, and the model"),
    (customers().iloc[:0], "x has no rows"),
    (np.zeros((3, 5)), "x is a ndarray: the model takes a table with the columns that it was trained on"),
    ([[1.0]], "x is a list: the model takes a table"),
    ("nowhere.csv", "path='nowhere.csv' is not there"),
    ("folder", "path='folder' is another kind of data: the model takes a table"),
    ("x.npz", "path='x.npz' is another kind of data: the model takes a table"),
    ("empty.csv", "empty.csv is empty"),
    ("cut.parquet", "cut.parquet cannot be read as Parquet"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED, ids=lambda value: str(value)[:20])
def test_a_table_that_does_not_fit_is_refused(
    given: Any, message: str, table: Preprocessing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for name in ("x.npz", "empty.csv", "cut.parquet"):
        Path(name).touch()
    with pytest.raises(BadInput, match=message) as error:
        read_rows(table, given)
    assert "\n" not in str(error.value)


def write_images(folder: Path, side: int = 12) -> Path:
    rng = np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (folder / kind).mkdir(parents=True)
        for number in range(15):
            pixels = rng.integers(0, 256, (side, side, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{number}.png")
    return folder


def test_images_are_read_as_for_training(tmp_path: Path) -> None:
    """Resized, from a folder without classes, or one at a time."""
    register(Source(str(write_images(tmp_path / "pets")), resize=8))
    task = Task("pets", "small_cnn", dataclasses.replace(RECIPE, batch_size=8), outer_split=0)
    preprocessing = prepare(task, tmp_path, test=False).preprocessing
    arrays = load_arrays("pets", tmp_path)
    assert preprocessing.classes == ("cat", "dog") and preprocessing.shape == (3, 8, 8)
    found = read_rows(preprocessing, tmp_path / "pets")
    assert np.array_equal(found.x[:1], arrays["x"][:1]) and found.names[:2] == ("cat/0.png", "cat/1.png")
    assert found.y is not None and found.y.tolist() == [0] * 15 + [1] * 15
    flat = read_rows(preprocessing, tmp_path / "pets" / "dog")
    assert np.array_equal(flat.x, found.x[15:]) and flat.y is not None and (flat.y == UNLABELLED).all()
    assert np.array_equal(read_rows(preprocessing, tmp_path / "pets" / "dog" / "0.png").x, flat.x[:1])
    assert np.array_equal(read_rows(preprocessing, arrays["x"]).x, arrays["x"])
    assert np.array_equal(read_rows(preprocessing, np.moveaxis(arrays["x"], 1, 3)).x, arrays["x"]), "channels last"
    larger = dataclasses.replace(preprocessing, resize=0)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "notes.txt").write_text("a,b\n1,2\n")
    for given, message in (
        (tmp_path / "pets", r"0.png is 12 x 12 pixels, the model takes 8x8: resize the images"),
        (tmp_path / "nothing", "holds no image"),
        (tmp_path / "notes.txt", "the model takes a folder of images, or an .npz with rows of 3 x 8 x 8 values"),
        (arrays["x"].astype(float), r"x is float64 of shape \(30, 3, 8, 8\): the model takes uint8 N x 3 x 8 x 8"),
        (np.moveaxis(arrays["x"], 1, 3) / 255, r"x is float64 of shape \(30, 8, 8, 3\): the model takes uint8 N x 3"),
    ):
        with pytest.raises(BadInput, match=message):
            read_rows(larger, given)


def test_recordings_are_brought_to_the_rate_and_length_of_training(tmp_path: Path) -> None:
    time = np.arange(800) / 4000
    for number, (name, rate) in enumerate((name, rate) for name in ("high", "low") for rate in [4000] * 9):
        (tmp_path / "tones" / name).mkdir(parents=True, exist_ok=True)
        tone = 9000 * np.sin(2 * np.pi * (900 if name == "high" else 200) * time + number)
        wavfile.write(tmp_path / "tones" / name / f"{number}.wav", rate, tone.astype(np.int16))
    register(Source(str(tmp_path / "tones")))
    arrays = load_arrays("tones", tmp_path)
    preprocessing = prepare(Task("tones", "mlp", RECIPE, outer_split=0), tmp_path, test=False).preprocessing
    found = read_rows(preprocessing, tmp_path / "tones")
    assert np.array_equal(found.x, arrays["x"]) and found.y is not None and found.y.tolist() == arrays["y"].tolist()
    rate, samples = wavfile.read(tmp_path / "tones" / "high" / "0.wav")
    wavfile.write(tmp_path / "longer.wav", rate, np.concatenate([samples, samples]))
    wavfile.write(tmp_path / "faster.wav", 2 * rate, np.repeat(samples, 2))
    longer, faster = (read_rows(preprocessing, tmp_path / f"{name}.wav") for name in ("longer", "faster"))
    assert np.array_equal(longer.x[0], samples) and longer.y is not None and longer.y.tolist() == [UNLABELLED]
    assert np.corrcoef(faster.x[0], samples)[0, 1] > 0.9
    with pytest.raises(BadInput, match=r"the model takes a folder of recordings, or an \.npz with rows of 800 values"):
        read_rows(preprocessing, Path(__file__))


@pytest.mark.parametrize(
    ("y", "classes", "new", "expected"),
    [
        ([1, 2, 3], ["ant", "bee", "cat"], [1, 2, 3], [0, 1, 2]),
        ([1, 2, 3], ["ant", "bee", "cat"], ["cat", "ant", "wasp"], [2, 0, UNKNOWN]),
        ([2, 5, 7], [f"kind {i}" for i in range(10)], [2, 5, 7], [0, 1, 2]),
        ([0, 1], ["7", "3"], [0, 1], [0, 1]),
        ([-1, 1], None, [1, -1], [1, 0]),
        (["b", "a"], None, ["a", "b"], [0, 1]),
    ],
)
def test_labels_are_written_as_those_of_training(
    y: list[Any], classes: list[str] | None, new: list[Any], expected: list[int], tmp_path: Path
) -> None:
    given = {} if classes is None else {"classes": np.asarray(classes)}
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", x=rng.normal(size=(60, 3)), y=np.repeat(np.asarray(y), 60 // len(y)), **given)
    register(Source(str(tmp_path / "mine.npz")))
    preprocessing = prepare(Task("mine", "mlp", RECIPE, outer_split=0), tmp_path, test=False).preprocessing
    assert preprocessing is not None
    np.savez(tmp_path / "new.npz", features=rng.normal(size=(len(new), 3)), targets=np.asarray(new))
    found = read_rows(preprocessing, tmp_path / "new.npz")
    assert found.y is not None and found.y.tolist() == expected


def test_images_of_fractions_are_read_in_the_range_of_training(tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(size=(40, 8, 8))
    np.savez(tmp_path / "mine.npz", images=x, labels=np.arange(40) % 2)
    register(Source(str(tmp_path / "mine.npz")))
    task = Task("mine", "small_cnn", dataclasses.replace(RECIPE, batch_size=8), outer_split=0)
    preprocessing = prepare(task, tmp_path, test=False).preprocessing
    assert (
        preprocessing is not None
        and from_json(json.loads(json.dumps(dataclasses.asdict(preprocessing)))) == preprocessing
    )
    stored = load_arrays("mine", tmp_path)["x"]
    assert np.array_equal(read_rows(preprocessing, tmp_path / "mine.npz").x, stored)
    assert np.array_equal(read_rows(preprocessing, x[:1] / 2).x, np.rint(x[:1, None] / 2 * 255)), "dark, not stretched"
    with pytest.raises(BadInput, match="x has values outside 0 to 1, the range of the images trained on"):
        read_rows(preprocessing, x * 255)
    with pytest.raises(BadInput, match="x is no array"):
        read_rows(preprocessing, [[1, 2], [3]])


def test_folders_called_otherwise_than_a_class_are_unknown(tmp_path: Path) -> None:
    write_images(tmp_path / "pets")
    register(Source(str(tmp_path / "pets")))
    task = Task("pets", "small_cnn", dataclasses.replace(RECIPE, batch_size=8), outer_split=0)
    preprocessing = prepare(task, tmp_path, test=False).preprocessing
    assert preprocessing is not None
    (tmp_path / "pets" / "cat").rename(tmp_path / "pets" / "Cat")
    (tmp_path / "pets" / "dog").rename(tmp_path / "pets" / "wasp")
    found = read_rows(preprocessing, tmp_path / "pets")
    assert found.y is not None and found.y.tolist() == [0] * 15 + [UNKNOWN] * 15


def test_a_number_with_one_comma_is_read_as_in_training(tmp_path: Path) -> None:
    rows = [f"{i % 7};{i},560;{i / 10};{'ab'[i % 2]}" for i in range(1, 60)]
    (tmp_path / "sold.csv").write_text("\n".join(["a;income;rate;label", *rows]))
    register(Source(str(tmp_path / "sold.csv")))
    preprocessing = prepare(Task("sold", "mlp", RECIPE, outer_split=0), tmp_path, test=False).preprocessing
    assert preprocessing is not None and not preprocessing.form.decimal_comma
    (tmp_path / "new.csv").write_text("a;income;rate\n3;1,234;1\n")
    (tmp_path / "plain.csv").write_text("a;income;rate\n3;1234;1\n")
    commas, plain = (read_rows(preprocessing, tmp_path / f"{name}.csv").x for name in ("new", "plain"))
    assert np.array_equal(commas, plain)


def test_commas_that_separate_columns_are_no_decimal_commas(tmp_path: Path) -> None:
    """The numbers of the new file could be thousands of a file with decimal commas, which its separator rules out."""
    rows = [f"{i},5;{i / 8:.3f};{'ab'[i % 2]}".replace(".", ",") for i in range(1, 60)]
    (tmp_path / "sold.csv").write_text("\n".join(["age;income;label", *rows]))
    register(Source(str(tmp_path / "sold.csv")))
    preprocessing = prepare(Task("sold", "mlp", RECIPE, outer_split=0), tmp_path, test=False).preprocessing
    assert preprocessing is not None and preprocessing.form.decimal_comma
    for name, text in {
        "points": 'age,income,name\n5.123,2.500,"Smith, John"\n',
        "quoted": 'age,income\n"5,123","2,500"\n',
        "same": "age;income\n5,123;2,500\n",
    }.items():
        (tmp_path / f"{name}.csv").write_text(text)
    points, quoted, same = (read_rows(preprocessing, tmp_path / f"{n}.csv").x for n in ("points", "quoted", "same"))
    assert np.array_equal(points, same) and np.array_equal(quoted, same)
    (tmp_path / "one.csv").write_text("age\n5.123\n")
    assert read_table_file(tmp_path / "one.csv", ["age"], decimal_comma=True).columns[0].numbers == [5123]


def test_recordings_of_another_rate_are_refused_where_they_say_it(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(-9000, 9000, (30, 800)).astype(np.int16)
    npz.write_npz(tmp_path / "tones.npz", {"x": x, "y": np.arange(30) % 2, "rate": np.asarray(4000)})
    preprocessing = prepare(Task("tones", "mlp", RECIPE, outer_split=0), tmp_path, test=False).preprocessing
    assert preprocessing is not None
    for key, rate in (("rate", 8000), ("Rate", 8000.5), ("rate", [[8000]]), ("rate", "8 kHz")):
        npz.write_npz(tmp_path / "new.npz", {"x": x[:3], key: np.asarray(rate)})
        with pytest.raises(
            BadInput, match=f"holds {key}=8.*, and the model was trained on 4000 samples per second: res"
        ):
            read_rows(preprocessing, tmp_path / "new.npz")
    for same in ({"rate": np.asarray(4000)}, {"RATE": np.asarray(4000.5)}, {}):
        npz.write_npz(tmp_path / "new.npz", {"x": x[:3], **same})
        assert np.array_equal(read_rows(preprocessing, tmp_path / "new.npz").x, x[:3])


def test_test_rows_of_an_npz_in_parts_are_known_as_such(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 2
    parts = {"x_train": x[:40], "y_train": y[:40], "x_test": x[40:], "y_test": y[40:]}
    npz.write_npz(tmp_path / "mine.npz", parts)
    preprocessing = prepare(Task("mine", "mlp", RECIPE), tmp_path, test=False).preprocessing
    assert preprocessing is not None
    found = read_rows(preprocessing, tmp_path / "mine.npz")
    assert found.tested and len(found.x) == 20 and found.y is not None
    npz.write_npz(tmp_path / "new.npz", {"x": x, "y": y})
    assert not read_rows(preprocessing, tmp_path / "new.npz").tested


def test_arrays_are_read_with_and_without_classes(tmp_path: Path) -> None:
    preprocessing = prepare(Task("iris", "mlp", RECIPE, outer_split=0), tmp_path, test=False).preprocessing
    x = np.random.default_rng(0).normal(size=(5, 4))
    npz.write_npz(tmp_path / "x.npz", {"x": x, "y": np.asarray([0, 1, 2, 3, -1])})
    found = read_rows(preprocessing, tmp_path / "x.npz")
    assert np.array_equal(found.x, read_rows(preprocessing, x).x)
    assert found.y is not None and found.y.tolist() == [0, 1, 2, UNKNOWN, UNKNOWN]
    npz.write_npz(tmp_path / "z.npz", {"z": x})
    npz.write_npz(tmp_path / "y.npz", {"x": x, "y": np.ones((5, 2))})
    for given, message in (
        (tmp_path / "z.npz", "z.npz holds no array x, only z"),
        (tmp_path / "y.npz", r"y row 0 has 2 classes, which is multi-label"),
        (x[:, :3], r"x is float64 of shape \(5, 3\): the model takes numbers N x 4"),
        (x[0], r"shape \(4,\)"),
        (np.full((1, 4), np.nan), "x holds NaN or infinity"),
        (pd.DataFrame(x), "x is a DataFrame: the model takes an .npz with rows of 4 values called x"),
        (np.asarray([["a"] * 4]), "the model takes numbers N x 4"),
    ):
        with pytest.raises(BadInput, match=message):
            read_rows(preprocessing, given)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "video"},
        {"shape": (5, 5)},
        {"shape": (9,)},
        {"columns": ("age",)},
        {"levels": ()},
        {"table": None},
        {"mean": (0.5,)},
        {"classes": (1, 2)},
        {"resize": -1},
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], table: Preprocessing) -> None:
    with pytest.raises(BadInput):
        dataclasses.replace(table, **changes)


def test_a_category_is_no_number_because_python_reads_it_as_one(table: Preprocessing) -> None:
    """Python reads 2_0 as 20."""
    number = table.columns.index("city")
    levels = [*table.levels]
    levels[number] = ("1_0", "20", "Paris", "Rome")[: len(levels[number])]
    renamed = dataclasses.replace(table, levels=tuple(levels))
    found = read_rows(renamed, customers().iloc[:2].assign(city=["2_0", "20.0"]))
    assert found.warnings == ("column city holds '2_0', unknown to the model: taken as rare.",)
