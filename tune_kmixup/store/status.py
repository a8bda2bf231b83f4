"""The status of a launch, from the files of its run directory."""

import math
import os
import shlex
import socket
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tune_kmixup.core.config import SelectBy, Study, StudyName, Suite
from tune_kmixup.core.progress import left
from tune_kmixup.core.rows import Row
from tune_kmixup.core.selection import by_configuration, ranking, stopped_configurations, validation_score
from tune_kmixup.store import files
from tune_kmixup.store.notes import Heartbeat, Holder
from tune_kmixup.store.run_dir import RunDir

State = Literal["starting", "running", "ended", "interrupted", "not launched"]

HEARTBEAT_SECONDS = 5.0  # between two heartbeats of a launch
DEAD_AFTER = 30.0  # seconds without a heartbeat after which a launch counts as dead
WATCH_STORE_SECONDS = 30.0  # between two looks at a run directory in an object store, all of which is read each time


class RunningTrial(NamedTuple):
    """A trial in progress.

    Attributes:
        seeds: its runs.
        share: share of its training that is done, 0 to 1.
        seconds: since it was handed out.
    """

    seeds: int
    share: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class StudyStatus:
    """The runs of one study, or of a method on all outer splits of a task.

    Attributes:
        study: name of the study, e.g. `iris/mlp@3/mixup`; without the outer split if it is of all of them.
        search_done: runs of the search and of the shortlist that are done.
        search_planned: these runs in total. A configuration that was stopped early counts as one run.
        final_done: final runs of the selected configuration that are done.
        final_planned: final runs in total.
        running: runs in progress.
        failed: trial -> last line of its error; of several outer splits, with the name of the study before the trial.
        best: the score on validation rows of the best configuration of the search so far, mean over its seeds; None
            before the first result, or if it is not finite. Of several outer splits, its mean over them, once each has
            one.
        seconds: seconds spent on the runs that are done.
        runs: all runs that are done, including final runs of a configuration that is no longer selected.
        stopped: configurations that were stopped early.
        part_runs: what trials in progress have trained, in runs.
        part_seconds: seconds spent on that.
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
    part_runs: float = 0.0
    part_seconds: float = 0.0

    @property
    def name(self) -> StudyName:
        return StudyName.parse(self.study)

    @property
    def task(self) -> str:
        """The task without its outer split."""
        return self.name.task

    @property
    def method(self) -> str:
        return self.name.method

    @property
    def done(self) -> int:
        """The number of planned runs that are done."""
        return self.search_done + self.final_done

    @property
    def planned(self) -> int:
        """The number of runs in total."""
        return self.search_planned + self.final_planned

    @property
    def missing(self) -> int:
        """The number of runs that are neither done nor in progress."""
        return max(0, self.planned - self.done - self.running)

    def to_json(self) -> dict[str, Any]:
        """An entry of `studies` in what `status --json` prints."""
        return self.name._asdict() | {name: value for name, value in asdict(self).items() if name != "study"}


def study_status(
    suite: Suite, study: Study, rows: list[Row], failed: dict[str, str], running: Collection[RunningTrial]
) -> StudyStatus:
    """The status of one study.

    Args:
        suite: the suite, for its budgets.
        study: one of its studies.
        rows: rows of the study.
        failed: trial -> last line of its error.
        running: the trials in progress.
    """
    todo, search_runs, order = left(suite, study, rows), by_configuration(rows), ranking(rows, suite.select_by)
    compared = [row for row in rows if row.phase == "shortlist" and row.trial in todo.shortlisted]
    shortlist = len(todo.shortlist)
    if todo.search:  # configurations that are not known yet may join the shortlist
        shortlist = suite.shortlist_count(study) - len({row.trial for row in compared})
    search_done = sum(len(runs) for runs in search_runs.values()) + len(compared)
    best = validation_score(search_runs[order[0]], suite.select_by)[0] if order else math.inf
    return StudyStatus(
        study=study.name,
        search_done=search_done,
        search_planned=search_done + len(todo.search) * suite.search_seeds + shortlist * suite.shortlist_seeds,
        final_done=suite.final_seeds - len(todo.final),
        final_planned=suite.final_seeds,
        running=sum(trial.seeds for trial in running),
        failed=failed,
        best=best if math.isfinite(best) else None,
        seconds=sum(row.seconds for row in rows),
        runs=len(rows),
        stopped=len(stopped_configurations(rows)),
        part_runs=sum(trial.seeds * trial.share for trial in running),
        part_seconds=sum(trial.seconds for trial in running if trial.share),
    )


def merge_splits(studies: Iterable[StudyStatus]) -> list[StudyStatus]:
    """One status per task and method, of all its outer splits together.

    Args:
        studies: status of each study.
    """
    groups: dict[str, list[StudyStatus]] = {}
    for study in studies:
        groups.setdefault(f"{study.task}/{study.method}", []).append(study)
    return [merged(name, group) for name, group in groups.items()]


def merged(name: str, splits: Sequence[StudyStatus]) -> StudyStatus:
    best = [split.best for split in splits if split.best is not None]
    return StudyStatus(
        study=name,
        search_done=sum(split.search_done for split in splits),
        search_planned=sum(split.search_planned for split in splits),
        final_done=sum(split.final_done for split in splits),
        final_planned=sum(split.final_planned for split in splits),
        running=sum(split.running for split in splits),
        failed={f"{split.study}/{trial}": error for split in splits for trial, error in split.failed.items()},
        best=sum(best) / len(best) if len(best) == len(splits) else None,
        seconds=sum(split.seconds for split in splits),
        runs=sum(split.runs for split in splits),
        stopped=sum(split.stopped for split in splits),
        part_runs=sum(split.part_runs for split in splits),
        part_seconds=sum(split.part_seconds for split in splits),
    )


@dataclass(frozen=True)
class LaunchStatus:
    """The status of a launch.

    Attributes:
        studies: one status per study of the suite; none while a launch starts that has not written its suite yet.
        slots: trials that can run at once, or GPUs if trials have shares of GPUs, as of the last heartbeat; 0 before
            the first launch.
        shares: task without its split -> share of a slot that a trial takes; 1 for a task without an entry.
        state: what the launch is doing.
        trials_running: trials in progress.
        busy: see `busy_share`.
        options: options of the last launch, for `resume_command`.
        select_by: the score by which configurations are selected, that of `StudyStatus.best`.
        holder: which launch it is while it starts, in words; empty otherwise.
    """

    studies: list[StudyStatus]
    slots: float
    shares: Mapping[str, float]
    state: State
    trials_running: int
    busy: float | None
    options: Sequence[str]
    select_by: SelectBy
    holder: str

    @property
    def seconds_left(self) -> float | None:
        """See the function `seconds_left`."""
        return seconds_left(self.studies, self.slots, self.shares)

    def to_json(self) -> dict[str, Any]:
        """What `status --json` prints; docs/watching.md describes its fields."""
        return {
            "state": self.state,
            "slots": self.slots,
            "trials_running": self.trials_running,
            "trials_failed": sum(len(study.failed) for study in self.studies),
            "runs_done": sum(study.done for study in self.studies),
            "runs_planned": sum(study.planned for study in self.studies),
            "seconds_left": self.seconds_left,
            "busy": self.busy,
            "select_by": self.select_by,
            "studies": [study.to_json() for study in self.studies],
        }


def seconds_left(studies: list[StudyStatus], slots: float, shares: Mapping[str, float]) -> float | None:
    """Estimates the seconds until a launch ends, from what each task has trained so far: finished runs and parts.

    Args:
        studies: status of each study.
        slots: trials that run at once, or GPUs.
        shares: task without its split -> share of a slot that a trial takes; 1 for a task without an entry.

    Returns:
        Seconds, 0 if nothing is left to run; None without slots, or if a task with work left has trained nothing yet.
    """
    done: dict[str, tuple[float, float]] = {}  # task -> runs and seconds, over all its studies
    for study in studies:
        runs, seconds = done.get(study.task, (0.0, 0.0))
        done[study.task] = (runs + study.runs + study.part_runs, seconds + study.seconds + study.part_seconds)
    slot_seconds = 0.0
    for study in studies:
        if study.missing + study.running:
            runs, seconds = done[study.task]
            if not runs or not slots:
                return None
            todo = study.missing + study.running - study.part_runs
            slot_seconds += todo * seconds / runs * shares.get(study.task, 1.0)
    return slot_seconds / slots if slot_seconds else 0.0


def launch_status(run: RunDir) -> LaunchStatus:
    """Reads the status of a launch, also while it is running.

    Args:
        run: its run directory.

    Raises:
        BadInput: if the run directory holds no suite and no launch is starting there, or it cannot be read.
    """
    with run.local_copy() as local:
        return local_launch_status(local, run.holder())


def follow(run: RunDir) -> Iterator[LaunchStatus]:
    """Watches a launch.

    Args:
        run: its run directory.

    Yields:
        Its status now, and whenever a trial has started or ended since, until no launch runs there.

    Raises:
        BadInput: see `launch_status`.
    """
    pause = WATCH_STORE_SECONDS if files.is_remote(run.path) else HEARTBEAT_SECONDS
    before = None
    while True:
        status = launch_status(run)
        # What changes with every heartbeat is no news.
        studies = [replace(study, part_runs=0.0, part_seconds=0.0) for study in status.studies]
        news = replace(status, busy=None, studies=studies)
        if news != before:
            yield status
        if status.state not in ("starting", "running"):
            return
        before = news
        time.sleep(pause)


def describe_holder(holder: Holder) -> str:
    """A launch in words: `process 1234 on node1 since 2026-01-31 12:00:00`."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.since))
    return f"process {holder.pid} on {holder.host} since {since}"


