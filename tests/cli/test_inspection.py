"""What `inspect` prints, and what `plan` and `launch` say about a user's own file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from search_spaces.methods import make_study
from tests.helpers.launches import registries_restored, run_cli_in_process
from tests.helpers.suites import dropout_network, small_suite
from tune_kmixup.core.config import Recipe, Study, Task
from tune_kmixup.core.errors import BadInput
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.planning.inspection import inspect_task, largest_k
from tune_kmixup.planning.networks import batched_tasks
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.resources import Resources
from tune_kmixup.store.run_dir import RunDir


def write_table(path: Path, rows: int = 60) -> Path:
    rng = np.random.default_rng(0)
    lines = ["customerID,tenure,Contract,Churn"]
    for i in range(rows):
        tenure = "" if i % 10 == 3 else f"{rng.normal():.4f}"
        lines.append(f"{i * 7919 % 9999}-X,{tenure},{rng.choice(['Month', 'Year'])},{('No', 'Yes')[i % 2]}")
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


def test_inspect_shows_a_table_in_80_columns(tmp_path: Path) -> None:
    write_table(tmp_path / "telco.csv")
    printed = run_cli_in_process("inspect", "telco.csv", "--label", "Churn", "--epochs", "7", "--batch-size", "8")
    assert max(map(len, printed.splitlines())) <= 80
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    for expected in (
        "telco/mlp: 60 rows, 2 classes, inputs of 4",
        "No 30 19 5 6",
        "all 60 39 9 12",
        "customerID left out identifier: 60 different values",
        "tenure number -2.2035 to 2.0024; 6 missing",
        "Contract category 2 values: Month, Year",
        "network: mlp (--architecture); k up to 8",
        "recipe: 7 epochs (--epochs), batches of 8 (--batch-size), adamw with learning",
    ):
        assert expected in lines, printed
    assert list(tmp_path.iterdir()) == [tmp_path / "telco.csv"], "nothing was written"


def test_inspect_shows_a_registered_task_and_warns_of_classes_that_a_part_lacks(tmp_path: Path) -> None:
    assert "iris/mlp: 150 rows, 3 classes, inputs of 4" in run_cli_in_process("inspect", "iris/mlp")
    assert "two_spirals/mlp: 2400 rows" in run_cli_in_process("inspect", "two_spirals/mlp")
    path = write_table(tmp_path / "telco.csv")
    path.write_text(path.read_text() + "\nq-X,1.5,Year,Perhaps")
    printed = " ".join(run_cli_in_process("inspect", "telco.csv", "--label", "Churn").split())
    assert printed.count("row is of class Perhaps: join classes so rare, or remove them.") == 2


def test_inspect_refuses_a_network_that_a_launch_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of one row has no statistics."""
    monkeypatch.setitem(ARCHITECTURES, "mine", dropout_network)
    study = Study(Task("iris", "mine", Recipe(epochs=1, batch_size=1, lr=0.1), outer_split=0), "erm", {})
    refused = r"architecture='mine' fails on inputs of shape=\(4,\) with classes=3"
    with pytest.raises(BadInput, match=refused):
        inspect_task([study], tmp_path)
    with pytest.raises(BadInput, match=refused):
        batched_tasks(small_suite(studies=(study,)), tmp_path, Resources())


def test_inspect_shows_the_columns_of_a_table_in_the_data_directory(tmp_path: Path) -> None:
    path = write_table(tmp_path / "mine.csv")
    path.write_text(path.read_text().replace("Churn", "label"))
    lines = ["from search_spaces.tasks import OUTER_FOLDS, TABLE, task_entry, TASKS"]
    lines += ["TASKS.update(task_entry(OUTER_FOLDS, 'mine', 'mlp', TABLE))"]
    (tmp_path / "my_tasks.py").write_text("\n".join(lines))
    options = ("--load", "my_tasks.py", "--data-dir", tmp_path, "--batch-size", "8")
    printed = run_cli_in_process("inspect", "mine/mlp", *options)
    assert "customerID  left out  identifier" in printed


