"""Real data sets, from a folder filled by `python ../shared/data/prepare_data.py $DATA_DIR`; minutes on two cores."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search_spaces.tasks import TASKS
from tune_kmixup.core.config import Task, Trial
from tune_kmixup.data.download import fetch
from tune_kmixup.data.prepare import duplicate_shares, prepare
from tune_kmixup.data.registry import DATASETS
from tune_kmixup.training.loop import train_to_end

pytestmark = [pytest.mark.slow, pytest.mark.real_data]
NAMES = ["mnist", "fashion_mnist", "cifar10", "abalone", "phishing", "spoken_digits", "spoken_digits_speakers"]


@pytest.fixture(scope="module")
def data_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of links to the real files, so that what is made from them does not land among them."""
    given = request.config.getoption("--data-dir") or os.environ.get("DATA_DIR")
    if not given:
        pytest.skip("DATA_DIR is not set: python ../shared/data/prepare_data.py DIR, then DATA_DIR=DIR")
    folder = tmp_path_factory.mktemp("real")
    for path in Path(given).glob("[!.]*"):
        (folder / path.name).symlink_to(path.resolve())
    return folder


def local_copy(dataset: str, data_dir: Path) -> None:
    found = DATASETS[dataset]
    if not any((data_dir / path).exists() for path in (f"{found.file or dataset}.npz", *found.raw)):
        pytest.skip(f"DATA_DIR holds no {dataset}")
    fetch(dataset, data_dir)


def task(dataset: str) -> Task:
    return next(entry[0] for entry in TASKS.values() if entry[0].dataset == dataset)


@pytest.mark.parametrize("dataset", NAMES)
def test_figures_are_those_of_the_files(dataset: str, data_dir: Path) -> None:
    local_copy(dataset, data_dir)
    found = DATASETS[dataset]
    data = prepare(replace(task(dataset), train_size=None), data_dir, test=True)
    assert data.test is not None
    assert data.classes == found.classes and data.shape == found.shape
    assert len(data.train.y) + len(data.val.y) + len(data.test.y) == found.rows + (found.test_rows or 0)
    assert found.test_rows in (None, len(data.test.y))
    assert found.val_rows in (None, len(data.val.y))
    assert data.inputs(data.val.x[:100]).isfinite().all()


@pytest.mark.parametrize("dataset", NAMES)
def test_no_input_is_in_two_parts(dataset: str, data_dir: Path) -> None:
    local_copy(dataset, data_dir)
    data = prepare(replace(task(dataset), train_size=None), data_dir, test=True)
    assert data.test is not None
    parts = [{row.tobytes() for row in part.x.numpy()} for part in (data.train, data.val, data.test)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_repeated_rows_of_phishing(data_dir: Path) -> None:
    local_copy("phishing", data_dir)
    shares = duplicate_shares("phishing", data_dir)
    assert round(shares["rows"], 2) == 0.71 and round(shares["irreducible"], 4) == 0.0103


def error(entry: str, data_dir: Path) -> float:
    """Test error of ERM, one run of the task's own recipe; in split 0."""
    chosen = TASKS[entry][0]
    local_copy(chosen.dataset, data_dir)
    trial = Trial(f"{chosen.name}/erm", 0, "final", {}, (0,))
    (row,) = train_to_end(chosen, trial, prepare(chosen, data_dir, test=True))
    return float(row["test_error"])


LIMITS = {
    "mnist/lenet": 0.025,
    "spoken_digits/lenet": 0.08,
    "phishing/mlp": 0.08,
    "mnist-2000/lenet": 0.05,
}


@pytest.mark.parametrize("entry", LIMITS)
def test_recipes_reach_what_they_should(entry: str, data_dir: Path) -> None:
    assert error(entry, data_dir) < LIMITS[entry]


def test_abalone_is_better_than_the_commonest_class(data_dir: Path) -> None:
    found = error("abalone/mlp", data_dir)
    data = prepare(task("abalone"), data_dir, test=True)
    assert data.test is not None
    guess = np.mean(data.test.y.numpy() != data.train.y.bincount().argmax().item())
    assert found < guess - 0.05
