"""A small suite, and rows as its trainings would return them."""

import math
import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from search_spaces.methods import make_study
from tune_kmixup.core.config import Recipe, StudyName, Suite, Task, Trial
from tune_kmixup.core.coordinates import configuration
from tune_kmixup.core.rows import Row


def small_suite(**changes: Any) -> Suite:
    """Two tasks of iris x three methods."""
    recipe = Recipe(epochs=2, batch_size=50, lr=0.1)
    tasks = [Task("iris", "mlp", recipe, outer_split=split) for split in (0, 1)]
    studies = tuple(make_study(task, method, 90) for task in tasks for method in ("erm", "mixup", "kmixup"))
    studies = changes.pop("studies", studies)
    options = {"trials": 4, "search_seeds": 2, "final_seeds": 3, "sampler": "random", "shortlist": 1} | changes
    return Suite("small", studies, **options)


def one_row(**changes: Any) -> Row:
    """A search run of mixup, all of it made up."""
    columns = {"task": "iris/mlp", "dataset": "iris", "architecture": "mlp", "outer_split": 0, "method": "mixup"}
    columns |= {"phase": "search", "trial": 0, "alpha": 1.0, "k": 1, "epochs": 2, "seed": 0, "status": "ok"}
    return Row(**{**columns, "val_error": 0.1, "seconds": 1.0, **changes})


def without_clock(rows: Iterable[Row], **changes: Any) -> list[Row]:
    """The rows without what a clock filled."""
    return [replace(row, seconds=0, pairing_seconds=None, started=None, **changes) for row in rows]


def dropout_network(shape: tuple[int, ...], classes: int) -> torch.nn.Module:
    """A network whose output depends on random numbers, and on statistics of earlier batches."""
    layers = (torch.nn.Flatten(), torch.nn.Linear(4, 32), torch.nn.BatchNorm1d(32), torch.nn.Dropout(0.3))
    return torch.nn.Sequential(*layers, torch.nn.Linear(32, classes))


def ray_result(rows: Iterable[Row]) -> dict[str, Any]:
    """The last result of a trial as its worker reports it."""
    return {"rows": [row.to_json() for row in rows]}


def made_up_rows(suite: Suite, trial: Trial) -> list[Row]:
    """Rows as a training would return them, their scores a fixed function of values and seed: nothing was trained."""
    task = suite.study(trial.study).task
    chosen = configuration(task.recipe, trial.values)
    rows = []
    for seed in trial.seeds:
        noise = random.Random(f"{trial.study} {sorted(trial.values.items())} {seed}").random()
        error = 0.1 + 0.02 * abs(math.log(chosen.alpha + 0.1)) + 0.01 * abs(chosen.k - 4) + 0.01 * noise
        rows.append(
            one_row(
                **task.columns,
                method=StudyName.parse(trial.study).method,
                phase=trial.phase,
                trial=trial.index,
                **chosen.columns,
                seed=seed,
                val_error=error,
                val_nll=3 * error,
                val_balanced_error=1 - error,  # ranks the other way round
                test_error=error if trial.phase == "final" else None,
                test_balanced_error=1 - error if trial.phase == "final" else None,
            )
        )
    return rows
