"""Builds a suite from names and budgets, and checks that it can run in a run directory."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from search_spaces import methods
from search_spaces.suites import SUITES
from search_spaces.tasks import TASKS, default_repeats
from tune_kmixup.core.asha import rung_epochs
from tune_kmixup.core.checks import check_choice, check_range
from tune_kmixup.core.config import CLAIM_NUMBERS, MAX_REPEATS, OUTER_FOLDS, Claims, Draft, Study, Suite, Task
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.methods import CLAIM_METHODS
from tune_kmixup.core.text import plural
from tune_kmixup.data.prepare import count_rows
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.store import files
from tune_kmixup.store.run_dir import RunDir

# A launch that ends early leaves only these. Earlier versions wrote speedups.json.
FILES_BEFORE_SUITE = ("launch*.lock", "holder.json", "speedups.json", "memory.json", ".*.part")
MAY_GROW = ("trials", "final_seeds")  # fields that a later launch may increase


def make_draft(names: list[str], options: Mapping[str, Any]) -> Draft:
    """The named suite, or a suite `custom` of the named tasks.

    Args:
        names: the name of one suite, or names of tasks.
        options: field of `Draft` -> value that replaces the suite's own, with `method` for its methods and `family` for
            the families of its claims, see `parse_families`. None and empty lists replace nothing.

    Raises:
        BadInput: if `names` is empty, or holds a suite and something else.
    """
    changes = {key: value for key, value in options.items() if value is not None and value != []}
    if "method" in changes:
        changes["methods"] = tuple(changes.pop("method"))
    if "tune" in changes:
        changes["tune"] = tuple(changes["tune"])
    suites = [name for name in names if name in SUITES]
    if "family" in changes:
        claims = SUITES[suites[0]].claims if suites else Claims()
        families = {**claims.families, **parse_families(changes.pop("family"))}
        changes["claims"] = dataclasses.replace(claims, families=families)
    if len(names) == 1 and suites:
        return dataclasses.replace(SUITES[names[0]], **changes)
    if suites:
        raise BadInput(f"tasks={names} mixes the suite {suites[0]!r} with others: name one suite, or tasks alone.")
    if not names:
        raise BadInput("tasks=[] is empty: name a suite or at least one task (`tune-kmixup tasks` lists them).")
    return Draft("custom", tuple(names), **changes)


def parse_families(options: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Families of the claims from the command line.

    Args:
        options: each `CLAIM=TASK,TASK`, e.g. `3=mnist-500/mlp,mnist-500/lenet`.

    Returns:
        Number of the claim -> its tasks.

    Raises:
        BadInput: if an option has another form, or names a claim that another one names too.
    """
    families: dict[str, tuple[str, ...]] = {}
    for option in options:
        claim, equals, names = option.partition("=")
        tasks = tuple(name.strip() for name in names.split(",") if name.strip())
        if not equals or not tasks or claim in families:
            raise BadInput(f"family={option!r} is not CLAIM=TASK,TASK with each claim once: write 3=iris/mlp,wine/mlp.")
        families[claim] = tasks
    return families


def fill_families(claims: Claims, studies: Iterable[Study]) -> Claims:
    """Gives each claim without a family all tasks of the suite that have ERM, mixup and k-mixup.

    Raises:
        BadInput: if a family names a task that does not exist, or an outer split.
    """
    for claim, family in claims.families.items():
        for name in family:
            if "@" in name:
                raise BadInput(f"family={claim}={name} names an outer split: name the task, {name.partition('@')[0]}.")
            check_choice(f"task of family {claim}", name, TASKS)
    by_task: dict[str, set[str]] = {}
    for study in studies:
        by_task.setdefault(study.task.base, set()).add(study.method)
    comparable = tuple(task for task, names in by_task.items() if names.issuperset(CLAIM_METHODS))
    return dataclasses.replace(claims, families={claim: comparable for claim in CLAIM_NUMBERS} | dict(claims.families))


