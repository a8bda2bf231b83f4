"""The run directory, a run's row, and the one selection rule. Standard library only.

The result files are the store: everything else (Ray's state, the Optuna studies, the report) can be thrown away and is
derived from `suite.json` and these files. A file is written once, whole or not at all, under a name that says what it
holds; a file that exists is work that is done.

    suite.json                                    the frozen suite
    speedups.json                                 of training seeds together, as measured per task
    memory.json                                   of a GPU that trials need, as measured per kind of GPU and task
    launch.json                                   who launches, since when, what is running (a heartbeat)
    studies/<task>/<method>/proposal-0003.json    a configuration, written before its trial starts
    studies/<task>/<method>/search-0003.json      the rows of its search runs
    studies/<task>/<method>/final-0003-<seed>.json  rows of final runs, from that seed on
    studies/<task>/<method>/<trial>.failed.json   the last line of the error of a trial that failed
    checkpoints/                                  of trials that are running
"""

import errno
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tune_kmixup import storage
from tune_kmixup.columns import Row
from tune_kmixup.study import BadInput, Suite, Trial, from_json, to_json


class CorruptFile(BadInput):
    """A file of a run directory that cannot be read as what its name says it is."""

    def __init__(self, path: Path, why: object):
        super().__init__(f"{path} cannot be read ({why}): delete it and launch again to make it anew.")


def write_json(path: Path, value: object) -> None:
    text = json.dumps(value, allow_nan=False)
    with storage.whole(path) as file:
        file.write(text.encode())


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CorruptFile(path, error) from error


