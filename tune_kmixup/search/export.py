"""Exports the searches of a run directory as Optuna studies, e.g. for Optuna Dashboard and Optuna's plots."""

import errno
import json
import sqlite3
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from tune_kmixup.core.config import Study
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row
from tune_kmixup.core.selection import by_configuration, final_rows, selected, stopped_configurations, validation_score
from tune_kmixup.store.run_dir import Results, RunDir


def export(run: RunDir, to: Path) -> tuple[int, int]:
    """Writes the searches of a run directory to an SQLite file.

    The value of an Optuna trial is the validation error by which configurations are selected. Its user attributes are
    the index in the run directory, the validation NLL, and for the selected configuration the mean test error of its
    final runs. A configuration that was stopped early is PRUNED. A proposal without a result is FAIL with the last line
    of its error, or WAITING.

    Args:
        run: the run directory.
        to: the SQLite file to create.

    Returns:
        Number of studies, and number of trials in all of them.

    Raises:
        BadInput: if `to` exists or cannot be written, its folder does not exist, or the run directory cannot be read.
        OSError: if the disk is full.
    """
    with run.local_copy() as local:
        return write_studies(local, to)


def write_studies(run: RunDir, to: Path) -> tuple[int, int]:
    suite = run.suite()
    if to.exists():
        raise BadInput(f"to={str(to)!r} exists: choose another file, or remove it.")
    if not to.parent.is_dir():
        raise BadInput(f"to={str(to)!r} is in a folder that does not exist: create it, or choose another.")
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # otherwise a line per study
    results = run.results(suite)
    trials = {study: frozen_trials(results[study.name], study, suite.shortlist) for study in suite.studies}
    try:
        # Not by URL: a path may hold characters that have a meaning there.
        storage = optuna.storages.RDBStorage("sqlite:///", engine_kwargs={"creator": partial(sqlite3.connect, to)})
        for study in suite.studies:
            optuna_study = optuna.create_study(storage=storage, study_name=study.name, direction="minimize")
            optuna_study.set_user_attr("task", study.task.name)
            optuna_study.set_user_attr("method", study.method)
            optuna_study.add_trials(trials[study])
    except (sqlite3.Error, SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        to.unlink(missing_ok=True)
        reason = str(error.__cause__ or error).splitlines()[0]
        if "full" in reason:  # "database or disk is full"
            raise OSError(errno.ENOSPC, reason, str(to)) from error
        raise BadInput(f"to={str(to)!r} cannot be written ({reason}): choose another file.") from error
    return len(suite.studies), sum(map(len, trials.values()))


def rung_errors(runs: list[Row]) -> dict[int, float]:
    """Epoch -> validation error of the first seed, at the rungs that a configuration has reached."""
    return {rung.epoch: rung.error for row in runs for rung in row.rungs}


def finished_trial(
    values: Mapping[str, Any], space: Mapping[str, BaseDistribution], runs: list[Row], attributes: Mapping[str, Any]
) -> optuna.trial.FrozenTrial:
    """A configuration with search runs as an Optuna trial: COMPLETE, or PRUNED if it was stopped early."""
    pruned = bool(stopped_configurations(runs))
    return create_trial(
        state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
        params=dict(values),
        distributions=dict(space),
        value=runs[0].val_error if pruned else validation_score(runs)[0],
        intermediate_values=rung_errors(runs),
        user_attrs=dict(attributes),
    )


def frozen_trials(results: Results, study: Study, shortlist: int) -> list[optuna.trial.FrozenTrial]:
    """The proposals of a study as Optuna trials, in order."""
    space = {name: json_to_distribution(json.dumps(value)) for name, value in study.space.items()}
    rows, failures = results.rows, results.failures
    finished, best = by_configuration(rows), selected(rows, shortlist)
    trials = []
    for index, values in results.proposals.items():
        attributes: dict[str, float | int | str | None] = {"index": index}
        if index in finished:
            if index not in stopped_configurations(finished[index]):
                nll = validation_score(finished[index])[1]
                attributes["validation NLL"] = nll if nll < float("inf") else None
            finals = final_rows(rows, shortlist) if index == best else []
            if test_errors := [row.test_error for row in finals if row.test_error is not None]:
                attributes["test error of final runs"] = sum(test_errors) / len(test_errors)
            trial = finished_trial(values, space, finished[index], attributes)
        elif (name := f"search-{index:04d}") in failures:
            attributes["error"] = failures[name]
            trial = create_trial(params=values, distributions=space, state=TrialState.FAIL, user_attrs=attributes)
        else:
            trial = create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": values}, user_attrs=attributes)
        trials.append(trial)
    return trials
