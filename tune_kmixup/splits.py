"""Which rows are trained on, selected on and tested on. Pure functions of labels, groups and a seed."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

Index = NDArray[np.int64]


def repeats(x: NDArray[np.generic]) -> Index:
    """Group numbers, one per row: equal rows, equal numbers."""
    rows = np.ascontiguousarray(x.reshape(len(x), -1))
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def strata(y: Index, folds: int) -> Index:
    """The labels to stratify by: classes with fewer rows than folds are pooled, with the largest class if need be."""
    counts = np.bincount(y)
    rare = counts[y] < folds
    pooled = np.where(rare, len(counts), y)
    return np.where(rare, counts.argmax(), y) if rare.sum() < folds else pooled


def fold_of(y: Index, groups: Index, folds: int, seed: int) -> Index:
    """The fold, 0 to folds-1, of every row: stratified by class, rows of one group together.

    Groups with one label each (repeated rows, as a rule) are stratified by it; groups with several, such as speakers,
    by `StratifiedGroupKFold`.
    """
    found = np.empty(len(y), dtype=np.int64)
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    seed %= 2**32
    if len(first) > 0.1 * len(y):
        representatives = strata(y[first], folds)
        split = StratifiedKFold(folds, shuffle=True, random_state=seed).split(representatives, representatives)
        by_group = np.empty(len(first), dtype=np.int64)
        for number, (_, test) in enumerate(split):
            by_group[test] = number
        return by_group[inverse]
    for number, (_, test) in enumerate(
        StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(y, strata(y, folds), groups)
    ):
        found[test] = number
    return found


def first_rows(y: Index, size: int, generator: Generator) -> Index:
    """`size` row numbers, every class in proportion; with one generator state, a smaller choice is part of a larger."""
    order = generator.permutation(len(y))
    rank = np.empty(len(y))
    counts = np.bincount(y)
    for label in np.flatnonzero(counts):
        rows = order[y[order] == label]
        rank[rows] = (np.arange(len(rows)) + 0.5) / counts[label]
    return np.sort(order[np.argsort(rank[order], kind="stable")[:size]])
