"""What a person sees: rich tables, and the progress of a launch."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tune_kmixup.status import LaunchStatus, StudyStatus, seconds_left, study_status
from tune_kmixup.study import Suite

if TYPE_CHECKING:  # status and report need no Ray
    from tune_kmixup.scheduling import SuiteSearcher
    from tune_kmixup.tuning import Outcome

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
    if done.refused:
        lines.append(f"out={str(out_dir)!r} cannot be written ({done.refused}): make room, or mend what keeps it.")
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


class Progress:
    """Shows how far a launch is: a live table on a terminal, a plain line now and then elsewhere."""

    def __init__(self, suite: Suite, console: Console, slots: int = 0):
        self.suite, self.console = suite, console
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self.every = REFRESH_SECONDS if self.live else LINE_SECONDS
        self.shown = time.monotonic()
        self.begun = time.monotonic()

    def __enter__(self) -> "Progress":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.live:
            self.live.stop()

    def __call__(self, searcher: "SuiteSearcher") -> None:
        if time.monotonic() - self.shown < self.every:
            return
        self.shown = time.monotonic()
        studies = [
            study_status(self.suite, q.study, q.rows, q.failed, [len(trial.seeds) for trial in q.running.values()])
            for q in searcher.queues.values()
        ]
        weight = searcher.packing.weight
        slots = sum(len(q.running) * weight(q.study.task.base) for q in searcher.queues.values()) or 1
        line = self.line(studies, slots, searcher.packing.shares)
        if self.live:
            self.live.update(self.grouped(studies, line), refresh=True)
        else:
            self.console.print(line, highlight=False, soft_wrap=True)
            sys.stdout.flush()

    def line(self, studies: list[StudyStatus], slots: float, shares: Mapping[str, float]) -> str:
        def count(name: str) -> int:
            return sum(getattr(study, name) for study in studies)

        failed = sum(len(study.failed) for study in studies)
        return (
            f"search {count('search_done')}/{count('search_planned')}, "
            f"final {count('final_done')}/{count('final_planned')} runs, {count('running')} in progress"
            + (f", {failed} trials failed" if failed else "")
            + f"; {duration(time.monotonic() - self.begun)} gone, {duration(seconds_left(studies, slots, shares))} left"
        )

    def grouped(self, studies: list[StudyStatus], line: str) -> Table:
        """Outer splits of a task in one row, so that the table fits a screen."""
        groups: dict[tuple[str, str], list[StudyStatus]] = {}
        for study in studies:
            task, _, method = study.study.rpartition("/")
            groups.setdefault((task.partition("@")[0], method), []).append(study)
        rows = []
        for (task, method), group in groups.items():
            done, planned = (
                sum(getattr(s, f"search_{what}") + getattr(s, f"final_{what}") for s in group)
                for what in ("done", "planned")
            )
            filled = round(20 * done / planned)
            running = sum(s.running for s in group)
            rows.append((task, method, "█" * filled + "·" * (20 - filled), f"{done}/{planned}", running or ""))
        return table(line, ("task", "method", "", ">runs", ">now"), rows)
