"""Runs per minute: the suite, the suite without batched seeds, a plain script; and where a trial's time goes.

    python benchmarks/throughput.py suite      # a whole suite through the command line, three ways: 8 minutes
    python benchmarks/throughput.py batched    # R runs together over R in turn, per architecture: 2 minutes
    python benchmarks/throughput.py parts      # where the time of a trial goes: 1 minute
    python benchmarks/throughput.py sizes      # how it grows with the number of training rows: 1 minute

`suite`: breast_cancer/mlp and digits/small_cnn (the first of five outer splits of each), ERM, mixup and k-mixup, 8
trials, 5 search seeds, 20 final seeds: 290 runs. The plain script, `benchmarks/plain_tune.py`, takes as long for every
run, so it is timed on 80 of them (2 trials, 5 final seeds). Start-up of Ray is part of every arm. `batched`: steps of
the suite itself in one process, arms taken in turn; ratios are medians over rounds, with quartiles.
`--quick` runs a small part.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.timing import head, line, machine, ratio, times
from search_spaces.tasks import TASKS
from tune_kmixup.core.config import Task, Trial, configuration
from tune_kmixup.data.download import default_data_dir
from tune_kmixup.data.prepare import Data, prepare
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.training import loop, profile
from tune_kmixup.training.batches import batches, pair_batches
from tune_kmixup.training.state import initial_state

PLAIN = Path(__file__).with_name("plain_tune.py")
SUITE = ("breast_cancer/mlp", "digits/small_cnn")
NETWORKS = ("breast_cancer/mlp", "digits/small_cnn", "mnist-2000/lenet")
BUDGET = {"trials": 8, "search-seeds": 5, "final-seeds": 20}
SOME = {"trials": 2, "search-seeds": 5, "final-seeds": 5}
QUICK = {"trials": 2, "search-seeds": 2, "final-seeds": 2}


def suite(quick: bool) -> None:
    tasks = SUITE[:1] if quick else SUITE
    ours = [sys.executable, "-m", "tune_kmixup", "launch", *(f"{task}@0" for task in tasks)]
    head("arm", "runs", "s", "runs per minute", "over the plain script", "outside runs, s per trial and slot")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "plain.json"
        plain = [
            sys.executable,
            str(PLAIN),
            "--out",
            str(out),
            "--tasks",
            *tasks,
            *options_of(QUICK if quick else SOME),
        ]
        seconds = wall(plain)
        runs = json.loads(out.read_text())
        slowest = runs / seconds
        line("plain script", runs, f"{seconds:.0f}", f"{60 * slowest:.0f}", 1, "")
        for batch_seeds in ("off", "auto"):
            run = RunDir(Path(folder) / batch_seeds)
            budget = options_of(QUICK if quick else BUDGET)
            seconds = wall([*ours, *budget, "--batch-seeds", batch_seeds, "--out", str(run.path)])
            runs = sum(len(run.rows(study.name)) for study in run.suite().studies)
            rate, outside = runs / seconds, overhead(run, seconds)
            line(
                f"--batch-seeds {batch_seeds}",
                runs,
                f"{seconds:.0f}",
                f"{60 * rate:.0f}",
                f"{rate / slowest:.1f}",
                outside,
            )


def options_of(budget: dict[str, int]) -> list[str]:
    return [f"--{name}={value}" for name, value in budget.items()]


def wall(command: list[str]) -> float:
    clock = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - clock


def overhead(run: RunDir, seconds: float) -> str:
    """Slot time that no run accounts for, per trial, start-up of Ray and measuring included."""
    busy = sum(row["seconds"] for study in run.suite().studies for row in run.rows(study.name))
    trials = len([*run.path.glob("studies/**/search-*.json"), *run.path.glob("studies/**/final-*.json")])
    slots = run.launch()["slots"]
    return f"{(seconds * slots - busy) / trials:.2f}"


def batched(quick: bool, device: str, data_dir: Path) -> None:
    sizes = (1, 2, 5) if quick else (1, 2, 5, 10, 20, 60)
    rounds = 3 if quick else 25
    head("task", "R", "ms a step of one run", "ms of R together", "faster than in turn", "--batch-seeds auto")
    for name in NETWORKS[:1] if quick else NETWORKS:
        task = TASKS[name][0]
        prepared = prepare(task, data_dir, test=False, device=device)
        alone = profile.timer(task, prepared, 1)
        chosen = {task.base: profile.speedups(task, prepared, {5, profile.MAX_BATCHED})}
        for runs in sizes:
            found = times({"alone": alone, "together": profile.timer(task, prepared, runs)}, rounds)
            each, together = (1000 * np.median(found[arm]) / profile.STEPS for arm in ("alone", "together"))
            pays = "together" if profile.pays(chosen, task, runs) else "in turn"
            line(name, runs, f"{each:.3g}", f"{together:.3g}", ratio(runs * found["alone"], found["together"]), pays)


def parts(quick: bool, data_dir: Path) -> None:
    """Shares of a k-mixup trial's seconds; what batches cost is what drawing and gathering them alone takes."""
    head("task", "runs", "together", "s a run", "start", "batches", "pairing", "forward to optimiser", "evaluation")
    for name in NETWORKS[:1] if quick else NETWORKS:
        task = TASKS[name][0]
        prepared = prepare(task, data_dir, test=True)
        shares(task, prepared, 1)  # imports, first allocations
        for runs in (1, 10):
            line(name, runs, "yes" if runs > 1 else "", *shares(task, prepared, runs))


