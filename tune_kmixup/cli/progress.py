"""The progress of a launch: a live table on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tune_kmixup.cli.render import duration, table
from tune_kmixup.core.config import Suite
from tune_kmixup.store.status import StudyStatus, seconds_left, study_status

if TYPE_CHECKING:  # status and report need no Ray
    from tune_kmixup.tuning.searcher import SuiteSearcher

REFRESH_SECONDS = 1.0  # of a live display
LINE_SECONDS = 10.0  # between plain lines, where the output is not a terminal


class ProgressDisplay:
    """Shows how far a launch is: a live table on a terminal, a plain line now and then elsewhere."""

    def __init__(self, suite: Suite, console: Console, slots: int = 0):
        self.suite, self.console = suite, console
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self.every = REFRESH_SECONDS if self.live else LINE_SECONDS
        self.shown = time.monotonic()
        self.begun = time.monotonic()

    def __enter__(self) -> "ProgressDisplay":
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
        weight = searcher.sharing.weight
        slots = sum(len(q.running) * weight(q.study.task.base) for q in searcher.queues.values()) or 1
        line = self.line(studies, slots, searcher.sharing.shares)
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