def is_starting(holder: Holder | None, beat: Heartbeat | None) -> bool:
    """Whether a launch has taken the run directory, and has not written its first heartbeat."""
    if holder is None or not is_alive(holder) or is_dead(holder) or holder.since > time.time() + DEAD_AFTER:
        return False
    return beat is None or holder.since > beat.since


def is_dead(holder: Holder) -> bool:
    """Whether a process of this machine has ended; of another machine that is not known."""
    if holder.host != socket.gethostname():
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it runs as another user
        pass
    return False


def local_launch_status(run: RunDir, holder: Holder | None) -> LaunchStatus:
    beat = run.heartbeat()
    starting = is_starting(holder, beat)
    state = "starting" if starting else launch_state(beat)
    running: dict[str, list[RunningTrial]] = {}  # by study
    if beat and state == "running":
        for name, trial in beat.running.items():
            part = RunningTrial(trial.seeds, trial.share, beat.updated - trial.since)
            running.setdefault(name.rpartition("/")[0], []).append(part)
    suite = None if starting and not run.exists() else run.suite()
    studies = study_statuses(run, suite, running) if suite else []
    return LaunchStatus(
        studies=studies,
        slots=beat.slots if beat else 0,
        shares=beat.shares if beat else {},
        state=state,
        trials_running=sum(map(len, running.values())),
        busy=busy_share(beat, [(study.task, study.seconds) for study in studies]),
        options=beat.options if beat else (),
        select_by=suite.select_by if suite else "error",
        holder=describe_holder(holder) if holder and starting else "",
    )


