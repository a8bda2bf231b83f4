"""Tables and lines that commands print: how they are formatted, and those of `status`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tune_kmixup.core.config import SelectBy
from tune_kmixup.core.coordinates import symbol
from tune_kmixup.core.selection import SELECTED_BY
from tune_kmixup.core.text import printable
from tune_kmixup.store.status import LaunchStatus, StudyStatus, merge_splits, resume_command

if TYPE_CHECKING:  # `status` and `report` run without Ray
    from tune_kmixup.tuning.launch import Outcome


class PlainConsole(Console):
    """A console for text from files of others: its control characters are shown, and the terminal obeys none."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


def make_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Group:
    """A table of text. Columns whose name begins with '>' are aligned right. The first column is never wrapped."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for number, column in enumerate(columns):
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    return Group(Text(title, "bold"), table)  # rich wraps a title to the width of its table


def format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def rough_duration(seconds: float) -> str:
    """A rough duration in two digits and one unit, e.g. `3.2 h`."""
    size, unit = (3600, "h") if seconds >= 3600 else (60, "min") if seconds >= 60 else (1, "s")
    return f"{float(f'{seconds / size:.2g}'):g} {unit}"


def format_share(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f} %"


def format_score(score: float | None, by: SelectBy) -> str:
    """A score on validation rows: errors in per cent, the NLL in nats."""
    return format_share(score) if by != "nll" or score is None else f"{score:.3f}"


def format_space(names: Iterable[str]) -> str:
    """The hyperparameters that a method leaves free."""
    return ", ".join(map(symbol, names)) or "nothing"


def selection_lines(by: SelectBy) -> list[str]:
    """By what configurations are selected, unless it is the usual."""
    return [] if by == "error" else [f"Configurations are selected by {SELECTED_BY[by]} (--select-by {by})."]


def status_table(status: LaunchStatus, splits: bool = False) -> Group:
    """One line per method of each task, or of each outer split.

    Args:
        status: status of the launch.
        splits: whether outer splits have lines of their own.
    """
    by_task: dict[str, list[StudyStatus]] = {}
    for study in status.studies if splits else merge_splits(status.studies):
        by_task.setdefault(study.name.task_name, []).append(study)
    rows: list[tuple[object, ...]] = []
    for task, studies in by_task.items():
        rows.append((task,))
        for study in studies:
            search = f"{study.search_done}/{study.search_planned}"
            final = f"{study.final_done}/{study.final_planned}"
            counts = (study.running or "", len(study.failed) or "")
            rows.append((f"  {study.method}", search, final, *counts, format_score(study.best, status.select_by)))
    score = ">val. error" if status.select_by == "error" else ">val. score"
    columns = ("task, method", ">search", ">final", ">now", ">failed", score)
    return make_table(f"runs; launch: {status.state}", columns, rows)


def failure_lines(failures: dict[str, str]) -> list[str]:
    return [f"failed: {name}: {error}" for name, error in failures.items()]


def ending_lines(outcome: "Outcome", out_dir: Path, resumed: str) -> list[str]:
    """What went wrong in a launch, and the command that continues it; empty if every run is finished."""
    lines = failure_lines(outcome.failures)
    if isinstance(outcome.disk_error, FileExistsError):
        lines.append(f"Another launch has gone on in out={str(out_dir)!r} meanwhile, so this one stopped.")
    elif outcome.disk_error:
        lines.append(
            f"out={str(out_dir)!r} cannot be written ({outcome.disk_error}): free some disk space, or check the path "
            "and its permissions."
        )
    elif not outcome.failures and not outcome.finished:
        lines.append("Stopped before the end.")
    if outcome.failures:
        lines.append(f"{len(outcome.failures)} trials failed.")
    return [*lines, f"To go on: {resumed}"] if lines else []


def status_lines(status: LaunchStatus, run_dir: Path) -> list[str]:
    """The lines below the status table: failed trials, how busy the slots were, and what is left."""
    lines = [f"It is being launched by {status.holder}."] if status.holder else []
    lines += selection_lines(status.select_by)
    for study in status.studies:
        lines += failure_lines({f"{study.study}/{trial}": error for trial, error in study.failed.items()})
    if status.busy is not None:
        lines.append(f"Slots were training {status.busy:.0%} of the time.")
    if stopped := sum(study.stopped for study in status.studies):
        lines.append(f"{stopped} configurations were stopped early.")
    if left := sum(study.missing + study.running for study in status.studies):
        seconds = status.seconds_left
        about = "" if seconds is None else f", about {format_duration(seconds)} of work"
        lines.append(f"{left} runs left to do{about}.")
        if status.state not in ("running", "starting"):
            lines.append(f"To go on: {resume_command(run_dir, status.options)}")
    return lines


def print_status(console: Console, status: LaunchStatus, run_dir: Path, splits: bool = False) -> None:
    """Prints the table and the lines below it.

    Args:
        console: where to print.
        status: status of the launch.
        run_dir: the run directory, for the command to go on.
        splits: see `status_table`.
    """
    console.print(status_table(status, splits))
    for line in status_lines(status, run_dir):
        console.print(line, soft_wrap=True)  # a command stays in one piece, to be pasted


def show_in_place(console: Console, statuses: Iterable[LaunchStatus], run_dir: Path, splits: bool = False) -> None:
    """Shows each status in place of the one before. The last one stays, after Ctrl-C too.

    Args:
        console: a terminal.
        statuses: those of a launch that is watched.
        run_dir: see `print_status`.
        splits: see `status_table`.
    """
    last = None
    try:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            for last in statuses:
                live.update(Group(status_table(last, splits), *status_lines(last, run_dir)), refresh=True)
    finally:
        if last:
            print_status(console, last, run_dir, splits)
