"""Which rows are trained on, selected on and tested on. Pure functions of labels, groups and a seed."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

Index = NDArray[np.int64]


def duplicate_groups(pieces: Iterable[NDArray[Any]]) -> Index:
    """Group numbers, one per row of all pieces: equal rows, equal numbers."""
    seen: dict[bytes, int] = {}
    found = []
    for piece in pieces:
        piece = piece + 0.0 if piece.dtype.kind == "f" else piece  # -0.0 equals 0.0
        found += [seen.setdefault(blake2b(row.tobytes(), digest_size=16).digest(), len(seen)) for row in piece]
    return np.asarray(found, dtype=np.int64)


def strata(y: Index, folds: int) -> Index:
    """The labels to stratify by: classes with fewer rows than folds are pooled, with the largest class if need be."""
    counts = np.bincount(y)
    rare = counts[y] < folds
    return np.where(rare, counts.argmax() if rare.sum() < folds else len(counts), y)


def assign_folds(y: Index, groups: Index, folds: int, seed: int) -> Index:
    """The fold, 0 to folds - 1, of every row: stratified by class, rows of one group together.

    Where groups are mostly single rows, that is where some rows repeat, one row of each is stratified and the others
    follow it. Larger groups, such as speakers, go through `StratifiedGroupKFold`, which balances their sizes; with
    fewer groups than folds there is one fold per group.
    """
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    seed %= 2**32
    if len(first) < len(y) / 4:
        folds = min(folds, len(first))
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        return fold_numbers(splitter.split(y, strata(y, folds), groups), len(y))
    labels = strata(y[first], folds)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return fold_numbers(splitter.split(labels, labels), len(first))[inverse]


def fold_numbers(split: Iterable[tuple[Index, Index]], rows: int) -> Index:
    """The number of the fold whose test part holds each row."""
    found = np.empty(rows, dtype=np.int64)
    for number, (_, test) in enumerate(split):
        found[test] = number
    return found


def stratified_sample(y: Index, size: int, generator: Generator) -> Index:
    """`size` row numbers, every class in proportion; with one generator state, a smaller choice is part of a larger."""
    order = generator.permutation(len(y))
    rank = np.empty(len(y))
    counts = np.bincount(y)
    for label in np.flatnonzero(counts):
        rows = order[y[order] == label]
        rank[rows] = (np.arange(len(rows)) + 0.5) / counts[label]
    return np.sort(order[np.argsort(rank[order], kind="stable")[:size]])
