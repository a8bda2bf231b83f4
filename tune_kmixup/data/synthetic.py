"""Toy sets in two or three dimensions, where the structure that mixing may or may not keep can be seen.

Named after the toy sets of the k-mixup paper (Greenewald et al., arXiv 2106.02933) and of the same kind; the radii,
widths and noise are ours, so errors are not comparable to the paper's. Each returns x, float32 rows x D, and y, int64
class numbers, classes in equal parts and in random order.
"""

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Rows = tuple[NDArray[np.float32], NDArray[np.int64]]


def labels(rows: int, classes: int, generator: Generator) -> NDArray[np.int64]:
    """Class numbers in equal parts (up to one row), shuffled."""
    return generator.permutation(np.arange(rows, dtype=np.int64) % classes)


def noisy(points: list[NDArray[Any]], noise: float, generator: Generator) -> NDArray[np.float32]:
    """Columns stacked to rows x D, with Gaussian noise of standard deviation `noise` on each."""
    x = np.stack(points, axis=1)
    return (x + noise * generator.standard_normal(x.shape)).astype(np.float32)


def one_ring(rows: int, generator: Generator, noise: float = 0.1) -> Rows:
    """A ring of radius 1 (class 1) around a blob at its centre (class 0), both with Gaussian noise."""
    y = labels(rows, 2, generator)
    angle = generator.uniform(0, 2 * np.pi, rows)
    return noisy([y * np.cos(angle), y * np.sin(angle)], noise, generator), y


def four_bars(rows: int, generator: Generator, noise: float = 0.05) -> Rows:
    """Four parallel vertical bars of length 4 at x = 0, 1, 2, 3 whose classes alternate: 0, 1, 0, 1."""
    bar = labels(rows, 4, generator)
    height = generator.uniform(-2, 2, rows)
    return noisy([bar.astype(np.float64), height], noise, generator), bar % 2


def swiss_roll(rows: int, generator: Generator, noise: float = 0.2) -> Rows:
    """A two-dimensional sheet rolled up in three dimensions; class = which of four quarters along the spiral.

    The spiral t ↦ t (cos t, sin t), 1.5π ≤ t ≤ 4.5π, times a width of 0 to 20; quarters of equal range of t alternate
    between two classes, so that neighbouring windings differ.
    """
    quarter = labels(rows, 4, generator)
    t = 1.5 * np.pi * (1 + 2 * (quarter + generator.uniform(0, 1, rows)) / 4)
    return noisy([t * np.cos(t), generator.uniform(0, 20, rows), t * np.sin(t)], noise, generator), quarter % 2


def two_spirals(rows: int, generator: Generator, noise: float = 0.1) -> Rows:
    """Two interleaved spirals of radius 0 to 3.5, 1.75 turns each, one class apiece (after Lang and Witbrock, 1988)."""
    y = labels(rows, 2, generator)
    t = 3.5 * np.pi * np.sqrt(generator.uniform(0, 1, rows))  # uniform along the length, roughly
    radius, angle = t / np.pi, t + np.pi * y
    return noisy([radius * np.cos(angle), radius * np.sin(angle)], noise, generator), y
