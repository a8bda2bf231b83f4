"""What the heartbeat of a launch does about a store that is away, and what it takes for a lost node."""

import errno
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from ray.air.execution._internal import actor_manager
from ray.exceptions import ObjectLostError, OutOfMemoryError
from ray.tune.execution import tune_controller

from tests.helpers.searchers import make_searcher
from tests.helpers.suites import small_suite
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.tuning import heartbeat
from tune_kmixup.tuning.heartbeat import Heartbeat
from tune_kmixup.tuning.launch import LOST, understand_lost_workers


@pytest.fixture
def beating(run_dir: RunDir) -> Heartbeat:
    suite = small_suite()
    run_dir.write_suite(suite)
    return Heartbeat(make_searcher(suite, run_dir), run_dir, mock.Mock(), mock.Mock(received=None), (), mock.Mock())


@pytest.mark.parametrize(("number", "stops"), [(None, False), (errno.ESTALE, False), (errno.ENOSPC, True)])
def test_a_store_that_is_away_for_a_while_ends_no_launch(
    number: int | None, stops: bool, beating: Heartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launch writes its heartbeat every five seconds for days. Another one may take over meanwhile, and stops it."""
    failing = mock.Mock(side_effect=OSError(number, "away") if number else OSError("away"))
    monkeypatch.setattr(RunDir, "write_heartbeat", failing)
    beating.write()
    assert beating.searcher.stopping == stops
    beating.last_written -= heartbeat.OUTAGE_SECONDS
    beating.write()
    assert beating.searcher.stopping and isinstance(beating.searcher.disk_error, OSError)


@pytest.mark.parametrize(
    ("text", "error", "counts"),
    [
        ("Failure # 1\nThe actor died because its node has died.", "The actor died because its node has died.", False),
        (
            "The actor x is unavailable: The actor is temporarily unavailable: broken",
            "The actor x is unavailable",
            False,
        ),
        ("1 worker(s) were killed due to the node running low on memory.\nRefer to", "Ray killed its worker", False),
        ("Traceback\nValueError: wrong", "ValueError: wrong", True),
        ("", "its worker died", True),
    ],
)
def test_what_a_trial_can_do_nothing_about_is_no_retry(
    text: str, error: str, counts: bool, beating: Heartbeat, tmp_path: Path
) -> None:
    """Ray takes seconds to know that a node died without notice, and says at first that the worker is unavailable."""
    (tmp_path / "error.txt").write_text(text)
    with mock.patch.object(beating.searcher, "on_error") as on_error:
        beating.on_trial_error(1, [], SimpleNamespace(trial_id="x", error_file=str(tmp_path / "error.txt")))
    ((trial_id, said), options) = on_error.call_args
    assert trial_id == "x" and said.startswith(error) and options == {"node_lost": not counts}


@pytest.mark.parametrize("error", [OutOfMemoryError("low"), ObjectLostError("a", "b", "c")], ids=["memory", "object"])
def test_a_worker_that_ray_kills_ends_its_trial_alone(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray Tune took any error but that of a dead actor for a bug, and ended with a traceback."""
    for module in (actor_manager, tune_controller):
        monkeypatch.setattr(module, "RayActorError", module.RayActorError)  # it is put back
    understand_lost_workers()
    manager = actor_manager.RayActorManager(resource_manager=mock.Mock())
    monkeypatch.setattr(manager, "_cleanup_actor", mock.Mock())
    actor, task = mock.Mock(actor_id=1), mock.Mock()
    task._tracked_actor = actor
    manager._actor_task_failed(task, error)
    assert isinstance(error, LOST)
    actor._on_error.assert_called_once_with(actor, error)
    task._on_error.assert_called_once_with(actor, error)
