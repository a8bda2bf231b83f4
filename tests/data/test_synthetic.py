"""Toy sets have the shape that their docstrings promise."""

from collections.abc import Callable

import numpy as np
import pytest

from tune_kmixup.data import synthetic

TOYS = [synthetic.one_ring, synthetic.four_bars, synthetic.swiss_roll, synthetic.two_spirals]


@pytest.mark.parametrize("toy", TOYS)
@pytest.mark.parametrize("rows", [1, 7, 200])
def test_contract(toy: Callable[..., synthetic.Rows], rows: int) -> None:
    x, y = toy(rows, np.random.default_rng(0))
    assert x.dtype == np.float32 and y.dtype == np.int64 and len(x) == len(y) == rows
    assert np.isfinite(x).all() and set(y) <= {0, 1}
    assert abs((y == 0).sum() - (y == 1).sum()) <= 1
    again, _ = toy(rows, np.random.default_rng(0))
    other, _ = toy(rows, np.random.default_rng(1))
    np.testing.assert_array_equal(x, again)
    assert (x != other).all()


@pytest.mark.parametrize("toy", TOYS)
def test_classes_come_in_random_order(toy: Callable[..., synthetic.Rows]) -> None:
    _, y = toy(1000, np.random.default_rng(0))
    assert abs((y[1:] != y[:-1]).mean() - 0.5) < 0.06


@pytest.mark.parametrize("toy", TOYS)
def test_noise_is_what_it_says(toy: Callable[..., synthetic.Rows]) -> None:
    """The same draws without noise lie on the ideal set."""
    ideal, _ = toy(4000, np.random.default_rng(0), noise=0)
    found, _ = toy(4000, np.random.default_rng(0), noise=0.3)
    assert abs((found - ideal).std() - 0.3) < 0.01


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
    np.testing.assert_allclose(x[:, 0], t * np.cos(t), atol=1e-4)
    np.testing.assert_array_equal(np.floor((t / (1.5 * np.pi) - 1) / 0.5) % 2, y)


def test_two_spirals() -> None:
    x, y = synthetic.two_spirals(1000, np.random.default_rng(0), noise=0)
    radius = np.hypot(*x.T)
    turned = np.where(y == 0, 1, -1)[:, None] * x  # the second spiral is the first, turned by half a turn
    np.testing.assert_allclose(turned[:, 0], radius * np.cos(np.pi * radius), atol=1e-4)
    np.testing.assert_allclose(turned[:, 1], radius * np.sin(np.pi * radius), atol=1e-4)
