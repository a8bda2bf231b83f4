"""Which rows are trained, validated and tested on. Pure functions of labels, groups and a seed."""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

IntArray = NDArray[np.int64]  # one number per row: class, group, fold or row number


def duplicate_groups(chunks: Iterable[NDArray[Any]]) -> IntArray:
    """Group numbers, one per row of all chunks. Equal rows have the same number."""
    seen: dict[bytes, int] = {}
    groups = []
    for chunk in chunks:
        chunk = chunk + 0.0 if chunk.dtype.kind == "f" else chunk  # -0.0 equals 0.0
        groups += [seen.setdefault(blake2b(row.tobytes(), digest_size=16).digest(), len(seen)) for row in chunk]
    return np.asarray(groups, dtype=np.int64)


def strata(y: IntArray, folds: int) -> IntArray:
    """The labels to stratify by. Classes with fewer rows than folds are pooled into one stratum.

    If that stratum has fewer rows than folds too, it is pooled with the largest class.
    """
    counts = np.bincount(y)
    rare = counts[y] < folds
    return np.where(rare, counts.argmax() if rare.sum() < folds else len(counts), y)


def assign_folds(y: IntArray, groups: IntArray, folds: int, seed: int) -> IntArray:
    """The fold, 0 to folds - 1, of every row: stratified by class, all rows of a group in the same fold.

    If most groups are single rows (some rows of the data set repeat), one row of each group is stratified and the
    others follow it. Larger groups, such as speakers, go through `StratifiedGroupKFold`, which balances their sizes.
    With fewer groups than folds there is one fold per group. The array may be read-only.
    """
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    seed, folds = seed % 2**32, min(folds, len(first))
    if len(first) < len(y) / 4:
        numbers = (array.astype(np.int64).tobytes() for array in (strata(y, folds), groups))
        return group_folds(*numbers, folds, seed)
    labels = strata(y[first], folds)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return fold_numbers(splitter.split(labels, labels), len(first))[inverse]


def one_fold(y: IntArray, groups: IntArray, folds: int, seed: int, vary: bool) -> NDArray[np.bool_]:
    """Whether each row is in one fold of `assign_folds`: in fold 0, or if `vary` in one that the seed draws.

    Groups of unequal sizes make nearly the same folds with every seed, as large ones are assigned first.
    """
    numbers = assign_folds(y, groups, folds, seed)
    drawn = np.random.default_rng(seed).choice(np.unique(numbers)) if vary else 0
    return np.asarray(numbers == drawn)


@lru_cache(maxsize=32)  # takes a second for 5,000 groups, and every command asks for the same ones several times
def group_folds(labels: bytes, groups: bytes, folds: int, seed: int) -> IntArray:
    """The fold of every row, all rows of a group in the same one. Arrays are bytes of int64, which can be hashed."""
    y, group = np.frombuffer(labels, dtype=np.int64), np.frombuffer(groups, dtype=np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    numbers = fold_numbers(splitter.split(y, y, group), len(y))
    numbers.flags.writeable = False
    return numbers


def fold_numbers(folds: Iterable[tuple[IntArray, IntArray]], rows: int) -> IntArray:
    """For each row, the number of the fold that tests on it."""
    numbers = np.empty(rows, dtype=np.int64)
    for number, (_, test) in enumerate(folds):
        numbers[test] = number
    return numbers


def stratified_sample(y: IntArray, size: int, generator: Generator) -> IntArray:
    """`size` sorted row numbers, classes in proportion.

    With the same generator state, a smaller sample is a subset of a larger one.
    """
    order = generator.permutation(len(y))
    rank = np.empty(len(y))
    counts = np.bincount(y)
    for label in np.flatnonzero(counts):
        rows = order[y[order] == label]
        rank[rows] = (np.arange(len(rows)) + 0.5) / counts[label]
    return np.sort(order[np.argsort(rank[order], kind="stable")[:size]])