def resolve_tasks(name: str, repeats: int | None = None) -> tuple[Task, ...]:
    """The tasks of a name: `iris/mlp` names all outer splits, `iris/mlp@3` one.

    Args:
        name: name of a task, with or without an outer split.
        repeats: number of outer splits of a task whose splits share their test rows; None takes its default.

    Raises:
        BadInput: if there is no such task or outer split, or repeats are asked of folds or toy sets.
    """
    base, at, split = name.partition("@")
    check_choice("task", base, [*TASKS, *SUITES])
    if base in SUITES:
        raise BadInput(f"task={name!r} is a suite: name it alone.")
    if TASKS[base][0].outer_split is None:
        count = default_repeats(TASKS[base][0]) if repeats is None else repeats
        numbers = range(count) if not at else [int(split)] if re.fullmatch("[0-9]{1,4}", split) else []
        if not numbers:
            raise BadInput(f"task={name!r} names no repeat: choose {base}@0, {base}@1, ...")
        if at and repeats is not None:
            raise BadInput(f"repeats={repeats} does not apply to {name}, which is one: name {base}, or leave it out.")
        return tuple(dataclasses.replace(TASKS[base][0], outer_split=number) for number in numbers)
    if repeats is not None:
        splits = "folds" if len(TASKS[base]) == OUTER_FOLDS else "toy data sets"
        raise BadInput(
            f"repeats={repeats} does not apply to {base}: its {len(TASKS[base])} outer splits are {splits}, each with "
            "test rows of its own. Leave out --repeats, or name only tasks whose splits share their test rows."
        )
    if not at:
        return TASKS[base]
    tasks = tuple(task for task in TASKS[base] if str(task.outer_split) == split)
    if not tasks:
        names = ", ".join(task.name for task in TASKS[base])
        raise BadInput(f"task={name!r} names an outer split that does not exist: choose among {names}.")
    return tasks


def build_suite(draft: Draft, data_dir: Path) -> Suite:
    """Builds the suite of a draft, and checks all names and numbers. Downloads nothing.

    Args:
        draft: see `make_draft`.
        data_dir: folder of the data sets, used to count training rows, which limit k.

    Raises:
        BadInput: if a name is unknown, a number is out of range, or a method cannot be trained on a task.
    """
    for method in draft.methods:
        check_choice("method", method, methods.METHODS)
    tasks = [task for name in draft.tasks for task in resolve_tasks(name, draft.repeats)]
    if draft.val_rows is not None:
        tasks = [dataclasses.replace(task, val_rows=draft.val_rows) for task in tasks]
    given = {"epochs": draft.epochs, "batch_size": draft.batch_size, "lr": draft.lr}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    tasks = [dataclasses.replace(task, recipe=dataclasses.replace(task.recipe, **changes)) for task in tasks]
    studies = []
    for task in tasks:
        if draft.scheduler == "asha" and not rung_epochs(task.recipe.epochs):
            raise BadInput(
                f"scheduler='asha' has nothing to judge at epochs={task.recipe.epochs} of {task.name}: "
                "choose epochs ≥ 2, or scheduler none."
            )
        if task.recipe.warmup_epochs >= task.recipe.epochs:
            warmup = f"warmup_epochs={task.recipe.warmup_epochs} of {task.name}"
            raise BadInput(f"epochs={task.recipe.epochs} does not fit {warmup}: choose more epochs.")
        check_choice("architecture", task.architecture, ARCHITECTURES)
        rows = count_rows(task, data_dir)
        if rows.overlap is not None:
            task = dataclasses.replace(task, val_rows=rows.val, overlap=rows.overlap)
        studies += [methods.make_study(task, method, rows.train, draft.tune) for method in draft.methods]
    vary = [study.method for study in studies if "epochs" in study.space and study.distributions["epochs"].count != 1]
    if draft.scheduler == "asha" and vary:
        raise BadInput(
            f"scheduler='asha' compares configurations at the same epochs, and method={vary[0]!r} searches epochs: "
            "choose scheduler none."
        )
    return Suite(
        name=draft.name,
        studies=tuple(studies),
        trials=draft.trials,
        search_seeds=draft.search_seeds,
        final_seeds=draft.final_seeds,
        sampler=draft.sampler,
        seed=draft.seed,
        scheduler=draft.scheduler,
        shortlist=draft.shortlist,
        claims=fill_families(draft.claims, studies),
        expectation=draft.expectation,
        curves=draft.curves,
        save_models=draft.save_models,
        select_by=draft.select_by,
    )