class RunDir:
    """The files of one launch. Reading creates nothing."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.written = False  # whether a suite was written: from then on it has to be there

    def checkpoint(self, trial: Trial) -> Path:
        return self.path.absolute() / "checkpoints" / trial.study / f"{trial.name}.pt"

    def exists(self) -> bool:
        return bool((self.path / "suite.json").exists())

    def suite(self) -> Suite:
        path = self.path / "suite.json"
        if not path.exists():
            raise BadInput(f"run_dir={str(self.path)!r} holds no suite.json: name the --out of an earlier launch.")
        try:
            return from_json(path.read_text())
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"{path} is not a suite ({error!r}): restore it, or launch into a new --out.") from error

    def folder(self, study: str) -> Path:
        return self.path / "studies" / study

    def file(self, trial: Trial) -> Path:
        return self.folder(trial.study) / f"{trial.name}.json"

    # What is there

    def proposals(self, study: str) -> dict[int, dict[str, float]]:
        """index -> values of the configurations that were proposed, in order of their index."""
        paths = sorted(self.folder(study).glob("proposal-*.json"))
        found = {}
        for path in paths:
            value = read_json(path)
            if not isinstance(value, dict) or not isinstance(value.get("values"), dict):
                raise CorruptFile(path, "it holds no values")
            found[int(path.stem.removeprefix("proposal-"))] = value["values"]
        return dict(sorted(found.items()))

    def rows(self, study: str) -> list[Row]:
        """The rows of all runs of a study that are done, search before final."""
        folder = self.folder(study)
        paths = sorted(folder.glob("search-*.json")) + sorted(folder.glob("final-*.json"))
        paths = [path for path in paths if not path.name.endswith(".failed.json")]
        found = []
        for path in paths:
            rows = read_json(path)
            if not isinstance(rows, list) or not all(isinstance(row, dict) and "seed" in row for row in rows):
                raise CorruptFile(path, "it holds no rows")
            found += rows
        return found

    def failures(self, study: str) -> dict[str, str]:
        """trial name -> the last line of its error, of trials that failed and were not repeated with success."""
        found = {}
        for path in sorted(self.folder(study).glob("*.failed.json")):
            name = path.name.removesuffix(".failed.json")
            if not path.with_name(f"{name}.json").exists():
                found[name] = read_json(path)["error"]
        return found

    def launch(self) -> dict[str, Any]:
        """The last heartbeat (pid, host, since, updated, slots, running, earlier launches); empty if there is none."""
        return self._noted("launch.json")

    def speedups(self) -> dict[str, dict[int, float]]:
        """task without its split -> runs together -> how many times faster than in turn; what has been measured."""
        found = self._noted("speedups.json")
        return {task: {int(runs): ratio for runs, ratio in sizes.items()} for task, sizes in found.items()}

    def memory(self) -> dict[int, dict[str, dict[int, int | None]]]:
        """bytes of a GPU -> task without its split -> runs together -> bytes that a trial needs (None: more)."""
        found = self._noted("memory.json")
        return {
            int(gpu): {task: {int(runs): need for runs, need in sizes.items()} for task, sizes in tasks.items()}
            for gpu, tasks in found.items()
        }

    def _noted(self, name: str) -> dict[str, Any]:
        """What can be made anew at no loss: one that is garbled counts as none."""
        path = self.path / name
        try:
            return dict(read_json(path)) if path.exists() else {}
        except (CorruptFile, TypeError, ValueError):
            return {}

    # What the launching process, and no other, writes. OSError: the disk, or the store, refused it.

    def write_suite(self, suite: Suite) -> None:
        """Also makes the folders of checkpoints: workers make none, lest they bring back a directory that vanished."""
        for study in suite.studies:
            (self.path / "checkpoints" / study.name).mkdir(parents=True, exist_ok=True)
        self._write(self.path / "suite.json", json.loads(to_json(suite)))
        self.written = True

    def write_proposal(self, study: str, index: int, values: Mapping[str, float]) -> None:
        self._write(self.folder(study) / f"proposal-{index:04d}.json", {"values": dict(values)})

    def write_rows(self, trial: Trial, rows: list[Row]) -> None:
        """Never overwrites: a result that is there stays."""
        if not self.file(trial).exists():
            self._write(self.file(trial), rows)
        self.file(trial).with_suffix(".failed.json").unlink(missing_ok=True)
        self.checkpoint(trial).unlink(missing_ok=True)

    def write_failure(self, trial: Trial, error: str) -> None:
        self._write(self.file(trial).with_suffix(".failed.json"), {"error": error})

    def write_speedups(self, found: Mapping[str, Mapping[int, float]]) -> None:
        self._write(self.path / "speedups.json", found)

    def write_memory(self, found: Mapping[int, Mapping[str, Mapping[int, int | None]]]) -> None:
        self._write(self.path / "memory.json", found)

    def write_launch(self, heartbeat: Mapping[str, Any]) -> None:
        self._write(self.path / "launch.json", dict(heartbeat))

    def _write(self, path: Path, value: object) -> None:
        if self.written and not self.exists():
            raise FileNotFoundError(errno.ENOENT, "the run directory has vanished", str(self.path))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, value)


def score(rows: Iterable[Row]) -> tuple[float, float]:
    """Validation error and NLL of one configuration, averaged over its search runs.

    A prediction that is not finite counts as wrong, so a diverged run has an error, but no finite NLL: its NLL is
    infinite.
    """
    rows = list(rows)
    nlls = [float("inf") if row["val_nll"] is None else row["val_nll"] for row in rows]
    return sum(row["val_error"] for row in rows) / len(rows), sum(nlls) / len(rows)


def by_configuration(rows: Iterable[Row]) -> dict[int, list[Row]]:
    """index -> the search runs of that configuration."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        if row["phase"] == "search":
            found.setdefault(row["trial"], []).append(row)
    return found


def stopped(rows: Iterable[Row]) -> set[int]:
    """The configurations that were stopped early. Each has one row alone, of its first seed."""
    return {row["trial"] for row in rows if row["status"] == "stopped"}


def completed(rows: Iterable[Row]) -> dict[int, list[Row]]:
    """`by_configuration` without those that were stopped early: what is scored."""
    return by_configuration(row for row in rows if row["status"] != "stopped")


def ranking(rows: Iterable[Row]) -> list[int]:
    """The configurations of a study, best first: the one selection rule. Those stopped early are out.

    Least validation error of the last epoch, averaged over the search seeds; among equals the lower NLL, then the
    smaller α, then the smaller k (the milder regulariser), then the earlier trial. Test data play no part.
    """
    runs = completed(rows)
    return sorted(runs, key=lambda i: (*score(runs[i]), runs[i][0]["alpha"], runs[i][0]["k"], i))


def tied(rows: Iterable[Row]) -> int:
    """How many configurations share the least validation error: more than one means that a tie was broken."""
    errors = [score(runs)[0] for runs in completed(rows).values()]
    return errors.count(min(errors)) if errors else 0


def final_rows(rows: Iterable[Row]) -> list[Row]:
    """The final runs that count: those of the configuration that the selection rule chooses now."""
    rows = list(rows)
    best = ranking(rows)[:1]
    return [row for row in rows if row["phase"] == "final" and row["trial"] in best]