@pytest.mark.parametrize(("rare", "warned"), [(8, True), (30, False)])
def test_inspect_warns_of_uneven_classes_and_names_what_weighs_them_alike(
    rare: int, warned: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{rng.normal():.4f},{'yes' if i < rare else 'no'}" for i in range(80)]
    (tmp_path / "mine.csv").write_text("\n".join(["a,kind", *rows]))
    printed = " ".join(run_cli_in_process("inspect", "mine.csv", "--label", "kind", "--batch-size", "8").split())
    assert ("warning: class no has 9" in printed) == warned
    assert ("launch with --select-by balanced_error, and report --metric test_balanced_error." in printed) == warned


def test_inspect_warns_of_test_rows_that_are_trained_on(tmp_path: Path) -> None:
    rows = [f"{i % 20},{i % 20 * 7 % 5},{'test' if i >= 40 else 'train'},{i % 2}" for i in range(60)]
    (tmp_path / "mine.csv").write_text("\n".join(["a,b,set,kind", *rows]))
    printed = run_cli_in_process("inspect", "mine.csv", "--label", "kind", "--split", "set")
    assert "test rows also occur among the training rows" in " ".join(printed.split())
    assert "10 repeats that share the official test rows" in printed


def test_inspect_says_which_error_cannot_be_avoided_on_which_rows(tmp_path: Path) -> None:
    """Where test rows are fixed, training rows that contradict each other say nothing about them."""
    rows = [f"{i // 2},{i * 7},train,{'ab'[i % 2]}" for i in range(100)]
    rows += [f"{1000 + i},{i},test,{'ab'[i % 2]}" for i in range(20)]
    twice = [*rows, *(row.replace(",a", ",c").replace(",b", ",a").replace(",c", ",b") for row in rows[:10])]
    (tmp_path / "mine.csv").write_text("\n".join(["a,b,set,kind", *twice]))
    printed = run_cli_in_process("inspect", "mine.csv", "--label", "kind", "--split", "set")
    assert "differ in class" not in printed
    printed = run_cli_in_process("inspect", "mine.csv", "--label", "kind", "--drop", "set")
    assert "repeated rows differ in class: no error on all rows can be below 7.69 %" in printed
    (tmp_path / "mine.csv").write_text("\n".join(["a,b,set,kind", *rows, *("1,2,test,a", "1,2,test,b")]))
    printed = run_cli_in_process("inspect", "mine.csv", "--label", "kind", "--split", "set")
    assert "repeated rows differ in class: no error on all test rows can be below 4.55 %" in printed


def test_inspect_compares_rows_as_they_are_in_the_file(tmp_path: Path) -> None:
    """Rare levels share an input, so rows that differ look alike to the network. Equal ones stay together."""
    rows = [f"u{i // 3},{'xyz'[i % 3]},{i * 7919 % 2}" for i in range(300)]
    (tmp_path / "mine.csv").write_text("\n".join(["a,b,kind", *rows]))
    printed = run_cli_in_process("inspect", "mine.csv", "--label", "kind", "--categorical", "a")
    assert "category" in printed and "also occur" not in printed


def test_inspect_shows_a_folder_of_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(80):
        path = tmp_path / "pets" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20 + number % 3, 20), np.uint8)).save(path)
    refused = run_cli_in_process("inspect", "pets", code=2)
    assert "resize all images to one size" in refused
    printed = run_cli_in_process("inspect", "pets", "--resize", "16", "--batch-size", "10")
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert "pets/lenet: 80 rows, 2 classes, inputs of 1 x 16 x 16" in lines
    assert "data: 80 images, grey, 16 x 16 pixels" in lines and "dog 40 26 6 8" in lines
    assert "label='kind' does not fit pets" in run_cli_in_process("inspect", "pets", "--label", "kind", code=2)
    write_table(tmp_path / "telco.csv")
    resized = run_cli_in_process("inspect", "telco.csv", "--label", "Churn", "--resize", "9", code=2)
    assert "resize=9 does not fit telco.csv: it resizes a folder of images. Leave it out." in resized


METHOD = """
from optuna.distributions import CategoricalDistribution
from search_spaces.methods import ALPHA, METHODS
METHODS["two_sizes"] = {"alpha": ALPHA, "log2_k": CategoricalDistribution((1, 4))}
METHODS["fixed"] = {"alpha": ALPHA, "k": CategoricalDistribution((32,))}
"""


def test_inspect_knows_the_k_of_users_methods(tmp_path: Path) -> None:
    (tmp_path / "methods.py").write_text(METHOD)
    for method, largest in (("two_sizes", 16), ("fixed", 32)):
        task = Task("iris", "mlp", Recipe(1, 50, 0.1), outer_split=0)
        with registries_restored():
            Plugins.read([tmp_path / "methods.py"]).load()
            assert largest_k([make_study(task, method, 90)]) == largest


