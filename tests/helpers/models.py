"""A run directory with models, made without Ray, and the tables that they are trained on."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from search_spaces.methods import make_study
from tests.helpers.reports import VALUES
from tests.helpers.trainings import finish
from tune_kmixup.core.config import Recipe, Suite, Task, Trial
from tune_kmixup.core.rows import Row
from tune_kmixup.core.source import Source
from tune_kmixup.data.prepare import Data, prepare
from tune_kmixup.planning.plugins import register
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.training.loop import Training, train_to_end

RECIPE = Recipe(epochs=3, batch_size=10, lr=0.05)


def customers(rows: int = 120) -> pd.DataFrame:
    """A table with missing numbers and categories, values that occur once, true and false, and codes."""
    rng = np.random.default_rng(0)
    churn = rng.integers(0, 2, rows)
    table = pd.DataFrame(
        {
            "age": (rng.normal(size=rows) + churn).round(3) + 0.5,
            "income": rng.normal(size=rows).round(3) * 1000,
            "city": rng.choice(["Rome", "Paris", "Bonn"], rows),
            "member": rng.choice([True, False], rows),
            "code": rng.choice(["007", "42", "1"], rows),
            "churn": np.where(churn == 1, "yes", "no"),
        }
    )
    table.loc[rng.choice(rows, 12, replace=False), "income"] = np.nan
    table.loc[rng.choice(rows, 12, replace=False), "city"] = None
    table.loc[:3, "city"] = ["Oslo", "Lima", "Ulm", "Ur"]
    return table


def customers_task(folder: Path) -> Task:
    """The table as a file with decimal commas, registered, and a task of it."""
    customers().to_csv(folder / "customers.csv", index=False, sep=";", decimal=",")
    register(Source(str(folder / "customers.csv"), "churn"))
    return Task("customers", "mlp", RECIPE, outer_split=0)


def suite_of(*tasks: Task, methods: tuple[str, ...] = ("erm", "mixup")) -> Suite:
    studies = tuple(make_study(task, method, 60) for task in tasks for method in methods)
    budget = {"trials": 1, "search_seeds": 1, "shortlist": 1, "final_seeds": 3}
    return Suite("small", studies, sampler="random", save_models=True, **budget)


def train_with_models(run: RunDir, task: Task, trial: Trial, data: Data) -> list[Row]:
    """Trains a final trial to its end, and keeps its models and rows as a launch does."""
    rows = finish(Training(task, trial, data, model_path=partial(run.ended_model, trial)))
    run.keep_models(trial)
    run.write_rows(trial, rows)
    return rows


def final_trials(suite: Suite) -> Iterator[tuple[Task, Trial]]:
    for study in suite.studies:
        values = {name: VALUES[name] for name in study.space}
        yield from ((study.task, trial) for trial in suite.final_trials(study, 0, values, (), 10))


def run_with_models(run: RunDir, suite: Suite, data_dir: Path, batched: bool = False) -> RunDir:
    """A run directory whose runs are all trained, one after another in this process."""
    run.write_suite(suite)
    for study in suite.studies:
        values = {name: VALUES[name] for name in study.space}
        run.write_proposal(study.name, 0, values)
        trial = suite.search_trial(study, 0, values)
        run.write_rows(trial, train_to_end(study.task, trial, prepare(study.task, data_dir, test=False)))
    for task, trial in final_trials(suite):
        train_with_models(run, task, replace(trial, batched=batched), prepare(task, data_dir, test=True))
    return run
