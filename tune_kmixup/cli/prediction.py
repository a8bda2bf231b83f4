"""The models that a launch has kept: which one to use, and the command `predict`."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from tune_kmixup.analysis.best import Best, best, validation_scores
from tune_kmixup.analysis.load import load as load_runs
from tune_kmixup.analysis.load import study_name
from tune_kmixup.analysis.report.formats import format_percent, method_label
from tune_kmixup.cli.launching import load_plugins
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.selection import SELECTED_BY, final_rows
from tune_kmixup.core.text import plural
from tune_kmixup.data.inputs import FILES, UNKNOWN, UNLABELLED, NewRows, read_rows
from tune_kmixup.store import files
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.training.model import Model, load_networks


def load_model(
    run: str | Path, task: str | None = None, method: str | None = None, *, load: Iterable[str | Path] = ()
) -> Model:
    """Loads the tuned model of a task from the run directory of a launch with `save_models=True`.

    It consists of the networks of all final seeds of one outer split: that of the configuration which `best` shows.

        model = tune_kmixup.load_model("runs/wine")
        model.predict("new.csv"), model.predict_proba(table), model.classes, model.networks

    Args:
        run: the run directory: a folder, or a URL.
        task: name of a task, without its outer split; None: the only one.
        method: name of a method; None: the one that is best on validation rows, by the score that the suite selects by.
        load: Python files that define networks; empty: those of the launch, where they were.

    Raises:
        BadInput: if there is no such model, or its files cannot be read.
    """
    run_dir = RunDir(run)
    return load_chosen(run_dir, choose(run_dir, task, method), load)


def choose(run: RunDir, task: str | None, method: str | None) -> Best:
    """The configuration whose networks are used. Test rows have no say in it."""
    if not run.suite().save_models:
        raise BadInput(
            f"run_dir={str(run.path)!r} keeps no models: launch with --save-models. If final runs have ended, it says "
            "how to train them again."
        )
    runs = load_runs([run.path])
    found = best(runs, task, method)
    if len(tasks := {one.task for one in found}) > 1:
        raise BadInput(f"task={task!r} leaves {len(tasks)} tasks: choose one of {', '.join(sorted(tasks))}.")
    if len(found) > 1:
        lowest = next(iter(validation_scores(runs, found[0].task)))
        found = [one for one in found if one.method == lowest]
    return found[0]


def load_chosen(run: RunDir, chosen: Best, load: Iterable[str | Path] = ()) -> Model:
    """The networks of all final seeds of a configuration."""
    suite = run.suite()
    plugins = load_plugins([Path(path) for path in load] or [Path(path) for path in suite.identity.load])
    if plugins.fingerprints() != suite.identity.loaded:
        paths = ", ".join(plugins.paths) or "none"
        raise BadInput(f"load={paths} is not what run_dir={str(run.path)!r} was trained with: restore the files.")
    study = study_name(chosen.task, chosen.outer_split, chosen.method)
    with run.local_copy() as local:
        rows = final_rows(local.study_results(suite, suite.study(study)).rows, suite.shortlist, suite.select_by)
    rows = [row for row in rows if row.status == "ok"]
    if not rows:
        raise BadInput(f"study={study!r} has no final run that did not diverge: choose another --method.")
    return load_networks([run.model(study, row.trial, row.seed) for row in rows], rows)


def write_predictions(
    console: Console,
    run: RunDir,
    path: Path,
    out: Path,
    task: str | None,
    method: str | None,
    load: Iterable[str | Path],
) -> None:
    """Classifies the rows of a file, and writes a row for each: class, and the probabilities of all classes.

    Args:
        console: where to print what was used, and the error if the file says the classes.
        run: run directory of a launch that kept its models.
        path: the file or folder to classify.
        out: CSV to write.
        task: see `load_model`, as for `method` and `load`.

    Raises:
        BadInput: for anything that does not fit. Nothing is written then.
    """
    is_given = out.exists() and path.exists() and out.samefile(path)
    for problem, is_so in (
        ("is a folder", out.is_dir()),
        ("is in a folder that is not there", not out.parent.is_dir()),
        ("is the file to classify", is_given),
    ):
        if is_so:
            raise BadInput(f"out={str(out)!r} {problem}: choose another --out.")
    chosen = choose(run, task, method)
    model = load_chosen(run, chosen, load)
    rows = read_rows(model.preprocessing, path)
    probabilities = model.probabilities(rows)
    used = f"{method_label(chosen.method)} on {chosen.task}"
    used += "" if method else f", of the lowest {SELECTED_BY[chosen.select_by]}"
    networks = f"mean of {plural(len(model.networks), 'network')} of outer split {chosen.outer_split}"
    console.print(f"{used}: {networks}, validation error {format_percent(chosen.val_error)} %", soft_wrap=True)
    for line in rows.warnings:
        console.print(line, soft_wrap=True)
    table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in model.classes])
    table.insert(0, "predicted", model.names(probabilities))
    of_files = model.preprocessing.kind in FILES and path.suffix.lower() != ".npz"
    names = [os.fsencode(name).decode(errors="backslashreplace") for name in rows.names]  # a file's may be no UTF-8
    table.insert(0, "file" if of_files else "row", names)
    with files.atomic_write(out) as file:
        table.to_csv(file, index=False, float_format="%.6g")
    console.print(f"{plural(len(table), 'row')}: {out}", soft_wrap=True)
    if line := error_line(rows, probabilities.argmax(1)):
        console.print(line, soft_wrap=True)
        launched = any(source.path == str(path) for source in run.suite().identity.sources)
        if not (launched and rows.tested):
            console.print(f"It is too low{': most' if launched else ' if some'} of these rows were trained on.")


def error_line(rows: NewRows, predicted: np.ndarray) -> str:
    """The error on the rows whose class is known, in words; empty if there are none."""
    if rows.y is None or not (labelled := rows.y != UNLABELLED).any():
        return ""
    error, unknown = (predicted != rows.y)[labelled].mean(), int((rows.y == UNKNOWN).sum())
    line = f"Error on the {plural(int(labelled.sum()), 'row')} with a class: {format_percent(float(error))} %"
    return f"{line}; {unknown:,} of them have a class that the model does not know" if unknown else line
