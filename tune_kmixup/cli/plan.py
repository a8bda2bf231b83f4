"""What `plan` prints: the studies of a suite, their budget, time and claims."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console, Group

from tune_kmixup.cli.inspection import own_data_lines
from tune_kmixup.cli.render import format_space, make_table, rough_duration, selection_lines
from tune_kmixup.core.config import Suite
from tune_kmixup.data.download import needs_download
from tune_kmixup.planning.costs import task_seconds
from tune_kmixup.planning.resources import Resources


def print_plan(console: Console, suite: Suite, resources: Resources, data_dir: Path) -> None:
    console.print(plan_table(suite, resources.per_trial))
    for line in plan_lines(suite, resources, data_dir):
        console.print(line, soft_wrap=True)


def plan_lines(suite: Suite, resources: Resources, data_dir: Path) -> Iterator[str]:
    """What a launch takes, and what is to be known about it."""
    runs = sum(suite.run_count(study) for study in suite.studies)
    configurations = sum(suite.trial_count(study) for study in suite.studies)
    yield f"{len(suite.studies)} studies, {configurations} configurations, {runs} runs; sampler {suite.sampler}."
    seconds = task_seconds(suite, data_dir) if resources.device == "cpu" else {}
    yield time_line(seconds, at_most=suite.scheduler != "none")
    yield from own_data_lines(suite, data_dir)
    yield from (*finite_lines(suite), *selection_lines(suite.select_by), *repeat_lines(suite), *claim_lines(suite))
    if suite.expectation:
        yield f"Expected: {suite.expectation}"
    if suite.scheduler != "none":
        yield f"Fewer runs where {suite.scheduler} stops configurations early."
    for dataset in dict.fromkeys(study.task.dataset for study in suite.studies):
        if download := needs_download(dataset, data_dir):
            yield f"to download: {download}"


def plan_table(suite: Suite, resources: str) -> Group:
    """One line per task and method. Outer splits of a task are alike, so they share a line.

    Args:
        suite: what would run.
        resources: what each trial gets, in words.
    """
    rows: list[tuple[object, ...]] = []
    for task, studies in suite.studies_by_task().items():
        rows.append((task,))
        splits = Counter(study.method for study in studies)
        for study in {study.method: study for study in studies}.values():
            shortlist = suite.shortlist_count(study)
            search = f"{suite.trial_count(study)} x {suite.search_seeds}"
            more = f"{shortlist} x {suite.shortlist_seeds}" if shortlist else ""
            count = splits[study.method]
            runs = count * suite.run_count(study)
            rows.append((f"  {study.method}", format_space(study.space), count, search, more, suite.final_seeds, runs))
    columns = ("task, method", "free", ">splits", ">search", ">shortlist", ">final", ">runs")
    return make_table(f"suite {suite.name}; each trial: {resources}", columns, rows)


def time_line(seconds: Mapping[str, float | None], at_most: bool) -> str:
    """How long a suite takes, as far as it is known, and which tasks take most of it.

    Args:
        seconds: task without its split -> seconds on one CPU core, None if unknown; empty on GPUs.
        at_most: whether fewer runs than planned may be trained.
    """
    if not seconds:
        return "Time: unknown on GPUs."
    known = sorted(((value, task) for task, value in seconds.items() if value is not None), reverse=True)
    unknown = [task for task, value in seconds.items() if value is None]
    parts = []
    if known:
        about = f"{'at most ' * at_most}about {rough_duration(sum(value for value, _ in known))} of one CPU core"
        tasks = ", ".join(f"{task} {rough_duration(value)}" for value, task in known)
        parts.append(f"{about} ({tasks})" if len(known) > 1 else about)
    if unknown:
        parts.append(f"unknown for {', '.join(unknown)}")
    return f"Time: {'; '.join(parts)}."


def repeat_lines(suite: Suite) -> list[str]:
    """What the repeats of tasks whose splits share their test rows have in common."""
    lines = []
    for base, studies in suite.studies_by_task().items():
        task = studies[0].task
        if task.overlap is not None:
            line = f"{base}: each repeat selects on {task.val_rows:,} validation rows"
            if len({study.task for study in studies}) > 1:
                line += f"; two repeats share {task.overlap:.1%} of their training rows and all test rows"
            lines.append(line + ".")
    return lines


def claim_lines(suite: Suite) -> list[str]:
    """What decides the claims of the paper; nothing where no task has the three methods."""
    tasks = list(suite.studies_by_task())
    families = [
        f"claim {', '.join(numbers)}: {'all tasks' if list(family) == tasks else ', '.join(family)}"
        for family, numbers in suite.claims.by_family().items()
        if family
    ]
    if not families:
        return []
    claims = suite.claims
    return [
        f"Fixed before the first trial: δ = {claims.delta:.3g} of ERM's error, level {claims.level:.3g}, endpoint "
        f"{claims.endpoint}; tasks that decide {'; '.join(families)}."
    ]


def finite_lines(suite: Suite) -> list[str]:
    """The methods that try fewer configurations than the suite has trials, because their search space has no more."""
    counts = {
        f"{study.task.base}/{study.method}": suite.trial_count(study)
        for study in suite.studies
        if study.space and suite.trial_count(study) < suite.trials
    }
    return [
        f"{name}: its search space has {count} configurations, so it tries {count} instead of {suite.trials}."
        for name, count in counts.items()
    ]
