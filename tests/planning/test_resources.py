import math
from dataclasses import fields
from typing import Any

import pytest
import ray

from tune_kmixup.cli.options import duration
from tune_kmixup.core.errors import BadInput
from tune_kmixup.planning.resources import Resources, repeated_options
from tune_kmixup.store.schema import REPEATED


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="max_concurrent=0"):
        Resources(max_concurrent=0)
    with pytest.raises(BadInput, match="choose 0 to train on CPUs"):
        Resources(gpus_per_trial=-1)
    with pytest.raises(BadInput, match="wait=-1"):
        Resources(wait=-1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cpus_per_trial": "2"},
        {"cpus_per_trial": math.nan},
        {"gpus_per_trial": "half"},
        {"max_concurrent": 2.5},
        {"max_concurrent": "4"},
        {"wait": "15m"},
        {"wait": math.nan},
        {"address": 5},
    ],
    ids=str,
)
def test_values_of_another_type_are_refused(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(BadInput, match=f"^{name}={value!r} is not allowed: choose "):
        Resources(**wrong)


def test_what_a_node_needs_for_a_first_trial() -> None:
    assert Resources().to_start == "1 CPU"
    assert Resources(cpus_per_trial=2, gpus_per_trial=0.5).to_start == "2 CPUs and 0.5 GPUs"
    assert Resources(gpus_per_trial="auto").to_start == "1 CPU and 1 GPU", "the share is measured on a whole one"


def test_the_wait_is_repeated_as_a_duration() -> None:
    assert repeated_options(Resources(address="auto", wait=900.0)) == ["--address=auto", "--wait=900s"]


def test_options_to_go_on_can_be_read_again() -> None:
    """In Python a wait is a number of seconds, whole or not."""
    given = Resources(wait=90, cpus_per_trial=1 / 3, gpus_per_trial=2, max_concurrent=4)
    assert repeated_options(given) == [
        *("--cpus-per-trial=0.333333333333333", "--gpus-per-trial=2", "--max-concurrent=4", "--wait=90s")
    ]
    for seconds in (90, 0.25, 1e-5, 1e6):
        (option,) = repeated_options(Resources(wait=seconds))
        assert duration(option.removeprefix("--wait=")) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cpus_per_trial": 1e-5}, "cpus_per_trial=1e-05 is less than Ray counts: choose 0.0001 or more"),
        ({"gpus_per_trial": 1e-5}, "gpus_per_trial=1e-05 is less than Ray counts: choose 0.0001 or more"),
        ({"gpus_per_trial": 1.5}, "gpus_per_trial=1.5 is not whole: above one, choose a whole number"),
    ],
)
def test_amounts_that_ray_does_not_take_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Resources(**wrong)
    amounts = {f"num_{name.partition('_')[0]}": value for name, value in wrong.items() if value < 1}
    if amounts:  # what is not whole is refused when an actor starts
        with pytest.raises(ValueError, match="precision"):
            ray.remote(**amounts)(lambda: 0)
    Resources(cpus_per_trial=0.0001, gpus_per_trial=2.0)


def test_the_heartbeat_may_hold_every_option_that_a_launch_repeats() -> None:
    """A heartbeat with another one cannot be read: `status` would not know of the launch."""
    assert {*REPEATED} == {field.name for field in fields(Resources)} | {"log_to"}
