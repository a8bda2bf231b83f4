"""Splits of arbitrary labels and groups: every row in one fold, groups kept together, classes in proportion."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_kmixup.data.splits import IntArray, assign_folds, duplicate_groups, strata, stratified_sample

LABELS = st.lists(st.integers(0, 5), min_size=20, max_size=200).map(np.asarray)


def single_row_groups(y: IntArray) -> IntArray:
    return np.arange(len(y))


@settings(max_examples=60, deadline=None)
@given(y=LABELS, folds=st.integers(2, 5), seed=st.integers(0, 2**62))
def test_folds_partition_the_rows_in_proportion(y: IntArray, folds: int, seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fold = assign_folds(y, single_row_groups(y), folds, seed)
    assert set(fold) == set(range(folds))
    assert np.ptp(np.bincount(fold)) <= 1
    class_sizes = np.bincount(y)
    rare_rows = class_sizes[class_sizes < folds].sum()
    for label in np.flatnonzero(class_sizes >= folds):
        shares_stratum = label == class_sizes.argmax() and rare_rows < folds  # with all rare rows, see `strata`
        counts = np.bincount(fold[y == label], minlength=folds)
        assert np.ptp(counts) <= 1 + (rare_rows if shares_stratum else 0)


@settings(max_examples=60, deadline=None)
@given(y=LABELS, seed=st.integers(0, 2**62), groups=st.integers(6, 60))
def test_rows_of_a_group_are_in_one_fold(y: IntArray, seed: int, groups: int) -> None:
    group = np.random.default_rng(seed).integers(0, groups, len(y))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fold = assign_folds(y, group, 5, seed)
    for number in np.unique(group):
        assert len(set(fold[group == number])) == 1


def test_fewer_groups_than_folds_give_one_fold_per_group() -> None:
    y, group = np.arange(300) % 10, np.arange(300) % 3
    fold = assign_folds(y, group, 5, seed=0)
    assert sorted(np.bincount(fold)) == [100, 100, 100]
    few = np.asarray([0, 1, 2, 2])
    assert sorted(np.bincount(assign_folds(np.zeros(4, int), few, 4, seed=0))) == [1, 1, 2]


def test_folds_of_speakers_are_of_similar_size() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), rng.integers(5, 60, 40))
    fold = assign_folds(rng.integers(0, 10, len(group)), group, 5, seed=0)
    sizes = np.bincount(fold)
    assert sizes.max() < 1.2 * sizes.min()


def test_folds_depend_on_the_seed() -> None:
    y = np.arange(100) % 3
    first, same, other = (assign_folds(y, single_row_groups(y), 5, seed) for seed in (7, 7, 8))
    assert (first == same).all() and (first != other).any()


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0] * 9 + [1] * 4 + [2, 3, 4, 5, 6], [0] * 9 + [7] * 9),  # rare classes with enough rows for a stratum
        ([0] * 9 + [1] * 8 + [2], [0] * 9 + [1] * 8 + [0]),  # too few rows: pooled with the largest class
        ([0] * 5 + [1] * 5, [0] * 5 + [1] * 5),
    ],
)
def test_rare_classes_are_pooled(y: list[int], expected: list[int]) -> None:
    assert strata(np.asarray(y), folds=5).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(y=LABELS, seed=st.integers(0, 2**62), data=st.data())
def test_stratified_samples_are_nested_and_in_proportion(y: IntArray, seed: int, data: st.DataObject) -> None:
    large = data.draw(st.integers(1, len(y)))
    small = data.draw(st.integers(1, large))
    smaller, larger = (stratified_sample(y, size, np.random.default_rng(seed)) for size in (small, large))
    assert (len(set(smaller)), len(set(larger))) == (small, large)
    assert set(smaller) <= set(larger)
    expected = np.bincount(y) * large / len(y)
    assert (np.abs(np.bincount(y[larger], minlength=len(expected)) - expected) <= 2).all()


def test_duplicate_groups_across_chunks() -> None:
    chunks = [np.asarray([[1.0, 2.0], [0.0, 3.0]]), np.asarray([[1.0, 2.0], [-0.0, 3.0], [2.0, 1.0]])]
    assert duplicate_groups(chunks).tolist() == [0, 1, 0, 1, 2]


def test_folds_of_groups_are_computed_once_and_cannot_be_changed() -> None:
    y, groups = np.arange(40) % 2, np.arange(40) // 5
    first = assign_folds(y, groups, 4, 0)
    assert assign_folds(y.copy(), groups.astype(np.int32), 4, 0) is first
    assert not np.array_equal(assign_folds(1 - y, groups, 4, 1), first)
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1
