"""A path in place of a task name becomes a task, whose network and recipe follow from kind and size."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_spaces.tasks import LARGE_TABLE, OUTER_FOLDS, SPOKEN, TABLE, TASKS, fitted, table_recipe
from tests.helpers.launches import registries_restored, run_cli_in_process
from tune_kmixup.cli.options import FileOptions
from tune_kmixup.core.config import Draft, from_json, to_json
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.source import Source
from tune_kmixup.data.download import load_arrays
from tune_kmixup.data.prepare import split_rows
from tune_kmixup.data.registry import DATASETS
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.planning.identity import identified
from tune_kmixup.planning.own_data import is_path, make_task, own_sources, with_tasks
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.suite import build_suite, check_continues, with_repeats
from tune_kmixup.store.run_dir import RunDir


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    with registries_restored():
        yield


def write_table(path: Path, rows: int = 60) -> Path:
    lines = [f"{i * 7 % 31 / 8},{'ab'[i // 2 % 2]}" for i in range(rows)]
    path.write_text("\n".join(["size,kind", *lines]))
    return path


def test_a_path_is_told_from_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iris").mkdir()
    (tmp_path / "iris" / "mlp").touch()
    (tmp_path / "table").touch()
    paths = ["telco.csv", "telco.CSV.gz", "./a/b.tsv", "x.parquet", "x.npz", "table", str(tmp_path)]
    names = ["iris/mlp", "iris/mlp@3", "demo", "irsi/mlp", "digits-200-noise0.2/mlp", "x.py", "", "9" * 5000]
    assert [name for name in [*paths, *names] if is_path(name)] == paths


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("telco.csv", "telco"),
        ("Telco Customer (2).CSV", "telco_customer_2_"),
        ("data.v2.csv.gz", "data.v2"),
        ("_x.tsv", "x"),
        ("数据.csv", "data"),
    ],
)
def test_the_name_comes_from_the_file(file: str, name: str) -> None:
    assert Source(f"/somewhere/{file}").name == name


def test_a_table_becomes_a_task_with_folds(tmp_path: Path) -> None:
    path = str(write_table(tmp_path / "Mine.csv"))
    sources = own_sources([path, "iris/mlp"], Source("", "kind"))
    assert sources == {path: Source(path, "kind")}
    assert with_tasks([path, "iris/mlp"], sources, None, tmp_path) == ["mine/mlp", "iris/mlp"]
    assert [task.name for task in TASKS["mine/mlp"]] == [f"mine/mlp@{split}" for split in range(OUTER_FOLDS)]
    suite = build_suite(Draft("custom", ("mine/mlp",), batch_size=8, lr=0.5), tmp_path)
    recipe = suite.studies[0].task.recipe
    assert (recipe.batch_size, recipe.lr) == (8, 0.5)
    log2_k = next(study.space["log2_k"] for study in suite.studies if study.method == "kmixup")
    assert log2_k["attributes"]["high"] == 3, "k follows from the batch size"


def test_workers_register_the_data_set_alone(tmp_path: Path) -> None:
    source = Source(str(write_table(tmp_path / "mine.csv")), "kind")
    make_task(source, None, tmp_path)
    Plugins(sources=(source,)).load()
    assert DATASETS["mine"].file == source
    with pytest.raises(BadInput, match="is called like the data set 'iris': rename the file"):
        Plugins(sources=(Source(str(tmp_path / "iris.csv"), "kind"),)).load()


def test_a_network_that_fails_on_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "failing", lambda shape, classes: 1 / 0)
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "mine.csv")
    for command in ("inspect", "plan"):
        args = (command, "mine.csv", "--label", "kind", "--architecture", "failing")
        assert "architecture='failing' fails on inputs of shape" in run_cli_in_process(*args, code=2)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = [tmp_path / "mine.csv", tmp_path / "other" / "mine.tsv"]
    paths[1].parent.mkdir()
    for path in paths:
        write_table(path)
    with pytest.raises(BadInput, match=r"mine.tsv' is called like .*mine.csv: rename one of them"):
        own_sources([str(path) for path in paths], Source("", "kind"))


def test_a_run_directory_remembers_a_file_and_refuses_another(tmp_path: Path) -> None:
    path = write_table(tmp_path / "mine.csv")
    source, run = Source(str(path), "kind", drop=("other",)), RunDir(tmp_path / "run")
    path.write_text(path.read_text().replace("\n", ",1\n").replace("kind,1", "kind,other") + ",1")
    suite = build_suite(Draft("custom", (make_task(source, None, tmp_path),), methods=("erm",)), tmp_path)
    run.write_suite(identified(suite, run, tmp_path, Plugins(sources=(source,))))
    assert run.suite().identity.sources == (source,)
    assert run.suite().identity.without_paths().sources == ()
    path.write_text(path.read_text().replace(",1\n", ",2\n"))
    identified(run.suite(), run, tmp_path, Plugins(sources=(source,)))  # a column that is left out may change
    path.write_text(path.read_text().replace("0.875,", "0.876,"))
    with pytest.raises(BadInput, match="holds results of other data: mine"):
        identified(run.suite(), run, tmp_path, Plugins(sources=(source,)))


@pytest.mark.parametrize("sources", [5, "x", [5], ["x"], [{}], [{"path": 3}], [{"path": "x", "drop": "y"}], [{"a": 1}]])
def test_sources_that_are_none_are_refused(sources: Any, tmp_path: Path) -> None:
    write_table(tmp_path / "mine.csv")
    task = make_task(Source(str(tmp_path / "mine.csv"), "kind"), None, tmp_path)
    suite = json.loads(to_json(build_suite(Draft("custom", (task,), methods=("erm",)), tmp_path)))
    suite["identity"]["sources"] = sources
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_json(json.dumps(suite))


def arrays(kind: str) -> dict[str, Any]:
    rng, y = np.random.default_rng(0), np.arange(60) % 3
    table = rng.normal(size=(60, 4))
    inputs = {
        "table": table,
        "small images": rng.integers(0, 255, (60, 1, 8, 8)).astype(np.uint8),
        "images": rng.integers(0, 255, (60, 3, 16, 16)).astype(np.uint8),
        "recordings": rng.integers(-9, 9, (60, 8000)).astype(np.int16),
    }
    if kind == "official":
        return {"x_train": table, "y_train": y, "x_test": table, "y_test": y}
    return {"x": inputs[kind], "y": y} | ({"rate": np.asarray(8000)} if kind == "recordings" else {})


@pytest.mark.parametrize(
    ("kind", "network", "splits"),
    [
        ("table", "mlp", OUTER_FOLDS),
        ("official", "mlp", 1),
        ("small images", "small_cnn", OUTER_FOLDS),
        ("images", "lenet", OUTER_FOLDS),
        ("recordings", "lenet", OUTER_FOLDS),
    ],
)
def test_the_network_of_an_npz_follows_from_its_kind(kind: str, network: str, splits: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", allow_pickle=False, **arrays(kind))
    assert make_task(Source(str(tmp_path / "mine.npz")), None, tmp_path) == f"mine/{network}"
    assert len(TASKS[f"mine/{network}"]) == splits
    assert make_task(Source(str(tmp_path / "mine.npz")), "small_cnn", tmp_path) == "mine/small_cnn"


def test_recipes_fit_the_number_of_rows() -> None:
    for rows in (10, 20, 50, 99, 150, 1999, 5000, 10**6):
        recipe = table_recipe(rows)
        assert recipe.batch_size <= rows // 2 and recipe.epochs * (rows // recipe.batch_size) >= 200
        recipe = fitted(SPOKEN, rows)
        assert recipe.batch_size <= rows // 2 and recipe.epochs * (rows // recipe.batch_size) >= 200
    assert fitted(SPOKEN, 2400) == SPOKEN
    assert table_recipe(300) == TABLE and table_recipe(7000) == LARGE_TABLE


REFUSED: list[tuple[list[str], FileOptions, str]] = [
    (["nowhere.csv"], FileOptions(), "path='nowhere.csv' is not there: check its name"),
    (
        ["mine.xlsx"],
        FileOptions(),
        r"path='mine.xlsx' ends in .xlsx, which is not read: save it as CSV, Parquet",
    ),
    (["word.WAV"], FileOptions(), "path='word.WAV' is a single example: name the folder that holds a folder per class"),
    (["iris/mlp"], FileOptions(label="kind"), "label='kind' belongs to a file of your own"),
    (["iris/mlp"], FileOptions(architecture="mlp"), "architecture='mlp' belongs to a file of your own"),
    (["mine.npz"], FileOptions(drop=["a"]), r"drop=\('a',\) does not fit mine.npz: an .npz has no columns"),
    (["mine.npz"], FileOptions(resize=9), r"resize=9 does not fit mine.npz: it resizes a folder of images"),
    (["folder"], FileOptions(label="kind"), r"label='kind' does not fit folder: a folder has no columns"),
]


@pytest.mark.parametrize(("names", "options", "message"), REFUSED)
def test_what_cannot_be_is_refused(
    names: list[str], options: FileOptions, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("mine.xlsx", "mine.npz", "word.WAV"):
        (tmp_path / name).touch()
    with pytest.raises(BadInput, match=message):
        own_sources(names, options.reading(), options.architecture)


@pytest.mark.parametrize("name", ["iris", "mnist-500"])
def test_the_name_of_a_data_set_of_the_suite_is_refused(name: str, tmp_path: Path) -> None:
    """As is that of a task: a file mnist-500.csv would take the place of mnist-500/mlp."""
    write_table(tmp_path / f"{name}.csv")
    with pytest.raises(BadInput, match=f"is called like the data set '{name}': rename the file"):
        make_task(Source(str(tmp_path / f"{name}.csv"), "kind"), None, tmp_path)


@pytest.mark.parametrize("val_rows", [None, 30], ids=["default", "asked for"])
@pytest.mark.parametrize("group", ["who", ""], ids=["groups", "repeated rows"])
def test_repeats_of_a_file_with_test_rows_differ_and_may_grow(group: str, val_rows: int | None, tmp_path: Path) -> None:
    """Groups of unequal sizes made one validation part of all repeats, and sizes that differed refused more repeats."""
    rng, rows = np.random.default_rng(0), []
    for who, size in enumerate(rng.integers(15, 60, 14)):
        part = "train" if who < 10 else "test"
        rows += [f"{rng.integers(90)},{who},{part},{'ab'[rng.integers(2)]}" for _ in range(size)]
    (tmp_path / "visits.csv").write_text("\n".join(["x,who,part,label", *rows]))
    source = Source(str(tmp_path / "visits.csv"), "label", split="part", group=group, drop=() if group else ("who",))
    name = make_task(source, None, tmp_path)
    draft = Draft("visits", (name,), methods=("erm", "kmixup"), val_rows=val_rows)
    few, more = (build_suite(dataclasses.replace(draft, repeats=n), tmp_path) for n in (3, 8))
    assert {study.name: study for study in with_repeats(few, 8, tmp_path).studies} == {s.name: s for s in more.studies}
    run = RunDir(tmp_path / "run")
    run.write_suite(few)
    assert check_continues(run, more) == more
    if group and val_rows:
        assert few.studies[0].task.val_rows < val_rows, "otherwise any repeat could stand for what was asked for"
    arrays = load_arrays("visits", tmp_path)
    parts = [split_rows(study.task, arrays).val for study in more.studies]
    assert [len(part) for part in parts] == [study.task.val_rows for study in more.studies]
    assert len({tuple(part) for part in parts}) > 2, "repeats validate on different rows"
