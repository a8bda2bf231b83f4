"""Pairing is optimal within blocks, λ has the right distribution, and mixing and perturbation follow their formulas."""

import itertools
import subprocess
import sys

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import betaincinv
from torch import Tensor

from tune_kmixup.core.errors import BadInput
from tune_kmixup.mixing.pairing import pair
from tune_kmixup.mixing.step import alpha_for, mix, mixed_cross_entropy, perturbation_factor, sample_lambda


def batch(rows: int, columns: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(rows, columns, generator=generator, dtype=dtype) for _ in range(2))  # type: ignore[return-value]


def cost_of(x: Tensor, partner: Tensor, sigma: Tensor, power: int = 2) -> float:
    return float((x.double() - partner.double()[sigma]).flatten(1).norm(dim=1).pow(power).sum())


def row_blocks(rows: int, k: int) -> list[list[int]]:
    return [list(range(start, min(start + k, rows))) for start in range(0, rows, k)]


@given(rows=st.integers(1, 40), k=st.integers(1, 50), columns=st.integers(1, 8), seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_sigma_permutes_each_block(rows: int, k: int, columns: int, seed: int) -> None:
    sigma = pair(*batch(rows, columns, seed), k).tolist()
    for block in row_blocks(rows, k):
        assert sorted(sigma[i] for i in block) == block


@pytest.mark.parametrize("rows", [1, 7, 16])
def test_k_one_pairs_in_order(rows: int) -> None:
    assert pair(*batch(rows, 3), 1).tolist() == list(range(rows))


@given(k=st.integers(2, 6), columns=st.integers(1, 5), seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean"])
def test_no_other_permutation_costs_less(cost: str, k: int, columns: int, seed: int) -> None:
    x, partner = batch(2 * k + 1, columns, seed)
    power = 2 if cost == "sqeuclidean" else 1
    sigma = pair(x, partner, k, cost=cost)  # type: ignore[arg-type]
    for block in row_blocks(len(x), k):
        lowest = min(cost_of(x[block], partner, torch.tensor(other), power) for other in itertools.permutations(block))
        assert cost_of(x[block], partner, sigma[block], power) == pytest.approx(lowest, rel=1e-5)


@pytest.mark.parametrize(("rows", "k"), [(64, 64), (96, 32), (50, 16)])
def test_cost_equals_that_of_optimal_transport(rows: int, k: int) -> None:
    x, partner = batch(rows, 5, 3, torch.float64)
    sigma = pair(x, partner, k)
    for block in row_blocks(rows, k):
        transport = ot.emd2([], [], ot.dist(x[block].numpy(), partner[block].numpy()))
        assert cost_of(x[block], partner, sigma[block]) / len(block) == pytest.approx(transport)


def test_the_order_of_the_partner_block_does_not_change_the_cost() -> None:
    x, partner = batch(32, 4)
    shuffled = partner[torch.cat([torch.randperm(16), 16 + torch.randperm(16)])]
    costs = [cost_of(x, p, pair(x, p, 16)) for p in (partner, shuffled)]
    assert costs[0] == pytest.approx(costs[1])


HARD_CASES = {
    "far from the origin": lambda x: x + 1e4,
    "duplicates": lambda x: x.round(),
    "all the same": lambda x: torch.ones_like(x),
    "constant features": lambda x: torch.cat([x[:, :1], torch.full_like(x[:, 1:], 1e6)], 1),
    "one dimension": lambda x: x[:, :1],
    "tiny": lambda x: x * 1e-12,
    "large": lambda x: x * 1e12,
}


@pytest.mark.parametrize("case", HARD_CASES)
@pytest.mark.parametrize("k", [2, 16, 64])
def test_float32_agrees_with_float64_on_hard_cases(case: str, k: int) -> None:
    x, partner = (HARD_CASES[case](t) for t in batch(64, 6, 5))
    float64 = pair(x.double(), partner.double(), k)
    float32 = pair(x, partner, k)
    scale = cost_of(x, partner, torch.arange(64)) + 1e-30
    assert abs(cost_of(x, partner, float32) - cost_of(x, partner, float64)) <= 1e-5 * scale


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes(dtype: torch.dtype) -> None:
    x, partner = ((t * 40 + 128).clamp(0, 255).to(dtype).reshape(32, 3, 2, 2) for t in batch(32, 12))
    sigma = pair(x, partner, 8)
    assert cost_of(x, partner, sigma) == pytest.approx(cost_of(x, partner, pair(x.double(), partner.double(), 8)))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_whole_numbers_that_float32_cannot_tell_apart(dtype: torch.dtype) -> None:
    x = torch.tensor([[2**24], [2**24 + 1]], dtype=dtype)
    assert pair(x, x.flip(0), 2).tolist() == [1, 0]
    assert pair(x, x.flip(0).double(), 2).tolist() == [1, 0] and sorted(pair(x, x.float(), 2).tolist()) == [0, 1]


@pytest.mark.parametrize("k", [2, 7, 32, 100])
def test_exact_solvers_agree_and_sinkhorn_comes_near(k: int) -> None:
    x, partner = batch(100, 4, 1)
    costs = {s: cost_of(x, partner, pair(x, partner, k, solver=s)) for s in ("hungarian", "emd", "sinkhorn")}  # type: ignore[arg-type]
    assert costs["hungarian"] == pytest.approx(costs["emd"], rel=1e-6)
    unmatched = cost_of(x, partner, torch.arange(100))
    assert costs["hungarian"] <= costs["sinkhorn"] * (1 + 1e-9)
    assert costs["sinkhorn"] - costs["hungarian"] < 0.05 * (unmatched - costs["hungarian"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean"])
def test_rows_that_are_not_finite_are_counted(bad: float, cost: str) -> None:
    x, partner = batch(10, 3)
    x[[1, 4], 2] = bad
    with pytest.raises(BadInput, match="x holds 2 and partner 0 rows that are not finite"):
        pair(x, partner, 4, cost=cost)  # type: ignore[arg-type]


def test_bad_arguments() -> None:
    x, partner = batch(4, 3)
    with pytest.raises(BadInput, match="k=0 is not a whole number"):
        pair(x, partner, 0)
    assert pair(x, partner, np.int64(2)).tolist() == pair(x, partner, 2).tolist()  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"k=True is not a whole number"):
        pair(x, partner, True)
    with pytest.raises(BadInput, match=r"k=2\.0 is not a whole number"):
        pair(x, partner, 2.0)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="x is a list: give a tensor"):
        pair([[0.0]], [[0.0]], 1)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="x is a single number"):
        pair(x.sum(), partner, 1)
    with pytest.raises(BadInput, match="shapes"):
        pair(x, partner[:3], 2)
    for alpha in (-1.0, float("nan"), float("inf")):
        with pytest.raises(BadInput, match="alpha="):
            sample_lambda(alpha, 3, torch.Generator())


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 8.0, 64.0])
def test_lambda_is_beta_distributed(alpha: float) -> None:
    draws = sample_lambda(alpha, 4000, torch.Generator().manual_seed(1)).numpy()
    inner = draws[(draws > 1e-12) & (draws < 1 - 1e-12)]  # for α < 0.05, many draws round to 0 or 1
    beta = stats.beta(alpha, alpha)
    low, high = beta.cdf(1e-12), beta.cdf(1 - 1e-12)
    assert stats.kstest((beta.cdf(inner) - low) / (high - low), "uniform").pvalue > 1e-3
    assert abs((draws < 0.5).mean() - 0.5) < 0.03


