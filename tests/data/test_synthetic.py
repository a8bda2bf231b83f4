"""Toy sets lie where their docstrings say."""

from collections.abc import Callable

import numpy as np
import pytest

from tune_kmixup.data import synthetic

TOYS = [synthetic.one_ring, synthetic.four_bars, synthetic.swiss_roll, synthetic.two_spirals]


@pytest.mark.parametrize("toy", TOYS)
@pytest.mark.parametrize("rows", [1, 7, 200])
def test_contract(toy: Callable[..., synthetic.Examples], rows: int) -> None:
    x, y = toy(rows, np.random.default_rng(0))
    assert x.dtype == np.float32 and y.dtype == np.int64 and len(x) == len(y) == rows
    assert np.isfinite(x).all() and set(y) <= {0, 1}
    assert abs((y == 0).sum() - (y == 1).sum()) <= 1
    same, _ = toy(rows, np.random.default_rng(0))
    other, _ = toy(rows, np.random.default_rng(1))
    np.testing.assert_array_equal(x, same)
    assert (x != other).all()


@pytest.mark.parametrize("toy", TOYS)
def test_classes_come_in_random_order(toy: Callable[..., synthetic.Examples]) -> None:
    _, y = toy(1000, np.random.default_rng(0))
    assert abs((y[1:] != y[:-1]).mean() - 0.5) < 0.06


@pytest.mark.parametrize("toy", TOYS)
def test_noise_has_the_given_standard_deviation(toy: Callable[..., synthetic.Examples]) -> None:
    """The same generator state gives the same points without noise."""
    exact, _ = toy(4000, np.random.default_rng(0), noise=0)
    noisy, _ = toy(4000, np.random.default_rng(0), noise=0.3)
    assert abs((noisy - exact).std() - 0.3) < 0.01


def test_one_ring() -> None:
    x, y = synthetic.one_ring(1000, np.random.default_rng(0), noise=0)
    np.testing.assert_allclose(np.hypot(*x.T), y, atol=1e-6)


def test_four_bars() -> None:
    x, y = synthetic.four_bars(1000, np.random.default_rng(0), noise=0)
    assert set(x[:, 0]) == {0, 1, 2, 3}
    np.testing.assert_array_equal(x[:, 0] % 2, y)
    assert -2 <= x[:, 1].min() < -1.9 and 1.9 < x[:, 1].max() <= 2


def test_swiss_roll() -> None:
    x, y = synthetic.swiss_roll(1000, np.random.default_rng(0), noise=0)
    t = np.hypot(x[:, 0], x[:, 2])
    assert 1.5 * np.pi <= t.min() + 1e-4 and t.max() - 1e-4 <= 4.5 * np.pi
    np.testing.assert_allclose(x[:, 0], t * np.cos(t), atol=1e-4)
    np.testing.assert_allclose(x[:, 2], t * np.sin(t), atol=1e-4)
    assert 0 <= x[:, 1].min() < 0.5 and 19.5 < x[:, 1].max() <= 20
    np.testing.assert_array_equal(np.floor((t / (1.5 * np.pi) - 1) / 0.5) % 2, y)


def test_two_spirals() -> None:
    x, y = synthetic.two_spirals(1000, np.random.default_rng(0), noise=0)
    radius = np.hypot(*x.T)
    rotated = np.where(y == 0, 1, -1)[:, None] * x  # the second spiral is the first, rotated by half a turn
    np.testing.assert_allclose(rotated[:, 0], radius * np.cos(np.pi * radius), atol=1e-4)
    np.testing.assert_allclose(rotated[:, 1], radius * np.sin(np.pi * radius), atol=1e-4)
