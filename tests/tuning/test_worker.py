"""A worker trains on the data that its launch has read."""

import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import numpy as np
import pytest

from tests.helpers.suites import small_suite
from tune_kmixup.core.config import Identity, Phase, Recipe, Task, Trial
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data.fingerprint import fingerprint
from tune_kmixup.data.prepare import prepare
from tune_kmixup.data.tensors import Data
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.resources import Resources
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.training import loop
from tune_kmixup.tuning import worker


@pytest.mark.parametrize("phase", get_args(Phase))
def test_only_final_trials_get_the_test_rows(phase: Phase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 2 of docs/fairness.md, where a worker decides it."""
    suite, given = small_suite(), []

    def cached(task: Task, data_dir: Path, test: bool, *_: object) -> Data:
        given.append(test)
        return prepare(task, data_dir, test=test)

    monkeypatch.setattr(worker, "cached_data", cached)
    study = suite.studies[0]
    trial = Trial(study.name, 0, phase, {}, (0,))
    actor = object.__new__(worker.TrialActor)
    actor.setup(
        {"trial": trial},
        {study.name: study.task},
        suite.identity,
        tmp_path,
        RunDir(tmp_path / "run"),
        Plugins.read([]),
        Resources(batch_seeds="off"),
        False,
    )
    assert given == [phase == "final"]


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


def test_a_worker_gives_up_the_data_of_a_trial_before_it_reads_those_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a share of a GPU there is no room for both."""
    suite, earlier = small_suite(), []

    def cached(task: Task, data_dir: Path, test: bool, *_: object) -> Data:
        assert not [data for data in earlier if data() is not None]
        data = prepare(task, data_dir, test=test)
        earlier.append(weakref.ref(data))
        return data

    shared = {study.name: study.task for study in suite.studies}, suite.identity, tmp_path, RunDir(tmp_path / "run")

    class Actor(worker.TrialActor):
        def setup(self, config: dict[str, Any]) -> None:  # type: ignore[override]  # as tune.with_parameters does
            super().setup(config, *shared, Plugins.read([]), Resources(), False)

    monkeypatch.setattr(worker, "cached_data", cached)
    actor = object.__new__(Actor)
    trials = [Trial(study.name, 0, "search", {}, (0,)) for study in suite.studies]
    actor.setup({"trial": trials[0]})
    for trial in trials[1:]:
        actor.step()
        assert actor.reset_config({"trial": trial})
    assert len(earlier) == len(trials)


@pytest.mark.parametrize("stopped", [False, True], ids=["interrupted", "stopped for good"])
def test_a_trial_at_a_rung_keeps_a_checkpoint_unless_it_is_stopped_for_good(stopped: bool, tmp_path: Path) -> None:
    """A launch may be interrupted while a trial is at a rung; what was stopped there has its row already."""
    suite, run = small_suite(), RunDir(tmp_path / "run")
    run.write_suite(suite)
    study = suite.studies[0]
    trial = Trial(study.name, 0, "search", {}, (0,), rungs=(1,))
    identity = Identity({"iris": fingerprint("iris", tmp_path)})
    shared = {study.name: study.task}, identity, tmp_path, run, Plugins.read([]), Resources(), False
    actor = object.__new__(worker.TrialActor)
    actor.setup({"trial": trial}, *shared)
    while "rung" not in actor.step():
        pass
    if stopped:
        run.rows_path(trial).parent.mkdir(parents=True)
        run.rows_path(trial).write_text("[]")
    actor.cleanup()
    assert run.checkpoint(trial).exists() != stopped
    assert actor.training and actor.training.state is None


def test_a_trial_that_fails_while_it_is_prepared_fails_in_its_first_step(tmp_path: Path) -> None:
    """Raised in a reset, Ray Tune kept a place for the trial in its cache of actors, and the launch could hang."""

    class Actor(worker.TrialActor):
        def setup(self, config: dict[str, Any]) -> None:  # type: ignore[override]
            if config:
                raise BadInput("no such data")

    actor = object.__new__(Actor)
    assert actor.reset_config({"trial": 1})
    with pytest.raises(BadInput, match="no such data"):
        actor.step()
    assert actor.reset_config({}) and actor.error is None


def test_a_step_that_fails_half_done_leaves_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray Tune stops the same worker after an error. Saved after its last step, the trial could never end."""
    suite, run = small_suite(), RunDir(tmp_path / "run")
    run.write_suite(suite)
    study = suite.studies[0]
    trial = Trial(study.name, 0, "search", {}, (0,))
    shared = {study.name: study.task}, Identity({"iris": fingerprint("iris", tmp_path)}), tmp_path, run
    arguments = ({"trial": trial}, *shared, Plugins.read([]), Resources(), False)
    actor = object.__new__(worker.TrialActor)
    actor.setup(*arguments)
    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(loop, "make_row", mock.Mock(side_effect=MemoryError))
        while True:
            actor.step()
    actor.cleanup()
    assert not run.checkpoint(trial).exists()
    actor = object.__new__(worker.TrialActor)
    actor.setup(*arguments)
    while not (result := actor.step())["done"]:
        pass
    assert len(result["rows"]) == 1
