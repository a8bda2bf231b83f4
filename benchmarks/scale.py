"""What a launch costs beyond its trials, and whether that grows with their number.

    python benchmarks/scale.py [--trials 100 1000 10000]      # 1, 4 and 40 minutes

First table: a real launch without the command line, of trials that sleep for 0.2 s (`benchmarks/stubs.py`), in ten
studies, by random search. Each size runs in a process of its own. Overhead is slot time beyond 0.2 s, per trial. It
includes Optuna's suggestions. Resuming means reading the run directory and rebuilding every Optuna study.

Second table: what a suggestion costs with each sampler, after so many finished trials of one k-mixup study.
"""

import argparse
import multiprocessing
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path

import optuna
from optuna.distributions import IntDistribution
from optuna.trial import create_trial

from benchmarks import stubs
from benchmarks.timing import describe_machine, print_header, print_row
from search_spaces.methods import ALPHA, make_study
from search_spaces.tasks import TASKS
from tune_kmixup.core.config import Suite, Task
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.resources import Resources
from tune_kmixup.search.samplers import make_sampler
from tune_kmixup.store.lock import run_lock
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.tuning import launch
from tune_kmixup.tuning.searcher import SuiteSearcher
from tune_kmixup.tuning.slots import EqualSlots

STUDIES = 10
TRIAL_SECONDS = 0.2


def build_suite(trials: int, sampler: str) -> Suite:
    (task,) = TASKS["iris/sleep-200"]
    tasks = [Task(task.dataset, task.architecture, task.recipe, outer_split=split) for split in range(5)]
    studies = tuple(make_study(task, method, 90, ()) for task in tasks for method in ("mixup", "kmixup"))
    return Suite("scale", studies, trials // STUDIES, 1, 1, sampler, shortlist=1)  # type: ignore[arg-type]


def measure_launch(trials: int) -> None:
    """Prints the row of a launch of so many search trials."""
    with tempfile.TemporaryDirectory() as folder:
        run, suite = RunDir(Path(folder) / "run"), build_suite(trials, "random")
        plugins = Plugins.read([Path(stubs.__file__)])
        start = time.perf_counter()
        with run_lock(run):
            outcome = launch.launch(suite, run, Path(folder), Resources(batch_seeds="off"), plugins)
        launch_seconds = time.perf_counter() - start
        assert outcome and outcome.finished and not outcome.failures, outcome
        rows = [row for results in run.results(suite).values() for row in results.rows]
        beat = run.heartbeat()
        assert beat is not None
        slot_seconds = beat.period.available
        peak_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start = time.perf_counter()
        assert SuiteSearcher(suite, run, run.results(suite), (), EqualSlots()).finished()
        resume_seconds = time.perf_counter() - start
        print_row(
            len(rows),
            f"{launch_seconds:.0f}",
            f"{slot_seconds / len(rows) - TRIAL_SECONDS:.3f}",
            f"{peak_memory:.0f}",
            f"{resume_seconds:.1f}",
        )


def suggestion_milliseconds(sampler: str, finished: int) -> float:
    """What a sampler takes for one suggestion after `finished` trials: the median of ten."""
    space = {"alpha": ALPHA, "log2_k": IntDistribution(1, 5)}
    rng = random.Random(0)
    values = [{"alpha": 0.01 * 6400 ** rng.random(), "log2_k": rng.randint(1, 5)} for _ in range(finished)]
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # otherwise a line per study
    optuna_study = optuna.create_study(sampler=make_sampler(sampler, 0, space, finished + 10))
    optuna_study.add_trials([create_trial(params=value, distributions=space, value=rng.random()) for value in values])
    milliseconds = []
    for _ in range(10):
        start = time.perf_counter()
        trial = optuna_study.ask(space)
        milliseconds.append(1000 * (time.perf_counter() - start))
        optuna_study.tell(trial, 0.5)
    return statistics.median(milliseconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="twenty trials")
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--suggestions", action="store_true", help="the second table only")
    options = parser.parse_args()
    sizes = [20] if options.quick else options.trials
    print(f"{describe_machine()}\n")
    if not options.suggestions:
        print_header("runs", "s", "overhead, s per trial and slot", "driver, MB", "resume, s")
        for trials in sizes:
            process = multiprocessing.get_context("spawn").Process(target=measure_launch, args=(trials,))
            process.start()
            process.join()
        print()
    print_header("sampler", *(f"after {finished}, ms" for finished in sizes))
    for sampler in ("random", "qmc", "tpe"):
        print_row(sampler, *(f"{suggestion_milliseconds(sampler, finished):.1f}" for finished in sizes))
