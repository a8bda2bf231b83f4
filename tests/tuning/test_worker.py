"""A worker trains on the data that its launch has read."""

from pathlib import Path

import numpy as np
import pytest

from tune_kmixup.core.config import Identity
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data.fingerprint import fingerprint
from tune_kmixup.tuning.worker import check_copy


def test_a_node_with_another_copy_of_the_data_is_refused(tmp_path: Path) -> None:
    copies = [tmp_path / name for name in ("launching", "same", "other")]
    for folder in copies:
        folder.mkdir()
        x = np.arange(20.0).reshape(10, 2) + (folder.name == "other")
        np.savez(folder / "mine.npz", x=x, y=np.arange(10) % 2)
    identity = Identity(data={"mine": fingerprint("mine", copies[0])})
    check_copy("mine", copies[1], identity)
    with pytest.raises(
        BadInput, match=r"dataset='mine' is another on .*: copy .*other/mine.npz from there, or share it"
    ):
        check_copy("mine", copies[2], identity)
