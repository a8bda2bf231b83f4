"""`predict` and `load_model`: which networks are used, what is written, and what is refused."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tune_kmixup
from tests.helpers.launches import registries_restored, results_of, run_cli_in_process
from tests.helpers.models import RECIPE, customers, customers_task, run_with_models, suite_of
from tune_kmixup.analysis.best import best, validation_scores
from tune_kmixup.analysis.load import load
from tune_kmixup.cli import prediction
from tune_kmixup.core.config import Task
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.source import Source
from tune_kmixup.data.inputs import read_rows
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.store.run_dir import RunDir


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    with registries_restored():
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Two outer splits of a table of customers, two methods, three seeds each."""
    folder = tmp_path_factory.mktemp("customers")
    with registries_restored():
        first = customers_task(folder)
        suite = suite_of(first, dataclasses.replace(first, outer_split=1))
        return run_with_models(RunDir(folder / "run"), suite, folder)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    customers().head(50).to_csv(tmp_path / "new.csv", index=False)
    return tmp_path / "new.csv"


def test_a_file_whose_name_is_no_utf_8_gets_its_row(
    run: RunDir, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = read_rows
    name = os.fsdecode(b"caf\xe9.png")
    monkeypatch.setattr(prediction, "read_rows", lambda *given: dataclasses.replace(read(*given), names=(name,) * 50))
    run_cli_in_process("predict", run.path, new, "--method", "mixup", "--out", tmp_path / "out.csv")
    assert set(pd.read_csv(tmp_path / "out.csv")["row"]) == {"caf\\xe9.png"}


def test_the_file_has_a_row_per_row(run: RunDir, new: Path) -> None:
    out = new.with_name("out.csv")
    printed = run_cli_in_process("predict", run.path, new, "--method", "mixup", "--out", out)
    written, model = pd.read_csv(out), tune_kmixup.load_model(run.path, "customers/mlp", "mixup")
    assert list(written) == ["row", "predicted", "p_no", "p_yes"] and written["row"].tolist() == [*range(1, 51)]
    assert model.classes == ("no", "yes") and len(model.networks) == 3
    expected = model.predict_proba(new)
    assert np.allclose(written[["p_no", "p_yes"]], expected, atol=1e-5) and np.allclose(expected.sum(1), 1)
    with pytest.warns(UserWarning, match="column city holds 'Atlantis', unknown to the model"):
        model.predict(customers().assign(city="Atlantis"))
    assert written["predicted"].tolist() == model.predict(customers().head(50)).tolist()
    error = (written["predicted"] != customers().head(50)["churn"]).mean()
    assert "It is too low if some of these rows were trained on." in printed
    assert f"Error on the 50 rows with a class: {100 * error:.2f} %" in printed and f"50 rows: {out}" in printed
    (chosen,) = best(load([run.path]), "customers/mlp", "mixup")
    assert f"mixup on customers/mlp: mean of 3 networks of outer split {chosen.outer_split}" in printed


@pytest.mark.parametrize(
    ("launched", "tested", "said"),
    [
        (False, False, "It is too low if some of these rows were trained on."),
        (True, False, "It is too low: most of these rows were trained on."),
        (True, True, None),
        (False, True, "It is too low if some of these rows were trained on."),
    ],
)
def test_it_says_whether_the_rows_were_trained_on(
    launched: bool, tested: bool, said: str | None, run: RunDir, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test rows of the file that was launched were not; those of another file may be."""
    read, suite = read_rows, run.suite()
    sources = (Source(str(new)),) if launched else ()
    named = dataclasses.replace(suite, identity=dataclasses.replace(suite.identity, sources=sources))
    monkeypatch.setattr(RunDir, "suite", lambda _: named)
    monkeypatch.setattr(prediction, "read_rows", lambda *given: dataclasses.replace(read(*given), tested=tested))
    printed = run_cli_in_process("predict", run.path, new, "--method", "mixup", "--out", new.with_name("out.csv"))
    assert "Error on the 50 rows" in printed
    assert said in printed if said else "trained on" not in printed


def test_the_error_says_how_many_classes_are_unknown(run: RunDir, new: Path) -> None:
    customers().head(10).assign(churn=[None, "perhaps", *["no"] * 8]).to_csv(new, index=False)
    printed = run_cli_in_process("predict", run.path, new, "--out", new.with_name("out.csv"))
    assert "Error on the 9 rows with a class: " in printed
    assert "; 1 of them have a class that the model does not know" in printed
    customers().head(10).drop(columns="churn").to_csv(new, index=False)
    assert "Error" not in run_cli_in_process("predict", run.path, new, "--out", new.with_name("out.csv"))


def test_without_a_method_validation_rows_decide(run: RunDir, new: Path) -> None:
    """Over the outer splits that all methods have; the errors on test rows say nothing."""
    runs = load([run.path])
    by_method = runs.final.groupby("method")["val_error"].mean()
    assert validation_scores(runs, "customers/mlp") == pytest.approx(by_method.to_dict())
    rows = runs.rows.copy()
    for low, high in (("erm", "mixup"), ("mixup", "erm")):
        rows["val_error"] = np.where(rows["method"] == low, 0.1, 0.2)
        rows["test_error"] = np.where(rows["method"] == low, 0.9, 0.0)
        changed = dataclasses.replace(runs, rows=rows)
        assert list(validation_scores(changed, "customers/mlp")) == [low, high]
    rows.loc[(rows["method"] == "erm") & (rows["outer_split"] == 1), "selected"] = False
    rows["val_error"] = np.where(rows["outer_split"] == 1, 0.0, rows["val_error"])
    unfinished = dataclasses.replace(runs, rows=rows)
    assert validation_scores(unfinished, "customers/mlp") == pytest.approx({"mixup": 0.1, "erm": 0.2})
    rows.loc[(rows["method"] == "mixup") & (rows["outer_split"] == 0), "selected"] = False
    with pytest.raises(BadInput, match="has no outer split with final runs of all methods yet: name a method"):
        validation_scores(dataclasses.replace(runs, rows=rows), "customers/mlp")
    assert ", of the lowest validation error: " in run_cli_in_process(
        "predict", run.path, new, "--out", new.with_name("out.csv")
    )


def test_what_does_not_fit_is_refused_in_a_line_and_nothing_is_written(run: RunDir, new: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    customers().drop(columns="age").to_csv(tmp_path / "other.csv", index=False)
    plain = RunDir(tmp_path / "plain")
    plain.write_suite(dataclasses.replace(run.suite(), save_models=False))
    for arguments, message in (
        ([run.path, tmp_path / "other.csv"], "lacks 1 column that the model was trained on: 'age'"),
        ([run.path, tmp_path / "nowhere.csv"], "nowhere.csv' is not there"),
        ([run.path, new, "--method", "kmixup"], "method='kmixup' has no final run: choose among customers/mlp"),
        ([run.path, new, "--task", "iris/mlp"], "task='iris/mlp' has no final run: choose"),
        ([plain.path, new], "keeps no models: launch with --save-models"),
        ([tmp_path, new], "holds no suite.json"),
        ([run.path, new, "--load", new], "load="),
    ):
        printed = run_cli_in_process("predict", *arguments, "--out", out, code=2)
        assert message in printed and printed.count("\n") == 1 and not out.exists(), printed
    content = new.read_bytes()
    for bad, problem in (
        (new, "is the file to classify"),
        (tmp_path, "is a folder"),
        (tmp_path / "no folder" / "out.csv", "is in a folder that is not there"),
    ):
        printed = run_cli_in_process("predict", run.path, new, "--out", bad, code=2)
        assert f"{problem}: choose another --out" in printed and new.read_bytes() == content


def test_a_damaged_or_missing_file_of_weights_is_refused_in_a_line(new: Path, tmp_path: Path) -> None:
    suite = suite_of(Task("iris", "mlp", RECIPE, outer_split=0), methods=("erm",))
    run = run_with_models(RunDir(tmp_path / "run"), suite, tmp_path)
    (path, *_) = sorted(run.path.glob("models/**/*.npz"))
    for damaged in (path.read_bytes()[:1000], None):
        path.write_bytes(damaged) if damaged else path.unlink()
        printed = run_cli_in_process("predict", run.path, new, code=2)
        assert path.name in printed and "launch again to train them anew" in printed and printed.count("\n") == 1


MINE = """
from torch.nn import Linear, Sequential
from tune_kmixup.models import ARCHITECTURES
ARCHITECTURES["mine"] = lambda shape, classes: Sequential(Linear(4, {width}), Linear({width}, 3))
"""


def test_a_network_of_ones_own_is_loaded_from_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE.format(width=8))
    plugins = Plugins.read([file])
    plugins.load()
    suite = suite_of(Task("iris", "mine", RECIPE, outer_split=0), methods=("erm",))
    identity = dataclasses.replace(suite.identity, loaded=plugins.fingerprints(), load=plugins.paths)
    run = run_with_models(RunDir(tmp_path / "run"), dataclasses.replace(suite, identity=identity), tmp_path)
    x = np.zeros((2, 4))
    with registries_restored():
        expected = tune_kmixup.load_model(run.path).predict_proba(x)
    moved = file.rename(tmp_path / "moved.py")
    with registries_restored(), pytest.raises(BadInput, match=r"mine.py' cannot be read: name a Python file"):
        tune_kmixup.load_model(run.path)
    with registries_restored():
        assert np.array_equal(tune_kmixup.load_model(run.path, load=[moved]).predict_proba(x), expected)
    moved.write_text(MINE.format(width=9))
    with registries_restored(), pytest.raises(BadInput, match=r"moved.py is not what run_dir=.* was trained with"):
        tune_kmixup.load_model(run.path, load=[moved])


def test_of_several_tasks_one_is_to_be_named_in_a_store_too(tmp_path: Path) -> None:
    tasks = (Task("iris", "mlp", RECIPE, outer_split=0), Task("wine", "mlp", RECIPE, outer_split=0))
    run_with_models(RunDir("memory://models/run"), suite_of(*tasks, methods=("erm",)), tmp_path)
    with pytest.raises(BadInput, match=r"task=None leaves 2 tasks: choose one of iris/mlp, wine/mlp"):
        tune_kmixup.load_model("memory://models/run")
    assert tune_kmixup.load_model("memory://models/run", "wine/mlp").predict_proba(np.zeros((2, 13))).shape == (2, 3)


@pytest.mark.slow
def test_a_table_is_tuned_and_new_rows_are_classified(
    on_ray: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the weights of the runs that the rows are about; and a directory that keeps none does not begin to."""
    monkeypatch.chdir(tmp_path)
    customers().to_csv("customers.csv", index=False)
    customers().drop(columns="churn").head(7).to_csv("new.csv", index=False)
    budget = ["--trials", "1", "--search-seeds", "1", "--shortlist", "1", "--final-seeds", "2", "--epochs", "2"]
    given = ["launch", "customers.csv", "--label", "churn", "--method", "erm", "--method", "mixup", *budget]
    cluster = [*on_ray, "--batch-seeds", "on"]
    run_cli_in_process(*given, *cluster, "--save-models", "--out", "run")
    run_cli_in_process("resume", "run", "--final-seeds", "3", *cluster)
    run = RunDir("run")
    rows = [row for study in run.suite().studies for row in results_of(run, study.name).rows if row.phase == "final"]
    assert len(rows) == 2 * 5 * 3 == len(list(Path("run").glob("models/**/*.npz")))
    assert not list(Path("run").glob("checkpoints/**/*.*"))
    run_cli_in_process("predict", "run", "new.csv")
    assert len(pd.read_csv("predictions.csv")) == 7
    printed = run_cli_in_process("predict", "run", "customers.csv")
    assert "Error on the 120 rows" in printed and "It is too low: most of these rows were trained on." in printed


def test_models_that_come_too_late_are_refused(tmp_path: Path) -> None:
    suite = dataclasses.replace(suite_of(Task("iris", "mlp", RECIPE, outer_split=0)), save_models=False)
    run = run_with_models(RunDir(tmp_path / "run"), suite, tmp_path)
    refused = run_cli_in_process("resume", run.path, "--save-models", code=2)
    assert "save_models=True comes too late for 6 final runs" in refused and "delete the files final-*.json" in refused
    assert not run.suite().save_models
