"""The status of a launch, from the files of its run directory."""

import os
import shlex
import socket
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_kmixup.core.config import Study, Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.progress import left
from tune_kmixup.core.rows import Row
from tune_kmixup.core.selection import by_configuration, ranking, stopped_configurations, validation_score
from tune_kmixup.store.run_dir import RunDir

HEARTBEAT_SECONDS = 5.0  # between two heartbeats of a launch
DEAD_AFTER = 30.0  # seconds without a heartbeat after which a launch counts as dead


@dataclass(frozen=True)
class StudyStatus:
    """The runs of one study.

    Attributes:
        study: name of the study.
        search_done: search runs that are done.
        search_planned: search runs in total. A configuration that was stopped early counts as one run.
        final_done: final runs of the selected configuration that are done.
        final_planned: final runs in total.
        running: runs in progress.
        failed: trial -> last line of its error.
        best: smallest mean validation error of a configuration so far, a fraction; None before the first result.
        seconds: seconds spent on the runs that are done.
        runs: all runs that are done, including final runs of a configuration that is no longer selected.
        stopped: configurations that were stopped early.
    """

    study: str
    search_done: int
    search_planned: int
    final_done: int
    final_planned: int
    running: int
    failed: dict[str, str]
    best: float | None
    seconds: float
    runs: int
    stopped: int

    @property
    def task(self) -> str:
        """The task without its outer split."""
        return self.study.rpartition("/")[0].partition("@")[0]

    @property
    def missing(self) -> int:
        """The number of runs that are neither done nor in progress."""
        left = self.search_planned - self.search_done + self.final_planned - self.final_done
        return max(0, left - self.running)


def study_status(
    suite: Suite, study: Study, rows: list[Row], failed: dict[str, str], running: Collection[int]
) -> StudyStatus:
    """The status of one study.

    Args:
        suite: the suite, for its budgets.
        study: one of its studies.
        rows: rows of the study.
        failed: trial -> last line of its error.
        running: number of seeds of each trial in progress.
    """
    todo, search_runs, order = left(suite, study, rows), by_configuration(rows), ranking(rows)
    compared = [row for row in rows if row.phase == "shortlist" and row.trial in todo.shortlisted]
    shortlist = len(todo.shortlist)
    if todo.search:  # configurations that are not known yet may join the shortlist
        shortlist = suite.shortlist_count(study) - len({row.trial for row in compared})
    search_done = sum(len(runs) for runs in search_runs.values()) + len(compared)
    return StudyStatus(
        study=study.name,
        search_done=search_done,
        search_planned=search_done + len(todo.search) * suite.search_seeds + shortlist * suite.shortlist_seeds,
        final_done=suite.final_seeds - len(todo.final),
        final_planned=suite.final_seeds,
        running=sum(running),
        failed=failed,
        best=validation_score(search_runs[order[0]])[0] if order else None,
        seconds=sum(row.seconds for row in rows),
        runs=len(rows),
        stopped=len(stopped_configurations(rows)),
    )


@dataclass(frozen=True)
class LaunchStatus:
    """The status of a launch.

    Attributes:
        studies: one status per study of the suite.
        slots: trials that run at once, or GPUs if trials have shares of GPUs; 0 before the first launch.
        shares: task without its split -> share of a slot that a trial takes; 1 for a task without an entry.
        state: `starting`, `running`, `ended`, `interrupted` or `not launched`.
        busy: see `busy_share`.
        options: options of the last launch, for `resume_command`.
    """

    studies: list[StudyStatus]
    slots: float
    shares: Mapping[str, float]
    state: str
    busy: float | None
    options: Sequence[str]

    @property
    def seconds_left(self) -> float | None:
        """See the function `seconds_left`."""
        return seconds_left(self.studies, self.slots, self.shares)


def seconds_left(studies: list[StudyStatus], slots: float, shares: Mapping[str, float]) -> float | None:
    """Estimates the seconds until a launch ends, from the mean duration of the finished runs of each task.

    Args:
        studies: status of each study.
        slots: trials that run at once, or GPUs.
        shares: task without its split -> share of a slot that a trial takes; 1 for a task without an entry.

    Returns:
        Seconds, 0 if nothing is left to run; None if there are no slots, or a task with work left has no finished run.
    """
    slot_seconds = 0.0
    for study in studies:
        same_task = [other for other in studies if other.task == study.task]
        runs_done = sum(other.runs for other in same_task)
        if study.missing + study.running:
            if not runs_done or not slots:
                return None
            seconds = (study.missing + study.running) * sum(other.seconds for other in same_task) / runs_done
            slot_seconds += seconds * shares.get(study.task, 1.0)
    return slot_seconds / slots if slot_seconds else 0.0


