"""What each file of a run directory and of a report must hold: one schema per kind of file.

A file may come from another machine, a later version, an editor, or a disk that fails. What does not fit is refused
with field, value and rule, before anything is computed from it.
"""

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args

from tune_kmixup.core.checks import MOST, shown
from tune_kmixup.core.config import Phase, Study, Suite
from tune_kmixup.core.coordinates import SETTINGS, Configuration, configuration, values_in
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.fields import MAX_TIME, Field
from tune_kmixup.core.rows import Row

MAX_DEPTH = 20  # of nested lists and objects; a suite has 7
MAX_WHOLE = 2**63  # of whole numbers, whose absolute value is smaller


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
HOLDER = {"host": Field(str), "pid": Field(int, 1, 2**31 - 1), "since": TIME, "updated": TIME}
PERIOD = {
    "since": TIME,
    "updated": TIME,
    "slots": Field(float, 0, MOST),
    "slot_seconds": Field(float, 0, optional=True),  # launches of long ago had the same slots all the time
}
HEARTBEAT = HOLDER | PERIOD | {"ended": Field(bool)}
# The options of a launch that `resume` repeats: the fields of `planning.resources.Resources`, and the loggers. Others
# are refused, as `status` prints them for people to paste.
REPEATED = ("address", "cpus_per_trial", "gpus_per_trial", "max_concurrent", "wait", "batch_seeds", "log_to")
OPTION = re.compile(f"--({'|'.join(REPEATED).replace('_', '-')})=.+")
RUNNING = {"since": TIME, "seeds": Field(int, 1, MOST), "share": Field(float, 0, 1, optional=True)}


def check_holder(content: Any) -> None:
    """holder.json on disk, and launch-N.lock in an object store."""
    check_record(content, HOLDER | {"by": Field(str, optional=True)})


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
        if value not in study.distributions[name]:
            raise BadInput(f"{name}={shown(value)} is not in its range in suite.json")


# Rows

LATE_COLUMNS = ("shared_test", "data", "loaded", "numerics")  # earlier versions wrote none


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
        self.identity = task.columns | {"method": study.method}
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
            rows: the rows.
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
            if self.suite.select_by == "balanced_error" and row.val_balanced_error is None:
                raise BadInput("val_balanced_error is missing, by which suite.json selects")
        seeds = [row.seed for row in rows]
        expected = self.seeds[phase]
        for seed in seeds:
            if seed not in expected:
                raise BadInput(f"seed={seed} is not a seed of phase={phase} in suite.json")
        if len(set(seeds)) < len(seeds):
            raise BadInput(f"seed={next(seed for seed in seeds if seeds.count(seed) > 1)} is there twice")
        if not rows:
            raise BadInput("it holds no rows")
        if any(row.status == "stopped" for row in rows):
            expected = expected[:1]
        if phase != "final" and set(seeds) != set(expected):
            raise BadInput(f"it holds {len(seeds)} rows instead of {len(expected)}, one per seed of phase={phase}")

    def check_identity(self, row: Row, position: Mapping[str, Any]) -> None:
        for name, expected in {**self.identity, **position}.items():
            value = getattr(row, name)
            missing = name in LATE_COLUMNS and (value is None or (value == () and row.numerics is None))
            if value != expected and not missing:
                raise BadInput(f"{name}={shown(value)} does not fit its place and suite.json, which say {expected!r}")

    def check_settings(self, row: Row, chosen: Configuration) -> None:
        """The columns that follow from the values of the configuration and from the recipe."""
        stopped = row.status == "stopped"
        if stopped and (self.suite.scheduler == "none" or row.phase != "search"):
            raise BadInput("status='stopped' does not fit: nothing is stopped there")
        for name, expected in chosen.columns.items():
            value = getattr(row, name)
            fits = value is None or value == expected or (stopped and name == "epochs" and value < expected)
            if not fits:
                raise BadInput(f"{name}={shown(value)} does not fit its configuration and suite.json: {expected!r}")

    def values_of(self, row: Row) -> dict[str, Any]:
        """The values of a configuration, as far as a row of it tells. Raises BadInput if they are out of range."""
        columns = {name: getattr(row, name) for name in SETTINGS}
        if row.status == "stopped":  # its epochs are those that it was trained
            del columns["epochs"]
        values = values_in(columns, self.study.space)
        for name, value in values.items():  # rows and tables hold 1.0 for a whole number of a coordinate like alpha
            if isinstance(value, float) and value.is_integer() and value not in self.study.distributions[name]:
                values[name] = int(value)
        check_values(values, self.study)
        return values

    def check_table(self, rows: Collection[Row]) -> None:
        """Checks all rows of the study, in a table without proposals.

        Args:
            rows: the rows.

        Raises:
            BadInput: see `check_trial`.
        """
        trials: dict[tuple[str, int], list[Row]] = {}
        for row in rows:
            trials.setdefault((row.phase, row.trial), []).append(row)
        values: dict[int, dict[str, Any]] = {}
        for (phase, index), runs in trials.items():
            values.setdefault(index, self.values_of(runs[0]))
            self.check_trial(runs, phase, index, values[index])
