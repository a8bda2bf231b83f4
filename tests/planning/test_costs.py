"""How long `plan` says that a suite takes."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from search_spaces.costs import COSTS
from search_spaces.tasks import TASKS
from tests.helpers.launches import run_cli_in_process
from tune_kmixup.analysis.load import read_launches
from tune_kmixup.core.config import Draft, Task
from tune_kmixup.planning.costs import run_seconds, task_seconds
from tune_kmixup.planning.suite import build_suite

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def with_epochs(task: Task, epochs: int) -> Task:
    return dataclasses.replace(task, recipe=dataclasses.replace(task.recipe, epochs=epochs))


def test_a_run_takes_time_in_proportion_to_epochs_and_rows(tmp_path: Path) -> None:
    task, cost = TASKS["fashion_mnist-2000/lenet"][0], COSTS["fashion_mnist-2000/lenet"]
    assert run_seconds(task, tmp_path) == cost
    assert run_seconds(with_epochs(task, 100), tmp_path) == pytest.approx(4 * cost)
    fewer = dataclasses.replace(task, train_size=500)
    assert run_seconds(fewer, tmp_path) == pytest.approx(cost / 4)
    assert run_seconds(dataclasses.replace(fewer, label_noise=0.2), tmp_path) == pytest.approx(cost / 4)


def test_what_nothing_measured_is_near_is_unknown(tmp_path: Path) -> None:
    task = TASKS["fashion_mnist-2000/lenet"][0]
    assert run_seconds(dataclasses.replace(task, train_size=499), tmp_path) is None
    other_batches = dataclasses.replace(task, recipe=dataclasses.replace(task.recipe, batch_size=100))
    assert run_seconds(other_batches, tmp_path) is None
    assert run_seconds(TASKS["cifar10/vit_tiny"][0], tmp_path) is None


def test_the_time_of_a_suite_counts_every_run(tmp_path: Path) -> None:
    suite = build_suite(Draft("two", ("wine/mlp", "cifar10/vit_tiny"), trials=3), tmp_path)
    runs = sum(suite.run_count(study) for study in suite.studies if study.task.dataset == "wine")
    seconds = task_seconds(suite, tmp_path)
    assert seconds == {"wine/mlp": pytest.approx(COSTS["wine/mlp"] * runs), "cifar10/vit_tiny": None}


@pytest.mark.parametrize(
    ("folder", "most"), [("cpu-random", 3), ("cpu", 3), ("comparison/comparison-mnist-250-mlp", 3), ("lower-alpha", 10)]
)
def test_published_launches_took_what_plan_says_or_a_few_times_as_long(folder: str, most: float) -> None:
    """Their machine had other work to do: in lower-alpha most of the time."""
    estimate = 0.0
    for launch in read_launches(RESULTS / folder):
        for seconds in task_seconds(launch.suite, RESULTS).values():
            assert seconds is not None
            estimate += seconds
    spent = pd.read_parquet(RESULTS / folder / "results.parquet")["seconds"].sum()
    assert 1 < spent / estimate < most


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["iris/mlp"], "Time: about 16 s of one CPU core."),
        (["iris/mlp", "--scheduler", "asha"], "Time: at most about 16 s of one CPU core."),
        (["iris/mlp", "--gpus-per-trial", "0.5"], "Time: unknown on GPUs."),
        (["cifar10/vit_tiny"], "Time: unknown for cifar10/vit_tiny."),
        (
            ["iris/mlp", "wine/mlp", "cifar10/vit_tiny"],
            "Time: about 44 s of one CPU core (wine/mlp 29 s, iris/mlp 16 s); unknown for cifar10/vit_tiny.",
        ),
    ],
)
def test_plan_says_how_long_it_takes(args: list[str], line: str, tmp_path: Path) -> None:
    assert line in run_cli_in_process("plan", *args, "--data-dir", tmp_path).splitlines()
