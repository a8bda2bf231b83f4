"""What a launch costs beyond its trials, and whether that grows with their number.

    python benchmarks/scale.py [--trials 100 1000 10000]      # 1, 4 and 40 minutes

Trials of a stub that trains for 0.2 s (`benchmarks/stubs.py`), in ten studies, by random search, each size in a process
of its own: a real launch without the command line. Overhead is slot time beyond 0.2 s, per trial; Optuna's suggestions
are part of it and shown apart. Resuming is reading the run directory and rebuilding every Optuna study. Then what a
suggestion costs each sampler after so many finished trials of one study of k-mixup.
"""

import argparse
import multiprocessing
import random
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import optuna
from optuna.distributions import IntDistribution
from optuna.trial import create_trial
from ray.tune.search.optuna import OptunaSearch

from benchmarks import stubs
from benchmarks.timing import head, line, machine
from search_spaces.methods import ALPHA, study
from search_spaces.tasks import TASKS
from tune_kmixup.core.config import Suite, Task
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.resources import Resources
from tune_kmixup.search.samplers import make_sampler
from tune_kmixup.store.lock import run_lock
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.tuning import launch
from tune_kmixup.tuning.searcher import SuiteSearcher

STUDIES = 10
TRAINS = 0.2


def build_suite(trials: int, sampler: str) -> Suite:
    (task,) = TASKS["iris/sleep-200"]
    tasks = [Task(task.dataset, task.architecture, task.recipe, outer_split=split) for split in range(5)]
    studies = tuple(study(task, method, 90, ()) for task in tasks for method in ("mixup", "kmixup"))
    return Suite("scale", studies, trials // STUDIES, 1, 1, sampler)  # type: ignore[arg-type]


def measure(trials: int) -> None:
    spent: dict[str, float] = defaultdict(float)
    suggest = OptunaSearch.suggest

    def timed(self: OptunaSearch, trial_id: str) -> object:
        clock = time.perf_counter()
        found = suggest(self, trial_id)
        spent["suggest"] += time.perf_counter() - clock
        return found

    OptunaSearch.suggest = timed
    with tempfile.TemporaryDirectory() as folder:
        run, suite = RunDir(Path(folder) / "run"), build_suite(trials, "random")
        mine = Plugins.read([Path(stubs.__file__)])
        clock = time.perf_counter()
        with run_lock(run):
            done = launch.launch(suite, run, Path(folder), Resources(batch_seeds="off"), mine)
        whole = time.perf_counter() - clock
        assert done and done.finished and not done.failures, done
        rows = [row for study in suite.studies for row in run.rows(study.name)]
        last = run.launch()
        slot_time = last["slots"] * (last["updated"] - last["since"])
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        clock = time.perf_counter()
        assert SuiteSearcher(suite, run).finished()
        resume = time.perf_counter() - clock
        line(
            len(rows),
            f"{whole:.0f}",
            f"{slot_time / len(rows) - TRAINS:.3f}",
            f"{1000 * spent['suggest'] / trials:.1f}",
            f"{memory:.0f}",
            f"{resume:.1f}",
        )


def suggestion(name: str, finished: int) -> float:
    """Milliseconds that a sampler takes for one proposal: the median of ten."""
    space = {"alpha": ALPHA, "log2_k": IntDistribution(1, 5)}
    chance = random.Random(0)
    values = [{"alpha": 0.01 * 6400 ** chance.random(), "log2_k": chance.randint(1, 5)} for _ in range(finished)]
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(storage=storage, study_name="one").add_trials(
        [create_trial(params=value, distributions=space, value=chance.random()) for value in values]
    )
    chosen = make_sampler(name, 0, space, finished + 10)
    engine = OptunaSearch(space, metric="score", mode="min", sampler=chosen, storage=storage, study_name="one")
    times = []
    for number in range(10):
        clock = time.perf_counter()
        engine.suggest(str(number))
        times.append(1000 * (time.perf_counter() - clock))
        engine.on_trial_complete(str(number), {"score": 0.5})
    return statistics.median(times)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="twenty trials")
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--suggestions", action="store_true", help="the second table alone")
    options = parser.parse_args()
    sizes = [20] if options.quick else options.trials
    print(f"{machine()}\n")
    if not options.suggestions:
        head("runs", "s", "overhead, s per trial and slot", "a suggestion, ms", "driver, MB", "resume, s")
        for trials in sizes:
            process = multiprocessing.get_context("spawn").Process(target=measure, args=(trials,))
            process.start()
            process.join()
        print()
    head("sampler", *(f"after {finished}, ms" for finished in sizes))
    for name in ("random", "qmc", "tpe"):
        line(name, *(f"{suggestion(name, finished):.1f}" for finished in sizes))
