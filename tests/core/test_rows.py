"""A row: what it may hold, its form in JSON, and the forms of earlier versions."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.suites import one_row
from tune_kmixup.core import bitset
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.fields import Field, Items
from tune_kmixup.core.rows import COLUMNS, REQUIRED, Bin, Row, Rung, mean_curve


def values_of(allowed: Field | Items) -> st.SearchStrategy[Any]:
    """Any value that a column may hold by itself."""
    if isinstance(allowed, Items):
        parts = [values_of(part) for part in allowed.fields.values()]
        items = st.builds(allowed.record, *parts) if allowed.record else parts[0]
        return st.lists(items, max_size=3).map(tuple) | (st.none() if allowed.optional else st.nothing())
    low, high = max(allowed.low, -(2.0**53)), min(allowed.high, 2.0**53)
    found: st.SearchStrategy[Any] = {
        bool: st.booleans(),
        int: st.integers(int(low), int(high)),
        float: st.floats(low, high),
        str: st.from_regex("[a-z0-9][a-z0-9_.-]*", fullmatch=True) if allowed.is_name else st.text(max_size=5),
    }[allowed.kind]
    if allowed.choices:
        found = st.sampled_from(allowed.choices)
    elif allowed.kind is str:
        found = found.filter(str.isprintable)
    return found | st.none() if allowed.optional else found


VALUES = {attribute: values_of(allowed) for attribute, _, allowed in COLUMNS.values()}


@st.composite
def curves(draw: st.DrawFn, epochs: int) -> dict[str, Any]:
    pairs = draw(st.lists(st.tuples(st.floats(0, 9) | st.none(), st.floats(0, 1)), max_size=min(epochs, 3)))
    losses, errors = zip(*pairs, strict=True) if pairs else (None, None)
    return {"train_loss_by_epoch": losses, "val_error_by_epoch": errors}


@st.composite
def any_row(draw: st.DrawFn) -> Row:
    values = {attribute: draw(strategy) for attribute, strategy in VALUES.items()}
    values["test_error"] = draw(st.floats(0, 1)) if values["phase"] == "final" else None
    values |= draw(curves(values["epochs"]))
    rows = draw(st.integers(1, 9))
    wrong = draw(st.integers(0, rows))
    if values["test_error"] is not None:
        values |= {"test_rows": rows, "test_error": wrong / rows}
    values["test_wrong"] = bitset.encode([True] * wrong + [False] * (rows - wrong))
    return Row(**values, other=draw(st.dictionaries(st.sampled_from(["mine", "later"]), st.integers(0, 9) | st.none())))


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(any_row())
def test_a_row_is_read_back_from_its_json(row: Row) -> None:
    assert Row.from_json(row.to_json()) == row
    assert Row.from_json(json.loads(json.dumps(row.to_json(), allow_nan=False))) == row


def test_the_columns_of_the_json_are_those_of_the_row() -> None:
    assert [*one_row().to_json()] == [*COLUMNS] and len(COLUMNS) == len(fields(Row)) - 1
    assert [*one_row(other={"later": 1}).to_json()] == [*COLUMNS, "later"]
    assert {name.replace(".", "_") for name in COLUMNS} == {column.attribute for column in COLUMNS.values()}


OUT_OF_RANGE = {
    (name, value)
    for name, (_, _, allowed) in COLUMNS.items()
    if isinstance(allowed, Field)
    for value in ([allowed.low - 1, allowed.high + 1] if allowed.kind in (int, float) else [])
    if abs(value) < 2**62
}


def test_a_number_out_of_the_range_of_its_column_is_refused() -> None:
    assert len(OUT_OF_RANGE) > 50
    for name, value in OUT_OF_RANGE:
        with pytest.raises(BadInput) as error:
            Row.from_json(one_row().to_json() | {name: value})
        assert str(error.value).startswith(f"{name}={value} is not a ") and "≥" in str(error.value)


@pytest.mark.parametrize("value", [{}, {"a": 1}, [[]], [[1]], [{}], "\x1b[31m", float("nan")], ids=repr)
def test_no_column_holds_nonsense(value: Any) -> None:
    for name in COLUMNS:
        with pytest.raises(BadInput) as error:
            Row.from_json(one_row().to_json() | {name: value})
        assert str(error.value).startswith(name) and str(error.value).isprintable() and len(str(error.value)) < 200


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_what_every_version_wrote_is_required(name: str) -> None:
    content = one_row().to_json()
    del content[name]
    with pytest.raises(BadInput, match=f"^{name} is missing$"):
        Row.from_json(content)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"val_error": None}, "val_error=None is not a finite number ≥ 0 ≤ 1"),
        ({"k": 2.0}, r"k=2\.0 is not a whole number ≥ 1 ≤ 1e\+06"),
        ({"k": True}, "k=True is not a whole number"),
        ({"phase": "test"}, "phase='test' is not one of search, shortlist, final"),
        ({"status": "fine"}, "status='fine' is not one of ok, diverged, stopped"),
        ({"method": "A"}, "method='A' is not a name of lower-case letters, digits, '_', '-' and '.'"),
        ({"phase": "final"}, "test_error=None does not fit phase=final: final runs alone have it"),
        ({"test_error": 0.1}, "test_error=0.1 does not fit phase=search: final runs alone have it"),
        ({"rungs": ((0, 0.5),)}, "rungs: epoch=0 is not a whole number ≥ 1"),
        ({"rungs": ((1, -0.5),)}, r"rungs: score=-0\.5 is not a finite number ≥ 0"),
        ({"train_loss_by_epoch": (-1.0,), "val_error_by_epoch": (0.5,)}, "train_loss_by_epoch=-1.0 is not a finite"),
        ({"train_loss_by_epoch": (1.0,), "val_error_by_epoch": (1.5,)}, "val_error_by_epoch=1.5 is not a finite"),
        (
            {"train_loss_by_epoch": (1.0,) * 3, "val_error_by_epoch": (0.5,) * 3},
            "val_error_by_epoch does not fit: it has 3 values, train_loss_by_epoch 3, and epochs=2",
        ),
        ({"train_loss_by_epoch": (1.0,)}, "val_error_by_epoch does not fit: it has 0 values, train_loss_by_epoch 1"),
        ({"loaded": (1,)}, "loaded=1 is not text without control characters"),
        ({"other": {"mine": []}}, r"mine=\[\] is no text or number"),
        ({"other": {"\n": 1}}, "column='.*' is not text without control characters"),
        (
            {"phase": "final", "test_error": 0.5, "test_rows": 4, "test_wrong": "4:gA=="},
            "test_wrong='4:gA==' does not fit: 1 of 4 rows are wrong, and test_error is 0.5",
        ),
        ({"test_wrong": "4:"}, "test_wrong='4:' does not fit: '4:' is not a count and as many bits in base64"),
    ],
)
def test_a_row_that_breaks_a_rule_is_not_made(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(BadInput, match=f"^{rule}") as error:
        one_row(**changes)
    assert len(str(error.value).splitlines()) == 1


def test_a_mean_may_leave_its_range_by_rounding() -> None:
    assert one_row(val_error=1 + 1e-9, val_nll=-1e-9).val_error > 1


@pytest.mark.parametrize(
    ("name", "text", "items"),
    [
        ("rungs", "5:0.25 15:0.125", (Rung(5, 0.25), Rung(15, 0.125))),
        ("test_reliability", "1:0.7247:1.0000 29:0.9997:0.9643", (Bin(1, 0.7247, 1.0), Bin(29, 0.9997, 0.9643))),
        ("test_error_by_class", "0 nan 0.2", (0.0, None, 0.2)),
        ("loaded", "abc def", ("abc", "def")),
        ("loaded", "", ()),
        ("rungs", None, ()),
        ("test_reliability", None, None),
    ],
)
def test_lists_that_were_texts_are_read(name: str, text: str | None, items: Any) -> None:
    row = Row.from_json(one_row().to_json() | {name: text})
    assert getattr(row, name) == items
    assert Row.from_json(row.to_json()) == row


@pytest.mark.parametrize("text", ["one", "1", "1:x", "1:0.5:2", "nan:0.5", "1:inf", "1.5:0.5", ":"])
def test_a_text_that_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"^rungs"):
        Row.from_json(one_row().to_json() | {"rungs": text})


def test_a_row_of_version_0_1_0_is_read() -> None:
    """It called `batched` fused, and had no `shared_test`, `test_rows`, `test_wrong`, `data`, `loaded`, `numerics`."""
    content = {name: value for name, value in one_row(outer_split=None).to_json().items() if value not in (None, ())}
    row = Row.from_json(content | {"outer_split": None, "fused": 3, "rungs": None})
    assert row == replace(one_row(outer_split=None), batched=3) and "fused" not in row.to_json()


def test_a_mean_curve_has_the_epochs_of_which_every_run_has_a_value() -> None:
    assert mean_curve([(1.0, 0.5, 0.25), (2.0, None)]) == {1: 1.5}
    assert mean_curve([(0.5, 0.25), (0.25, 0.25)]) == {1: 0.375, 2: 0.25}
    assert mean_curve([None, (0.5,)]) == mean_curve([None]) == mean_curve([]) == {}
