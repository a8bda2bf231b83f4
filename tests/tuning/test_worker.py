"""A worker trains on the data that its launch has read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tune_kmixup.core.config import Identity, Recipe, Task
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data.fingerprint import fingerprint
from tune_kmixup.tuning import worker


def test_data_that_the_launch_has_not_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node has another copy, or the file changes while the launch runs."""
    copies = [tmp_path / name for name in ("launching", "same", "other")]
    for folder in copies:
        folder.mkdir()
        x = np.arange(20.0).reshape(10, 2) + (folder.name == "other")
        np.savez(folder / "mine.npz", x=x, y=np.arange(10) % 2)
    identity = Identity(data={"mine": fingerprint("mine", copies[0])})
    task = Task("mine", "mlp", Recipe(epochs=1, batch_size=2, lr=0.1), outer_split=0)
    monkeypatch.setattr(worker, "data_cache", {})
    worker.cached_data(task, copies[1], False, "cpu", identity)
    another = r"dataset='mine' is another on .*: restore .*/mine.npz, or share it"
    with pytest.raises(BadInput, match=another):
        worker.cached_data(task, copies[2], False, "cpu", identity)
    copies[1].joinpath("mine.npz").write_bytes(copies[2].joinpath("mine.npz").read_bytes())
    worker.cached_data(task, copies[1], False, "cpu", identity)  # those that were read before
    with pytest.raises(BadInput, match=another):
        worker.cached_data(replace(task, outer_split=1), copies[1], False, "cpu", identity)
