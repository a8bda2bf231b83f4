"""Users' tables as inputs of a network: what is learned from data is learned from training rows alone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.launches import registries_restored
from tune_kmixup.core.config import Recipe, Task
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.source import Source
from tune_kmixup.data.download import load_arrays
from tune_kmixup.data.prepare import count_rows, prepare, split_rows
from tune_kmixup.data.preprocess import LARGEST, MAX_LEVELS, learned_scaling, preprocessor
from tune_kmixup.data.tables import read_table
from tune_kmixup.data.tensors import Data
from tune_kmixup.models.architectures import mlp
from tune_kmixup.planning.plugins import Plugins

TASK = Task("mine", "mlp", Recipe(epochs=1, batch_size=10, lr=0.1), outer_split=0)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    with registries_restored():
        yield


def frame(rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": rng.normal(size=rows).round(3),
            "colour": rng.choice(["red", "green", "blue"], rows),
            "age": np.where(rng.random(rows) < 0.2, np.nan, rng.integers(0, 99, rows)),
            "kind": np.arange(rows) % 2,
        }
    )


def register(table: pd.DataFrame, folder: Path, **options: Any) -> None:
    table.to_csv(folder / "mine.csv", index=False)
    Plugins(sources=(Source(str(folder / "mine.csv"), "kind", **options),)).load()


def prepared(folder: Path, **changes: Any) -> Data:
    return prepare(replace(TASK, **changes), folder, test=True)


def test_a_table_becomes_numbers_indicators_and_one_hot_categories(tmp_path: Path) -> None:
    register(frame(), tmp_path)
    data = prepared(tmp_path)
    assert data.shape == (2 + 1 + 3,) and data.train.x.dtype == torch.float32
    size, age, missing = data.train.x[:, :3].T
    assert abs(size.mean()) < 1e-6 and abs(size.std(correction=0) - 1) < 1e-6
    assert set(missing.tolist()) == {0, 1} and len(age[missing == 1].unique()) == 1, "the median"
    assert data.train.x[:, 3:].sum(1).tolist() == [1] * len(data.train.y)
    assert torch.isfinite(data.test.x).all() if data.test else False
    assert count_rows(TASK, tmp_path).train == len(data.train.y)


def test_what_test_and_validation_rows_hold_changes_nothing_of_the_training_rows(tmp_path: Path) -> None:
    table = frame()
    register(table, tmp_path)
    rows, before = split_rows(TASK, load_arrays("mine", tmp_path)), prepared(tmp_path)
    assert rows.test is not None
    others = np.concatenate([rows.val, rows.test])
    table.loc[others, "size"] = 1e6 + np.arange(len(others))
    table.loc[others, "age"] = np.nan
    table.loc[others, "colour"] = "violet"
    table.to_csv(tmp_path / "mine.csv", index=False)
    after = prepared(tmp_path)
    now = split_rows(TASK, load_arrays("mine", tmp_path))
    assert np.array_equal(now.train, rows.train), "all rows differ, so the folds follow from classes alone"
    assert torch.equal(after.train.x, before.train.x) and after.shape == before.shape
    assert after.test is not None and (after.test.x[:, 0] > 1e5).all()
    assert (after.test.x[:, 3:] == 0).all(), "a colour that no training row has"


def test_the_fit_depends_on_the_training_rows_that_are_kept(tmp_path: Path) -> None:
    register(frame(), tmp_path)
    small, other = prepared(tmp_path, train_size=15), prepared(tmp_path, outer_split=1)
    for data in (small, other):
        assert abs(data.train.x[:, 0].mean()) < 1e-6
    assert torch.equal(prepared(tmp_path).train.x, prepared(tmp_path).train.x), "it is deterministic"


def test_many_levels_are_pooled(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {f"code{i}": rng.choice([f"v{level}" for level in range(300)], 1000) for i in range(20)}
    register(pd.DataFrame({**columns, "kind": rng.integers(0, 2, 1000)}), tmp_path)
    assert prepared(tmp_path).shape == (20 * MAX_LEVELS,)  # one-hot without a limit would make thousands


def test_large_numbers_keep_their_digits(tmp_path: Path) -> None:
    table = frame().assign(nanoseconds=1_700_000_000_000_000_000 + 1_000_000 * np.arange(60) ** 2)
    register(table, tmp_path)
    x = prepared(tmp_path).train.x[:, 2]
    assert len(x.unique()) == len(x) and abs(x.std(correction=0) - 1) < 1e-5


@pytest.mark.parametrize(
    "column",
    [[np.nan] * 3, [np.nan, 1.0, 2.0], [1e99, -1e99, 0.0], [5.0, 5.0, 5.0], [1e-300, 2e-300, 0.0]],
    ids=["missing", "one missing", "huge", "constant", "tiny"],
)
def test_any_training_part_gives_finite_inputs(column: list[float]) -> None:
    train = np.stack([column, [0.0, 1.0, np.nan]], axis=1)
    other = np.asarray([[np.nan, 2.0], [7.0, np.nan]])
    learned = learned_scaling(train, np.asarray([False, True]))
    for part in (train, other):
        x = learned.transform(part)
        assert np.isfinite(x).all() and x.shape[1] == learned.inputs


def test_a_number_far_out_of_range_stays_finite_in_a_network() -> None:
    learned = learned_scaling(np.arange(40.0).reshape(10, 4), np.zeros(4, bool))
    x = torch.from_numpy(learned.transform(np.full((2, 4), [[1e300], [-1e39]])))
    assert x.abs().max() == LARGEST and mlp((4,), 2)(x).isfinite().all()


LEVELS = st.sampled_from([np.nan, 0.0, 1.0, 2.0, 3.0])


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.floats(-1e9, 1e9) | st.just(np.nan), st.just(np.nan), LEVELS, LEVELS), min_size=3),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.integers(0, 40),
)
def test_plain_numbers_do_what_scikit_learn_does(
    rows: list[tuple[float, ...]], kept: list[bool], more_levels: int
) -> None:
    """Bit for bit, of training rows and of others; among the columns one is missing throughout."""
    train = np.asarray(rows)
    train[: len(rows) // 2, 3] += np.arange(len(rows) // 2) % (more_levels + 1)  # above MAX_LEVELS too
    kept[0] |= not any(kept)
    train, categorical = train[:, kept], np.asarray([False, False, True, True])[kept]
    other = np.concatenate([train[:2], np.full_like(train[:1], np.nan), np.full_like(train[:1], 77)])
    fitted, learned = preprocessor(categorical).fit(train), learned_scaling(train, categorical)
    for part in (train, other):
        expected = fitted.transform(part).clip(-LARGEST, LARGEST).astype(np.float32)
        assert np.array_equal(learned.transform(part), expected)


@settings(max_examples=20)
@given(st.lists(st.integers(0, 9), min_size=60, max_size=60).filter(lambda groups: len(set(groups)) > 5))
def test_groups_never_straddle_a_split(groups: list[int]) -> None:
    y = np.arange(60) % 2
    arrays = {"x": np.zeros((60, 1)), "y": y, "group": np.asarray(groups), "categorical": np.asarray([False])}
    for split in range(5):
        rows = split_rows(replace(TASK, outer_split=split, recipe=Recipe(1, 1, 0.1)), arrays)
        parts = [set(np.asarray(groups)[part]) for part in (rows.train, rows.val, rows.test)]
        assert sum(map(len, parts)) == len(set().union(*parts))


def test_too_few_groups_are_refused(tmp_path: Path) -> None:
    register(frame().assign(who=np.arange(60) % 3), tmp_path, group="who")
    with pytest.raises(BadInput, match=r"'mine' has 3 groups of rows that stay together .* for 5 parts: add rows"):
        prepared(tmp_path)


@pytest.mark.parametrize("validation", [True, False])
def test_official_parts_are_kept(validation: bool, tmp_path: Path) -> None:
    words = np.repeat(["train", "val" if validation else "train", "test"], 20)
    register(frame().assign(set=words), tmp_path, split="set")
    data = prepared(tmp_path)
    assert data.test is not None and len(data.test.y) == 20
    assert (len(data.train.y), len(data.val.y)) == ((20, 20) if validation else (36, 4))


NAMES = st.text("abcxyzäé ;,\t\"'", min_size=1, max_size=8).map(str.strip).filter(bool)


@settings(max_examples=40)
@given(
    st.lists(st.floats(-1e9, 1e9).map(lambda x: round(x, 4)), min_size=30, max_size=30, unique=True),
    st.lists(NAMES, min_size=2, max_size=3, unique_by=str.lower),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.booleans(),
)
def test_any_table_that_pandas_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    numbers: list[float],
    names: list[str],
    separator: str,
    encoding: str,
    comma: bool,
) -> None:
    numbers = [number + 0.5 for number in numbers]  # each has decimals, so that the file shows its decimal sign
    labels = [names[i % len(names)] for i in range(30)]
    path = tmp_path_factory.mktemp("table") / "mine.csv"
    table = pd.DataFrame({"number": numbers, "kind": labels})
    table.to_csv(path, index=False, sep=separator, encoding=encoding, decimal="," if comma else ".")
    arrays = read_table(Source(str(path), "kind")).arrays
    assert arrays["x"][:, 0].tolist() == numbers
    assert arrays["classes"][arrays["y"]].tolist() == labels