def test_plan_says_what_was_chosen_and_warns(tmp_path: Path) -> None:
    path = write_table(tmp_path / "telco.csv")
    text = path.read_text().replace("Contract", "Contract,x")
    path.write_text(text.replace("Month", "Month,1").replace("Year", "Year,2"))
    printed = run_cli_in_process("plan", "telco.csv", "--label", "Contract", "--method", "erm")
    assert "left out: customerID (tune-kmixup inspect says why)" in printed
    assert "warning: column x alone tells the class of every row: --drop it if it is not known beforehand." in printed
    assert "telco/mlp" in printed and "5 studies, 5 configurations" in printed


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["telco.csv"], "telco.csv has no column label: name the one with the classes with --label: 'custome"),
        (["telco.csv", "--label", "churn"], "label='churn' is unknown: did you mean Churn"),
        (["telco.csv", "--label", "tenure"], "which is regression and not supported"),
        (["nowhere.csv", "--label", "x"], "path='nowhere.csv' is not there"),
        (["telco.csv", "--label", "Churn", "--architecture", "lenett"], "architecture='lenett' is unknown: did"),
        (["telco.csv", "--label", "Churn", "--architecture", "lenet"], "does not fit this architecture"),
        (["telco.csv", "--label", "Churn", "--batch-size", "99"], "batch_size=99 does not fit"),
        (["telco.csv", "--label", "Churn", "--lr", "0"], "lr=0.0 is not positive"),
        (["telco.csv", "--label", "Churn", "--gpus-per-trial", "-1"], "gpus_per_trial=-1.0 is not a number ≥ 0"),
        (["iris/mlp", "--label", "Churn"], "label='Churn' belongs to a file of your own"),
    ],
)  # fmt: skip
def test_what_is_surely_wrong_is_refused_before_anything_is_written(
    args: list[str], message: str, tmp_path: Path
) -> None:
    write_table(tmp_path / "telco.csv")
    printed = run_cli_in_process("launch", *args, "--out", "run", code=2)
    assert message in printed and len(printed.splitlines()) == 1, printed
    assert list(tmp_path.iterdir()) == [tmp_path / "telco.csv"]


def test_a_folder_of_something_else_is_refused_before_data_are_described(tmp_path: Path) -> None:
    write_table(tmp_path / "telco.csv")
    RunDir(tmp_path / "another").write_suite(small_suite())
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").touch()
    for folder, message in (("another", "holds another suite"), ("photos", "holds something else")):
        printed = run_cli_in_process("launch", "telco.csv", "--label", "Churn", "--out", folder, code=2)
        assert message in printed and len(printed.splitlines()) == 1, printed


@pytest.mark.slow
def test_a_newcomer_launches_a_csv_resumes_and_reports(on_ray: list[str], tmp_path: Path) -> None:
    path, run = write_table(tmp_path / "telco.csv"), RunDir(tmp_path / "run")
    budget = ["--method=erm", "--method=kmixup", "--trials=1", "--shortlist=1", "--final-seeds=1", "--epochs=2"]
    ray = (*on_ray, "--batch-seeds", "off")
    printed = run_cli_in_process("launch", "telco.csv", "--label", "Churn", *budget, *ray, "--out", "run")
    assert "network: mlp" in printed and "Done: every run" in printed
    assert [source.name for source in run.suite().identity.sources] == ["telco"]
    assert "Done: every run" in run_cli_in_process("resume", "run", "--trials", "2", *ray), "it remembers the file"
    results = run.results(run.suite())
    assert len(results) == 10 and all(study.rows for study in results.values())
    assert "telco/mlp" in run_cli_in_process("report", "run", "--out", "report", "--format", "csv")
    assert str(tmp_path) not in (tmp_path / "report" / "launches.json").read_text(), "a report names no path"
    path.write_text(path.read_text().replace("Month,Yes", "Month,No"))
    printed = run_cli_in_process("resume", "run", "--trials", "4", *ray, code=2)
    assert "holds results of other data: telco" in printed
    path.unlink()
    printed = run_cli_in_process("resume", "run", "--trials", "4", *ray, code=2)
    assert "put it back, or name it where it is" in printed


@pytest.mark.thorough
def test_a_newcomer_launches_an_npz_of_medmnist_and_a_folder_of_recordings(on_ray: list[str], tmp_path: Path) -> None:
    rng, run = np.random.default_rng(0), RunDir(tmp_path / "run")
    held = {}
    for part in ("train", "val", "test"):
        held[f"{part}_images"] = rng.integers(0, 256, (30, 14, 14, 3)).astype(np.uint8)
        held[f"{part}_labels"] = (np.arange(30) % 3)[:, None]
    np.savez(tmp_path / "blood.npz", allow_pickle=False, **held)
    for number in range(40):
        path = tmp_path / "words" / ("train", "test")[number // 30] / ("no", "yes")[number % 2] / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(path, 4000, rng.integers(-999, 999, 800).astype(np.int16))
    budget = ["--method=erm", "--trials=1", "--shortlist=1", "--final-seeds=1", "--epochs=1", "--repeats=1"]
    ray = (*on_ray, "--batch-seeds", "off")
    printed = run_cli_in_process("launch", "blood.npz", "words", *budget, *ray, "--out", "run")
    assert "train_images images N x H x W x C, uint8; train_labels int64 N x 1" in " ".join(printed.split())
    assert "data: 40 recordings, 4,000 Hz, 0.2 s" in printed and "Done: every run" in printed
    results = run.results(run.suite())
    assert len(results) == 2 and all(study.rows for study in results.values())