def test_lambda_of_alpha_1_is_the_uniform_number_behind_it() -> None:
    """Bit for bit, as by the inverse distribution function."""
    draws = sample_lambda(1.0, 10_000, torch.Generator().manual_seed(1)).numpy()
    uniform = torch.rand(10_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64).numpy()
    assert (draws == uniform).all() and (betaincinv(1.0, 1.0, uniform) == uniform).all()


def test_lambda_is_comonotone_across_alpha_and_uses_the_generator_equally() -> None:
    generators = [torch.Generator().manual_seed(2) for _ in range(4)]
    draws = [sample_lambda(a, 500, g) for a, g in zip((0.0, 0.1, 1.0, 10.0), generators, strict=True)]
    orders = [torch.argsort(d, stable=True).tolist() for d in draws[2:]]
    assert orders[0] == orders[1]
    assert (draws[0] == 1).all()
    assert len({float(torch.rand(1, generator=g)) for g in generators}) == 1


def test_mix_interpolates_and_is_exact_for_lambda_one() -> None:
    x, partner = batch(8, 3)
    assert mix(x, partner, 1.0) is x
    assert torch.equal(mix(x, partner, 0.0), partner)
    assert torch.allclose(mix(x, partner, 0.3), 0.3 * x + 0.7 * partner)


