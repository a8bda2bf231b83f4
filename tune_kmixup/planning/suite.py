"""From names and budgets to a suite, and from a suite to what would run."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from optuna.distributions import json_to_distribution

from search_spaces import methods
from search_spaces.suites import SUITES
from search_spaces.tasks import TASKS
from tune_kmixup.core.asha import SCHEDULERS, rungs
from tune_kmixup.core.config import Draft, Study, Suite, Task
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.selection import ranking
from tune_kmixup.data.prepare import train_rows
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.search.samplers import SAMPLERS
from tune_kmixup.store import files
from tune_kmixup.store.run_dir import RunDir

BEFORE_SUITE = ("launch.lock", "speedups.json", "memory.json")  # of a launch that ended before its first trial
GROWS = ("trials", "final_seeds")  # what may differ between a run directory and a later launch, upwards


def make_draft(names: list[str], options: Mapping[str, Any]) -> Draft:
    """The named suite, or one made of the named tasks, with the options that are given in place of its own."""
    given = {key: value for key, value in options.items() if value is not None and value != []}
    given |= {key: tuple(given[key]) for key in ("methods", "tune") if key in given}
    suites = [name for name in names if name in SUITES]
    if len(names) == 1 and suites:
        return dataclasses.replace(SUITES[names[0]], **given)
    if suites:
        raise BadInput(f"tasks={names} mixes the suite {suites[0]!r} with others: name one suite, or tasks alone.")
    if not names:
        raise BadInput("tasks=[] is empty: name a suite or at least one task (`tune-kmixup tasks` lists them).")
    return Draft("custom", tuple(names), **given)


def check_known(what: str, name: str, there: Iterable[str]) -> None:
    there = list(there)
    if name not in there:
        near = get_close_matches(name, there, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose among {', '.join(there)}."
        raise BadInput(f"{what}={name!r} is unknown: {hint}")


def resolve_tasks(name: str) -> tuple[Task, ...]:
    """All outer splits of `iris/mlp`; the one of `iris/mlp@3`."""
    base, at, split = name.partition("@")
    check_known("task", base, [*TASKS, *SUITES])
    if base in SUITES:
        raise BadInput(f"task={name!r} is a suite: name it alone.")
    if not at:
        return TASKS[base]
    chosen = tuple(task for task in TASKS[base] if str(task.outer_split) == split)
    if not chosen:
        splits = ", ".join(task.name for task in TASKS[base])
        raise BadInput(f"task={name!r} names an outer split that there is not: choose among {splits}.")
    return chosen


def build_suite(drafted: Draft, data_dir: Path) -> Suite:
    """The suite of a draft, every name and number checked. Raises BadInput; downloads nothing."""
    for method in drafted.methods:
        check_known("method", method, methods.METHODS)
    check_known("sampler", drafted.sampler, SAMPLERS)
    check_known("scheduler", drafted.scheduler, SCHEDULERS)
    tasks = [task for name in drafted.tasks for task in resolve_tasks(name)]
    if drafted.epochs is not None:
        tasks = [
            dataclasses.replace(task, recipe=dataclasses.replace(task.recipe, epochs=drafted.epochs)) for task in tasks
        ]
    studies = []
    for task in tasks:
        if drafted.scheduler == "asha" and not rungs(task.recipe.epochs):
            raise BadInput(
                f"scheduler='asha' has nothing to judge at epochs={task.recipe.epochs} of {task.name}: "
                "choose epochs ≥ 2, or scheduler none."
            )
        check_known("architecture", task.architecture, ARCHITECTURES)
        rows = train_rows(task, data_dir)
        studies += [methods.study(task, method, rows, drafted.tune) for method in drafted.methods]
    return Suite(
        drafted.name,
        tuple(studies),
        drafted.trials,
        drafted.search_seeds,
        drafted.final_seeds,
        drafted.sampler,
        drafted.seed,
        drafted.scheduler,
    )


def check_continues(run: RunDir, suite: Suite) -> Suite:
    """`suite`, where the run directory is empty or holds the same one with budgets that are no larger.

    Raises BadInput naming the fields that differ, and where the budget of a grid would grow.
    """
    if not run.exists():
        if files.has_other_files(run.path, BEFORE_SUITE):
            raise BadInput(f"out={str(run.path)!r} holds something else: choose a folder that is empty or not there.")
        return suite
    old = run.suite()
    differ = [f"{field} ({a} there, {b} here)" for field, a, b in suite_differences(old, suite)]
    if differ:
        raise BadInput(
            f"out={str(run.path)!r} holds another suite; these differ: {'; '.join(differ)}. "
            "Choose another --out, or the same options; only --trials and --final-seeds may grow."
        )
    if suite.sampler == "grid" and suite.trials != old.trials:
        raise BadInput(
            f"trials={suite.trials} does not fit out={str(run.path)!r}, searched on a grid for trials={old.trials}: "
            f"the points of a grid depend on their number. Choose --trials {old.trials}, or another --out."
        )
    return suite


def warm_start_values(suite: Suite, run: RunDir, earlier: RunDir) -> dict[str, dict[str, float]]:
    """study -> the values that an earlier run selected for it, for studies that have proposed nothing yet.

    A selection counts for the study of the same name if this one leaves the same coordinates free and its ranges hold
    the values: it becomes the first proposal. Raises BadInput where nothing fits.
    """
    found = {}
    with run.local_copy() as here, earlier.local_copy() as there:
        for study in there.suite().studies:
            best = ranking(there.rows(study.name))[:1]
            same = [
                s for s in suite.studies if s.name == study.name and s.space.keys() == study.space.keys() and s.space
            ]
            if not best or not same or here.proposals(study.name):
                continue
            values = there.proposals(study.name)[best[0]]
            space = {name: json_to_distribution(json.dumps(value)) for name, value in same[0].space.items()}
            if all(methods.contains(space[name], value) for name, value in values.items()):
                found[study.name] = values
    if not found and not run.exists():
        raise BadInput(f"warm_start={str(earlier.path)!r} selected nothing that fits: name a run of the same tasks.")
    return found


def suite_differences(old: Suite, new: Suite) -> list[tuple[str, Any, Any]]:
    """(field, old, new) of what keeps `new` from continuing `old`."""
    found: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(Suite):
        a, b = getattr(old, field.name), getattr(new, field.name)
        if field.name == "studies":
            found += study_differences({s.name: s for s in a}, {s.name: s for s in b})
        elif a > b if field.name in GROWS else a != b:
            found.append((field.name, a, b))
    return found


def study_differences(old: dict[str, Study], new: dict[str, Study]) -> list[tuple[str, Any, Any]]:
    if old.keys() != new.keys():
        return [("studies", sorted(old.keys() - new.keys()), sorted(new.keys() - old.keys()))]
    found = []
    for name in old:
        a, b = flatten(dataclasses.asdict(old[name])), flatten(dataclasses.asdict(new[name]))
        found += [(f"{name}: {key}", a.get(key), b.get(key)) for key in sorted(a | b) if a.get(key) != b.get(key)]
    return found


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one of dotted keys."""
    items: dict[str, Any] = {}
    for key, inner in value.items():
        items |= flatten(inner, f"{prefix}{key}.") if isinstance(inner, Mapping) else {f"{prefix}{key}": inner}
    return items
