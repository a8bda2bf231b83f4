import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from tests.helpers.suites import small_suite
from tune_kmixup.core.batched_seeds import largest_batch
from tune_kmixup.core.config import Recipe, Task
from tune_kmixup.core.rows import Row
from tune_kmixup.data.prepare import prepare
from tune_kmixup.mixing import prefetch
from tune_kmixup.planning.resources import Resources
from tune_kmixup.training import loop, profile
from tune_kmixup.tuning import worker
from tune_kmixup.tuning.gpu_sharing import MARGIN

TASK = Task("iris", "mlp", Recipe(epochs=300, batch_size=30, lr=0.05), outer_split=0)


def test_the_short_trial_is_a_final_trial_of_k_mixup_that_sees_no_test_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Row] = []
    ends = loop.train_to_end
    monkeypatch.setattr(profile, "train_to_end", lambda *given: rows.extend(ends(*given)))
    monkeypatch.setattr(prefetch, "THREAD_PAYS", 0.0)  # as on a GPU
    prepared = prepare(TASK, Path("nowhere"), test=True)
    assert prepared.test is not None
    prepared.test.x.fill_(float("nan"))  # what a network sees of them shows
    profile.short_trial(TASK, prepared, 3)
    assert [row["batched"] for row in rows] == [3, 3, 3] and {row["k"] for row in rows} == {30}
    assert {row["epochs"] for row in rows} == {3}, "eight steps, of three in an epoch"
    assert all(row["test_nll"] is not None and row["test_error_fgsm_0.1"] is not None for row in rows)


def test_out_of_memory_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*given: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(profile, "short_trial", too_much)
    assert profile.measure_gpu_memory(TASK, prepare(TASK, Path("nowhere"), test=True), 1) is None


def test_the_most_runs_that_a_trial_trains_together() -> None:
    suite = small_suite(search_seeds=3, final_seeds=20)
    task = suite.studies[0].task
    assert largest_batch({}, suite, task) == 1
    assert largest_batch({task.base: {3: 2.0, 10: 1.0}}, suite, task) == 3
    assert largest_batch({task.base: {3: 1.0, 10: 2.0}}, suite, task) == 10
    assert largest_batch({task.base: {10: float("inf")}}, small_suite(search_seeds=3, final_seeds=5), task) == 5


def test_a_worker_keeps_the_data_of_one_task_on_a_gpu_and_of_some_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is a stand-in: nothing is prepared, and there is no GPU."""
    prepared: list[object] = []
    monkeypatch.setattr(worker, "prepare", lambda task, *rest, **named: prepared.append(task) or task)
    monkeypatch.setattr(worker, "kept", {})
    tasks = [Task("iris", f"net{number}", TASK.recipe) for number in range(6)]

    def misses(device: str, *numbers: int) -> int:
        prepared.clear()
        for number in numbers:
            assert worker.cached_data(tasks[number], Path("x"), False, device) is tasks[number]
        assert len(worker.kept) <= worker.KEPT[device]
        return len(prepared)

    assert misses("cuda", 0, 0, 1, 1, 0) == 3
    worker.kept.clear()
    assert misses("cpu", 0, 1, 2, 3, 0, 4, 0, 1) == 6, "the one that was not used for longest goes"


def test_threads_of_a_trial_are_its_cpus_in_the_pairing_thread_too() -> None:
    before, seen = torch.get_num_threads(), []
    assert [Resources(cpus_per_trial=cpus).threads for cpus in (0.5, 1, 1.9, 3)] == [1, 1, 1, 3]
    try:
        torch.set_num_threads(Resources(cpus_per_trial=1).threads)
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
    finally:
        torch.set_num_threads(before)
    assert seen == [1]


ALIKE = """
from pathlib import Path

from tune_kmixup.core.config import Recipe, Task, Trial
from tune_kmixup.training import profile
from tune_kmixup.training.loop import train_to_end
from tune_kmixup.tuning import worker

task = Task("digits", "small_cnn", Recipe(epochs=30, batch_size=64, lr=0.05), outer_split=0)
data = worker.cached_data(task, Path("nowhere"), True, "DEVICE")
"""
MEASURED = "print(profile.measure_gpu_memory(task, data, 10))"
TRAINED = """
trial = Trial("digits/small_cnn@0/kmixup", 0, "final", {"alpha": 1.0, "k": 16}, tuple(range(10)), batched=True)
print(len(train_to_end(task, trial, data)))
"""


def started(what: str, device: str) -> "subprocess.Popen[str]":
    script = ALIKE.replace("DEVICE", device) + what
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="measures a GPU")
def test_two_trials_side_by_side_take_what_was_measured() -> None:
    """No other program may use the GPU meanwhile."""

    def taken() -> int:
        free, total = torch.cuda.mem_get_info()
        return total - free

    before = taken()  # by this process, and counted by the measurement as well
    need = int(started(MEASURED, "cuda").communicate(timeout=300)[0]) - before
    trials = [started(TRAINED, "cuda") for _ in range(2)]
    most = 0
    while any(trial.poll() is None for trial in trials):
        most = max(most, taken() - before)
        time.sleep(0.01)
    assert [trial.communicate()[0].strip() for trial in trials] == ["10", "10"]
    print(f"one trial, measured: {need / 2**20:.0f} MiB; two side by side: {most / 2**20:.0f} MiB")
    assert need < most <= 2 * need * MARGIN, "more than one takes, or they did not run side by side"
    assert 2 * need <= 1.5 * most, "far more was measured than they take"
