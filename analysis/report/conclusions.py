"""What follows from the gains and what does not, in sentences."""

import math
from collections.abc import Iterator

import pandas as pd

from .. import gains
from ..gains import COMPARED
from .tables import comparison_label, format_range, method_label

SATURATED = 1e-4  # test error below which nothing can be gained: the last digit that tables show


def summary(rows: pd.DataFrame, level: float = 0.95) -> str:
    """The comparison in one sentence."""
    comparisons = []
    for method, reference in COMPARED[:2]:
        tasks = tasks_by_outcome(rows, method, reference, level)
        total = sum(map(len, tasks.values()))
        if total:
            comparisons.append(
                f"{method_label(method)} gained over {method_label(reference)} on {len(tasks['gains'])} of {total} "
                f"tasks and lost on {len(tasks['loses'])}"
            )
    if not comparisons:
        return "No two methods have final runs yet, so nothing can be compared."
    elsewhere = f"elsewhere the {level:.0%} interval of the gain includes zero, or there are too few runs for one"
    return f"Each tuned with the same budget, {'; '.join(comparisons)}; {elsewhere}."


def conclusions(rows: pd.DataFrame, level: float = 0.95) -> list[str]:
    """What the gains show, how the intervals are made, and what they do not show.

    Args:
        rows: runs, as in `load.Runs`.
        level: confidence level of the intervals, between 0 and 1.

    Returns:
        Sentences.
    """
    sentences = [*comparison_sentences(rows, level), interval_sentence(rows, level)]
    diverged = int((rows["status"] == "diverged").sum())
    if diverged:
        sentences.append(f"{diverged} runs diverged; their error counts every prediction that is not finite as wrong.")
    sentences.append("Nothing here says how the methods compare on other data, networks, training lengths or budgets.")
    return sentences


def interval_sentence(rows: pd.DataFrame, level: float) -> str:
    splits = rows.groupby("task")["outer_split"].nunique()
    seeds = rows[rows["selected"].astype(bool)].groupby(["task", "method", "outer_split"], dropna=False).size()
    if (splits > 1).all():
        units = "over the means of outer splits"
    elif (splits <= 1).all():
        units = "over seeds on the one split of each task"
    else:
        units = "over the means of outer splits where a task has several, otherwise over seeds on its one split"
    if any(gains.share_test_rows(rows, task) for task in gains.tasks(rows)):
        units += ", with the luck of the test rows that repeats share"
    runs = f"; {format_range(seeds.min(), seeds.max())} final runs per split and method" if len(seeds) else ""
    return (
        f"Intervals are Student's t at {level:.0%}, per task, not corrected for the number of comparisons: "
        f"{units}{runs}."
    )


def comparison_sentences(rows: pd.DataFrame, level: float) -> Iterator[str]:
    for method, reference in COMPARED[:2]:
        label = comparison_label(method, reference)
        tasks = tasks_by_outcome(rows, method, reference, level)
        total = sum(map(len, tasks.values()))
        if not total:
            yield f"{label}: not compared; at least one of the two has no final run."
            continue
        parts = [f"{outcome} on {len(names)} ({', '.join(names)})" for outcome, names in tasks.items() if names]
        yield f"{label}, of {total} tasks: {'; '.join(parts)}."


def tasks_by_outcome(rows: pd.DataFrame, method: str, reference: str, level: float) -> dict[str, list[str]]:
    """Names of the tasks by what the interval of the gain shows."""
    tasks: dict[str, list[str]] = {
        "gains": [],
        "loses": [],
        "no difference shown": [],
        "saturated (both errors below 0.01 %)": [],
        "too few units for an interval": [],
    }
    for task in gains.tasks(rows):
        gain = gains.gain(rows, task, method, reference, level)
        if math.isnan(gain.mean):
            continue
        if all(gains.mean_metric(rows, task, name).mean < SATURATED for name in (method, reference)):
            outcome = "saturated (both errors below 0.01 %)"
        elif math.isnan(gain.low):
            outcome = "too few units for an interval"
        else:
            outcome = "gains" if gain.low > 0 else "loses" if gain.high < 0 else "no difference shown"
        tasks[outcome].append(task)
    return tasks
