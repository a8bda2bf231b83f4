"""Runs per minute of the suite with and without batched seeds, and of a plain script; where a trial's time goes.

    python benchmarks/throughput.py suite      # a whole suite through the command line, in three ways: 8 minutes
    python benchmarks/throughput.py batched    # R runs together over R in turn, per architecture: 3 minutes
    python benchmarks/throughput.py parts      # where the time of a trial goes: 1 minute
    python benchmarks/throughput.py sizes      # how the time grows with the number of training rows: 1 minute
    python benchmarks/throughput.py layout     # convolutions in channels_last over contiguous ones: 3 minutes
    python benchmarks/throughput.py compile    # torch.compile over none: 3 minutes

`suite`: the first of five outer splits of breast_cancer/mlp and digits/small_cnn; ERM, mixup and k-mixup; 8 trials, 5
search seeds, 20 final seeds: 290 runs. The plain script (`benchmarks/plain_tune.py`) takes equally long for every run,
so it is timed on 80 of them (2 trials, 5 final seeds). Every arm includes the start of Ray.
`batched`, `layout` and `compile`: steps of the suite in one process, arms in turn. Ratios are medians over rounds, with
quartiles.
`layout` and `compile` count seconds of this process's CPU time, which other work on the machine disturbs less.
`--quick` runs a small part.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.timing import advance, describe_machine, print_header, print_row, ratio, time_arms
from search_spaces.tasks import TASKS
from tune_kmixup.core.batched_seeds import batching_pays
from tune_kmixup.core.config import Task, Trial
from tune_kmixup.core.coordinates import configuration
from tune_kmixup.data.download import default_data_dir
from tune_kmixup.data.prepare import prepare
from tune_kmixup.data.tensors import Data
from tune_kmixup.models.architectures import ARCHITECTURES, Shape
from tune_kmixup.models.networks import build_network, multiply_adds
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.training import loop
from tune_kmixup.training.batches import batches, chunk_steps
from tune_kmixup.training.record import make_row
from tune_kmixup.training.state import initial_state

PLAIN = Path(__file__).with_name("plain_tune.py")
SUITE = ("breast_cancer/mlp", "digits/small_cnn")
NETWORKS = ("breast_cancer/mlp", "digits/small_cnn", "mnist-2000/lenet")
# Task of the data and the recipe, architecture: from the smallest step to the largest.
BATCHED = (
    ("breast_cancer/mlp", "mlp"),
    ("phishing-300/mlp", "mlp_256"),
    ("digits/small_cnn", "small_cnn"),
    ("mnist-500/mlp", "mlp"),
    ("phishing-300/mlp", "mlp_512"),
    ("mnist-500/lenet", "lenet"),
    ("mnist-500/mlp", "mlp_512"),
    ("cifar10-2000/lenet", "lenet"),
    ("mnist-500/lenet", "small_cnn"),
    ("mnist-500/mlp", "mlp_1024"),
    ("cifar10-2000/small_resnet", "small_resnet"),
)
TIMED_STEPS = 3  # at least, in a round
CONVOLUTIONAL = ("digits/small_cnn", "mnist-2000/lenet", "cifar10-2000/lenet", "cifar10-2000/small_resnet")
BUDGET = {"trials": 8, "search-seeds": 5, "final-seeds": 20}
PLAIN_BUDGET = {"trials": 2, "search-seeds": 5, "final-seeds": 5}
QUICK_BUDGET = {"trials": 2, "search-seeds": 2, "final-seeds": 2}


def compare_suites(quick: bool) -> None:
    tasks = SUITE[:1] if quick else SUITE
    launch = [sys.executable, "-m", "tune_kmixup", "launch", *(f"{task}@0" for task in tasks), "--shortlist", "1"]
    print_header("arm", "runs", "s", "runs per minute", "over the plain script", "outside runs, s per trial and slot")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "plain.json"
        plain = [sys.executable, str(PLAIN), "--out", str(out), "--tasks", *tasks]
        seconds = time_command([*plain, *budget_options(QUICK_BUDGET if quick else PLAIN_BUDGET)])
        runs = json.loads(out.read_text())
        plain_rate = runs / seconds
        print_row("plain script", runs, f"{seconds:.0f}", f"{60 * plain_rate:.0f}", 1, "")
        for batch_seeds in ("off", "auto"):
            run = RunDir(Path(folder) / batch_seeds)
            budget = budget_options(QUICK_BUDGET if quick else BUDGET)
            seconds = time_command([*launch, *budget, "--batch-seeds", batch_seeds, "--out", str(run.path)])
            runs = sum(len(results.rows) for results in run.results(run.suite()).values())
            rate = runs / seconds
            print_row(
                *(f"--batch-seeds {batch_seeds}", runs, f"{seconds:.0f}", f"{60 * rate:.0f}"),
                *(f"{rate / plain_rate:.1f}", overhead(run, seconds)),
            )


def budget_options(budget: dict[str, int]) -> list[str]:
    return [f"--{name}={value}" for name, value in budget.items()]


def time_command(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def overhead(run: RunDir, seconds: float) -> str:
    """Seconds per trial and slot outside runs, with the start of Ray."""
    busy = sum(row.seconds for results in run.results(run.suite()).values() for row in results.rows)
    trials = len([*run.path.glob("studies/**/search-*.json"), *run.path.glob("studies/**/final-*.json")])
    beat = run.heartbeat()
    assert beat is not None
    return f"{(seconds * beat.slots - busy) / trials:.2f}"


def compare_batched(quick: bool, data_dir: Path) -> None:
    for width in (256, 512, 1024):
        ARCHITECTURES[f"mlp_{width}"] = partial(wide_mlp, width)
    print_header(
        *("data", "architecture", "B", "million multiply-adds a step", "R"),
        *("ms a step of one run", "ms of R together", "faster than in turn", "--batch-seeds auto"),
    )
    for name, architecture in BATCHED[:1] if quick else BATCHED:
        task = replace(TASKS[name][0], architecture=architecture)
        prepared = prepare(task, data_dir, test=False)
        network = build_network(architecture, prepared.shape, prepared.classes, 0)
        per_row, batch_size = multiply_adds(network, prepared.shape), task.recipe.batch_size
        choice = "together" if batching_pays(per_row, batch_size, "cpu") else "in turn"
        alone = step_timer(task, prepared, 1)
        for runs in (2, 5, 10):
            arms = {"alone": alone, "together": step_timer(task, prepared, runs)}
            seconds = time_arms(arms, 3 if quick else 15)
            milliseconds = [f"{1000 * np.median(arm) / timed_steps(task, prepared):.3g}" for arm in seconds.values()]
            print_row(
                *(task.dataset, architecture, batch_size, f"{per_row * batch_size / 1e6:.3g}", runs, *milliseconds),
                *(ratio(runs * seconds["alone"], seconds["together"]), choice),
            )


def wide_mlp(width: int, shape: Shape, classes: int) -> nn.Module:
    """Two hidden layers with ReLU, like the suite's `mlp`."""
    inputs = torch.Size(shape).numel()
    hidden = (nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, classes))


