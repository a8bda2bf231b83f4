"""Exports the searches of a run directory as Optuna studies, e.g. for Optuna Dashboard and Optuna's plots.

The best trial of an exported study is the configuration that the report selects. See `exported_trials`.
"""

import errno
import math
import re
import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from tune_kmixup.core.config import SelectBy, Study, Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row, mean_curve
from tune_kmixup.core.selection import (
    SELECTED_BY,
    by_configuration,
    final_rows,
    ranking,
    rung_scores,
    selected,
    stopped_configurations,
    validation_score,
)
from tune_kmixup.search.samplers import space_of
from tune_kmixup.store.run_dir import Results, RunDir

TIE_BREAK = 1e-12  # less than any difference between two scores that is more than rounding
VALUE = (
    "mean {} over the runs of a configuration, in its search and on the shortlist; "
    f"{TIE_BREAK} more if it ties with the best trial"
)
STOPPED = "stopped early"
NOT_FINITE = "its value is not finite"
NOT_COMPARED = "below the best trial only because it was not compared on the shortlist, or is no longer on it"
UNKNOWN_TIME = datetime(1970, 1, 1)  # of failed trials: no file says when one failed, and Optuna wants times


def export(run: RunDir, to: str) -> tuple[int, int]:
    """Writes the searches of a run directory into an Optuna storage.

    Args:
        run: the run directory.
        to: the SQLite file to create, or the URL of an Optuna storage, such as `sqlite:///FILE` or `postgresql://...`.
            A storage may hold other studies.

    Returns:
        Number of studies, and number of trials in all of them.

    Raises:
        BadInput: if `to` is a file that exists, its folder does not exist, the storage holds a study of the same name,
            or cannot be opened or written, or the run directory cannot be read.
        OSError: if the disk is full.
    """
    suite = run.suite()
    results = run.results(suite)
    check_file(to)
    trials = {study: exported_trials(results[study.name], study, suite) for study in suite.studies}
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # otherwise a line per study
    storage = open_storage(to)
    written: list[str] = []
    try:
        there = optuna.get_all_study_names(storage)
        if taken := [study.name for study in suite.studies if study.name in there]:
            raise BadInput(f"to={without_password(to)!r} has a study {taken[0]}: choose another, or delete it there.")
        for study in suite.studies:
            optuna_study = optuna.create_study(storage=storage, study_name=study.name, direction="minimize")
            written.append(study.name)
            write_study(optuna_study, study, trials[study], run, SELECTED_BY[suite.select_by])
    except (sqlite3.Error, SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        for name in written:
            with suppress(Exception):  # what has failed may fail again
                optuna.delete_study(study_name=name, storage=storage)
        raise failure(to, error) from error
    return len(suite.studies), sum(map(len, trials.values()))


def write_study(
    optuna_study: optuna.Study, study: Study, trials: Sequence[FrozenTrial], run: RunDir, score: str
) -> None:
    attributes = {"task": study.task.name, "method": study.method, "run directory": str(run.path)}
    attributes["value"] = VALUE.format(score)
    for name, text in attributes.items():
        optuna_study.set_user_attr(name, text)
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        optuna_study.set_metric_names([score])
    optuna_study.add_trials(trials)


# The storage


def is_url(to: str) -> bool:
    return "://" in to


def without_password(to: str) -> str:
    """The URL of a storage as it may be printed."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", to)


def check_file(to: str) -> None:
    """Raises BadInput if a file cannot be created because of its name."""
    if is_url(to):
        return
    if Path(to).exists():
        raise BadInput(f"to={to!r} exists: choose another file, or remove it.")
    if not Path(to).parent.is_dir():
        raise BadInput(f"to={to!r} is in a folder that does not exist: create it, or choose another.")


def open_storage(to: str) -> RDBStorage:
    """Opens a database, and creates its tables if it has none. Raises what `failure` returns."""
    try:
        if is_url(to):
            return RDBStorage(to)
        # Not by URL: a path may hold characters that have a meaning there.
        return RDBStorage("sqlite:///", engine_kwargs={"creator": partial(new_database, to)})
    except Exception as error:  # SQLAlchemy and the drivers of databases raise many types
        raise failure(to, error) from error


def new_database(to: str) -> sqlite3.Connection:
    """Opens a database that does not wait for the disk after each trial. It can be exported again."""
    connection = sqlite3.connect(to)
    connection.execute("PRAGMA synchronous=OFF")
    return connection


def failure(to: str, error: Exception) -> Exception:
    """What to raise if a storage cannot be opened or written. A file is removed: it is half written."""
    if not is_url(to):
        Path(to).unlink(missing_ok=True)
    reason = f"{error.__cause__ or error}".strip().partition("\n")[0]
    if "full" in reason:  # "database or disk is full"
        return OSError(errno.ENOSPC, reason, without_password(to))
    return BadInput(
        f"to={without_password(to)!r} cannot be written ({reason}): choose another file, or the URL of a database such "
        "as sqlite:///optuna.db or postgresql://HOST/NAME, whose driver is installed."
    )


# The trials


def exported_trials(results: Results, study: Study, suite: Suite) -> list[FrozenTrial]:
    """The proposals of a study as Optuna trials, in order.

    The value of a trial is the score by which the suite selects, over the runs that its selection can take into
    account: those of the search and of the shortlist. Intermediate values are the same after each epoch, with curves of
    this score, or else the scores of the first seed at its rungs. Times are those of the search.

    Optuna and its dashboard call the COMPLETE trial with the smallest value the best one. That has to be the one that
    is selected; before there is one, the first of the search. So a trial that ties with it has `TIE_BREAK` added to its
    value. A trial outside the shortlist may have a smaller value: it has fewer runs, and was lucky. It is PRUNED, as
    one that was stopped early is or whose value is not finite, and its user attribute `pruned` says why. A proposal
    without a result is FAIL with the last line of its error, or WAITING.

    Args:
        results: what the study has proposed and finished.
        study: the study.
        suite: its suite.
    """
    rows, stopped, by = results.rows, stopped_configurations(results.rows), suite.select_by
    chosen = selected(rows, suite.shortlist, by)
    best = next(iter(ranking(rows, by)), None) if chosen is None else chosen
    runs = by_configuration(rows)
    for row in rows:
        if row.phase == "shortlist" and row.trial in runs:
            runs[row.trial].append(row)
    least = None if best is None else validation_score(runs[best], by)[0]
    space = space_of(study)
    trials = []
    for index, values in results.proposals.items():
        attributes: dict[str, Any] = {"index": index}
        if index in runs:
            value = validation_score(runs[index], by)[0]
            if index == chosen:
                attributes |= {"selected": True} | final_attributes(final_rows(rows, suite.shortlist, by))
            if index in stopped:
                attributes["pruned"] = STOPPED
            elif math.isinf(value) and index != best:
                attributes["pruned"] = NOT_FINITE
            elif least is not None and value < least:
                attributes["pruned"] = NOT_COMPARED
            elif value == least and index != best:
                value = max(value + TIE_BREAK, math.nextafter(value, math.inf))  # an NLL may be large
            trial = trained_trial(values, space, runs[index], value, attributes, by)
        elif (name := f"search-{index:04d}") in results.failures:
            attributes["error"] = results.failures[name]
            trial = create_trial(params=values, distributions=space, state=TrialState.FAIL, user_attrs=attributes)
            trial.datetime_start = trial.datetime_complete = UNKNOWN_TIME
        else:
            trial = create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": values}, user_attrs=attributes)
        trials.append(trial)
    return trials


def trained_trial(
    values: Mapping[str, Any],
    space: Mapping[str, BaseDistribution],
    runs: Sequence[Row],
    value: float,
    attributes: Mapping[str, Any],
    by: SelectBy,
) -> FrozenTrial:
    """A configuration that was trained, as a PRUNED trial if its attributes say why, else as a COMPLETE one."""
    nll = validation_score(runs, by)[1]
    scores = {"runs": len(runs), "validation NLL": nll if nll < float("inf") else None}
    curve = mean_curve(row.val_error_by_epoch for row in runs) if by == "error" else {}
    trial = create_trial(
        state=TrialState.PRUNED if "pruned" in attributes else TrialState.COMPLETE,
        params=dict(values),
        distributions=dict(space),
        value=value,
        intermediate_values=curve or rung_scores(runs),
        user_attrs={**attributes, **scores},
    )
    trial.datetime_start, trial.datetime_complete = times([row for row in runs if row.phase == "search"])
    return trial


def final_attributes(finals: Sequence[Row]) -> dict[str, float]:
    errors = [row.test_error for row in finals if row.test_error is not None]
    return {"test error of final runs": sum(errors) / len(errors)} if errors else {}


def times(runs: Sequence[Row]) -> tuple[datetime, datetime]:
    """Start and end of the search of a configuration, in local time as Optuna has it.

    Runs that were trained together started together, and their seconds are shares of one time. A search that was
    interrupted ends as if it had gone on at once.
    """
    seconds: dict[float, float] = {}
    for row in runs:
        if row.started is None:
            return UNKNOWN_TIME, UNKNOWN_TIME
        seconds[row.started] = seconds.get(row.started, 0) + row.seconds
    ends = [start + duration for start, duration in seconds.items()]
    return datetime.fromtimestamp(min(seconds)), datetime.fromtimestamp(max(ends))
