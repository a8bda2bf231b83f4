"""Launches are merged only where they are one experiment."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution, distribution_to_json

from tests.helpers.launches import run_cli_in_process
from tests.helpers.reports import VALUES, filled
from tests.helpers.suites import made_up_rows, small_suite
from tune_kmixup.analysis.load import load, save_runs
from tune_kmixup.core.config import Identity, Study, Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.store.run_dir import RunDir

KNOWN = Identity({"iris": "0123456789abcdef"}, (), 1)


def part(method: str, change: Callable[[Study], Study] = lambda study: study, **changes: Any) -> Suite:
    """The studies of one method, changed."""
    studies = tuple(change(study) for study in small_suite().studies if study.method == method)
    return small_suite(studies=studies, **({"identity": KNOWN} | changes))


def with_recipe(**changes: Any) -> Callable[[Study], Study]:
    def change(study: Study) -> Study:
        recipe = dataclasses.replace(study.task.recipe, **changes)
        return dataclasses.replace(study, task=dataclasses.replace(study.task, recipe=recipe))

    return change


def with_task(**changes: Any) -> Callable[[Study], Study]:
    return lambda study: dataclasses.replace(study, task=dataclasses.replace(study.task, **changes))


def with_space(name: str) -> Callable[[Study], Study]:
    attributes = {"low": 0.01, "high": 1.0, "step": None, "log": True}
    free = {name: {"name": "FloatDistribution", "attributes": attributes}}
    return lambda study: dataclasses.replace(study, space={**study.space, **free})


def range_to(high: float) -> Callable[[Study], Study]:
    attributes = {"low": 0.01, "high": high, "step": None, "log": True}
    space = {"alpha": {"name": "FloatDistribution", "attributes": attributes}}
    return lambda study: dataclasses.replace(study, space=space)


def split(suite: Suite, number: int) -> Suite:
    return dataclasses.replace(suite, studies=tuple(s for s in suite.studies if s.task.outer_split == number))


def test_launches_that_select_by_different_scores_are_not_merged(tmp_path: Path) -> None:
    suites = part("mixup"), part("kmixup", select_by="balanced_error")
    one, two = (filled(RunDir(tmp_path / str(i)), suite).path for i, suite in enumerate(suites))
    with pytest.raises(BadInput, match=r"select by error and balanced_error: report them one by one\.$"):
        load([one, two])


@pytest.mark.parametrize("splits", [(0, 0), (0, 1)], ids=["of one split", "of two splits"])
def test_a_method_has_one_range(splits: tuple[int, int], tmp_path: Path) -> None:
    """Two launches of k-mixup, with α to 1 in one and to 10 in the other, were pooled without a word."""
    suites = [split(part("mixup", range_to(high)), number) for high, number in zip((1.0, 10.0), splits, strict=True)]
    one, two = (filled(RunDir(tmp_path / str(i)), suite).path for i, suite in enumerate(suites))
    expected = (
        r"with different ranges of alpha in mixup \(0\.01 to 1\.0, log and 0\.01 to 10\.0, log\): report them one"
    )
    with pytest.raises(BadInput, match=expected):
        load([one, two])
    load([one, filled(RunDir(tmp_path / "same"), split(part("mixup", range_to(1.0)), 1)).path])


OTHERS = {
    "recipe": (part("mixup", with_recipe(epochs=60)), r"epochs \(2 and 60\)"),
    "data": (
        part("mixup", identity=dataclasses.replace(KNOWN, data={"iris": "f" * 16})),
        r"data \(01234567 and ffffffff\)",
    ),
    "numerics": (part("mixup", identity=dataclasses.replace(KNOWN, numerics=2)), r"numerics \(1 and 2\)"),
    "tuned": (part("mixup", with_space("lr")), r"tuned values \(none and lr\)"),
    "validation rows": (part("mixup", with_task(val_rows=9)), r"val_rows \(None and 9\)"),
    "holdout": (part("mixup", with_task(holdout=True)), r"holdout \(False and True\)"),
    "seed": (part("mixup", seed=1), r"seed \(0 and 1\)"),
}


@pytest.mark.parametrize(("other", "difference"), OTHERS.values(), ids=OTHERS)
def test_methods_of_a_task_are_compared_under_one_recipe_data_and_numerics(
    other: Suite, difference: str, tmp_path: Path
) -> None:
    """ERM of 1 epoch merged with mixup of 60 gave mixup a gain of 16 points."""
    one = filled(RunDir(tmp_path / "one"), part("erm")).path
    two = filled(RunDir(tmp_path / "two"), other).path
    expected = f"run_dirs={one}, {two} both hold iris/mlp, with different {difference}: report them one by one."
    with pytest.raises(BadInput, match=expected):
        load([one, two])
    (tmp_path / "report").mkdir()
    save_runs(load([two]), tmp_path / "report")
    with pytest.raises(BadInput, match=difference):
        load([one, tmp_path / "report"])


def test_a_data_set_is_the_same_in_all_tasks(tmp_path: Path) -> None:
    """Means over data sets join tasks by its name, and pair their test rows."""
    other = dataclasses.replace(KNOWN, data={"iris": "f" * 16})
    small_cnn = part("mixup", with_task(architecture="small_cnn"), identity=other)
    one, two = filled(RunDir(tmp_path / "one"), part("mixup")).path, filled(RunDir(tmp_path / "two"), small_cnn).path
    expected = r"both hold data set iris, with different data \(01234567 and ffffffff\): report them one by one\.$"
    with pytest.raises(BadInput, match=expected):
        load([one, two])
    same = filled(RunDir(tmp_path / "same"), part("mixup", with_task(architecture="small_cnn"))).path
    assert load([one, same]).rows["task"].nunique() == 2


@pytest.mark.parametrize(
    ("name", "distribution", "value"),
    [
        ("alpha", CategoricalDistribution((0, 0.5, 1)), 1),
        ("alpha", IntDistribution(1, 8), 4),
        ("weight_decay", CategoricalDistribution((0, 1e-4)), 0),
        ("lr", CategoricalDistribution((1, 0.1)), 1),
    ],
)
def test_a_report_of_whole_numbers_can_be_reported_again(
    name: str, distribution: Any, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and Parquet hold 1.0 where the range has 1."""
    space = {name: json.loads(distribution_to_json(distribution))}
    suite = part("mixup", lambda study: dataclasses.replace(study, space=space), trials=1)
    monkeypatch.setitem(VALUES, name, value)
    runs = load([filled(RunDir(tmp_path / "run"), suite).path])
    (tmp_path / "report").mkdir()
    save_runs(runs, tmp_path / "report")
    again = load([tmp_path / "report"])
    assert again.rows[name].tolist() == runs.rows[name].tolist() == [value] * len(runs.rows)


