"""`pair` is optimal whatever the scale and place of the data, also where float32 products are not enough."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from tune_kmixup.mixing import pairing
from tune_kmixup.mixing.pairing import pair, pair_runs

EXCESS = 1e-4  # of the least cost, that a matching of float32 rows may have


def excess_cost(x: Tensor, partner: Tensor, k: int) -> float:
    """How much more than the least the matching of `pair` costs, as a share. Costs are differences in float64."""
    sigma = pair(x, partner, k)
    found = (x.double() - partner.double()[sigma]).square().sum()
    least = 0.0
    for a, b in zip(x.double().split(k), partner.double().split(k), strict=True):
        costs = (a[:, None] - b).square().sum(2).numpy()
        least += costs[linear_sum_assignment(costs)].sum()
    return float(found / least - 1)


def clusters(k: int, columns: int, separation: float, seed: int) -> tuple[Tensor, Tensor]:
    """Two batches of four blocks of k rows, half of them in each of two clusters of deviation 1."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, 4, k, columns, generator=generator, dtype=torch.float64)
    noise[:, :, : k // 2, 0] += separation
    order = [torch.randperm(k, generator=generator) for _ in range(2)]
    x, partner = (rows[:, shuffled].flatten(0, 1).float() for rows, shuffled in zip(noise, order, strict=True))
    return x, partner


@given(
    k=st.sampled_from([2, 3, 4, 8, 32]),
    columns=st.sampled_from([1, 2, 30]),
    exponent=st.floats(0, 6),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=120, deadline=None)
def test_clusters_that_lie_far_apart_are_matched_optimally(k: int, columns: int, exponent: float, seed: int) -> None:
    assert excess_cost(*clusters(k, columns, 10**exponent, seed), k) <= EXCESS


def test_without_float64_the_same_clusters_are_matched_badly(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above would notice."""
    x, partner = clusters(32, 30, 1e4, 0)
    assert excess_cost(x, partner, 32) <= EXCESS
    monkeypatch.setattr(pairing, "MIN_DISTANCE_IN_EPS", 0)
    assert excess_cost(x, partner, 32) > 0.1


@given(offset=st.floats(0, 7), scale=st.floats(-12, 6), k=st.sampled_from([2, 4, 16]), seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_neither_place_nor_scale_of_the_data_matters(offset: float, scale: float, k: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, 32, 10, generator=generator, dtype=torch.float64)
    x, partner = ((rows + 10**offset) * 10**scale for rows in noise)
    assert excess_cost(x.float(), partner.float(), k) <= EXCESS
    assert excess_cost(x, partner, k) <= 1e-9


def test_data_of_the_usual_kind_are_paired_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float64 would take twice the time."""

    def refuse(*args: Tensor) -> None:
        raise AssertionError("float64 is used")

    monkeypatch.setattr(pairing, "centre_blocks", refuse)
    generator = torch.Generator().manual_seed(0)
    for columns in (10, 784):
        pair(*torch.randn(2, 128, columns, generator=generator), 32)
        pair(*(torch.rand(2, 128, columns, generator=generator) + 1), 32)  # like images that are not standardised


@pytest.mark.parametrize("size", [2, 3, 4])
def test_trying_all_permutations_finds_what_a_solver_finds(size: int) -> None:
    costs = np.random.default_rng(0).normal(size=(200, size, size)) * 1e3
    best = pairing.assignments(costs, pairing.hungarian)
    assert best.tolist() == [pairing.hungarian(matrix).tolist() for matrix in costs]


@pytest.mark.parametrize("k", [2, 4, 7, 16, 50])
def test_many_batches_at_once_are_paired_as_one_by_one(k: int) -> None:
    x, partner = torch.randn(2, 40, 50, 30, generator=torch.Generator().manual_seed(0))
    one_by_one = torch.stack([pair(a, b, k) for a, b in zip(x, partner, strict=True)])
    assert torch.equal(pair_runs(x, partner, k), one_by_one)
