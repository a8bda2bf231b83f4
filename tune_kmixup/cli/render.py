"""What a person sees: rich tables, and the progress of a launch."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from tune_kmixup.core.config import Suite
from tune_kmixup.store.status import LaunchStatus

if TYPE_CHECKING:  # status and report need no Ray
    from tune_kmixup.tuning.launch import Outcome

REFRESH_SECONDS = 1.0  # of a live display
LINE_SECONDS = 10.0  # between plain lines, where the output is not a terminal


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table of text; columns whose name begins with '>' are numbers, set to the right. The first is never broken."""
    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        right = column.startswith(">")
        made.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold", no_wrap=number == 0)
    for row in rows:
        made.add_row(*("" if cell is None else str(cell) for cell in row))
    return made


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"


def plan_table(suite: Suite, share: str) -> Table:
    """One line per task and method: its outer splits are alike."""
    groups: dict[tuple[str, str], int] = {}
    for study in suite.studies:
        key = (study.task.base, study.method)
        groups[key] = groups.get(key, 0) + 1
    first = {(study.task.base, study.method): study for study in reversed(suite.studies)}
    rows = []
    for (task, method), splits in groups.items():
        study = first[task, method]
        trials, free = (
            suite.trial_count(study),
            ", ".join(name.removeprefix("log2_") for name in study.space) or "nothing",
        )
        runs = splits * (trials * suite.search_seeds + suite.final_seeds)
        rows.append((task, method, free, splits, f"{trials} x {suite.search_seeds}", suite.final_seeds, runs))
    columns = ("task", "method", "free", ">splits", ">trials x seeds", ">final", ">runs")
    return table(f"suite {suite.name}; each trial: {share}", columns, rows)


def status_table(status: LaunchStatus) -> Table:
    rows = [
        (
            study.study,
            f"{study.search_done}/{study.search_planned}",
            f"{study.final_done}/{study.final_planned}",
            study.running or "",
            study.missing or "",
            len(study.failed) or "",
            percent(study.best),
        )
        for study in status.studies
    ]
    columns = ("study", ">search", ">final", ">now", ">left", ">failed", ">val. error")
    return table(f"runs; launch: {status.state}", columns, rows)


def failure_lines(failures: dict[str, str]) -> list[str]:
    return [f"failed: {name}: {error}" for name, error in failures.items()]


def ending_lines(done: "Outcome", out_dir: Path) -> list[str]:
    """What is to be said of a launch that did not come to a good end; nothing of one that did."""
    lines = failure_lines(done.failures)
    if done.disk_error:
        lines.append(f"out={str(out_dir)!r} cannot be written ({done.disk_error}): make room, or mend what keeps it.")
    elif not done.failures and not done.finished:
        lines.append("Stopped before the end.")
    if done.failures:
        lines.append(f"{len(done.failures)} trials failed.")
    return [*lines, f"To go on: tune-kmixup resume {out_dir}"] if lines else []


def status_lines(status: LaunchStatus, run_dir: Path) -> list[str]:
    """What failed, how busy the slots were, and what is left."""
    lines = []
    for study in status.studies:
        lines += failure_lines({f"{study.study}/{name}": error for name, error in study.failed.items()})
    if status.busy is not None:
        lines.append(f"Slots were training {status.busy:.0%} of the time.")
    if early := sum(study.stopped for study in status.studies):
        lines.append(f"Stopped early, and done with that: {early} configurations.")
    if missing := sum(study.missing + study.running for study in status.studies):
        lines.append(f"{missing} runs to be done, about {duration(status.seconds_left)} of work.")
        if status.state != "running":
            lines.append(f"To go on: tune-kmixup resume {run_dir}")
    return lines
