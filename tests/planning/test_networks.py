"""The networks of a suite are checked before anything is written, and a rule chooses whose seeds train together."""

import dataclasses
from pathlib import Path
from typing import Literal

import pytest
from torch import nn

from tests.helpers.launches import run_cli_in_process
from tests.helpers.networks import NETWORKS
from tests.helpers.suites import small_suite
from tune_kmixup.core.config import Recipe, Study, Suite, Task
from tune_kmixup.core.errors import BadInput
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.planning.networks import batched_tasks
from tune_kmixup.planning.resources import BatchSeeds, Resources


def wide(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(*shape, 1000), nn.ReLU(), nn.Linear(1000, 1000), nn.Linear(1000, classes))


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setitem(ARCHITECTURES, "wide", wide)
    monkeypatch.setitem(ARCHITECTURES, "layernorm", NETWORKS["layernorm"])
    monkeypatch.setitem(ARCHITECTURES, "narrow", lambda *form: nn.Linear(4, 2))
    monkeypatch.setitem(ARCHITECTURES, "weight_norm", NETWORKS["old_weight_norm"])  # its weight is no parameter
    recipe = Recipe(epochs=2, batch_size=50, lr=0.1)
    tasks = [Task("iris", name, recipe, outer_split=0) for name in ("mlp", "wide", "layernorm", "weight_norm")]
    tasks += [Task("digits", "small_cnn", recipe, outer_split=0)]
    return small_suite(studies=tuple(Study(task, "erm", {}) for task in tasks))


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("batch_seeds", "gpus", "expected"),
    [
        ("auto", 0, {"iris/mlp", "digits/small_cnn"}),
        ("auto", 0.5, {"iris/mlp", "iris/wide", "digits/small_cnn"}),
        ("on", 0, {"iris/mlp", "iris/wide", "digits/small_cnn"}),
        ("off", 0, set()),
    ],
)
def test_seeds_train_together_where_that_is_right_and_faster(
    suite: Suite, batch_seeds: BatchSeeds, gpus: float, expected: set[str]
) -> None:
    resources = Resources(batch_seeds=batch_seeds, gpus_per_trial=gpus)
    assert batched_tasks(suite, Path("nowhere"), resources) == expected


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize("batch_seeds", ["auto", "on", "off"])
def test_every_network_is_checked(suite: Suite, batch_seeds: BatchSeeds) -> None:
    narrow = dataclasses.replace(suite.studies[0].task, architecture="narrow")
    suite = dataclasses.replace(suite, studies=(*suite.studies, Study(narrow, "erm", {})))
    with pytest.raises(BadInput, match="architecture='narrow' returns a tensor of shape"):
        batched_tasks(suite, Path("nowhere"), Resources(batch_seeds=batch_seeds))


@pytest.mark.parametrize("searched", [False, True], ids=["of the recipe", "searched"])
@pytest.mark.parametrize(("augment", "kind"), [("crop_flip", "images"), ("shift_gain", "recordings")])
def test_an_augmentation_of_another_kind_of_data_is_refused(
    augment: Literal["crop_flip", "shift_gain"], kind: str, searched: bool
) -> None:
    """Recordings and tables both have two axes, so that gains and shifts of a table trained without a word."""
    recipe = Recipe(epochs=1, batch_size=10, lr=0.1, augment="none" if searched else augment)
    free = {"augment": {"name": "CategoricalDistribution", "attributes": {"choices": ["none", augment]}}}
    studies = (Study(Task("iris", "mlp", recipe, outer_split=0), "mine", free if searched else {}),)
    expected = f"augment='{augment}' is for {kind}, which the rows of iris are not: choose 'none'"
    with pytest.raises(BadInput, match=expected):
        batched_tasks(small_suite(studies=studies), Path("nowhere"), Resources())


MINE = """
from torch import nn
from search_spaces.tasks import TASKS
from tune_kmixup.models import ARCHITECTURES
from tune_kmixup.study import Recipe, Task

class Pair(nn.Linear):
    def forward(self, x):
        return super().forward(x), x

ARCHITECTURES["pair"] = lambda shape, classes: Pair(shape[0], classes)
TASKS["iris/pair"] = (Task("iris", "pair", Recipe(epochs=1, batch_size=10, lr=0.1), outer_split=0),)
"""


def test_a_launch_of_a_network_that_cannot_be_trained_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    before = set(tmp_path.rglob("*"))
    printed = run_cli_in_process(
        "launch", "iris/mlp@0", "iris/pair", "--load", tmp_path / "mine.py", "--out", tmp_path / "run", code=2
    )
    assert printed.splitlines()[-1] == (
        "error: architecture='pair' returns a tuple in training: return finite logits, rows x classes."
    )
    assert "Traceback" not in printed and set(tmp_path.rglob("*")) == before
