"""Where a launch stands, from the files of its run directory alone."""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tune_kmixup.core.config import Study, Suite
from tune_kmixup.core.rows import Row
from tune_kmixup.core.selection import by_configuration, final_rows, ranking, score, stopped
from tune_kmixup.store.run_dir import RunDir

HEARTBEAT_SECONDS = 5.0  # between two signs of life of a launch
DEAD_AFTER = 30.0  # seconds without a heartbeat


@dataclass(frozen=True)
class StudyStatus:
    """Runs of one study. `best` is the least validation error so far, a fraction; None before the first result.

    A configuration that was stopped early has one run, and none of it is planned any more.
    """

    study: str
    search_done: int
    search_planned: int
    final_done: int
    final_planned: int
    running: int
    failed: dict[str, str]  # trial -> the last line of its error
    best: float | None
    seconds: float  # spent on runs that are done
    runs: int  # that are done, also of configurations that are not selected
    stopped: int  # configurations stopped early

    @property
    def task(self) -> str:
        """Without its outer split."""
        return self.study.rpartition("/")[0].partition("@")[0]

    @property
    def missing(self) -> int:
        """Runs neither done nor in progress."""
        left = self.search_planned - self.search_done + self.final_planned - self.final_done
        return max(0, left - self.running)


def study_status(
    suite: Suite, study: Study, rows: list[Row], failed: dict[str, str], running: Collection[int]
) -> StudyStatus:
    """`running`: seeds per trial of those in progress."""
    runs, order, early = by_configuration(rows), ranking(rows), len(stopped(rows))
    return StudyStatus(
        study.name,
        sum(len(found) for found in runs.values()),
        suite.trial_count(study) * suite.search_seeds - early * (suite.search_seeds - 1),
        len(final_rows(rows)),
        suite.final_seeds,
        sum(running),
        failed,
        score(runs[order[0]])[0] if order else None,
        sum(row["seconds"] for row in rows),
        len(rows),
        early,
    )


@dataclass(frozen=True)
class LaunchStatus:
    studies: list[StudyStatus]
    slots: float  # 0 before the first launch; GPUs, where trials have shares of them
    shares: Mapping[str, float]  # of a slot, by task without its split; a task that is not there: 1
    state: str  # running, ended, interrupted or not launched
    busy: float | None  # see `busy`

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the runs done; None where that cannot be said yet."""
        return seconds_left(self.studies, self.slots, self.shares)


def seconds_left(studies: list[StudyStatus], slots: float, shares: Mapping[str, float]) -> float | None:
    left = 0.0
    for study in studies:
        alike = [other for other in studies if other.task == study.task]
        runs = sum(other.runs for other in alike)
        if study.missing + study.running:
            if not runs or not slots:
                return None
            seconds = (study.missing + study.running) * sum(other.seconds for other in alike) / runs
            left += seconds * shares.get(study.task, 1.0)
    return left / slots if left else 0.0


def launch_status(run: RunDir) -> LaunchStatus:
    """Works while a launch is writing: files appear whole."""
    with run.local_copy() as here:
        return local_launch_status(here)


def local_launch_status(run: RunDir) -> LaunchStatus:
    suite, launch = run.suite(), run.launch()
    if not launch:
        state = "not launched"
    elif launch["ended"]:
        state = "ended"
    else:
        state = "running" if alive(launch) else "interrupted"
    running: dict[str, list[int]] = {}
    for name, trial in (launch.get("running", {}) if state == "running" else {}).items():
        running.setdefault(name.rpartition("/")[0], []).append(trial["seeds"])
    studies = [
        study_status(suite, s, run.rows(s.name), run.failures(s.name), running.get(s.name, [])) for s in suite.studies
    ]
    spent = [(study.task, study.seconds) for study in studies]
    return LaunchStatus(studies, launch.get("slots", 0), launch.get("shares", {}), state, busy_share(launch, spent))


def alive(launch: Mapping[str, Any]) -> bool:
    """Whether the heartbeat of a launch that has not ended is fresh."""
    return time.time() - float(launch["updated"]) < DEAD_AFTER


def busy_share(launch: Mapping[str, Any], seconds: Iterable[tuple[str, float]]) -> float | None:
    """Share of the slots' time in which runs that are done trained and were evaluated, over all launches so far.

    `seconds`: of these runs, each beside its task without its split. Where trials have shares of GPUs, a slot is a
    GPU, and busy to the extent of the shares that train. The rest is start-up, handing out, and work that was lost.
    None where that is not known: before the first launch, in a directory that holds results of others, or where its
    launches gave a task different shares, for rows do not say which launch they are of.
    """
    launches = [*launch.get("earlier", []), launch] if launch else []
    shares = [one.get("shares", {}) for one in launches]
    there = sum(one["slots"] * (one["updated"] - one["since"]) for one in launches)
    spent = sum(shares[-1].get(task, 1.0) * taken for task, taken in seconds) if shares else 0.0
    return spent / there if 0 < spent <= there and all(one == shares[-1] for one in shares) else None
