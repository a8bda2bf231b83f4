import pytest

from tune_kmixup.core.errors import BadInput
from tune_kmixup.planning.resources import Resources


def test_slots() -> None:
    assert Resources(cpus_per_trial=0.5).slots(4, 0) == 8
    assert Resources(gpus_per_trial=0.25).slots(64, 2) == 8
    assert Resources(max_concurrent=3).slots(64, 0) == 3
    with pytest.raises(BadInput, match="max_concurrent=0"):
        Resources(max_concurrent=0)
    with pytest.raises(BadInput, match="choose 0 to train on CPUs"):
        Resources(gpus_per_trial=-1)
    auto = Resources(cpus_per_trial=2, gpus_per_trial="auto", max_concurrent=3)
    assert auto.slots(64, 5) == 5, "with auto, a slot is a GPU"
    assert auto.slots(7, 5) == 3, "two of the GPUs have no CPUs left"
    with pytest.raises(BadInput, match="cpus_per_trial=2 does not fit"):
        auto.slots(1, 5)
