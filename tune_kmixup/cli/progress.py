"""The progress of a launch: a live table on a terminal, otherwise a plain line now and then."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tune_kmixup.cli.render import format_duration, make_table
from tune_kmixup.core.config import Suite
from tune_kmixup.store.status import StudyStatus, merge_splits, seconds_left, study_status

if TYPE_CHECKING:  # `status` and `report` run without Ray
    from tune_kmixup.tuning.searcher import SuiteSearcher

REFRESH_SECONDS = 1.0  # between updates of the live table
LINE_SECONDS = 10.0  # between plain lines
BAR_WIDTH = 20  # characters


class ProgressDisplay:
    """Shows how far a launch is: a live table on a terminal, otherwise a plain line now and then."""

    def __init__(self, suite: Suite, console: Console):
        self.suite, self.console = suite, console
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self.interval = REFRESH_SECONDS if self.live else LINE_SECONDS
        self.started = self.last_shown = time.monotonic()

    def __enter__(self) -> "ProgressDisplay":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the live table."""
        if self.live:
            self.live.stop()

    def __call__(self, searcher: "SuiteSearcher") -> None:
        if time.monotonic() - self.last_shown < self.interval:
            return
        self.last_shown = time.monotonic()
        queues, sharing = searcher.queues.values(), searcher.sharing
        studies = [
            study_status(self.suite, q.study, q.rows, q.failed, [len(trial.seeds) for trial in q.running.values()])
            for q in queues
        ]
        busy_slots = sum(len(q.running) * sharing.slot_share(q.study.task.base) for q in queues) or 1
        line = self.progress_line(studies, busy_slots, sharing.shares)
        if self.live:
            self.live.update(progress_table(studies, line), refresh=True)
        else:
            self.console.print(line, highlight=False, soft_wrap=True)
            sys.stdout.flush()

    def progress_line(self, studies: list[StudyStatus], slots: float, shares: Mapping[str, float]) -> str:
        def total(name: str) -> int:
            return sum(getattr(study, name) for study in studies)

        failed = sum(len(study.failed) for study in studies)
        elapsed, left = time.monotonic() - self.started, seconds_left(studies, slots, shares)
        return (
            f"search {total('search_done')}/{total('search_planned')}, "
            f"final {total('final_done')}/{total('final_planned')} runs, {total('running')} in progress"
            + (f", {failed} trials failed" if failed else "")
            + f"; {format_duration(elapsed)} elapsed, {format_duration(left)} left"
        )


def progress_table(studies: list[StudyStatus], title: str) -> Table:
    """One row per task and method, summed over outer splits, so that the table fits on a screen."""
    rows = []
    for study in merge_splits(studies):
        filled = round(BAR_WIDTH * study.done / study.planned)
        bar = "█" * filled + "·" * (BAR_WIDTH - filled)
        rows.append((study.task, study.method, bar, f"{study.done}/{study.planned}", study.running or ""))
    return make_table(title, ("task", "method", "", ">runs", ">now"), rows)
