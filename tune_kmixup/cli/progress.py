"""The progress of a launch: a live table on a terminal, otherwise a plain line now and then."""

import sys
import time
from collections.abc import Sequence
from threading import Event, Thread
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live

from tune_kmixup.cli.render import format_duration, make_table
from tune_kmixup.core.config import Suite
from tune_kmixup.store.status import StudyStatus, merge_splits, seconds_left, study_status

if TYPE_CHECKING:  # `status` and `report` run without Ray
    from tune_kmixup.tuning.searcher import SuiteSearcher

REFRESH_SECONDS = 1.0  # between updates of the live table
LINE_SECONDS = 10.0  # between plain lines
BAR_WIDTH = 20  # characters


class ProgressDisplay:
    """Shows how far a launch is: a live table on a terminal, otherwise a plain line now and then.

    A thread shows that time goes by, also while the launch waits for something.
    """

    def __init__(self, suite: Suite, console: Console):
        self.suite, self.console = suite, console
        self.interval = REFRESH_SECONDS if console.is_terminal else LINE_SECONDS
        self.started = self.last_shown = self.count_due = time.monotonic()
        self.text = ""  # of the phase, or how far the trials are
        self.news = False  # whether there is another phase to show
        self.studies: list[StudyStatus] = []  # empty before the first trial
        self.seconds_left: float | None = None
        self.searcher: SuiteSearcher | None = None
        self.live = Live(console=console, get_renderable=self.render, auto_refresh=False)
        self.ended = Event()
        self.ticker = Thread(target=self.tick, daemon=True)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live.start()
        self.ticker.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the display, with how far the launch has come."""
        self.ended.set()
        self.ticker.join()
        if self.searcher:
            self.count(self.searcher)
            self.show()
        self.live.stop()

    def tick(self) -> None:
        """Shows what there is at every interval, until the display ends."""
        while not self.ended.wait(REFRESH_SECONDS):
            if self.news or time.monotonic() - self.last_shown >= self.interval:
                self.show()

    def show(self) -> None:
        """Prints a line, or refreshes the table."""
        self.last_shown, self.news = time.monotonic(), False
        if self.console.is_terminal:
            self.live.refresh()
        elif self.text:
            self.console.print(self.line(), highlight=False, soft_wrap=True)
            sys.stdout.flush()

    def line(self) -> str:
        """What the launch is doing, with the time."""
        elapsed = f"{format_duration(time.monotonic() - self.started)} elapsed"
        left = "" if self.seconds_left is None else f", {format_duration(self.seconds_left)} left"
        return f"{self.text}; {elapsed}{left}"

    def render(self) -> RenderableType:
        return progress_table(self.studies, self.line()) if self.studies else self.line()

    def phase(self, text: str) -> None:
        """Takes note of what the launch is doing before its first trial. It is shown if it lasts for a second."""
        self.news, self.text = self.news or text != self.text, text

    def progress(self, searcher: "SuiteSearcher") -> None:
        """Takes note of how far the trials are, and shows it when that is due."""
        self.searcher = searcher
        if time.monotonic() >= self.count_due:
            self.count(searcher)

    def count(self, searcher: "SuiteSearcher") -> None:
        """Counts the runs. That may take at most a twentieth of the time: a large suite has thousands of rows."""
        began = time.monotonic()
        queues, slots = searcher.queues.values(), searcher.slots
        self.studies = [
            study_status(self.suite, q.study, q.rows, q.failed, list(searcher.running(q).values())) for q in queues
        ]
        self.seconds_left = seconds_left(self.studies, slots.slots, slots.shares)
        self.text = counts(self.studies)
        self.count_due = time.monotonic() + 20 * (time.monotonic() - began)


def counts(studies: Sequence[StudyStatus]) -> str:
    """How many runs are done, in words."""

    def total(name: str) -> int:
        return sum(getattr(study, name) for study in studies)

    failed = sum(len(study.failed) for study in studies)
    return (
        f"search {total('search_done')}/{total('search_planned')}, "
        f"final {total('final_done')}/{total('final_planned')} runs, {total('running')} in progress"
        + (f", {failed} trials failed" if failed else "")
    )


def progress_table(studies: list[StudyStatus], title: str) -> Group:
    """One row per task and method, summed over outer splits, so that the table fits on a screen."""
    rows = []
    for study in merge_splits(studies):
        filled = round(BAR_WIDTH * study.done / study.planned)
        bar = "█" * filled + "·" * (BAR_WIDTH - filled)
        rows.append((study.task, study.method, bar, f"{study.done}/{study.planned}", study.running or ""))
    return make_table(title, ("task", "method", "", ">runs", ">now"), rows)
