"""The answer in a sentence for each gain, what it rests on, and what does not follow from it."""

import math
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from tune_kmixup.core.config import Claims, Suite
from tune_kmixup.core.methods import CLAIM_METHODS
from tune_kmixup.core.selection import SELECTED_BY
from tune_kmixup.core.text import plural

from .. import gains
from ..cross_task import DataSetGains, compared_gains
from ..evidence import LEVEL
from ..findings import WORDS, findings
from ..load import Runs
from .formats import (
    comparison_label,
    display_unit,
    format_gain,
    format_range,
    format_relative,
    in_percent,
    method_label,
)

Over = Mapping[tuple[str, str], DataSetGains]  # from `cross_task.compared_gains`


def answer(runs: Runs, over: Over | None = None) -> list[str]:
    """One sentence per comparison: on how many tasks the gain in test error is shown, and its mean over data sets.

    Args:
        runs: what to report.
        over: from `cross_task.compared_gains`; None computes it.
    """
    over = compared_gains(runs.final) if over is None else over
    sentences = []
    compared = gains.comparisons(runs.final, [name for name in gains.methods(runs.final) if name != "placebo"])
    for pair in compared:
        tasks = tasks_in_words(runs.final, *pair, runs.claims)
        if total := sum(map(len, tasks.values())):
            counts = [f"{words} on {len(names)}" for words, names in tasks.items()]
            counts[0] += f" of {plural(total, 'task')}"
            sentences.append(f"{comparison_label(*pair)}: {', '.join(counts)}{mean_in_words(over, pair, runs)}.")
    if sentences:
        return sentences
    if len(gains.methods(runs.final)) > 1:
        return ["No two methods that are compared have final runs on one task: tables show the error of each."]
    return ["No two methods have final runs yet, so nothing can be compared."]


def mean_in_words(over: Over, pair: tuple[str, str], runs: Runs) -> str:
    """The end of a sentence; empty for too few data sets for an interval."""
    level = runs.claims.level
    if pair not in over or math.isnan(over[pair].mean(level).low):
        return ""
    found, (low, high) = over[pair], over[pair].prediction(level)
    text = f"; mean over {found.count} data sets {format_relative(found.mean(level))} % of ERM's error"
    return text if math.isnan(low) else f"{text}, on one more of their kind [{100 * low:+.1f}, {100 * high:+.1f}]"


def budget(runs: Runs) -> str:
    """What was compared, and with what budget, in a line."""
    rows = runs.rows
    methods = " · ".join(method_label(method) for method in gains.methods(rows))
    parts = [methods, f"{plural(len(gains.tasks(rows)), 'task')} of {plural(rows['dataset'].nunique(), 'data set')}"]
    splits = rows.groupby("task")["outer_split"].nunique(dropna=False)
    if len(splits):
        parts.append(f"{numbers(splits, 'outer split')} each")
    if runs.suites:
        searched = [suite for suite in runs.suites if any(study.space for study in suite.studies)]
        parts += [f"per method and split {budget_of(searched)}"] if searched else []
    return "; ".join([*parts, f"{len(rows):,} runs"]) + "."


def budget_of(suites: Sequence[Suite]) -> str:
    """Numbers that all suites and searched methods have in common, or their range."""
    searched = [(suite, study) for suite in suites for study in suite.studies if study.space]
    trials = numbers([suite.trial_count(study) for suite, study in searched], "configuration")
    parts = [f"{trials} x {numbers([suite.search_seeds for suite in suites], 'seed')}"]
    if shortlists := [(n, suite.shortlist_seeds) for suite, study in searched if (n := suite.shortlist_count(study))]:
        counts, seeds = zip(*shortlists, strict=True)
        parts.append(f"the best {format_range(min(counts), max(counts))} again with {numbers(seeds, 'more seed')}")
    return ", ".join([*parts, numbers([suite.final_seeds for suite in suites], "final run")])


def numbers(values: Sequence[int] | pd.Series, noun: str) -> str:
    """`5 outer splits`, `1 outer split` or `3–5 outer splits`."""
    low, high = int(min(values)), int(max(values))
    return plural(low, noun) if low == high else f"{format_range(low, high)} {noun}s"


def forest_caption(level: float) -> str:
    return (
        f"Gain of each task with its {in_percent(level)} interval. Filled marks: the interval leaves out 0, before "
        "correction. Arrows: the interval is cut off. No interval: one search, or no spread. No mark: ERM errs less "
        "than 0.01 %, or a method has no runs there. Diamond: the mean over data sets; dashed: where the gain on one "
        "more data set would lie."
    )


