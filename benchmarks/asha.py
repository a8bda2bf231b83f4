"""How often `--scheduler asha` keeps the best configuration of a search, what it costs, and what the shortlist saves.

    python benchmarks/asha.py --out runs/asha.jsonl     # 12 minutes on one core; half a minute with a complete file

For each outer split of a task, trains 48 random configurations to their end. Each has 15 seeds: one for the search,
judged at the rungs, four for the shortlist, and ten whose mean test error counts as the truth. `--out` keeps what is
trained, of several tasks side by side. A later call trains only what is missing.

Then simulates searches of 24 of these configurations, drawn at random, in random order, with asha and without. Rungs
and selection are those of the suite. "Without shortlist" is selection by the search alone, without asha. The best is
the one with the lowest truth of the 24. Regret is how far the truth of the selected one is above it, in points of test
error.
"""

import argparse
import json
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from benchmarks.timing import describe_machine, print_header, print_row
from search_spaces.methods import make_study
from search_spaces.tasks import TASKS
from tune_kmixup.core.asha import StudyRungs, rung_epochs
from tune_kmixup.core.config import Study, Task, Trial
from tune_kmixup.core.rows import Row
from tune_kmixup.core.selection import selected
from tune_kmixup.data.download import default_data_dir, fetch
from tune_kmixup.data.prepare import count_rows, prepare
from tune_kmixup.data.tensors import Data
from tune_kmixup.search.samplers import space_of, value_at
from tune_kmixup.training.loop import train_to_end

PHASES = ("search", *4 * ("shortlist",), *10 * ("final",))  # of the seeds of a configuration
SHORTLIST = 5
TRIALS = 24  # of one search


@cache
def cached_data(task: Task) -> Data:
    torch.set_num_threads(1)
    return prepare(task, default_data_dir(), test=True)


def train(job: tuple[Study, int]) -> list[Row]:
    """Trains a configuration of a study, which its index draws at random, to its end: one row per seed."""
    study, index = job
    rng = np.random.default_rng(index)
    space = space_of(study)
    values = {name: value_at(distribution, rng.random()) for name, distribution in space.items()}
    seeds, rungs = tuple(range(len(PHASES))), rung_epochs(study.task.recipe.epochs)
    trial = Trial(study.name, index, "final", values, seeds, batched=True, rungs=rungs)
    rows = train_to_end(study.task, trial, cached_data(study.task))
    return [
        replace(row, phase=phase, test_error=row.test_error if phase == "final" else None)
        for row, phase in zip(rows, PHASES, strict=True)
    ]


def train_missing(study: Study, count: int, out: Path) -> list[list[Row]]:
    """The rows of the first `count` configurations of a study. Those that `out` does not hold are trained and added."""
    name = " ".join((study.name, *study.space))
    lines = map(json.loads, out.read_text().splitlines()) if out.exists() else ()
    known = {line["trial"]: [Row.from_json(row) for row in line["rows"]] for line in lines if line["study"] == name}
    if missing := sorted({*range(count)} - known.keys()):
        out.parent.mkdir(parents=True, exist_ok=True)
        with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool, out.open("a") as file:
            for rows in pool.imap_unordered(train, [(study, index) for index in missing]):
                index = rows[0].trial
                line = {"study": name, "trial": index, "rows": [row.to_json() for row in rows]}
                print(json.dumps(line), file=file, flush=True)
                known[index] = rows
    return [known[index] for index in range(count)]


class Curve(NamedTuple):
    """A configuration: its errors at the rungs, its search and shortlist runs, and its mean test error, a fraction."""

    rungs: Mapping[int, float]
    runs: Sequence[Row]
    truth: float


def read_curve(rows: Sequence[Row]) -> Curve:
    runs = [row for row in rows if row.phase != "final"]
    truth = np.mean([row.test_error for row in rows if row.phase == "final"])
    return Curve(dict(runs[0].rungs), runs, float(truth))