@pytest.mark.parametrize(
    ("budget", "difference"),
    [
        ({"trials": 5}, r"trials \(4 and 5\)"),
        ({"search_seeds": 3}, r"search_seeds \(2 and 3\)"),
        ({"shortlist": 2}, r"shortlist \(1 and 2\)"),
        ({"shortlist_seeds": 3}, r"shortlist_seeds \(4 and 3\)"),
        ({"scheduler": "asha"}, r"scheduler \(none and asha\)"),
        ({"sampler": "qmc"}, r"sampler \(random and qmc\)"),
    ],
)
def test_methods_of_a_task_are_compared_with_one_budget(
    budget: dict[str, Any], difference: str, tmp_path: Path
) -> None:
    """ERM with a fixed recipe has no search."""
    one, erm = (filled(RunDir(tmp_path / method), part(method)).path for method in ("mixup", "erm"))
    two = filled(RunDir(tmp_path / "kmixup"), part("kmixup", **budget)).path
    with pytest.raises(BadInput, match=rf"both hold iris/mlp, with different {difference}: report them one by one"):
        load([one, two])
    assert len(load([erm, two]).suites) == 2


def test_repeats_of_a_task_have_one_budget_but_for_states_of_one_launch(tmp_path: Path) -> None:
    first, second = (split(part("mixup"), number) for number in (0, 1))
    suites = {"first": first, "second": dataclasses.replace(second, trials=5), "grown": part("mixup", trials=5)}
    paths = {name: filled(RunDir(tmp_path / name), suite).path for name, suite in suites.items()}
    with pytest.raises(BadInput, match=r"with different trials \(4 and 5\)"):
        load([paths["first"], paths["second"]])
    assert len(load([paths["first"], paths["grown"]]).rows) == len(load([paths["grown"]]).rows)


def test_the_command_refuses_and_writes_nothing(tmp_path: Path) -> None:
    one = filled(RunDir(tmp_path / "one"), part("erm", with_recipe(epochs=1))).path
    two = filled(RunDir(tmp_path / "two"), part("mixup", with_recipe(epochs=60))).path
    refused = run_cli_in_process("report", one, two, "--out", tmp_path / "report", code=2)
    assert "with different epochs (1 and 60): report them one by one." in refused and len(refused.splitlines()) == 1
    assert not (tmp_path / "report").exists()


def own(change: Callable[[Study], Study]) -> Callable[[Study], Study]:
    return lambda study: dataclasses.replace(change(study), method="mine")


@pytest.mark.parametrize(
    "other",
    [
        part("mixup"),
        part("mixup", with_recipe(source="another paper")),
        part("mixup", own(with_space("lr"))),
        part("mixup", identity=Identity()),
        part("mixup", identity=dataclasses.replace(KNOWN, loaded=("abc",))),
    ],
    ids=["the same", "another source", "lr is free in a method of the user's", "early format 2", "an own file"],
)
def test_what_belongs_together_is_merged(other: Suite, tmp_path: Path) -> None:
    one, two = (filled(RunDir(tmp_path / name), s).path for name, s in {"one": part("erm"), "two": other}.items())
    assert len(load([one, two]).suites) == 2


def test_other_repeats_may_have_another_seed(tmp_path: Path) -> None:
    suites = [split(part("mixup", seed=number), number) for number in (0, 1)]
    assert len(load([filled(RunDir(tmp_path / str(suite.seed)), suite).path for suite in suites]).suites) == 2


def test_a_configuration_is_its_values_not_its_number(tmp_path: Path) -> None:
    """Two launches of one study, which had several slots each: their trials 3 are different configurations."""
    suite = small_suite()
    for name, alpha in (("one", 0.5), ("two", 2.0)):
        run, study = RunDir(tmp_path / name), suite.study("iris/mlp@0/mixup")
        run.write_suite(suite)
        trial = suite.search_trial(study, 3, {"alpha": alpha})
        run.write_proposal(study.name, 3, {"alpha": alpha})
        run.write_rows(trial, made_up_rows(suite, trial))
    expected = r"one, .*two hold two configurations as trial 3 of iris/mlp@0/mixup \(alpha 0\.5 and 2\.0\): report"
    with pytest.raises(BadInput, match=expected):
        load([tmp_path / "one", tmp_path / "two"])


def test_a_report_holds_no_paths(tmp_path: Path) -> None:
    identity = dataclasses.replace(KNOWN, load=("/home/me/mine.py",), data_dir="/home/me/data", loaded=("abc",))
    (launch,) = load([filled(RunDir(tmp_path / "run"), part("erm", identity=identity)).path]).launches
    assert launch.suite.identity == dataclasses.replace(KNOWN, loaded=("abc",))
