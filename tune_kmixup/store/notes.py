"""Notes of a launch beside its results: who holds a run directory, and its heartbeat. A launch can write them again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

Record = TypeVar("Record")


@dataclass(frozen=True)
class Holder:
    """The launch that holds a run directory: holder.json on disk, launch-N.lock in a store.

    Attributes:
        host: its machine.
        pid: its process.
        since: when it took the directory, in seconds since 1970.
        updated: its last sign of life, in seconds since 1970.
        by: what tells this launch from all others.
    """

    host: str
    pid: int
    since: float
    updated: float
    by: str = ""


@dataclass(frozen=True)
class Period:
    """When a launch ran, and on what.

    Attributes:
        since: its first heartbeat, in seconds since 1970.
        updated: its last one so far.
        slots: trials that could run at once, at the end. If trials have shares of GPUs, GPUs.
        slot_seconds: slots times seconds, summed while they came and went; None in early versions, where they did not.
        shares: task without its outer split -> share of a slot that a trial takes; empty where it takes all.
    """

    since: float
    updated: float
    slots: float
    slot_seconds: float | None = None
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def available(self) -> float:
        """The seconds that all slots together were there."""
        return self.slots * (self.updated - self.since) if self.slot_seconds is None else self.slot_seconds


@dataclass(frozen=True)
class Running:
    """A trial in progress.

    Attributes:
        since: when it started, in seconds since 1970.
        seeds: number of its seeds.
        share: how much of its training is done, 0 to 1.
    """

    since: float
    seeds: int
    share: float = 0.0


@dataclass(frozen=True)
class Heartbeat:
    """What a launch says of itself every few seconds: launch.json.

    Attributes:
        host: see `Holder`, as for `pid`.
        since: see `Period`, as for `updated`, `slots`, `slot_seconds` and `shares`.
        ended: whether the launch has ended.
        options: those that suite.json does not hold, and `resume` needs again.
        earlier: launches in the directory before this one.
        running: study/trial -> the trial.
    """

    host: str
    pid: int
    since: float
    updated: float
    ended: bool
    slots: float
    slot_seconds: float | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    options: Sequence[str] = ()
    earlier: Sequence[Period] = ()
    running: Mapping[str, Running] = field(default_factory=dict)

    @property
    def period(self) -> Period:
        return Period(self.since, self.updated, self.slots, self.slot_seconds, self.shares)

    @property
    def holder(self) -> Holder:
        return Holder(self.host, self.pid, self.since, self.updated)


def holder_of(content: Mapping[str, Any]) -> Holder:
    """The holder in JSON that has been checked, see `schema`."""
    return record_of(Holder, content)


def heartbeat_of(content: Mapping[str, Any]) -> Heartbeat:
    """The heartbeat in JSON that has been checked, see `schema`."""
    earlier = tuple(record_of(Period, period) for period in content.get("earlier", ()))
    running = {name: record_of(Running, trial) for name, trial in content.get("running", {}).items()}
    given = {**content, "earlier": earlier, "running": running, "options": tuple(content.get("options", ()))}
    return record_of(Heartbeat, given)


def record_of(kind: type[Record], content: Mapping[str, Any]) -> Record:
    names = [part.name for part in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: content[name] for name in names if name in content})
