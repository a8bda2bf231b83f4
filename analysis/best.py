"""What a search selected, for use: one configuration per task and method."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tune_kmixup.core.config import Recipe, SelectBy, Study
from tune_kmixup.core.coordinates import DUMMY, LOG2_K, RECIPE_COLUMNS, SETTINGS
from tune_kmixup.core.errors import BadInput

from .gains import mean_metric, methods, tasks
from .load import Runs, study_name
from .stats import Estimate

NUMBERS = [name for name in SETTINGS if name != "cost"]  # by which configurations are compared


@dataclass(frozen=True)
class Best:
    """The configuration that stands for those that the outer splits of a task selected for a method.

    Attributes:
        task: name of the task, without its outer split.
        method: name of the method.
        alpha: α ≥ 0; 0 is ERM.
        k: rows per pairing block; 1 is mixup.
        recipe: everything else that it is trained with, but for what is `unrecorded`.
        unrecorded: values that were tuned and that results do not hold.
        outer_split: the outer split that selected it; None where the task has no numbered splits.
        splits: number of outer splits, each of which selected a configuration.
        val_error: mean validation error of its final runs, 0 to 1.
        test_error: mean test error of its final runs, 0 to 1.
        expected: test error of the method as tuned, over all outer splits.
        select_by: the score on validation rows by which configurations were selected.
    """

    task: str
    method: str
    alpha: float
    k: int
    recipe: Recipe
    unrecorded: tuple[str, ...]
    outer_split: int | None
    splits: int
    val_error: float
    test_error: float
    expected: Estimate
    select_by: SelectBy


def best(runs: Runs, task: str | None = None, method: str | None = None) -> list[Best]:
    """The selected configuration of each task and method.

    Outer splits select configurations of their own. The one that is most like those of the others stands for them: its
    logarithms have the least sum of distances to theirs. Nothing is averaged, so it was trained as it stands. No test
    row has a say.

    Args:
        runs: what was run.
        task: name of a task, without its outer split; None: all.
        method: name of a method; None: all.

    Returns:
        In the order of the report.

    Raises:
        BadInput: if there is no final run of such a task or method yet.
    """
    final = runs.final
    found = [
        one_best(runs, final, task_name, method_name)
        for task_name in tasks(final)
        for method_name in methods(final[final["task"] == task_name])
        if task in (None, task_name) and method in (None, method_name)
    ]
    if not found:
        there = ", ".join(f"{name} ({', '.join(methods(final[final['task'] == name]))})" for name in tasks(final))
        wanted = " ".join(f"{name}={value!r}" for name, value in (("task", task), ("method", method)) if value)
        raise BadInput(
            f"{wanted or 'the launch'} has no final run{'' if there else ' yet'}: "
            + (f"choose among {there}." if there else "resume it, or wait until one has ended.")
        )
    return found


def one_best(runs: Runs, final: pd.DataFrame, task: str, method: str) -> Best:
    rows = final[(final["task"] == task) & (final["method"] == method)]
    by_split = [of_split for _, of_split in rows.groupby("outer_split", dropna=False)]
    chosen = by_split[most_typical(np.array([list(coordinates(of_split)) for of_split in by_split]))]
    first = chosen.iloc[0]
    outer_split = None if pd.isna(first["outer_split"]) else int(first["outer_split"])
    study = find_study(runs, study_name(task, outer_split, method))
    return Best(
        task,
        method,
        float(first["alpha"]),
        int(first["k"]),
        trained_recipe(study, first),
        tuple(sorted(study.space.keys() - {*SETTINGS, LOG2_K, DUMMY})),
        outer_split,
        len(by_split),
        float(chosen["val_error"].mean()),
        float(chosen["test_error"].mean()),
        mean_metric(final, task, method, runs.claims.level),
        runs.select_by,
    )


def validation_scores(runs: Runs, task: str) -> dict[str, float]:
    """The mean validation score of each method's final runs, over the outer splits that all methods have finished.

    It is the score by which the suite selects. A run without a finite one counts as the worst.

    Args:
        runs: what was run.
        task: name of a task, without its outer split.

    Returns:
        Method -> score, the lowest first.

    Raises:
        BadInput: if no outer split has final runs of all methods.
    """
    final = runs.final[runs.final["task"] == task]
    scores = final[f"val_{runs.select_by}"].fillna(np.inf)
    by_split = (
        final.assign(score=scores, outer_split=final["outer_split"].fillna(-1))
        .pivot_table("score", "outer_split", "method")
        .dropna()
    )
    if by_split.empty:
        raise BadInput(f"task={task!r} has no outer split with final runs of all methods yet: name a method.")
    means = by_split.mean()
    return dict(sorted(((name, float(means[name])) for name in methods(final)), key=lambda item: item[1]))


def coordinates(rows: pd.DataFrame) -> Iterator[float]:
    """The configuration of some runs as logarithms; 0 for a value of 0 or one that earlier versions did not record."""
    first = rows.iloc[0]
    for name in NUMBERS:
        yield math.log(first[name]) if not pd.isna(first[name]) and first[name] > 0 else 0.0


def most_typical(points: np.ndarray) -> int:
    """The medoid: the point with the least sum of distances to the others, each coordinate in its own deviations.

    Args:
        points: N x D, finite.

    Returns:
        Its position; the first one of several.
    """
    deviations = points.std(0)
    scaled = points / np.where(deviations > 0, deviations, 1.0)
    return int(np.linalg.norm(scaled[:, None] - scaled, axis=2).sum(1).argmin())


def find_study(runs: Runs, name: str) -> Study:
    return next(study for suite in runs.suites for study in suite.studies if study.name == name)


def trained_recipe(study: Study, row: pd.Series) -> Recipe:
    """The recipe of a task with the tuned values that rows hold."""
    values = {name: RECIPE_COLUMNS[name](row[name]) for name in RECIPE_COLUMNS if not pd.isna(row[name])}
    return replace(study.task.recipe, **values)
