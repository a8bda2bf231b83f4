"""Refuses to merge launches whose runs do not belong to one experiment."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from tune_kmixup.core.config import Recipe, Study, Suite
from tune_kmixup.core.coordinates import SETTINGS
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.methods import KNOWN

from .gains import STUDY_KEY

RECIPE_FIELDS = {field.name for field in dataclasses.fields(Recipe)}
BUDGET = ("trials", "search_seeds", "shortlist", "shortlist_seeds", "sampler", "scheduler")  # of a search, in a Suite
# What makes a configuration. Not `epochs`: a run that was stopped early has fewer.
CONFIGURATION = [name for name in SETTINGS if name != "epochs"]


def check_one_format(suites: Iterable[tuple[str, Suite]]) -> None:
    """Refuses tasks of which both formats have runs: their searches and seeds do not make one experiment.

    Args:
        suites: name and suite of each launch.

    Raises:
        BadInput: if there is such a task.
    """
    formats: dict[str, dict[int, str]] = {}
    for name, suite in suites:
        for task in suite.studies_by_task():
            formats.setdefault(task, {})[suite.format] = name
    for task, names in formats.items():
        if len(names) > 1:
            raise BadInput(
                f"run_dirs={names[1]}, {names[2]} both hold {task}, but {names[1]} is of version 0.1.0, which searched "
                "and seeded differently: report them one by one."
            )


def check_one_experiment(suites: Sequence[tuple[str, Suite]]) -> None:
    """Refuses launches that select by different scores, hold different data under one name, or differ in a task.

    There its recipe, search and numerics must agree, and the seed of an outer split.

    Args:
        suites: directory and suite of each launch.

    Raises:
        BadInput: for the first two that differ.
    """
    for (one, suite), (other, other_suite) in combinations(suites, 2):
        if suite.select_by != other_suite.select_by:
            raise BadInput(
                f"run_dirs={one}, {other} select by {suite.select_by} and {other_suite.select_by}: "
                "report them one by one."
            )
        for task, difference in differences(suite, other_suite):
            raise BadInput(
                f"run_dirs={one}, {other} both hold {task}, with different {difference}: report them one by one."
            )


def differences(one: Suite, other: Suite) -> Iterator[tuple[str, str]]:
    """Task without its split, or data set, and what differs, for each difference between two launches."""
    first, second = one.studies_by_task(), other.studies_by_task()
    for task in [task for task in first if task in second]:
        for name, a, b in recipe_differences(first[task], second[task]):
            yield task, f"{name} ({a} and {b})"
        for name, a, b in range_differences(first[task], second[task]):
            yield task, f"{name} ({a} and {b})"
        for name, a, b in budget_differences(one, other, task):
            yield task, f"{name} ({a} and {b})"
        splits, others = ({study.task.outer_split for study in studies[task]} for studies in (first, second))
        if one.seed != other.seed and splits & others:  # their methods could not be compared
            yield task, f"seed ({one.seed} and {other.seed})"
        x, y = one.identity.numerics, other.identity.numerics
        if x and y and x != y:
            yield task, f"numerics ({x} and {y})"
    for dataset, fingerprint in one.identity.data.items():  # of all tasks: means over data sets join them by its name
        also = other.identity.data.get(dataset)
        if also and also != fingerprint:
            shared = (task for task in first if task in second and first[task][0].task.dataset == dataset)
            yield next(shared, f"data set {dataset}"), f"data ({fingerprint[:8]} and {also[:8]})"


def recipe_differences(first: list[Study], second: list[Study]) -> Iterator[tuple[str, Any, Any]]:
    """How the recipes of a task differ in two launches, but for what one of them searches: name and both values."""
    tuned, also_tuned = tuned_values(first), tuned_values(second)
    if tuned and also_tuned and tuned != also_tuned:
        yield "tuned values", tuned, also_tuned
    searched = {name for study in (*first, *second) for name in study.space}
    a, b = fixed_values(first[0]), fixed_values(second[0])
    for name in a:
        if name not in searched and a[name] != b[name]:
            yield name, a[name], b[name]


def range_differences(first: list[Study], second: list[Study]) -> Iterator[tuple[str, str, str]]:
    """The coordinates that a method searches in different ranges: name and both ranges, in words.

    Outer splits are compared with themselves where both launches have them: a range may follow the training rows.
    """
    for study in first:
        same_method = [other for other in second if other.method == study.method]
        for other in [one for one in same_method if one.name == study.name] or same_method[:1]:
            for name in sorted(study.space.keys() | other.space.keys()):
                a, b = (str(one.distributions.get(name, "none")) for one in (study, other))
                if a != b:
                    yield f"ranges of {name} in {study.method}", a, b


def budget_differences(one: Suite, other: Suite, task: str) -> Iterator[tuple[str, Any, Any]]:
    """How the searches of a task differ in two launches: name and both values. Fixed configurations have none.

    Launches that share a search are states of one launch, which may have grown; see `load.drop_copies`.
    """
    mine, theirs = ({s.name for s in suite.studies_by_task()[task] if s.space} for suite in (one, other))
    for name in BUDGET if mine and theirs and not mine & theirs else ():
        a, b = getattr(one, name), getattr(other, name)
        if a != b:
            yield name, a, b


def tuned_values(studies: list[Study]) -> str:
    """The recipe values that `--tune` frees, in words; empty where only a user's own methods are trained."""
    names = next((RECIPE_FIELDS & study.space.keys() for study in studies if study.method in KNOWN), None)
    return "" if names is None else ", ".join(sorted(names)) or "none"


def fixed_values(study: Study) -> dict[str, Any]:
    recipe = dataclasses.asdict(study.task.recipe)
    return {name: recipe[name] for name in recipe if name != "source"} | {
        "val_rows": study.task.val_rows,
        "holdout": study.task.holdout,
    }


def check_configurations(table: pd.DataFrame) -> None:
    """Refuses two configurations under one number: a configuration is its values.

    Args:
        table: rows of all sources, with a column `source`, the directory of each.

    Raises:
        BadInput: for the first number that stands for two.
    """
    key = [*STUDY_KEY, "trial"]
    values = table.drop_duplicates([*key, *CONFIGURATION])
    several = values[values.duplicated(key, keep=False)].sort_values(key)
    if not len(several):
        return
    first, second = several.iloc[0], several.iloc[1]
    changed = [f"{n} {first[n]} and {second[n]}" for n in CONFIGURATION if pd.notna(first[n]) and first[n] != second[n]]
    sources = ", ".join(dict.fromkeys((first["source"], second["source"])))
    split = "" if pd.isna(first["outer_split"]) else f"@{first['outer_split']}"
    raise BadInput(
        f"run_dirs={sources} hold two configurations as trial {first['trial']} of {first['task']}{split}/"
        f"{first['method']} ({', '.join(changed)}): report them one by one."
    )
