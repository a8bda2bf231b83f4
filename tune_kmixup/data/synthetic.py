"""Toy sets in two or three dimensions, in which one can see whether mixing keeps the structure of the data.

Named after the toy sets of the k-mixup paper (Greenewald et al., arXiv 2106.02933) and of the same kind. The radii,
widths and noise are ours, so errors are not comparable to the paper's. Each function draws `rows` rows from a generator
and adds Gaussian noise of standard deviation `noise` to each column. It returns x, float32 rows x D, and y, int64 class
numbers, with classes of equal size in random order.
"""

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Examples = tuple[NDArray[np.float32], NDArray[np.int64]]  # x, y


def balanced_labels(rows: int, classes: int, generator: Generator) -> NDArray[np.int64]:
    """Shuffled class numbers. Class sizes differ by one row at most."""
    return generator.permutation(np.arange(rows, dtype=np.int64) % classes)


def stack_with_noise(columns: list[NDArray[Any]], noise: float, generator: Generator) -> NDArray[np.float32]:
    """Columns stacked to rows x D, plus Gaussian noise of standard deviation `noise`."""
    x = np.stack(columns, axis=1)
    return (x + noise * generator.standard_normal(x.shape)).astype(np.float32)


def one_ring(rows: int, generator: Generator, noise: float = 0.1) -> Examples:
    """A ring of radius 1 (class 1) around a blob at its centre (class 0)."""
    y = balanced_labels(rows, 2, generator)
    angle = generator.uniform(0, 2 * np.pi, rows)
    return stack_with_noise([y * np.cos(angle), y * np.sin(angle)], noise, generator), y


def four_bars(rows: int, generator: Generator, noise: float = 0.05) -> Examples:
    """Four parallel vertical bars of length 4 at x = 0, 1, 2, 3 with alternating classes 0, 1, 0, 1."""
    bar = balanced_labels(rows, 4, generator)
    height = generator.uniform(-2, 2, rows)
    return stack_with_noise([bar.astype(np.float64), height], noise, generator), bar % 2


def swiss_roll(rows: int, generator: Generator, noise: float = 0.2) -> Examples:
    """A two-dimensional sheet rolled up in three dimensions, in two classes that alternate along the spiral.

    The spiral t ↦ t (cos t, sin t), 1.5π ≤ t ≤ 4.5π, times a width of 0 to 20. Four quarters of equal range of t
    alternate between the classes 0 and 1, so that neighbouring windings differ.
    """
    quarter = balanced_labels(rows, 4, generator)
    t = 1.5 * np.pi * (1 + 2 * (quarter + generator.uniform(0, 1, rows)) / 4)
    columns = [t * np.cos(t), generator.uniform(0, 20, rows), t * np.sin(t)]
    return stack_with_noise(columns, noise, generator), quarter % 2


def two_spirals(rows: int, generator: Generator, noise: float = 0.1) -> Examples:
    """Two interleaved spirals of radius 0 to 3.5, 1.75 turns each, one per class (after Lang and Witbrock, 1988)."""
    y = balanced_labels(rows, 2, generator)
    t = 3.5 * np.pi * np.sqrt(generator.uniform(0, 1, rows))  # approximately uniform along the length
    radius, angle = t / np.pi, t + np.pi * y
    return stack_with_noise([radius * np.cos(angle), radius * np.sin(angle)], noise, generator), y
