"""Splits of any labels and groups: a partition, groups whole, classes in proportion."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_kmixup.data.splits import Index, assign_folds, duplicate_groups, strata, stratified_sample

LABELS = st.lists(st.integers(0, 5), min_size=20, max_size=200).map(np.asarray)


def singles(y: Index) -> Index:
    return np.arange(len(y))


@settings(max_examples=60, deadline=None)
@given(y=LABELS, folds=st.integers(2, 5), seed=st.integers(0, 2**62))
def test_folds_partition_the_rows_in_proportion(y: Index, folds: int, seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fold = assign_folds(y, singles(y), folds, seed)
    assert set(fold) == set(range(folds))
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= len(np.unique(y))
    for label in np.unique(y):
        counts = np.bincount(fold[y == label], minlength=folds)
        if counts.sum() >= folds:
            assert counts.max() - counts.min() <= 1 + (np.bincount(y)[np.unique(y)] < folds).sum() * folds


@settings(max_examples=60, deadline=None)
@given(y=LABELS, seed=st.integers(0, 2**62), groups=st.integers(6, 60))
def test_groups_are_never_cut(y: Index, seed: int, groups: int) -> None:
    group = np.random.default_rng(seed).integers(0, groups, len(y))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fold = assign_folds(y, group, 5, seed)
    for number in np.unique(group):
        assert len(set(fold[group == number])) == 1


def test_fewer_groups_than_folds_give_a_fold_each() -> None:
    y, group = np.arange(300) % 10, np.arange(300) % 3
    fold = assign_folds(y, group, 5, seed=0)
    assert sorted(np.bincount(fold)) == [100, 100, 100]


def test_folds_of_speakers_are_of_similar_size() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), rng.integers(5, 60, 40))
    fold = assign_folds(rng.integers(0, 10, len(group)), group, 5, seed=0)
    sizes = np.bincount(fold)
    assert sizes.max() < 1.2 * sizes.min()


def test_the_seed_decides() -> None:
    y = np.arange(100) % 3
    first, same, other = (assign_folds(y, singles(y), 5, seed) for seed in (7, 7, 8))
    assert (first == same).all() and (first != other).any()


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0] * 9 + [1] * 4 + [2, 3, 4, 5, 6], [0] * 9 + [7] * 9),  # rare classes that fill a stratum together
        ([0] * 9 + [1] * 8 + [2], [0] * 9 + [1] * 8 + [0]),  # too few: they join the largest class
        ([0] * 5 + [1] * 5, [0] * 5 + [1] * 5),
    ],
)
def test_rare_classes_are_pooled(y: list[int], expected: list[int]) -> None:
    assert strata(np.asarray(y), folds=5).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(y=LABELS, seed=st.integers(0, 2**62), data=st.data())
def test_a_smaller_choice_is_part_of_a_larger_and_in_proportion(y: Index, seed: int, data: st.DataObject) -> None:
    large = data.draw(st.integers(1, len(y)))
    small = data.draw(st.integers(1, large))
    chosen = [stratified_sample(y, size, np.random.default_rng(seed)) for size in (small, large)]
    assert [len(set(rows)) for rows in chosen] == [small, large]
    assert set(chosen[0]) <= set(chosen[1])
    expected = np.bincount(y) * large / len(y)
    assert (np.abs(np.bincount(y[chosen[1]], minlength=len(expected)) - expected) <= 2).all()


def test_repeats_number_equal_rows_alike_across_pieces() -> None:
    pieces = [np.asarray([[1.0, 2.0], [0.0, 3.0]]), np.asarray([[1.0, 2.0], [-0.0, 3.0], [2.0, 1.0]])]
    assert duplicate_groups(pieces).tolist() == [0, 1, 0, 1, 2]
