"""How trials of different tasks share GPUs: shares by memory and CPUs, and which trials fit."""

import itertools
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, IntDistribution

from search_spaces.methods import METHODS, make_study
from tests.helpers.searchers import make_searcher
from tests.helpers.suites import made_up_rows, ray_result
from tune_kmixup.core.config import Recipe, StudyName, Suite, Task, Trial
from tune_kmixup.core.errors import BadInput, LaunchError
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.resources import Resources
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.tuning import profiling
from tune_kmixup.tuning.gpu_sharing import (
    MAX_TRIALS_PER_GPU,
    MEMORY_MARGIN,
    UNITS_PER_GPU,
    GpuSharing,
    gpu_shares,
)
from tune_kmixup.tuning.profiling import with_largest_batch
from tune_kmixup.tuning.searcher import SuiteSearcher
from tune_kmixup.tuning.slots import Node

GIB = 2**30
ray_ids = map(str, itertools.count())


def on_gpus(gpus: int, shares: dict[str, float], max_concurrent: int | None = None) -> GpuSharing:
    """On one node with so many GPUs, and CPUs for any number of trials."""
    sharing = GpuSharing(shares, max_concurrent=max_concurrent)
    sharing.follow([Node("node", 1000, gpus)])
    return sharing


def test_shares_by_memory_and_cpus() -> None:
    needs = {"large": 50 * GIB, "third": 22 * GIB, "small": GIB}
    assert gpu_shares(needs, 80 * GIB, 16) == {"large": 1.0, "third": 0.3333, "small": 1 / 16}
    assert gpu_shares(needs, 80 * GIB, 2.9) == {"large": 1.0, "third": 0.5, "small": 0.5}
    assert gpu_shares(needs, 80 * GIB, 0.5) == dict.fromkeys(needs, 1.0), (
        "with too few CPUs for two trials, no GPU is shared"
    )
    assert gpu_shares({"all of it": 79 * GIB}, 80 * GIB, 16) == {"all of it": 1.0}, (
        "a trial alone on a GPU needs no margin"
    )


@pytest.mark.parametrize("need", [81 * GIB, None])
def test_a_task_that_does_not_fit_on_a_gpu_is_refused(need: int | None) -> None:
    with pytest.raises(
        BadInput, match=r"no GPU for task=huge: a trial needs more than the 80\.0 GiB .*--batch-seeds off"
    ):
        gpu_shares({"huge": need, "small": GIB}, 80 * GIB, 16)


def test_memory_is_measured_with_the_largest_batch_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method of the user's own may search the batch size."""
    for name, sizes in (("few", IntDistribution(16, 64)), ("some", CategoricalDistribution([32, 90]))):
        monkeypatch.setitem(METHODS, name, {"batch_size": sizes})
    task = Task("iris", "mlp", Recipe(epochs=1, batch_size=40, lr=0.1), outer_split=0)
    largest = [
        with_largest_batch([make_study(task, method, 96) for method in methods]).recipe.batch_size
        for methods in (["erm"], ["erm", "few"], ["few", "some", "mixup"])
    ]
    assert largest == [40, 64, 90]


@given(need=st.integers(1, 80 * GIB), cpus=st.floats(1, 200))
def test_as_many_fit_as_memory_and_cpus_allow_and_no_more(need: int, cpus: float) -> None:
    share = gpu_shares({"task": need}, 80 * GIB, cpus)["task"]
    units = round(share * UNITS_PER_GPU)
    assert share == units / UNITS_PER_GPU, "Ray counts in whole units"
    n = UNITS_PER_GPU // units
    assert n == 1 or (n * need * MEMORY_MARGIN <= 80 * GIB * (1 + 1e-6) and n <= cpus * (1 + 1e-6))
    assert (n + 1) * need * MEMORY_MARGIN > 80 * GIB or n + 1 > cpus or n == MAX_TRIALS_PER_GPU


def test_trials_go_to_the_fullest_gpu_that_has_room() -> None:
    sharing = on_gpus(2, {"half": 0.5, "third": 0.3333, "whole": 1.0})
    sharing.acquire("a", "half")
    sharing.acquire("b", "third")
    assert sharing.fits("whole"), "both are on one GPU, and the other is free"
    sharing.acquire("c", "whole")
    assert not any(map(sharing.fits, sharing.shares)), "a sixth of a GPU is free: less than any task needs"
    sharing.release("b")
    assert sharing.fits("half") and sharing.fits("third") and not sharing.fits("whole")
    sharing.release("b")
    assert not sharing.fits("whole"), "releasing twice frees the share once"
    sharing.release("a")
    assert sharing.fits("whole")


