import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_kmixup.core.bitset import decode, encode


@given(st.lists(st.booleans()))
def test_what_is_encoded_is_decoded(bits: list[bool]) -> None:
    count, packed = decode(encode(bits))
    assert count == len(bits)
    assert np.unpackbits(np.frombuffer(packed, np.uint8), count=count).astype(bool).tolist() == bits


def test_six_thousand_test_rows_take_about_a_kilobyte() -> None:
    assert len(encode([True, False] * 3000)) == 1005


@pytest.mark.parametrize("text", ["", "9:AA==", "x:AA==", "8", "8:*"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        decode(text)
