"""How many trials the nodes of a cluster carry."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tune_kmixup.tuning.slots import EqualSlots, Node


def test_a_trial_does_not_fit_on_parts_of_two_nodes_or_gpus() -> None:
    assert Node("", 4, 0).carries(0.5, 0) == 8
    assert Node("", 64, 2).carries(1, 0.25) == 8
    assert Node("", 64, 2).carries(1, 0.4) == 4, "two on each GPU, though five times 0.4 makes 2"
    assert Node("", 3, 8).carries(1, 0.5) == 3
    assert Node("", 64, 5).carries(1, 2) == 2
    assert Node("", 0.3, 0).carries(0.1, 0) == 3, "rounding does not cost a trial"
    assert Node("", 64, 0).carries(1, 0.5) == 0
    assert EqualSlots(2.0, nodes=[Node("a", 3, 0), Node("b", 3, 0)]).slots == 2


@given(cpus=st.integers(0, 64), gpus=st.integers(0, 8), each=st.floats(0.1, 8), share=st.floats(0.01, 1))
def test_what_fits_on_a_node_needs_no_more_than_it_has(cpus: int, gpus: int, each: float, share: float) -> None:
    fit = Node("", cpus, gpus).carries(each, share)
    assert fit * each <= cpus + 1e-6
    assert math.ceil(fit / int(1 / share + 1e-9)) <= gpus, "packed GPU by GPU"


def test_slots_follow_the_nodes_up_to_the_limit() -> None:
    slots = EqualSlots(max_concurrent=3, nodes=[])
    assert slots.slots == 0 and not slots.fits("any")
    slots.follow([Node("a", 2, 0)])
    assert slots.slots == 2
    slots.acquire("one", "any")
    slots.acquire("two", "any")
    assert not slots.fits("any")
    slots.follow([Node("a", 2, 0), Node("b", 4, 0)])
    assert slots.slots == 3 and slots.fits("any")
    slots.follow([])
    assert not slots.fits("any")
    slots.release("one")
    slots.release("one")
    assert slots.taken == {"two"}
    assert EqualSlots().fits("any"), "without nodes that are named, any number fits"


def test_the_longest_task_goes_first_and_a_request_names_no_gpu_that_is_not_needed() -> None:
    slots = EqualSlots(2.0)
    assert slots.priority("any", 3.0) > slots.priority("any", 2.0)
    assert slots.request("any") == {"CPU": 2.0} and EqualSlots(1.0, 0.5).request("any") == {"CPU": 1.0, "GPU": 0.5}