def launch_status(run: RunDir) -> LaunchStatus:
    """Reads the status of a launch, also while it is running.

    Args:
        run: its run directory.

    Raises:
        BadInput: if the run directory holds no suite, or cannot be read.
    """
    with run.local_copy() as local:
        return local_launch_status(local, run.holder())


def describe_holder(holder: Mapping[str, Any]) -> str:
    """A launch in words: `process 1234 on node1 since 2026-01-31 12:00:00`."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder["since"]))
    return f"process {holder['pid']} on {holder['host']} since {since}"


def is_starting(holder: Mapping[str, Any], launch: Mapping[str, Any]) -> bool:
    """Whether a launch has taken the run directory, and has not written its first heartbeat."""
    if not holder or is_dead(holder) or holder["since"] > time.time() + DEAD_AFTER:
        return False
    return bool(holder["since"] > launch.get("since", 0.0))


def is_dead(holder: Mapping[str, Any]) -> bool:
    """Whether a process of this machine has ended; of another machine that is not known."""
    if holder["host"] != socket.gethostname():
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it runs as another user
        pass
    return False


def local_launch_status(run: RunDir, holder: Mapping[str, Any]) -> LaunchStatus:
    launch = run.launch()
    starting = is_starting(holder, launch)
    if starting and not run.exists():
        raise BadInput(
            f"run_dir={str(run.display_path)!r} holds no suite.json yet: it is being launched by "
            f"{describe_holder(holder)}. Ask again in a minute."
        )
    suite = run.suite()
    if starting:
        state = "starting"
    elif not launch:
        state = "not launched"
    elif launch["ended"]:
        state = "ended"
    else:
        state = "running" if is_alive(launch) else "interrupted"
    running: dict[str, list[int]] = {}
    for name, trial in (launch.get("running", {}) if state == "running" else {}).items():
        running.setdefault(name.rpartition("/")[0], []).append(trial["seeds"])
    results = run.results(suite)
    studies = [
        study_status(suite, s, results[s.name].rows, results[s.name].failures, running.get(s.name, []))
        for s in suite.studies
    ]
    run_seconds = [(study.task, study.seconds) for study in studies]
    busy = busy_share(launch, run_seconds)
    slots, shares, options = launch.get("slots", 0), launch.get("shares", {}), launch.get("options", [])
    return LaunchStatus(studies, slots, shares, state, busy, options)


def resume_command(run_dir: Path, options: Iterable[str]) -> str:
    """The command that continues a run directory, to be pasted into a shell.

    Args:
        run_dir: the run directory.
        options: options of the launch before that change no result, so that suite.json does not hold them. launch.json
            does, under `options`.
    """
    return shlex.join(["tune-kmixup", "resume", str(run_dir), *options])


def is_alive(launch: Mapping[str, Any]) -> bool:
    """Whether the heartbeat of a launch, or the renewal of its lease, is recent. One from the future does not count."""
    return abs(time.time() - float(launch["updated"])) < DEAD_AFTER


def busy_share(launch: Mapping[str, Any], run_seconds: Iterable[tuple[str, float]]) -> float | None:
    """The share of the slots' time in which finished runs were trained and evaluated, over all launches so far.

    The rest of the time went to start-up, to handing out trials, and to work that was lost. If trials have shares of
    GPUs, a slot is a GPU, and a trial keeps its share of it busy.

    Args:
        launch: the last heartbeat, see `RunDir.launch`.
        run_seconds: pairs of a task without its split and the seconds spent on finished runs of this task.

    Returns:
        A fraction; None if it is unknown: before the first finished run; if the runs took longer than the launches,
        because the directory holds results of others; or if launches gave a task different shares, because rows do not
        say which launch they belong to.
    """
    launches = [*launch.get("earlier", []), launch] if launch else []
    shares = [one.get("shares", {}) for one in launches]
    available = sum(one.get("slot_seconds", one["slots"] * (one["updated"] - one["since"])) for one in launches)
    busy = sum(shares[-1].get(task, 1.0) * seconds for task, seconds in run_seconds) if shares else 0.0
    return busy / available if 0 < busy <= available and all(one == shares[-1] for one in shares) else None
