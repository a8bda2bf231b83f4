"""The tables and lines that `plan`, `status` and the end of a launch print."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from tune_kmixup.core.config import Suite
from tune_kmixup.store.status import LaunchStatus

if TYPE_CHECKING:  # `status` and `report` run without Ray
    from tune_kmixup.tuning.launch import Outcome


def make_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table of text. Columns whose name begins with '>' are aligned right. The first column is never wrapped."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    return table


def format_duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def format_percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f} %"


def format_space(names: Iterable[str]) -> str:
    """The hyperparameters that a method leaves free; `log2_k` is shown as `k`."""
    return ", ".join(name.removeprefix("log2_") for name in names) or "nothing"


def plan_table(suite: Suite, resources: str) -> Table:
    """One line per task and method. Outer splits of a task are alike, so they share a line.

    Args:
        suite: what would run.
        resources: what each trial gets, in words.
    """
    splits: dict[tuple[str, str], int] = {}
    for study in suite.studies:
        key = (study.task.base, study.method)
        splits[key] = splits.get(key, 0) + 1
    first_split = {(study.task.base, study.method): study for study in reversed(suite.studies)}
    rows = []
    for (task, method), count in splits.items():
        study = first_split[task, method]
        trials = suite.trial_count(study)
        shortlist = suite.shortlist_count(study)
        search = f"{trials} x {suite.search_seeds}"
        more = f"{shortlist} x {suite.shortlist_seeds}" if shortlist else ""
        runs = count * suite.run_count(study)
        rows.append((task, method, format_space(study.space), count, search, more, suite.final_seeds, runs))
    columns = ("task", "method", "free", ">splits", ">search", ">short list", ">final", ">runs")
    return make_table(f"suite {suite.name}; each trial: {resources}", columns, rows)


def repeat_lines(suite: Suite) -> list[str]:
    """What the repeats of tasks with an official test set have in common."""
    tasks = {study.task.base: study.task for study in suite.studies if study.task.overlap is not None}
    return [
        f"{base}: each repeat selects on {task.val_rows:,} validation rows; two repeats share {task.overlap:.1%} of "
        "their training rows and all test rows."
        for base, task in tasks.items()
    ]


def status_table(status: LaunchStatus) -> Table:
    """One line per study."""
    rows = [
        (
            study.study,
            f"{study.search_done}/{study.search_planned}",
            f"{study.final_done}/{study.final_planned}",
            study.running or "",
            study.missing or "",
            len(study.failed) or "",
            format_percent(study.best),
        )
        for study in status.studies
    ]
    columns = ("study", ">search", ">final", ">now", ">left", ">failed", ">val. error")
    return make_table(f"runs; launch: {status.state}", columns, rows)


def failure_lines(failures: dict[str, str]) -> list[str]:
    return [f"failed: {name}: {error}" for name, error in failures.items()]


def ending_lines(outcome: "Outcome", out_dir: Path) -> list[str]:
    """What went wrong in a launch, and how to continue; empty if every run is finished."""
    lines = failure_lines(outcome.failures)
    if outcome.disk_error:
        lines.append(
            f"out={str(out_dir)!r} cannot be written ({outcome.disk_error}): free some disk space, or check the path "
            "and its permissions."
        )
    elif not outcome.failures and not outcome.finished:
        lines.append("Stopped before the end.")
    if outcome.failures:
        lines.append(f"{len(outcome.failures)} trials failed.")
    return [*lines, f"To go on: tune-kmixup resume {out_dir}"] if lines else []


def status_lines(status: LaunchStatus, run_dir: Path) -> list[str]:
    """The lines below the status table: failed trials, how busy the slots were, and what is left."""
    lines = []
    for study in status.studies:
        lines += failure_lines({f"{study.study}/{trial}": error for trial, error in study.failed.items()})
    if status.busy is not None:
        lines.append(f"Slots were training {status.busy:.0%} of the time.")
    if stopped := sum(study.stopped for study in status.studies):
        lines.append(f"{stopped} configurations were stopped early.")
    if left := sum(study.missing + study.running for study in status.studies):
        lines.append(f"{left} runs left to do, about {format_duration(status.seconds_left)} of work.")
        if status.state != "running":
            lines.append(f"To go on: tune-kmixup resume {run_dir}")
    return lines
