"""What a trial takes of its device: GPU memory, cached data and threads."""

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.helpers.suites import small_suite
from tune_kmixup.core.batched_seeds import largest_batch
from tune_kmixup.core.config import Recipe, Task
from tune_kmixup.core.rows import Row
from tune_kmixup.data.prepare import prepare
from tune_kmixup.planning.resources import Resources
from tune_kmixup.training import batches, loop, prefetch, profile
from tune_kmixup.tuning import worker
from tune_kmixup.tuning.gpu_sharing import MEMORY_MARGIN

TASK = Task("iris", "mlp", Recipe(epochs=300, batch_size=30, lr=0.05), outer_split=0)


def test_the_short_trial_is_a_final_trial_of_k_mixup_that_sees_no_test_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Row] = []
    monkeypatch.setattr(profile, "train_to_end", lambda *args: rows.extend(loop.train_to_end(*args)))
    monkeypatch.setattr(batches, "prefetch", prefetch.in_thread)  # as on a GPU
    monkeypatch.setattr(batches, "CHUNK_BYTES", 3 * 30 * (4 + 3) * 4 * 2)  # two steps
    data = prepare(TASK, Path("nowhere"), test=True)
    assert data.test is not None
    data.test.x.fill_(float("nan"))  # scores would show it if a network saw test rows
    profile.short_trial(TASK, data, 3)
    assert [row.batched for row in rows] == [3, 3, 3] and {row.k for row in rows} == {30}
    assert {row.epochs for row in rows} == {2}, "three chunks of two steps need two epochs of three"
    assert all(row.test_nll is not None and row.test_error_fgsm_0_1 is not None for row in rows)


def test_a_trial_that_needs_more_than_the_gpu_has_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out_of_memory(*args: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(profile, "short_trial", run_out_of_memory)
    assert profile.measure_gpu_memory(TASK, prepare(TASK, Path("nowhere"), test=True), 1) is None


def test_the_largest_number_of_seeds_that_a_trial_trains_together() -> None:
    assert largest_batch(small_suite(search_seeds=3, final_seeds=20)) == 10
    assert largest_batch(small_suite(search_seeds=3, final_seeds=5)) == 5
    assert largest_batch(small_suite(search_seeds=12, final_seeds=5)) == 12
    assert largest_batch(small_suite(search_seeds=1, final_seeds=1, shortlist=2)) == 4
    assert largest_batch(small_suite(search_seeds=1, final_seeds=1, shortlist=1)) == 1


def test_a_worker_caches_the_data_of_one_task_on_a_gpu_and_of_several_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is prepared, so this needs no GPU."""
    prepared: list[object] = []
    data = [SimpleNamespace(nbytes=2**27) for _ in range(6)]
    tasks = [Task("iris", f"net{number}", TASK.recipe) for number in range(6)]
    monkeypatch.setattr(
        worker, "prepare", lambda task, *args, **options: prepared.append(task) or data[tasks.index(task)]
    )
    monkeypatch.setattr(worker, "data_cache", {})
    monkeypatch.setitem(worker.CACHE_BYTES, "cpu", 3 * 2**27)

    def misses(device: str, *numbers: int) -> int:
        prepared.clear()
        for number in numbers:
            assert worker.cached_data(tasks[number], Path("x"), False, device) is data[number]
        assert len(worker.data_cache) <= {"cpu": 4, "cuda": 1}[device]
        return len(prepared)

    assert misses("cuda", 0, 0, 1, 1, 0) == 3
    worker.data_cache.clear()
    assert misses("cpu", 0, 1, 2, 3, 0, 4, 0, 1) == 6, "the least recently used data are dropped"


def test_a_trial_has_as_many_threads_as_cpus_in_the_pairing_thread_too() -> None:
    threads_before, in_thread = torch.get_num_threads(), []
    assert [Resources(cpus_per_trial=cpus).threads for cpus in (0.5, 1, 1.9, 3)] == [1, 1, 1, 3]
    try:
        torch.set_num_threads(Resources(cpus_per_trial=1).threads)
        thread = threading.Thread(target=lambda: in_thread.append(torch.get_num_threads()))
        thread.start()
        thread.join()
    finally:
        torch.set_num_threads(threads_before)
    assert in_thread == [1]


SETUP = """
from pathlib import Path
from types import SimpleNamespace

from tune_kmixup.core.config import Recipe, Task, Trial
from tune_kmixup.training import profile
from tune_kmixup.training.loop import train_to_end
from tune_kmixup.tuning import worker

task = Task("digits", "small_cnn", Recipe(epochs=30, batch_size=64, lr=0.05), outer_split=0)
data = worker.cached_data(task, Path("nowhere"), True, "DEVICE")
"""
MEASURE = "print(profile.measure_gpu_memory(task, data, 10))"
TRAIN = """
trial = Trial("digits/small_cnn@0/kmixup", 0, "final", {"alpha": 1.0, "k": 16}, tuple(range(10)), batched=True)
print(len(train_to_end(task, trial, data)))
"""


def start_script(code: str, device: str) -> "subprocess.Popen[str]":
    script = SETUP.replace("DEVICE", device) + code
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="measures a GPU")
def test_two_concurrent_trials_take_the_measured_memory() -> None:
    """No other program may use the GPU meanwhile."""

    def used_memory() -> int:
        free, total = torch.cuda.mem_get_info()
        return total - free

    before = used_memory()  # this process takes it, and the measurement counts it
    measured = int(start_script(MEASURE, "cuda").communicate(timeout=300)[0]) - before
    trials = [start_script(TRAIN, "cuda") for _ in range(2)]
    peak = 0
    while any(trial.poll() is None for trial in trials):
        peak = max(peak, used_memory() - before)
        time.sleep(0.01)
    assert [trial.communicate()[0].strip() for trial in trials] == ["10", "10"]
    print(f"one trial, measured: {measured / 2**20:.0f} MiB; two at once: {peak / 2**20:.0f} MiB")
    assert peak > measured, "the trials did not run at the same time"
    assert peak <= 2 * measured * MEMORY_MARGIN, "the trials took more than was measured"
    assert 2 * measured <= 1.5 * peak, "far more was measured than the trials took"
