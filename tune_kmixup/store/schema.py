"""What each file of a run directory and of a report must hold: one schema per kind of file.

A file may come from another machine, a later version, an editor, or a disk that fails. What does not fit is refused
with field, value and rule, before anything is computed from it.
"""

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

from tune_kmixup.core import asha, bitset
from tune_kmixup.core.checks import KINDS, MOST, is_of_kind, shown
from tune_kmixup.core.config import MAX_ROWS, NAME_PATTERN, Configuration, Phase, Recipe, Study, Suite, configuration
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import COLUMNS, Row
from tune_kmixup.core.space import contains_value

MAX_DEPTH = 20  # of nested lists and objects; a suite has 7
MAX_WHOLE = 2**63  # of whole numbers, whose absolute value is smaller
MAX_TIME = 2.0**33  # Unix time: the year 2242
ROUNDING = 1e-6  # by which a mean may leave its range

STATUSES = ("ok", "diverged", "stopped")
SETTINGS = ("alpha", "k", "lr", "weight_decay", "epochs", "batch_size", "cost")  # columns that a configuration fixes


def parse(content: bytes) -> Any:
    """Reads JSON as the standard has it.

    Raises:
        ValueError: for anything else, such as NaN and lone surrogates; for deep nesting and huge numbers.
    """
    try:
        value = json.loads(content.decode(), parse_constant=refuse_constant)
        check_plain(value)
    except RecursionError as error:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep") from error
    return value


def refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def check_plain(value: Any, depth: int = 0) -> None:
    """Checks what the grammar of JSON allows, and no file of ours holds."""
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    if isinstance(value, str):
        if not value.isascii():
            value.encode()  # raises for lone surrogates
    elif isinstance(value, dict):
        for name, item in value.items():
            check_plain(name, depth)
            check_plain(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            check_plain(item, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("it holds a number above 1.8e308")
    elif isinstance(value, int) and abs(value) >= MAX_WHOLE:
        raise ValueError(f"it holds a whole number of {len(str(abs(value)))} digits")


@dataclass(frozen=True)
class Field:
    """What one field of a record may hold.

    Attributes:
        kind: bool, int, float or str. A float is finite and may be a whole number. Text has no control characters.
        low: smallest number.
        high: largest number.
        choices: the texts that are allowed; empty: any.
        optional: whether it may be missing, or null.
    """

    kind: type
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    optional: bool = False

    def check(self, name: str, value: object) -> None:
        """Raises BadInput if a value does not fit."""
        if value is None and self.optional:
            return
        if is_of_kind(value, self.kind):
            if isinstance(value, str):
                fits = value in self.choices if self.choices else value.isprintable()
            else:
                fits = self.low <= value <= self.high  # type: ignore[operator]
            if fits:
                return
        raise BadInput(f"{name}={shown(value)} is not {self.rule}")

    @property
    def rule(self) -> str:
        if self.kind is str:
            return f"one of {', '.join(self.choices)}" if self.choices else "text without control characters"
        limits = ((self.low, "≥"), (self.high, "≤"))
        return " ".join([KINDS[self.kind], *(f"{sign} {limit:g}" for limit, sign in limits if math.isfinite(limit))])


def check_record(content: Any, schema: Mapping[str, Field]) -> None:
    """Checks the fields of a JSON object, which may have others too. Raises BadInput for the first that is wrong."""
    if not isinstance(content, dict):
        raise BadInput(f"it holds {shown(content)} instead of named fields")
    for name, field in schema.items():
        if name in content:
            field.check(name, content[name])
        elif not field.optional:
            raise BadInput(f"{name} is missing")


# Notes: what a launch can write again

TIME = Field(float, 0, MAX_TIME)
HOLDER = {"host": Field(str), "pid": Field(int, 1, 2**31 - 1), "since": TIME}
LEASE = HOLDER | {"updated": TIME, "by": Field(str, optional=True)}
PERIOD = {"since": TIME, "updated": TIME, "slots": Field(float, 0, MOST)}
HEARTBEAT = HOLDER | PERIOD | {"ended": Field(bool)}
OPTION = re.compile("--(address|cpus-per-trial|gpus-per-trial|max-concurrent|batch-seeds|log-to)=.+")
RUNNING = {"since": TIME, "seeds": Field(int, 1, MOST)}


def check_holder(content: Any) -> None:
    """holder.json: the launch that holds a directory on disk."""
    check_record(content, HOLDER)


def check_lease(content: Any) -> None:
    """launch.lock in an object store."""
    check_record(content, LEASE)


def check_heartbeat(content: Any) -> None:
    """launch.json."""
    check_record(content, HEARTBEAT)
    for running in named(content.get("running", {}), "running").values():
        check_record(running, RUNNING)
    earlier, options = content.get("earlier", []), content.get("options", [])
    if not isinstance(options, list):
        raise BadInput(f"options={shown(options)} is not a list")
    for option in options:
        Field(str).check("option", option)
        if not OPTION.fullmatch(option):
            raise BadInput(f"option={shown(option)} is none that a launch repeats")
    if not isinstance(earlier, list):
        raise BadInput(f"earlier={shown(earlier)} is not a list")
    for period in (content, *earlier):
        check_record(period, PERIOD)
        for share in named(period.get("shares", {}), "shares").values():
            Field(float, 0, 1).check("shares", share)


def check_speedups(content: Any) -> None:
    """speedups.json: task -> number of seeds -> ratio."""
    for sizes in named(content, "it").values():
        for seeds, ratio in named(sizes, "seeds").items():
            check_digits(seeds)
            Field(float, 0, MOST).check("speedup", ratio)


def check_memory(content: Any) -> None:
    """memory.json: bytes of a GPU -> task -> number of seeds -> bytes."""
    for gpu, tasks in named(content, "it").items():
        check_digits(gpu)
        for sizes in named(tasks, "tasks").values():
            for seeds, need in named(sizes, "seeds").items():
                check_digits(seeds)
                Field(int, 0, optional=True).check("memory", need)


def check_failure(content: Any) -> None:
    """<trial>.failed.json. An error may hold any character: it is escaped where it is shown."""
    if not isinstance(content, dict) or not isinstance(content.get("error"), str):
        raise BadInput("it holds no error")


def named(content: Any, name: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise BadInput(f"{name}={shown(content)} is not an object of named fields")
    return content


def check_digits(text: str) -> None:
    if not re.fullmatch("[1-9][0-9]{0,17}", text):
        raise BadInput(f"{shown(text)} is not a whole number")


LAUNCH = {"name": Field(str), "busy": Field(float, 0, 1, optional=True)}  # an entry of a report's launches.json


# Proposals


def check_proposal(content: Any, study: Study) -> dict[str, Any]:
    """The values of a configuration: all free coordinates of the study, each in its range.

    Returns:
        Free coordinate -> value.

    Raises:
        BadInput: if the content is something else.
    """
    values = content.get("values") if isinstance(content, dict) else None
    if not isinstance(values, dict):
        raise BadInput("it holds no values")
    if values.keys() != study.space.keys():
        raise BadInput(f"values={shown(values)} are not those of {', '.join(study.space) or 'no coordinate'}")
    check_values(values, study)
    configuration(study.task.recipe, values)
    return values


def check_values(values: Mapping[str, Any], study: Study) -> None:
    for name, value in values.items():
        if not contains_value(study.space[name], value):
            raise BadInput(f"{name}={shown(value)} is not in its range in suite.json")


# Rows

SHARE = (-ROUNDING, 1 + ROUNDING)
POSITIVE = (-ROUNDING, math.inf)
REQUIRED = ("task", "method", "phase", "trial", "alpha", "k", "epochs", "seed", "status", "val_error", "seconds")
RANGES = {
    "outer_split": (0, MOST),
    "train_rows": (1, MAX_ROWS),
    "trial": (0, MOST),
    "alpha": (0, math.inf),
    "k": (1, MOST),
    "lr": (0, math.inf),
    "weight_decay": (0, math.inf),
    "epochs": (1, MOST),
    "batch_size": (1, MOST),
    "train_loss": POSITIVE,
    "val_nll": POSITIVE,
    "test_nll": POSITIVE,
    "val_brier": (-ROUNDING, 2 + ROUNDING),
    "test_brier": (-ROUNDING, 2 + ROUNDING),
    "test_rows": (1, MAX_ROWS),
    "matched_distance": POSITIVE,
    "perturbation": POSITIVE,
    "batched": (1, MOST),
    "seconds": (0, MAX_TIME),
    "pairing_seconds": (0, MAX_TIME),
    "started": (0, MAX_TIME),
}
CHOICES = {"phase": get_args(Phase), "status": STATUSES}
LATE_COLUMNS = ("shared_test", "data", "loaded", "numerics")  # earlier versions wrote none
NAMES = ("suite", "dataset", "architecture", "method")


def column_field(name: str) -> Field:
    """What a column of `core.rows.COLUMNS` may hold."""
    kind = {"bool": bool, "int": int, "float": float, "str": str}[COLUMNS[name][0]]
    is_share = re.search("_error|_ece|_share$|_gradient$", name)
    low, high = RANGES.get(name, SHARE if is_share else (-math.inf, math.inf))
    return Field(kind, low, high, CHOICES.get(name, ()), name not in REQUIRED)


ROW = {name: column_field(name) for name in COLUMNS}


def check_row(row: Any) -> None:
    """Checks the columns of one row by themselves. Columns that are unknown may hold any text or number.

    Raises:
        BadInput: for the first column that does not fit.
    """
    check_record(row, ROW)
    for name in row.keys() - ROW.keys():
        Field(str).check("column", name)
        if not isinstance(row[name], str | int | float | None):
            raise BadInput(f"{name}={shown(row[name])} is no text or number")
    for name in NAMES:
        if row.get(name) is not None and not NAME_PATTERN.fullmatch(row[name]):
            raise BadInput(f"{name}={shown(row[name])} is no name of lower-case letters, digits, '_', '-' and '.'")
    for name, check in PACKED.items():
        if row.get(name) is not None:
            try:
                check(row)
            except (ValueError, ArithmeticError) as error:
                raise BadInput(f"{name}={shown(row[name])} does not fit: {error}") from error
    if (row["phase"] == "final") != (row.get("test_error") is not None):
        raise BadInput(
            f"test_error={row.get('test_error')} does not fit phase={row['phase']}: final runs alone have it"
        )


def check_rungs(row: Row) -> None:
    for epoch, error in asha.parse_rungs(row["rungs"]).items():
        Field(int, 1, MOST).check("epoch", epoch)
        Field(float, *SHARE).check("error", error)


def check_class_errors(row: Row) -> None:
    for error in row["test_error_by_class"].split():
        if error != "nan":
            Field(float, *SHARE).check("error", float(error))


def check_reliability(row: Row) -> None:
    for part in row["test_reliability"].split():
        rows, confidence, accuracy = part.split(":")
        Field(int, 1, MAX_ROWS).check("rows", int(rows))
        for share in (confidence, accuracy):
            Field(float, *SHARE).check("share", float(share))


def check_wrong(row: Row) -> None:
    """The bits must be as many as the test rows, and as many of them set as the test error says."""
    count, packed = bitset.decode(row["test_wrong"])
    if count == row.get("test_rows") and row.get("test_error") is not None:
        wrong = int.from_bytes(packed, "big").bit_count()
        if abs(wrong - row["test_error"] * count) > 0.01:
            raise ValueError(f"{wrong} of {count} rows are wrong, and test_error is {row['test_error']:.6g}")


PACKED = {
    "rungs": check_rungs,
    "test_error_by_class": check_class_errors,
    "test_reliability": check_reliability,
    "test_wrong": check_wrong,
}


class StudyRows:
    """Checks the rows of one study against its suite.

    Args:
        suite: the suite.
        study: one of its studies.
    """

    def __init__(self, suite: Suite, study: Study):
        self.suite, self.study = suite, study
        task = study.task
        self.seeds = {phase: suite.seeds(study, phase) for phase in get_args(Phase)}
        self.identity = {
            "task": task.base,
            "dataset": task.population,
            "architecture": task.architecture,
            "outer_split": task.outer_split,
            "shared_test": task.overlap is not None,
            "method": study.method,
        }
        if suite.identity.numerics:  # otherwise nothing is known
            self.identity |= {**suite.identity.columns(task.dataset), "numerics": suite.identity.numerics}

    def check_index(self, index: int) -> None:
        """Raises BadInput if the suite searches no configuration of this number."""
        count = self.suite.trial_count(self.study)
        if self.suite.format == 1 and self.study.space:
            count = self.suite.trials  # it tried the values of a finite search space more than once
        if index >= count:
            raise BadInput(f"trial={index} is not one of the {count} configurations that suite.json searches")

    def check_trial(self, rows: Sequence[Row], phase: str, index: int, values: Mapping[str, Any]) -> None:
        """Checks the rows of one phase of one configuration.

        Args:
            rows: rows that fit `check_row`.
            phase: search, shortlist or final.
            index: number of the configuration.
            values: free coordinate -> value.

        Raises:
            BadInput: if a row does not fit, or there are too few or too many. Final runs may be any of the seeds.
        """
        self.check_index(index)
        chosen = configuration(self.study.task.recipe, values)
        for row in rows:
            self.check_identity(row, {"phase": phase, "trial": index})
            self.check_settings(row, chosen)
        seeds = [row["seed"] for row in rows]
        expected = self.seeds[phase]
        for seed in seeds:
            if seed not in expected:
                raise BadInput(f"seed={seed} is not a seed of phase={phase} in suite.json")
        if len(set(seeds)) < len(seeds):
            raise BadInput(f"seed={next(seed for seed in seeds if seeds.count(seed) > 1)} is there twice")
        if not rows:
            raise BadInput("it holds no rows")
        if any(row["status"] == "stopped" for row in rows):
            expected = expected[:1]
        if phase != "final" and set(seeds) != set(expected):
            raise BadInput(f"it holds {len(seeds)} rows instead of {len(expected)}, one per seed of phase={phase}")

    def check_identity(self, row: Row, position: Mapping[str, Any]) -> None:
        for name, expected in {**self.identity, **position}.items():
            missing = name not in row or (name in LATE_COLUMNS and row[name] is None)
            if not missing and row[name] != expected:
                raise BadInput(
                    f"{name}={shown(row[name])} does not fit its place and suite.json, which say {expected!r}"
                )

    def check_settings(self, row: Row, chosen: Configuration) -> None:
        """The columns that follow from the values of the configuration and from the recipe."""
        stopped = row["status"] == "stopped"
        if stopped and (self.suite.scheduler == "none" or row["phase"] != "search"):
            raise BadInput("status='stopped' does not fit: nothing is stopped there")
        for name in SETTINGS:
            expected = getattr(chosen, name) if name in ("alpha", "k") else getattr(chosen.recipe, name)
            value = row.get(name)
            fits = value is None or value == expected or (stopped and name == "epochs" and value < expected)
            if not fits:
                raise BadInput(f"{name}={shown(value)} does not fit its configuration and suite.json: {expected!r}")

    def values_of(self, row: Row) -> dict[str, Any]:
        """The values of a configuration, as far as a row of it tells. Raises BadInput if they are out of range."""
        known: dict[str, Any] = {"alpha": row.get("alpha"), "k": row.get("k")}
        known |= {field.name: row[field.name] for field in fields(Recipe) if row.get(field.name) is not None}
        if row["status"] == "stopped":  # its epochs are those that it was trained
            known.pop("epochs")
        if isinstance(known["k"], int) and known["k"] > 0:
            known["log2_k"] = known["k"].bit_length() - 1
        values = {name: known[name] for name in self.study.space if name in known}
        check_values(values, self.study)
        return values

    def check_table(self, rows: Collection[Row]) -> None:
        """Checks all rows of the study, in a table without proposals.

        Args:
            rows: rows that fit `check_row`.

        Raises:
            BadInput: see `check_trial`.
        """
        trials: dict[tuple[str, int], list[Row]] = {}
        for row in rows:
            trials.setdefault((row["phase"], row["trial"]), []).append(row)
        values: dict[int, dict[str, Any]] = {}
        for (phase, index), runs in trials.items():
            values.setdefault(index, self.values_of(runs[0]))
            self.check_trial(runs, phase, index, values[index])