def launch_state(beat: Heartbeat | None) -> State:
    """The state of the launch that wrote this heartbeat."""
    if beat is None:
        return "not launched"
    if beat.ended:
        return "ended"
    return "running" if is_alive(beat) else "interrupted"


def study_statuses(run: RunDir, suite: Suite, running: Mapping[str, Collection[RunningTrial]]) -> list[StudyStatus]:
    """The status of each study of a run directory on disk.

    Args:
        run: the run directory.
        suite: its suite.
        running: study -> its trials in progress.
    """
    results = run.results(suite)
    return [
        study_status(suite, s, results[s.name].rows, results[s.name].failures, running.get(s.name, ()))
        for s in suite.studies
    ]


def resume_command(run_dir: Path, options: Iterable[str]) -> str:
    """The command that continues a run directory, to be pasted into a shell.

    Args:
        run_dir: the run directory.
        options: options of the launch before that change no result, so that suite.json does not hold them. launch.json
            does, under `options`.
    """
    return shlex.join(["tune-kmixup", "resume", str(run_dir), *options])


def is_alive(note: Holder | Heartbeat) -> bool:
    """Whether the last sign of life of a launch is recent. One from the future does not count."""
    return abs(time.time() - note.updated) < DEAD_AFTER


def busy_share(beat: Heartbeat | None, run_seconds: Iterable[tuple[str, float]]) -> float | None:
    """The share of the slots' time in which finished runs were trained and evaluated, over all launches so far.

    The rest of the time went to start-up, to handing out trials, and to work that was lost. If trials have shares of
    GPUs, a slot is a GPU, and a trial keeps its share of it busy.

    Args:
        beat: the last heartbeat.
        run_seconds: pairs of a task without its split and the seconds spent on finished runs of this task.

    Returns:
        A fraction; None if it is unknown: before the first finished run; if the runs took longer than the launches,
        because the directory holds results of others; or if launches gave a task different shares, because rows do not
        say which launch they belong to.
    """
    if beat is None:
        return None
    launches = [*beat.earlier, beat.period]
    available = sum(launch.available for launch in launches)
    busy = sum(beat.shares.get(task, 1.0) * seconds for task, seconds in run_seconds)
    return busy / available if 0 < busy <= available and all(one.shares == beat.shares for one in launches) else None
