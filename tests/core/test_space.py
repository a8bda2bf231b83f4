"""Search spaces are read from Optuna's JSON as Optuna reads them."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.space import parse, point_count

NUMBERS = st.integers(1, 50)
WHOLE = st.builds(lambda low, more, step: IntDistribution(low, low + more * step, step=step), NUMBERS, NUMBERS, NUMBERS)
WHOLE_LOG = st.builds(lambda low, more: IntDistribution(low, low + more, log=True), NUMBERS, NUMBERS)
STEPS = st.builds(lambda low, more: FloatDistribution(low, low + 0.5 * more, step=0.5), NUMBERS, NUMBERS)
ANY = st.builds(lambda low, more, log: FloatDistribution(low, low + more, log=log), NUMBERS, NUMBERS, st.booleans())
CHOICES = st.builds(CategoricalDistribution, st.lists(st.integers() | st.text() | st.none(), min_size=1, unique=True))


def parsed(distribution: BaseDistribution) -> Any:
    return parse("x", json.loads(distribution_to_json(distribution)))


@given(WHOLE | WHOLE_LOG | STEPS)
def test_values_of_a_range_are_those_of_optuna(distribution: IntDistribution | FloatDistribution) -> None:
    found, step = parsed(distribution), distribution.step or 1
    values = [distribution.low + step * number for number in range(found.count)]
    assert values[-1] == distribution.high and all(value in found and distribution._contains(value) for value in values)
    for other in (distribution.low - step, distribution.high + step, math.nan, None, "1", True):
        assert other not in found


@given(ANY, CHOICES, WHOLE)
def test_points_of_a_space_are_counted(
    real: FloatDistribution, choices: CategoricalDistribution, whole: IntDistribution
) -> None:
    space = {"choices": parsed(choices), "whole": parsed(whole)}
    assert point_count(space) == len(choices.choices) * ((whole.high - whole.low) // whole.step + 1)
    assert point_count({**space, "real": parsed(real)}) is None and point_count({}) == 1
    assert all(choice in space["choices"] for choice in choices.choices) and "another choice" not in space["choices"]


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("FloatDistribution", {"low": 0.0, "high": 1.0, "log": True, "step": None}),
        ("FloatDistribution", {"low": 0.1, "high": 1.0, "log": True, "step": 0.1}),
        ("FloatDistribution", {"low": 0.0, "high": 1.0, "log": False, "step": 0}),
        ("FloatDistribution", {"low": 0.0, "high": 1.0, "log": False}),
        ("FloatDistribution", {"low": 1.0, "high": 0.0, "log": False, "step": None}),
        ("FloatDistribution", {"low": "0", "high": 1.0, "log": False, "step": None}),
        ("IntDistribution", {"low": 1, "high": 4, "log": False, "step": None}),
        ("IntDistribution", {"low": 1.5, "high": 4, "log": False, "step": 1}),
        ("IntDistribution", {"low": 1, "high": 4, "log": 0, "step": 1}),
        ("IntDistribution", {"low": 1, "high": 4, "log": False, "step": 1, "more": 2}),
        ("CategoricalDistribution", {"choices": []}),
        ("CategoricalDistribution", {"choices": "abc"}),
        ("CategoricalDistribution", {"choices": [[1]]}),
        ("NormalDistribution", {"low": 0.0, "high": 1.0}),
    ],
    ids=str,
)
def test_what_is_no_distribution_is_refused(kind: str, attributes: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"^space='x' |^x='NormalDistribution' is unknown"):
        parse("x", {"name": kind, "attributes": attributes})