def step_timer(
    task: Task, prepared: Data, runs: int, change: Callable[[nn.Module], object] = lambda model: None
) -> Callable[[], object]:
    """A function that trains so many runs for `timed_steps` of mixup, after a change of their networks."""
    chosen = configuration(replace(task.recipe, epochs=10**6), {"alpha": 1.0})
    state = initial_state(task, chosen, prepared, range(runs))
    change(state.model)
    return partial(advance, loop.steps(state, chosen, prepared), timed_steps(task, prepared))


def timed_steps(task: Task, prepared: Data) -> int:
    """Steps of a round. They hold all steps that are drawn at once, however many runs there are."""
    return max(TIMED_STEPS, chunk_steps(prepared, task.recipe, 1, 1))


def compare_changes(
    names: Sequence[str],
    changes: Mapping[str, Callable[[nn.Module], object]],
    sizes: Sequence[int],
    quick: bool,
    data_dir: Path,
) -> None:
    """Steps of mixup with two changes of the networks, which train the same."""
    print_header("task", "R", *(f"{name}, ms a step" for name in changes), " / ".join(changes))
    for name in names[:1] if quick else names:
        task = TASKS[name][0]
        prepared = prepare(task, data_dir, test=False)
        for runs in sizes:
            arms = {arm: step_timer(task, prepared, runs, change) for arm, change in changes.items()}
            seconds = time_arms(arms, rounds=3 if quick else 15, clock=time.process_time)
            milliseconds = [f"{1000 * np.median(arm) / timed_steps(task, prepared):.3g}" for arm in seconds.values()]
            print_row(name, runs, *milliseconds, ratio(*seconds.values()))


