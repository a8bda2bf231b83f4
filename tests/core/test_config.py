"""What a recipe, task, study, suite and draft refuse where they are made."""

import dataclasses
import json
from typing import Any, get_args, get_origin

import pytest

from tests.helpers.suites import small_suite
from tune_kmixup.core.config import Draft, Recipe, Study, Suite, Task
from tune_kmixup.core.errors import BadInput
from tune_kmixup.store.run_dir import RunDir

RECIPE = Recipe(epochs=2, batch_size=50, lr=0.1)
TASK = Task("iris", "mlp", RECIPE, outer_split=0)
RECORDS = (RECIPE, TASK, Study(TASK, "erm", {}), small_suite(), Draft("x", ("iris/mlp",), epochs=2, repeats=2))
FIELDS = [(record, field) for record in RECORDS for field in dataclasses.fields(record)]
IDS = [f"{type(record).__name__}.{field.name}" for record, field in FIELDS]


def wrong_values(hint: Any) -> list[Any]:
    numbers = [float("nan"), float("inf"), -float("inf"), 10**30, True]
    if int in (hint, *get_args(hint)):
        return [*numbers, -(10**30), 1.5, "3", [3]]
    if float in (hint, *get_args(hint)):
        return [*numbers[:3], True, "3", [3]]
    if hint is bool:
        return [1, 0.0, "true", None]
    return [3, True, float("nan"), "fp16" if get_origin(hint) is not None else None, ["adam"]]


@pytest.mark.parametrize(("record", "field"), FIELDS, ids=IDS)
def test_every_field_refuses_values_of_another_type_or_out_of_range(record: Any, field: Any) -> None:
    for value in wrong_values(field.type):
        with pytest.raises(BadInput, match=field.name if field.name != "dataset" else "."):
            dataclasses.replace(record, **{field.name: value})


LITERALS = [
    (Recipe, "optimizer", "adam"),
    (Recipe, "precision", "fp16"),
    (Recipe, "cost", "cosine"),
    (Recipe, "augment", "cutout"),
    (Suite, "sampler", "foo"),
    (Suite, "scheduler", "median"),
    (Suite, "select_by", "accuracy"),
    (Draft, "sampler", "foo"),
    (Draft, "scheduler", "median"),
    (Draft, "select_by", "accuracy"),
]


@pytest.mark.parametrize(("kind", "name", "value"), LITERALS)
def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(kind: type, name: str, value: str) -> None:
    record = next(record for record in RECORDS if type(record) is kind)
    with pytest.raises(BadInput, match=f"{name}={value!r} is unknown: (choose among|did you mean) "):
        dataclasses.replace(record, **{name: value})


def test_every_choice_has_a_case() -> None:
    fields = {(type(r), f.name) for r, f in FIELDS if "Literal" in str(f.type)}
    assert fields == {(kind, name) for kind, name, _ in LITERALS}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("sampler",), "foo", "sampler='foo' is unknown"),
        (("trials",), 10**30, "it holds a whole number of 31 digits"),
        (("trials",), 10**7, "trials=10000000 is too large: choose trials ≤ 1000000"),
        (("trials",), "4", "trials='4' is not allowed: choose a whole number"),
        (("studies", 0, "task", "recipe", "optimizer"), "adam", "optimizer='adam' is unknown: did you mean adamw"),
        (("studies", 0, "task", "recipe", "lr"), float("nan"), "NaN is not JSON"),
        (("studies", 1, "space", "alpha"), 1.0, "space='alpha' is 1.0: it takes an Optuna distribution"),
        (("studies", 1, "space", "alpha", "name"), "Normal", "alpha='Normal' is unknown"),
        (("studies", 1, "space", "alpha", "attributes", "high"), -1.0, "space='alpha' has no value"),
        (("studies", 1, "space", "alpha", "attributes", "high"), float("inf"), "Infinity is not JSON"),
        (("studies", 1, "space", "alpha", "attributes", "low"), -1.0, "space='alpha' goes from -1.0 to 64.0"),
        (("studies", 1, "space", "alpha", "attributes"), {}, "space='alpha' is"),
    ],
)
def test_a_suite_that_was_edited_is_refused_with_the_reason(
    path: tuple[Any, ...], value: object, message: str, run_dir: RunDir
) -> None:
    run_dir.write_suite(small_suite())
    content = json.loads((run_dir.path / "suite.json").read_text())
    at = content
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    (run_dir.path / "suite.json").write_text(json.dumps(content))
    with pytest.raises(BadInput) as error:
        run_dir.suite()
    assert f"suite.json is not a suite ({message}" in str(error.value)