def shares(task: Task, prepared: Data, runs: int) -> list[str]:
    trial = Trial(f"{task.name}/kmixup", 0, "final", {"alpha": 0.5, "k": 8}, tuple(range(runs)), batched=True)
    chosen = configuration(task.recipe, trial.values)
    rows, whole = timed(lambda: loop.train_to_end(task, trial, prepared))
    bundle, starting = timed(lambda: initial_state(task, chosen, prepared, trial.seeds))
    drawn = batches(prepared, chosen.alpha, task.recipe, trial.seeds)
    _, drawing = timed(lambda: sum(1 for _ in pair_batches(drawn, 1, "sqeuclidean")))
    bundle.step = 1
    _, evaluating = timed(lambda: [loop.make_row(bundle, run, task, chosen, trial, prepared) for run in range(runs)])
    pairing = sum(row["pairing_seconds"] for row in rows)
    rest = whole - starting - drawing - pairing - evaluating
    return [f"{whole / runs:.3g}", *(f"{s / whole:.1%}" for s in (starting, drawing, pairing, rest, evaluating))]


def sizes(quick: bool, data_dir: Path) -> None:
    """phishing cut down to fewer and fewer training rows: what a run of 30 epochs costs, alone and one of ten."""
    head("training rows", "s a run, alone", "us a row and epoch", "s a run, one of ten", "us a row and epoch")
    (task, *_) = TASKS["phishing/mlp"]
    shares(task, prepare(replace(task, train_size=300), data_dir, test=True), 1)  # imports, first allocations
    for rows in (300, 600) if quick else (300, 1000, 3000, 7000):
        prepared = prepare(replace(task, train_size=rows), data_dir, test=True)
        cells = []
        for runs in (1, 10):
            trial = Trial(f"{task.name}/mixup", 0, "final", {"alpha": 0.5}, tuple(range(runs)), batched=True)
            _, whole = timed(partial(loop.train_to_end, task, trial, prepared))
            cells += [f"{whole / runs:.3g}", f"{1e6 * whole / runs / rows / task.recipe.epochs:.3g}"]
        line(rows, *cells)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    clock = time.perf_counter()
    found = call()
    return found, time.perf_counter() - clock


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["suite", "batched", "parts", "sizes"])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="of `batched`")
    parser.add_argument("--data-dir", type=Path, default=default_data_dir())
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine()}, {options.device}\n")
    if options.what == "suite":
        suite(options.quick)
    elif options.what == "batched":
        batched(options.quick, options.device, options.data_dir)
    elif options.what == "sizes":
        sizes(options.quick, options.data_dir)
    else:
        parts(options.quick, options.data_dir)