def caveats(runs: Runs, level: float = LEVEL, metric: str = "test_error") -> list[str]:
    """How the intervals are made, and what they do not show.

    Args:
        runs: what to report.
        level: confidence level of the intervals beside the sentences, between 0 and 1.
        metric: of the table beside the sentences; what is known in words is about the test error.
    """
    sentences = [interval_sentence(runs.final, level, metric)]
    if level != runs.claims.level or metric != "test_error":
        sentences.append(f"The answer in words is about the test error, at {in_percent(runs.claims.level)}.")
    sentences += placebo_sentences(runs.final, level, metric)
    sentences += direction_sentences(runs, metric)
    sentences += loaded_sentences(runs.final)
    sentences += family_sentences(runs)
    diverged = int((runs.rows["status"] == "diverged").sum())
    if diverged:
        said = plural(diverged, "run")
        sentences.append(f"{said} diverged; their error counts every prediction that is not finite as wrong.")
        if (runs.final["status"] == "diverged").any():
            sentences.append(
                "Other scores leave out final runs that diverged, and their partners, which favours a method that "
                "diverges."
            )
    sentences.append("Nothing here says how the methods compare on other data, networks, training lengths or budgets.")
    return sentences


def direction_sentences(runs: Runs, metric: str) -> Iterator[str]:
    """What is unusual about the metric or the selection."""
    if metric in gains.MORE_IS_BETTER:
        yield f"More {metric.replace('_', ' ')} is better: a gain is the method's minus the reference's."
    if runs.select_by != "error":
        yield f"Configurations were selected by {SELECTED_BY[runs.select_by]}; claims are about test error."


def placebo_sentences(rows: pd.DataFrame, level: float, metric: str) -> Iterator[str]:
    """What the placebo gained over mixup on each task that has one."""
    found = {task: gains.gain(rows, task, "placebo", "mixup", level, metric) for task in gains.tasks(rows)}
    texts = [f"{format_gain(gain, metric)} on {task}" for task, gain in found.items() if gain.units]
    if texts:
        yield f"The placebo's gain over mixup, in {display_unit(metric)}: {', '.join(texts)}."


def loaded_sentences(rows: pd.DataFrame) -> Iterator[str]:
    """The tasks whose methods were trained with different `--load` files, as launches may add methods of their own."""
    for task, files in rows.groupby("task", sort=False)["loaded"]:
        versions = {loaded for loaded in files if loaded}
        if len(versions) > 1 and not set.intersection(*map(set, versions)):
            yield (
                f"The runs of {task} have different --load files, or one that was changed in between: if its network "
                "comes from them, its gains are fair only if they define the same network."
            )


def family_sentences(runs: Runs) -> Iterator[str]:
    """Why no claim is judged where the methods of all tasks were launched apart."""
    methods = [set(rows["method"]) for _, rows in runs.final.groupby("task")]
    families = [suite.claims.families for suite in runs.suites]
    unnamed = families and all(family and not any(family.values()) for family in families)
    if unnamed and any(map(set(CLAIM_METHODS).issubset, methods)):
        yield (
            "No claim of the paper is judged, because no launch had all three methods of a task: launch them together "
            "into a new --out, or name there with --family which tasks decide."
        )


def interval_sentence(rows: pd.DataFrame, level: float, metric: str) -> str:
    seeds = rows.groupby(["task", "method", "outer_split"], dropna=False).size()
    luck = ""
    if any(gains.share_test_rows(rows, task) for task in gains.tasks(rows)):
        luck = ", with the luck of the test rows that repeats share"
        if metric != "test_error":
            luck = ", conditional on the test rows where repeats share them"
    runs = f"; {numbers(seeds, 'final run')} per split and method" if len(seeds) else ""
    sentence = (
        f"Intervals are Student's t at {in_percent(level)} over the means of outer splits{luck}, per task, not "
        f"corrected for the number of comparisons{runs}."
    )
    if any(gains.one_search(rows, task) for task in gains.tasks(rows)):
        sentence += " One search says nothing about another, so it has no interval."
    return sentence


def tasks_in_words(rows: pd.DataFrame, method: str, reference: str, claims: Claims) -> Mapping[str, Sequence[str]]:
    """Names of the tasks by what is known of the gain, in the order of `findings.WORDS`."""
    tasks: dict[str, list[str]] = {words: [] for words in WORDS}
    for task, finding in findings(rows, method, reference, claims, claims.level).items():
        tasks[finding.words].append(task)
    return {words: names for words, names in tasks.items() if names}