def test_a_trial_does_not_fit_on_parts_of_two_gpus() -> None:
    sharing = on_gpus(2, {"more": 0.5, "less": 0.3333})
    for trial, task in enumerate(["less"] * 5):
        sharing.acquire(str(trial), task)
    sharing.release("0")
    assert not sharing.fits("more"), "a third is free on each of two GPUs, but a half on neither"


def test_max_concurrent_limits_trials_and_slots() -> None:
    assert on_gpus(3, {"half": 0.5, "seventh": 0.1428}).slots == 3
    sharing = on_gpus(3, {"half": 0.5, "seventh": 0.1428}, max_concurrent=4)
    assert sharing.slots == 2.0, "four trials take at most two GPUs"
    for trial in range(4):
        assert sharing.fits("seventh")
        sharing.acquire(str(trial), "seventh")
    assert not sharing.fits("seventh")


def test_gpus_come_and_go() -> None:
    sharing = GpuSharing({"half": 0.5, "whole": 1.0}, cpus_per_trial=2.0)
    assert sharing.slots == 0 and not sharing.fits("half")
    sharing.follow([Node("head", 2, 0), Node("a", 4, 1), Node("too few CPUs", 1, 1)])
    assert sharing.slots == 1
    sharing.acquire("first", "half")
    sharing.follow([Node("head", 2, 0), Node("a", 4, 1), Node("b", 8, 2)])
    assert sharing.slots == 3 and sharing.fits("whole")
    sharing.acquire("second", "half")
    assert sharing.allocated["first"][0] == sharing.allocated["second"][0], "what is taken stays taken"
    sharing.follow([Node("b", 8, 2)])
    sharing.release("first")
    sharing.release("second")
    assert set(sharing.free.values()) == {UNITS_PER_GPU}, "a GPU that has left does not come back by a release"
    assert sharing.request("half") == {"CPU": 2.0, "GPU": 0.5}


def test_a_freed_share_is_reused_until_others_have_twice_the_work() -> None:
    """Work in GPU-seconds: of trials that can reuse the worker, and of trials that need a new one."""
    sharing = on_gpus(1, {"half": 0.5, "other half": 0.5, "whole": 1.0})

    def next_task(**seconds: float) -> str:
        return max(seconds, key=lambda task: sharing.priority(task.replace("_", " "), seconds[task]))

    assert next_task(half=100, other_half=99, whole=51) == "whole"
    sharing.acquire("a", "half")
    sharing.release("a")
    assert next_task(half=100, other_half=101, whole=51) == "other_half", "the share decides, not the task"
    assert next_task(half=100, other_half=0, whole=99) == "half"
    assert next_task(half=100, other_half=0, whole=101) == "whole"
    assert next_task(half=100, other_half=0, whole=float("inf")) == "whole"
    sharing.acquire("b", "half")
    assert next_task(half=100, other_half=0, whole=99) == "whole", "the worker is in use"


SHARES = {"iris/large": 1.0, "iris/middle": 0.5, "iris/small": 0.25}


@pytest.fixture
def mixed() -> Suite:
    """Three tasks with unequal shares. They are not trained here."""
    recipe = Recipe(epochs=2, batch_size=50, lr=0.1)
    tasks = [Task("iris", name.partition("/")[2], recipe, outer_split=0) for name in SHARES]
    studies = tuple(make_study(task, method, 90) for task in tasks for method in ("erm", "mixup"))
    return Suite("mixed", studies, trials=6, search_seeds=1, final_seeds=2, sampler="random")


def hand_out(searcher: SuiteSearcher) -> dict[str, Trial]:
    """All trials that can start now, by Ray's trial id."""
    trials = {}
    while isinstance(config := searcher.suggest(ray_id := next(ray_ids)), dict):
        trials[ray_id] = config["trial"]
    return trials


def task_of(trial: Trial) -> str:
    return StudyName.parse(trial.study).task


