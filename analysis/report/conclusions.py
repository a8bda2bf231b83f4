"""What follows from the gains and what does not, in sentences."""

import math
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from tune_kmixup.core.config import Claims
from tune_kmixup.core.selection import SELECTED_BY
from tune_kmixup.core.text import plural

from .. import gains
from ..cross_task import DataSetGains
from ..gains import COMPARED, SATURATED_WORDS
from ..load import Runs
from .formats import comparison_label, format_range, format_relative, method_label


def summary(rows: pd.DataFrame, claims: Claims) -> str:
    """The comparison in one sentence."""
    parts = []
    for method, reference in COMPARED[:2]:
        tasks = tasks_in_words(rows, method, reference, claims)
        if tasks:
            counts = ", ".join(f"{words} on {len(names)}" for words, names in tasks.items())
            total = sum(map(len, tasks.values()))
            parts.append(
                f"{method_label(method)}'s gain over {method_label(reference)}, of {plural(total, 'task')}: {counts}"
            )
    if not parts:
        return "No two methods have final runs yet, so nothing can be compared."
    return f"Each method tuned with the same budget. {'. '.join(part[0].upper() + part[1:] for part in parts)}."


def conclusions(runs: Runs, level: float = 0.95, metric: str = "test_error") -> list[str]:
    """What the gains show, how the intervals are made, and what they do not show.

    Args:
        runs: what to report.
        level: confidence level of the intervals, between 0 and 1.
        metric: of the table beside the sentences; what is known in words is about the test error.

    Returns:
        Sentences.
    """
    sentences = [*comparison_sentences(runs.final, runs.claims), interval_sentence(runs.final, level, metric)]
    if level != runs.claims.level or metric != "test_error":
        sentences.insert(2, f"These words are about the test error, at {runs.claims.level:.0%}.")
    if metric in gains.MORE_IS_BETTER:
        sentences.append(f"More {metric.replace('_', ' ')} is better: a gain is the method's minus the reference's.")
    if runs.select_by != "error":
        sentences.append(f"Configurations were selected by {SELECTED_BY[runs.select_by]}; claims are about test error.")
    diverged = int((runs.rows["status"] == "diverged").sum())
    if diverged:
        sentences.append(f"{diverged} runs diverged; their error counts every prediction that is not finite as wrong.")
    sentences.append("Nothing here says how the methods compare on other data, networks, training lengths or budgets.")
    return sentences


def interval_sentence(rows: pd.DataFrame, level: float, metric: str) -> str:
    seeds = rows.groupby(["task", "method", "outer_split"], dropna=False).size()
    luck = ""
    if any(gains.share_test_rows(rows, task) for task in gains.tasks(rows)):
        luck = ", with the luck of the test rows that repeats share"
        if metric != "test_error":
            luck = ", conditional on the test rows where repeats share them"
    runs = f"; {format_range(seeds.min(), seeds.max())} final runs per split and method" if len(seeds) else ""
    sentence = (
        f"Intervals are Student's t at {level:.0%} over the means of outer splits{luck}, per task, not corrected for "
        f"the number of comparisons{runs}."
    )
    if any(gains.one_search(rows, task) for task in gains.tasks(rows)):
        sentence += " One search says nothing about another, so it has no interval."
    return sentence


def comparison_sentences(rows: pd.DataFrame, claims: Claims) -> Iterator[str]:
    for method, reference in COMPARED[:2]:
        label = comparison_label(method, reference)
        tasks = tasks_in_words(rows, method, reference, claims)
        total = sum(map(len, tasks.values()))
        if not total:
            yield f"{label}: not compared; at least one of the two has no final run."
            continue
        parts = [f"{words} on {len(names)} ({', '.join(names)})" for words, names in tasks.items()]
        yield f"{label}, of {plural(total, 'task')}: {'; '.join(parts)}."


def tasks_in_words(rows: pd.DataFrame, method: str, reference: str, claims: Claims) -> Mapping[str, Sequence[str]]:
    """Names of the tasks by what is known of the gain: see `gains.words`; or one search, or saturated."""
    order = [
        *("shown", "shown, and shown to be small", "loss shown", "loss shown, and shown to be small"),
        *("shown to be small", "not known", SATURATED_WORDS, "one search", "2 searches"),
    ]
    tasks: dict[str, list[str]] = {words: [] for words in order}
    for task in gains.tasks(rows):
        errors = [gains.mean_metric(rows, task, name).mean for name in (method, reference)]
        if any(math.isnan(error) for error in errors):
            continue
        tasks[gains.words(rows, task, method, reference, claims)].append(task)
    return {words: names for words, names in tasks.items() if names}


def heavy_sentences(gains_of: Mapping[tuple[str, str], DataSetGains], level: float) -> Iterator[str]:
    """Means without a data set that has more than a third of the weight in the random-effects mean."""
    for pair, found in gains_of.items():
        for name, mean in found.without_heavy(level).items():
            yield (
                f"{comparison_label(*pair)}: {name} has more than a third of the weight. Without it the "
                f"mean is {format_relative(mean)} % of ERM's error."
            )
