"""`--gpus-per-trial auto` on a real Ray, whose GPUs are not there: stand-ins train on the CPU and make up the needs."""

from pathlib import Path

import pytest

from tests.helpers.launches import beat_of, results_of, run_cli_in_process
from tune_kmixup.store.run_dir import RunDir

pytestmark = pytest.mark.slow

STAND_IN = """
import ray

from search_spaces.tasks import TASKS
from tune_kmixup.models import ARCHITECTURES, mlp
from tune_kmixup.planning.resources import Resources
from tune_kmixup.study import Recipe, Task
from tune_kmixup.training import profile

NEEDS = {"large": 60, "small": 10, "huge": None}  # of a GPU of 100 bytes

def note(*words):
    with open("LOG", "a") as file:
        print(*words, file=file)

def memory_stand_in(task, data, runs):
    note("measured", task.base, runs)
    return NEEDS[task.architecture]

def noting(name):
    def build(shape, classes):
        here = ray.get_runtime_context() if ray.is_initialized() else None
        if here and here.worker.mode == ray.WORKER_MODE:
            gpus = max(share for kind, share in here.get_assigned_resources().items() if kind.startswith("GPU"))
            note("trained", name, gpus, here.get_worker_id())
        return mlp(shape, classes)
    return build

Resources.device = "cpu"
profile.total_gpu_memory = lambda: 100
profile.measure_gpu_memory = memory_stand_in
for name in NEEDS:
    ARCHITECTURES[name] = noting(name)
    TASKS[f"iris/{name}"] = (Task("iris", name, Recipe(epochs=20, batch_size=50, lr=0.1), outer_split=0),)
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    path = tmp_path / "stand_in.py"
    path.write_text(STAND_IN.replace("LOG", str(tmp_path / "log")))
    return path


def notes(path: Path, first: str) -> list[list[str]]:
    lines = [line.split() for line in path.read_text().splitlines()]
    return [line[1:] for line in lines if line[0] == first]


@pytest.mark.thorough
def test_trials_of_unequal_tasks_share_gpus(ray_address: str, stand_in: Path, tmp_path: Path) -> None:
    run, log = RunDir(tmp_path / "run"), tmp_path / "log"
    given = ["--address", ray_address, "--gpus-per-trial", "auto", "--batch-seeds", "off", "--load", stand_in]
    budget = ["--method", "mixup", "--trials", "3", "--search-seeds", "1", "--shortlist", "1", "--final-seeds", "2"]
    run_cli_in_process("launch", "iris/large", "iris/small", *budget, *given, "--out", run.path)

    assert sorted(notes(log, "measured")) == [["iris/large", "1"], ["iris/small", "1"]]
    assert run.memory() == {100: {"iris/large": {1: 60}, "iris/small": {1: 10}}}
    beat, shares = beat_of(run), {"iris/large": 1.0, "iris/small": 0.5}
    assert (beat.slots, beat.shares) == (2, shares), "a GPU has the CPUs for two"

    rows = [row for study in run.suite().studies for row in results_of(run, study.name).rows]
    assert len(rows) == 2 * (3 + 2)
    taken = [sum(shares[b.task] for b in rows if b.started <= a.started < b.started + b.seconds)
             for a in rows]  # fmt: skip
    assert max(taken) <= 2
    assert "Slots were training" in run_cli_in_process("status", run.path)

    run_cli_in_process("resume", run.path, "--final-seeds", "8", *given)
    assert len(notes(log, "measured")) == 2, "what was measured is remembered"
    assert len(results_of(run, "iris/small@0/mixup").rows) == 3 + 8
    trained = notes(log, "trained")
    assert {(name, gpus) for name, gpus, _ in trained} == {("large", "1.0"), ("small", "0.5")}, "and no worker for both"
    assert len({worker for *_, worker in trained}) < len(trained) == 2 * (3 + 8), "workers are reused"


def test_a_task_that_fits_on_no_gpu_is_refused_before_anything_runs(
    ray_address: str, stand_in: Path, tmp_path: Path
) -> None:
    args = ["launch", "iris/huge", "iris/small", "--method", "mixup", "--load", stand_in, "--out", tmp_path / "run"]
    printed = run_cli_in_process(
        *args, "--address", ray_address, "--gpus-per-trial", "auto", "--batch-seeds", "off", code=2
    )
    assert "finds no GPU for task=iris/huge" in printed
    assert not RunDir(tmp_path / "run").exists() and not notes(tmp_path / "log", "trained")
