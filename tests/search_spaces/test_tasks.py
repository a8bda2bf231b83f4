"""The recipe of every task fits its data set and network, and has a source."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from search_spaces.tasks import TASKS
from tune_kmixup.data.augment import AUGMENTATIONS
from tune_kmixup.data.prepare import count_rows, outer_splits, prepare
from tune_kmixup.data.registry import DATASETS
from tune_kmixup.models.architectures import ARCHITECTURES


@pytest.mark.parametrize("name", TASKS)
def test_an_entry_holds_all_outer_splits_of_one_task(name: str) -> None:
    tasks = TASKS[name]
    spec = DATASETS[tasks[0].dataset]
    assert {task.base for task in tasks} == {name}
    official = spec.test_rows is not None or tasks[0].holdout
    assert [task.outer_split for task in tasks] == list(outer_splits(official, spec.generate is not None))
    assert len({task.recipe for task in tasks}) == 1


@pytest.mark.parametrize("name", TASKS)
def test_recipes_fit_the_data_and_have_a_source(name: str, tmp_path: Path) -> None:
    task = TASKS[name][0]
    recipe = task.recipe
    rows = count_rows(task, tmp_path).train  # raises if the batch is larger
    assert recipe.source
    assert recipe.batch_size >= 50 or recipe.batch_size == rows
    assert recipe.warmup_epochs < recipe.epochs
    kind = DATASETS[task.dataset].kind
    assert recipe.augment in AUGMENTATIONS
    assert recipe.augment == "none" or recipe.augment == {"image": "crop_flip", "audio": "shift_gain"}[kind]


@pytest.mark.parametrize("name", TASKS)
def test_networks_fit_the_data(name: str) -> None:
    task = TASKS[name][0]
    spec = DATASETS[task.dataset]
    with torch.device("meta"):  # shapes without values
        model = ARCHITECTURES[task.architecture](spec.shape, spec.classes)
        logits = model(torch.empty(2, *spec.shape))
    assert logits.shape == (2, spec.classes)


@pytest.mark.parametrize("name", ["two_spirals/mlp", "wine/mlp", "digits/small_cnn"])  # a toy set, a table and images
def test_training_on_included_data_lowers_the_loss(name: str, tmp_path: Path) -> None:
    task = TASKS[name][-1]
    data = prepare(task, tmp_path, test=False)
    torch.manual_seed(0)
    model = ARCHITECTURES[task.architecture](data.shape, data.classes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=task.recipe.lr)
    losses = []
    for _ in range(10):
        losses.append(F.cross_entropy(model(data.inputs(data.train.x)), data.train.y))
        optimizer.zero_grad()
        losses[-1].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert losses[-1] < losses[0]


def test_every_data_set_and_architecture_is_in_some_task() -> None:
    tasks = [entry[0] for entry in TASKS.values()]
    assert {task.dataset for task in tasks} == set(DATASETS)
    assert {task.architecture for task in tasks} == set(ARCHITECTURES)