def with_repeats(suite: Suite, repeats: int, data_dir: Path) -> Suite:
    """A suite with more repeats of its tasks. A repeat's draw depends on its number alone.

    Args:
        suite: the suite so far.
        repeats: how many repeats each task has at least then.
        data_dir: folder of the data sets, used to count rows.

    Raises:
        BadInput: if a task has other outer splits than repeats, or none is added.
    """
    check_range("repeats", repeats, 1, MAX_REPEATS)
    studies: dict[str, Study] = {study.name: study for study in suite.studies}
    tasks: dict[str, Task] = {}
    for study in suite.studies:
        if study.task.overlap is None:
            raise BadInput(
                f"repeats={repeats} does not apply to {study.task.base}: its outer splits are folds or toy data sets. "
                "Leave out --repeats."
            )
    for number in range(repeats):
        for study in suite.studies:
            repeat = dataclasses.replace(study, task=dataclasses.replace(study.task, outer_split=number))
            if repeat.name not in studies:
                name = repeat.task.name  # of all methods: rows are counted once
                tasks[name] = tasks.get(name) or repeat_of(fullest(suite, study.task), number, data_dir)
                studies[repeat.name] = dataclasses.replace(repeat, task=tasks[name])
    if len(studies) == len(suite.studies):
        raise BadInput(f"repeats={repeats} adds none to those that are there: choose more, or leave out --repeats.")
    return dataclasses.replace(suite, studies=tuple(studies.values()))


def fullest(suite: Suite, task: Task) -> Task:
    """The repeat of a task with the most validation rows.

    Where rows stay together, some repeats get fewer than was asked for. If all did, further ones get no more.
    """
    repeats = [study.task for study in suite.studies if study.task.base == task.base]
    return max(repeats, key=lambda repeat: repeat.val_rows or 0)


def repeat_of(task: Task, number: int, data_dir: Path) -> Task:
    """Another repeat of a task. Where rows stay together, it may have other numbers of rows."""
    default = count_rows(dataclasses.replace(task, val_rows=None), data_dir).val
    named = None if task.val_rows == default else task.val_rows
    repeat = dataclasses.replace(task, outer_split=number, val_rows=named)
    rows = count_rows(repeat, data_dir)
    return dataclasses.replace(repeat, val_rows=rows.val, overlap=rows.overlap)


def check_unused(run: RunDir) -> None:
    """Raises BadInput if the folder of a run directory without a suite holds other files, or cannot be read."""
    try:
        names = files.names_in(run.path)
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(f"out={str(run.path)!r} cannot be read ({reason}): choose an empty or a new folder.") from error
    if not all(any(fnmatch(name, pattern) for pattern in FILES_BEFORE_SUITE) for name in names):
        raise BadInput(f"out={str(run.path)!r} holds something else: choose an empty or a new folder.")