def test_a_large_trial_that_waits_does_not_block_the_small_ones(mixed: Suite, run_dir: RunDir) -> None:
    searcher = make_searcher(mixed, run_dir, slots=on_gpus(3, SHARES))
    running = hand_out(searcher)
    assert [task_of(trial) for trial in running.values()] == ["iris/large"] * 3, (
        "no run is finished yet: large shares first"
    )
    ended = next(iter(running))
    searcher.on_trial_complete(ended, ray_result(made_up_rows(mixed, running[ended])))
    more = [task_of(trial) for trial in hand_out(searcher).values()]
    assert more == ["iris/middle"] * 2, "the other tasks have no finished run yet"
    ended = next(
        ray_id for ray_id in searcher.start_times if searcher.queue_of(ray_id).study.task.base == "iris/middle"
    )
    trial = searcher.queue_of(ended).running[ended]
    searcher.on_trial_complete(ended, ray_result(made_up_rows(mixed, trial)))
    assert searcher.priority(searcher.queues["iris/large@0/mixup"]) > (2.0, 1.0)
    assert [task_of(trial) for trial in hand_out(searcher).values()] == ["iris/small"] * 2, "the large trials wait"


@pytest.mark.parametrize("seed", range(5))
def test_gpus_are_never_overfull_nor_idle_beside_a_trial_that_fits(mixed: Suite, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    sharing = on_gpus(2, SHARES)
    searcher = make_searcher(mixed, RunDir(tmp_path), slots=sharing)
    running: dict[str, Trial] = {}
    most_used = 0.0
    while not searcher.finished():
        running |= hand_out(searcher)
        used = {gpu: sum(units for at, units in sharing.allocated.values() if at == gpu) for gpu in sharing.free}
        assert {gpu: UNITS_PER_GPU - units for gpu, units in used.items()} == sharing.free
        assert max(used.values()) <= UNITS_PER_GPU
        assert sharing.allocated.keys() == running.keys(), "no trial waits in Ray"
        for queue in searcher.queues.values():
            assert not (queue.ready() and sharing.fits(queue.study.task.base))
        most_used = max(most_used, sum(SHARES[task_of(trial)] for trial in running.values()))
        ray_id = chance.choice(sorted(running))
        rows = made_up_rows(mixed, running.pop(ray_id))
        lost = chance.random() < 0.1  # the worker is lost, and the trial is run again
        searcher.on_trial_complete(ray_id, None if lost else ray_result(rows), error=lost)
        if lost:
            searcher.on_error(ray_id, "its worker died")
    assert most_used == 2.0 and list(sharing.free.values()) == [UNITS_PER_GPU] * 2 and not sharing.allocated


def test_the_last_gpu_may_leave_before_its_memory_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling.ray, "nodes", lambda: [{"NodeID": "a", "Alive": False, "Resources": {"GPU": 1}}])
    with pytest.raises(LaunchError, match="the last node with a GPU has left the cluster: wait until one is there"):
        profiling.smallest_gpu(Plugins(), 1.0)


def test_a_gpu_without_a_cpu_counts_as_none() -> None:
    sharing = GpuSharing({"whole": 1.0})
    sharing.follow([Node("few CPUs", 2, 4)])
    assert sharing.slots == 2


class Measuring:
    """Stands in for Ray: a trial needs as many bytes as its batch has rows, and the GPU has a hundred."""

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []

    def remote(self, task: Task, *_: object) -> int | None:
        self.batch_sizes.append(task.recipe.batch_size)
        return task.recipe.batch_size if task.recipe.batch_size <= 100 else None


def test_shares_of_a_launch_that_was_refused_are_measured_again(
    suite: Suite, run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until there is a suite, another recipe may follow: what was measured of the first is not of the second."""
    measuring, resources = Measuring(), Resources(gpus_per_trial="auto")
    monkeypatch.setattr(profiling, "smallest_gpu", lambda *_: (100, 8.0))
    monkeypatch.setattr(profiling, "remote_function", lambda *_: measuring)
    monkeypatch.setattr(profiling, "collect", lambda needs: needs)

    def shares(batch_size: int) -> set[float]:
        studies = tuple(replace(s, task=with_batch_size(s.task, batch_size)) for s in suite.studies)
        changed = replace(suite, studies=studies)
        return {*profiling.make_slots(changed, run_dir, Path("data"), Plugins(()), resources, ()).shares.values()}

    with pytest.raises(BadInput, match="choose a smaller batch_size"):
        shares(4096)
    assert shares(20) == {0.25} and shares(90) == {1.0} and measuring.batch_sizes == [4096, 20, 90]
    run_dir.write_suite(suite)
    assert shares(90) == {1.0} and measuring.batch_sizes == [4096, 20, 90], "a suite keeps its recipe"


def with_batch_size(task: Task, batch_size: int) -> Task:
    return replace(task, recipe=replace(task.recipe, batch_size=batch_size))