def test_mixed_cross_entropy_equals_cross_entropy_of_mixed_labels() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(16, 5, generator=generator)
    y, y_partner = (torch.randint(5, (16,), generator=generator) for _ in range(2))
    soft = 0.3 * torch.eye(5)[y] + 0.7 * torch.eye(5)[y_partner]
    expected = torch.nn.functional.cross_entropy(logits, soft)
    assert torch.allclose(mixed_cross_entropy(logits, y, y_partner, 0.3), expected)


@pytest.mark.parametrize(("alpha", "size"), [(0.5, 1), (0.5, 16), (0.0, 1)], ids=["batch", "row", "ERM"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_lambda_goes_into_the_functions_as_it_is_drawn(alpha: float, size: int, dtype: torch.dtype) -> None:
    lam = sample_lambda(alpha, size, torch.Generator().manual_seed(1))
    x, partner = (t.reshape(16, 3, 2, 1).to(dtype) for t in batch(16, 6))
    mixed = mix(x, partner, lam)
    assert mixed.dtype == dtype
    one_by_one = [mix(x[i], partner[i], float(lam[i % size])).double() for i in range(16)]
    assert torch.allclose(mixed.double(), torch.stack(one_by_one), atol=0.02 if dtype == torch.bfloat16 else 1e-6)
    assert torch.equal(mixed, x) == (alpha == 0)

    logits, y, y_partner = batch(16, 5)[0].to(dtype), torch.arange(16) % 5, torch.arange(16) % 3
    losses = [mixed_cross_entropy(logits[[i]], y[[i]], y_partner[[i]], float(lam[i % size])) for i in range(16)]
    loss = mixed_cross_entropy(logits, y, y_partner, lam)
    assert loss.dtype == dtype and loss.shape == ()
    assert float(loss) == pytest.approx(
        float(torch.stack(losses).double().mean()), rel=0.02 if dtype.itemsize == 2 else 1e-6
    )


@pytest.mark.parametrize("shape", [(3,), (3, 8), (1,), ()], ids=["run", "row of each run", "one", "scalar"])
def test_lambda_of_several_runs(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    x, partner, logits = (torch.randn(3, 8, 5, generator=generator) for _ in range(3))
    y, y_partner = (torch.randint(5, (3, 8), generator=generator) for _ in range(2))
    lam = torch.rand(shape, generator=generator, dtype=torch.float64)
    mixed, losses = mix(x, partner, lam), mixed_cross_entropy(logits, y, y_partner, lam)
    assert losses.shape == (3,)
    for run in range(3):
        own = lam[run] if len(shape) and shape[0] == 3 else lam
        assert torch.allclose(mixed[run], mix(x[run], partner[run], own))
        assert torch.allclose(losses[run], mixed_cross_entropy(logits[run], y[run], y_partner[run], own))


def test_a_number_is_the_lambda_of_several_runs_too() -> None:
    logits, y, y_partner = torch.randn(3, 8, 5), torch.zeros(3, 8).long(), torch.ones(3, 8).long()
    expected = mixed_cross_entropy(logits, y, y_partner, torch.full((3,), 0.3))
    assert torch.allclose(mixed_cross_entropy(logits, y, y_partner, 0.3), expected)


@pytest.mark.parametrize("size", [1, 8])
def test_channels_last_stays(size: int) -> None:
    x, partner = (t.reshape(8, 3, 4, 4).to(memory_format=torch.channels_last) for t in batch(8, 48))
    lam = sample_lambda(1.0, size, torch.Generator().manual_seed(0))
    for mixed in (mix(x, partner[pair(x, partner, 4)], lam), mix(x.bfloat16(), partner.bfloat16(), lam)):
        assert mixed.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(mix(x, partner, lam), mix(x.contiguous(), partner.contiguous(), lam))


def test_what_cannot_be_mixed_is_refused_in_one_line() -> None:
    x, partner = batch(4, 3)
    with pytest.raises(BadInput, match=r"x holds torch\.uint8 .*convert them to a floating type first"):
        mix(x.byte(), partner.byte(), 0.5)
    with pytest.raises(BadInput, match=r"x is a ndarray: give a tensor, for an array torch\.from_numpy\(x\)\."):
        mix(x.numpy(), partner, 0.5)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="x is a ndarray"):
        pair(x.numpy(), partner.numpy(), 2)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"shapes \(4, 3\) and \(3, 3\)"):
        mix(x, partner[:3], 0.5)
    with pytest.raises(BadInput, match=r"lam has shape \(3,\) for a batch of shape \(4, 3\): .* each of its 4 rows"):
        mix(x, partner, torch.rand(3))
    with pytest.raises(BadInput, match=r"lam has shape \(3,\) for a batch of shape \(4,\)"):
        mixed_cross_entropy(x, torch.zeros(4).long(), torch.zeros(4).long(), torch.rand(3))
    with pytest.raises(BadInput, match=r"y holds torch\.float32: .*cross_entropy\(logits, mix"):
        mixed_cross_entropy(x, x, x, 0.5)


def test_short_integers_are_class_indices() -> None:
    logits, y = batch(4, 3)[0], torch.tensor([0, 2, 1, 1])
    assert torch.equal(mixed_cross_entropy(logits, y.int(), y.byte(), 0.3), mixed_cross_entropy(logits, y, y, 0.3))


def compiled_step(backend: str) -> None:
    def step(x: Tensor, partner: Tensor, y: Tensor, y_partner: Tensor, lam: Tensor) -> Tensor:
        sigma = pair(x, partner, 4)
        return mixed_cross_entropy(mix(x, partner[sigma], lam) @ weight, y, y_partner[sigma], lam)

    weight = torch.randn(3, 5, requires_grad=True)
    arguments = (*batch(8, 3), torch.arange(8) % 3, torch.arange(8) % 2, sample_lambda(1.0, 1, torch.Generator()))
    compiled = torch.compile(step, fullgraph=True, backend=backend)
    expected, loss = step(*arguments), compiled(*arguments)
    assert torch.allclose(loss, expected)
    assert torch.allclose(*(torch.autograd.grad(value, weight)[0] for value in (loss, expected)))
    with pytest.raises(BadInput, match="x holds 1 and partner 0 rows that are not finite"):
        compiled(arguments[0] / torch.arange(8)[:, None], *arguments[1:])


@pytest.mark.slow
def test_a_step_that_pairs_is_one_graph() -> None:
    compiled_step("aot_eager")


@pytest.mark.thorough
def test_a_step_that_pairs_is_compiled_to_machine_code() -> None:
    compiled_step("inductor")


@pytest.mark.parametrize("alpha", [0.01, 0.1, 1.0, 3.7, 10.0, 64.0, 1000.0])
def test_perturbation_factor_agrees_with_quadrature_and_simulation(alpha: float) -> None:
    beta = stats.beta(alpha, alpha)
    # Substituting u = F(λ) removes the poles at 0 and 1.
    half, _ = integrate.quad(lambda u: float(beta.ppf(u)) ** 2, 0, 0.5, limit=400, epsabs=1e-10)
    assert perturbation_factor(alpha) == pytest.approx(2 * half, rel=1e-5)
    lam = sample_lambda(alpha, 40_000, torch.Generator().manual_seed(0))
    squared = torch.minimum(lam, 1 - lam).square()
    standard_error = float(squared.std()) / len(lam) ** 0.5
    assert abs(float(squared.mean()) - perturbation_factor(alpha)) < 5 * standard_error


def test_perturbation_factor_rises_from_zero_to_a_quarter() -> None:
    values = [perturbation_factor(a) for a in (0, *np.logspace(-4, 5, 60))]
    assert values[0] == 0 and values == sorted(values) and values[-1] == pytest.approx(0.25, abs=1e-2)


@given(alpha=st.floats(1e-3, 900), distance=st.floats(1e-6, 1e6))
@settings(max_examples=50, deadline=None)
def test_alpha_for_inverts_perturbation_factor(alpha: float, distance: float) -> None:
    assert alpha_for(perturbation_factor(alpha) * distance, distance) == pytest.approx(alpha, rel=1e-6)


def test_alpha_for_refuses_what_no_alpha_reaches() -> None:
    assert alpha_for(0, 1.0) == 0
    with pytest.raises(BadInput, match=r"perturbation=0\.3 is out of reach .*limit is a quarter"):
        alpha_for(0.3, 1.0)
    with pytest.raises(BadInput, match="choose perturbation ≥ 0 and mean_squared_distance > 0"):
        alpha_for(-0.1, 1.0)
    with pytest.raises(BadInput, match="choose perturbation ≥ 0 and mean_squared_distance > 0"):
        alpha_for(0.1, 0.0)


def test_imports_neither_ray_nor_optuna() -> None:
    code = "import sys, tune_kmixup.mixing; sys.exit(bool({'ray', 'optuna', 'pandas', 'ot'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