def check_continues(run: RunDir, suite: Suite) -> Suite:
    """Checks that a suite can run in a run directory: a new one, or one whose suite it continues.

    Args:
        run: the run directory.
        suite: the suite to run. It continues the existing one if at most the budgets `trials` and `final_seeds` differ,
            and are not smaller, or it keeps models and no final run has ended.

    Returns:
        `suite`.

    Raises:
        BadInput: if the folder holds other files or another suite, or the number of trials of a grid would change.
    """
    if not run.exists():
        check_unused(run)
        return suite
    old = run.suite()
    if old.format != suite.format:
        raise BadInput(
            f"out={str(run.path)!r} is of format {old.format}, of version 0.1.0 or before, which derived its seeds "
            "differently: `report` can read it, but to run more, launch into another --out."
        )
    found = suite_differences(old, suite)
    differences = [f"{field} (was {a}, now {b})" for field, a, b in found]
    if found and all(field in MAY_GROW for field, *_ in found):
        raise BadInput(f"{', '.join(differences)} of out={str(run.path)!r} may only grow: choose as many or more.")
    if differences:
        more = f" and {len(differences) - 2} more" if len(differences) > 2 else ""
        raise BadInput(
            f"out={str(run.path)!r} holds another suite; these differ: {'; '.join(differences[:2])}{more}. "
            "Choose another --out, or the same options; only --trials, --final-seeds and --repeats may grow."
        )
    if suite.sampler == "grid" and suite.trials != old.trials:
        raise BadInput(
            f"trials={suite.trials} does not fit out={str(run.path)!r}, which has a grid for trials={old.trials}: "
            f"the points of a grid depend on their number. Choose --trials {old.trials}, or another --out."
        )
    if suite.save_models and not old.save_models:
        check_no_final_run(run, old)
    return dataclasses.replace(suite, save_models=suite.save_models or old.save_models)


def check_no_final_run(run: RunDir, suite: Suite) -> None:
    """Raises BadInput if final runs have ended, whose weights are lost."""
    results = run.results(suite).values()
    if ended := sum(row.phase == "final" for result in results for row in result.rows):
        raise BadInput(
            f"save_models=True comes too late for {plural(ended, 'final run')} in out={str(run.path)!r}: delete the "
            "files final-*.json under its studies/ to train these again, or choose another --out."
        )


def suite_differences(old: Suite, new: Suite) -> list[tuple[str, Any, Any]]:
    """The differences because of which `new` cannot continue `old`: name of the field, old value, new value."""
    differences: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(Suite):
        a, b = getattr(old, field.name), getattr(new, field.name)
        if field.name == "studies":
            differences += study_differences({s.name: s for s in a}, {s.name: s for s in b})
        elif field.name == "claims":
            differences += flat_differences("claims", dataclasses.asdict(a), dataclasses.asdict(b))
        elif field.name in ("identity", "save_models"):
            continue  # identity is compared once the data are there; models may be saved later, see `check_continues`
        elif a > b if field.name in MAY_GROW else a != b:
            differences.append((field.name, a, b))
    return differences


def study_differences(old: dict[str, Study], new: dict[str, Study]) -> list[tuple[str, Any, Any]]:
    added = {name for name in new.keys() - old.keys() if not is_further_repeat(new[name], old)}
    if added or old.keys() - new.keys():
        return [("studies", sorted(old.keys() - new.keys()), sorted(added))]
    differences = []
    for name in old:
        differences += flat_differences(name, dataclasses.asdict(old[name]), dataclasses.asdict(new[name]))
    return differences


def flat_differences(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The differences of two nested mappings, by path."""
    a, b = flatten(old), flatten(new)
    return [(f"{name}: {key}", a.get(key), b.get(key)) for key in sorted(a | b) if a.get(key) != b.get(key)]


def is_further_repeat(study: Study, old: Mapping[str, Study]) -> bool:
    """Whether a study is another repeat of one that exists already.

    Its numbers of rows, and with them the range of k, may differ where rows stay together. A change of `--val-rows` or
    of a method shows in the studies that exist.
    """
    return study.task.overlap is not None and any(
        study.method == other.method and without_repeat(study.task) == without_repeat(other.task)
        for other in old.values()
    )


def without_repeat(task: Task) -> Task:
    return dataclasses.replace(task, outer_split=None, val_rows=None, overlap=None)


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens a nested mapping: its keys become paths joined by dots."""
    items: dict[str, Any] = {}
    for key, value in mapping.items():
        items |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return items
