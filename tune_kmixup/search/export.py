"""The searches of a run directory as Optuna studies: for its dashboard, its plots, its importances."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import TrialState, create_trial

from tune_kmixup.core import asha
from tune_kmixup.core.config import Study
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row
from tune_kmixup.core.selection import by_configuration, final_rows, ranking, score, stopped
from tune_kmixup.store.run_dir import RunDir


def export(run: RunDir, to: Path) -> tuple[int, int]:
    """Writes the SQLite file `to`; gives the numbers of studies and trials.

    A trial's value is the validation error by which configurations are selected. Its attributes: the index in the run
    directory, the validation NLL, and, for the selected one, the test error of its final runs. One that was stopped
    early is PRUNED. Proposals without a result are WAITING, or FAIL with the last line of their error. Raises BadInput
    where `to` exists.
    """
    with run.local_copy() as here:
        return write_studies(here, to)


def write_studies(run: RunDir, to: Path) -> tuple[int, int]:
    suite = run.suite()
    if to.exists():
        raise BadInput(f"to={str(to)!r} exists: choose another file, or remove it.")
    if not to.parent.is_dir():
        raise BadInput(f"to={str(to)!r} is in a folder that there is not: make it, or choose another.")
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # else a line per study
    storage = optuna.storages.RDBStorage(f"sqlite:///{to}")
    trials = 0
    for study in suite.studies:
        made = optuna.create_study(storage=storage, study_name=study.name, direction="minimize")
        made.set_user_attr("task", study.task.name)
        made.set_user_attr("method", study.method)
        found = frozen_trials(run, study)
        made.add_trials(found)
        trials += len(found)
    return len(suite.studies), trials


def rung_errors(runs: list[Row]) -> dict[int, float]:
    """epoch -> validation error of the first seed, at the rungs that a configuration has reached."""
    return {epoch: error for row in runs for epoch, error in asha.parse_rungs(row.get("rungs")).items()}


def finished_trial(
    values: Mapping[str, Any], space: Mapping[str, BaseDistribution], runs: list[Row], attributes: Mapping[str, Any]
) -> optuna.trial.FrozenTrial:
    """A configuration with search runs: COMPLETE with its score, or PRUNED with its error where it was stopped."""
    early = bool(stopped(runs))
    return create_trial(
        state=TrialState.PRUNED if early else TrialState.COMPLETE,
        params=dict(values),
        distributions=dict(space),
        value=runs[0]["val_error"] if early else score(runs)[0],
        intermediate_values=rung_errors(runs),
        user_attrs=dict(attributes),
    )


def frozen_trials(run: RunDir, study: Study) -> list[optuna.trial.FrozenTrial]:
    """The proposals of a study, in order."""
    space = {name: json_to_distribution(json.dumps(value)) for name, value in study.space.items()}
    rows, failures = run.rows(study.name), run.failures(study.name)
    done, best = by_configuration(rows), ranking(rows)[:1]
    found = []
    for index, values in run.proposals(study.name).items():
        attributes: dict[str, float | int | str | None] = {"index": index}
        if index in done:
            if index not in stopped(done[index]):
                nll = score(done[index])[1]
                attributes["validation NLL"] = nll if nll < float("inf") else None
            finals = [row["test_error"] for row in final_rows(rows)] if index in best else []
            if finals:
                attributes["test error of final runs"] = sum(finals) / len(finals)
            trial = finished_trial(values, space, done[index], attributes)
        elif (name := f"search-{index:04d}") in failures:
            attributes["error"] = failures[name]
            trial = create_trial(params=values, distributions=space, state=TrialState.FAIL, user_attrs=attributes)
        else:
            trial = create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": values}, user_attrs=attributes)
        found.append(trial)
    return found