def last_epochs(rungs: Sequence[Mapping[int, float]], epochs: int) -> list[int]:
    """The epoch after which each configuration of a search ends: a rung if it is stopped, else the last.

    The number of slots does not matter. If all epochs take equally long, configurations reach a rung in the order in
    which they started.

    Args:
        rungs: of each configuration in order of arrival: epoch -> validation error, epochs ascending.
        epochs: epochs of a whole training.
    """
    study, ends = StudyRungs(), []
    for index, errors in enumerate(rungs):
        for end, error in errors.items():
            study.record(index, {end: error})
            if not study.should_continue(index, end):
                break
        else:
            end = epochs
        ends.append(end)
    return ends


def select(curves: Sequence[Curve], shortlist: int = SHORTLIST) -> Curve:
    """The configuration that the suite selects; a shortlist of 1 is the search alone."""
    index = selected([run for curve in curves for run in curve.runs], shortlist, "error")
    return next(curve for curve in curves if curve.runs[0].trial == index)


def simulate(curves: Sequence[Curve], epochs: int, searches: int, trials: int = TRIALS) -> dict[str, float]:
    """Means over searches of `trials` of the configurations, in per cent or points of error."""
    rng = np.random.default_rng(0)
    outcomes = []
    for _ in range(searches):
        drawn = [curves[index] for index in rng.permutation(len(curves))[:trials]]
        ends = last_epochs([curve.rungs for curve in drawn], epochs)
        kept = [curve for curve, end in zip(drawn, ends, strict=True) if end == epochs]
        best, best_kept = (min(curve.truth for curve in some) for some in (drawn, kept))
        choice, choice_without = select(kept), select(drawn)
        outcomes.append(
            {
                "all kept, %": len(kept) / len(drawn),
                "best kept, %": best_kept == best,
                "best kept is worse by, points": best_kept - best,
                "same selected, %": choice is choice_without,
                "regret, points": choice.truth - best,
                "regret without asha": choice_without.truth - best,
                "without shortlist": select(drawn, 1).truth - best,
                "epochs saved, %": 1 - sum(ends) / (epochs * len(drawn)),
            }
        )
    return {name: 100 * float(mean) for name, mean in pd.DataFrame(outcomes).mean().items()}


def correlations(curves: Sequence[Curve]) -> dict[str, float]:
    """Spearman's, of the first seed's validation error with the truth: at the two rungs and at the end."""
    errors = np.array([[*curve.rungs.values(), curve.runs[0].val_error, curve.truth] for curve in curves])
    names = ("correlation at a ninth", "at a third", "at the end")
    return {name: float(spearmanr(errors[:, i], errors[:, -1]).statistic) for i, name in enumerate(names)}


def print_means(label: str, means: Mapping[str, float]) -> None:
    print_row(label, *(f"{mean:.0f}" if "%" in name else f"{mean:.2f}" for name, mean in means.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one outer split, few configurations and searches")
    parser.add_argument("--task", default="breast_cancer-40/mlp", help="one that has outer splits")
    parser.add_argument("--method", default="kmixup")
    parser.add_argument("--tune", nargs="*", default=[], help="recipe values to search as well, e.g. lr weight_decay")
    parser.add_argument("--out", type=Path, required=True, help="JSON-lines file of the trainings, which is continued")
    options = parser.parse_args()
    splits, configurations, searches = (1, 6, 100) if options.quick else (5, 48, 10_000)
    data_dir = default_data_dir()
    print(f"{describe_machine()}\n")
    results: list[dict[str, float]] = []
    for task in TASKS[options.task][:splits]:
        fetch(task.dataset, data_dir)
        study = make_study(task, options.method, count_rows(task, data_dir).train, tuple(options.tune))
        curves = [read_curve(rows) for rows in train_missing(study, configurations, options.out)]
        results.append(correlations(curves) | simulate(curves, task.recipe.epochs, searches))
        if len(results) == 1:
            print_header("study", *results[0])
        print_means(study.name, results[-1])
    print_means("mean", pd.DataFrame(results).mean().to_dict())