# Convolution weights in another layout, and as the suite has them.
LAYOUTS: dict[str, Callable[[nn.Module], object]] = {
    "contiguous": lambda model: model.to(memory_format=torch.contiguous_format),
    "channels_last": lambda model: model,
}
COMPILED: dict[str, Callable[[nn.Module], object]] = {
    "compiled": lambda model: model.compile(),
    "as it is": lambda model: model,
}


def print_parts(quick: bool, data_dir: Path) -> None:
    """Shares of a k-mixup trial's seconds. That of batches is measured by drawing and gathering alone."""
    print_header(
        "task", "runs", "together", "s a run", "start", "batches", "pairing", "forward to optimiser", "evaluation"
    )
    for name in NETWORKS[:1] if quick else NETWORKS:
        task = TASKS[name][0]
        prepared = prepare(task, data_dir, test=True)
        measure_parts(task, prepared, 1)  # imports, first allocations
        for runs in (1, 10):
            print_row(name, runs, "yes" if runs > 1 else "", *measure_parts(task, prepared, runs))


def measure_parts(task: Task, prepared: Data, runs: int) -> list[str]:
    """Seconds per run of a trial, and the share of each part, as text."""
    trial = Trial(f"{task.name}/kmixup", 0, "final", {"alpha": 0.5, "k": 8}, tuple(range(runs)), batched=True)
    chosen = configuration(task.recipe, trial.values)
    rows, total = timed(lambda: loop.train_to_end(task, trial, prepared))
    state, starting = timed(lambda: initial_state(task, chosen, prepared, trial.seeds))
    drawn = batches(prepared, chosen.alpha, task.recipe, trial.seeds)
    _, drawing = timed(lambda: sum(1 for _ in drawn))
    state.step = 1
    _, evaluating = timed(lambda: [make_row(state, run, task, chosen, trial, prepared) for run in range(runs)])
    pairing = sum(row.pairing_seconds for row in rows)
    rest = total - starting - drawing - pairing - evaluating
    return [f"{total / runs:.3g}", *(f"{s / total:.1%}" for s in (starting, drawing, pairing, rest, evaluating))]


def print_sizes(quick: bool, data_dir: Path) -> None:
    """What a run of 30 epochs of phishing costs by the number of training rows, alone and as one of ten."""
    print_header("training rows", "s a run, alone", "us a row and epoch", "s a run, one of ten", "us a row and epoch")
    (task, *_) = TASKS["phishing/mlp"]
    measure_parts(task, prepare(replace(task, train_size=300), data_dir, test=True), 1)  # imports, first allocations
    for rows in (300, 600) if quick else (300, 1000, 3000, 7000):
        prepared = prepare(replace(task, train_size=rows), data_dir, test=True)
        cells = []
        for runs in (1, 10):
            trial = Trial(f"{task.name}/mixup", 0, "final", {"alpha": 0.5}, tuple(range(runs)), batched=True)
            _, total = timed(partial(loop.train_to_end, task, trial, prepared))
            cells += [f"{total / runs:.3g}", f"{1e6 * total / runs / rows / task.recipe.epochs:.3g}"]
        print_row(rows, *cells)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and the seconds it takes."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["suite", "batched", "parts", "sizes", "layout", "compile"])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data-dir", type=Path, default=default_data_dir())
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{describe_machine()}\n")
    if options.what == "suite":
        compare_suites(options.quick)
    elif options.what == "batched":
        compare_batched(options.quick, options.data_dir)
    elif options.what == "layout":
        compare_changes(CONVOLUTIONAL, LAYOUTS, (1, 5), options.quick, options.data_dir)
    elif options.what == "compile":
        compare_changes(NETWORKS, COMPILED, (1,), options.quick, options.data_dir)
    elif options.what == "sizes":
        print_sizes(options.quick, options.data_dir)
    else:
        print_parts(options.quick, options.data_dir)
