"""The run directory. Standard library only, but for object stores.

The result files are the store: everything else (Ray's state, the Optuna studies, the report) can be thrown away and is
derived from `suite.json` and these files. A file is written once, whole or not at all, under a name that says what it
holds; a file that exists is work that is done.

    suite.json                                    the frozen suite
    speedups.json                                 of training seeds together, as measured per task
    memory.json                                   of a GPU that trials need, as measured per kind of GPU and task
    launch.json                                   who launches, since when, what is running (a heartbeat)
    launch.lock                                   while a launch holds the directory
    studies/<task>/<method>/proposal-0003.json    a configuration, written before its trial starts
    studies/<task>/<method>/search-0003.json      the rows of its search runs
    studies/<task>/<method>/final-0003-<seed>.json  rows of final runs, from that seed on
    studies/<task>/<method>/<trial>.failed.json   the last line of the error of a trial that failed
    checkpoints/                                  of trials that are running
"""

import errno
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tune_kmixup.core.config import Suite, Trial, from_json, to_json
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row, with_current_names
from tune_kmixup.store import files


class CorruptFile(BadInput):
    """A file of a run directory that cannot be read as what its name says it is."""

    def __init__(self, path: Path, why: object):
        super().__init__(f"{path} cannot be read ({why}): delete it and launch again to make it anew.")


def unreadable_error(path: Path, why: OSError) -> BadInput:
    return BadInput(f"{str(path)!r} cannot be read ({why}): mend the way there, and the right to read it.")


def encode_json(value: object) -> bytes:
    """As JSON. Raises ValueError for a number that JSON does not have."""
    return json.dumps(value, allow_nan=False).encode()


class RunDir:
    """The files of one launch, on a disk or in an object store. Reading creates nothing.

    What is one file (`suite`, `launch`, `speedups`) is read where it is. Results are many: they are read on a disk, see
    `local_copy`. Raises BadInput where the disk or the store refuses to be read.
    """

    def __init__(self, path: str | Path, copy_of: Path | None = None):
        self.path = files.parse_location(path)
        self.named = copy_of or self.path  # what messages name
        self.suite_written = False  # whether a suite was written: from then on it has to be there

    @contextmanager
    def local_copy(self) -> Iterator["RunDir"]:
        """The run directory on a disk, to be read: itself, or a copy of one in an object store as it is now."""
        if not files.is_remote(self.path):
            yield self
            return
        with tempfile.TemporaryDirectory(prefix="tune-kmixup-") as folder:
            try:
                files.copy(self.path, Path(folder), leave_out="checkpoints")
            except OSError as error:
                raise unreadable_error(self.path, error) from error
            yield RunDir(folder, copy_of=self.path)

    def checkpoint(self, trial: Trial) -> Path:
        return self.path.absolute() / "checkpoints" / trial.study / f"{trial.name}.pt"

    def exists(self) -> bool:
        try:
            return files.exists(self.path / "suite.json")
        except OSError as error:
            raise unreadable_error(self.path, error) from error

    def suite(self) -> Suite:
        if not self.exists():
            raise BadInput(f"run_dir={str(self.named)!r} holds no suite.json: name the --out of an earlier launch.")
        try:
            return from_json(files.read(self.path / "suite.json").decode())
        except OSError as error:
            raise unreadable_error(self.path, error) from error
        except (KeyError, TypeError, ValueError) as error:
            path = self.named / "suite.json"
            raise BadInput(f"{path} is not a suite ({error!r}): restore it, or launch into a new --out.") from error

    def folder(self, study: str) -> Path:
        return self.path / "studies" / study

    def file(self, trial: Trial) -> Path:
        return self.folder(trial.study) / f"{trial.name}.json"

    # What is there

    def proposals(self, study: str) -> dict[int, dict[str, float]]:
        """index -> values of the configurations that were proposed, in order of their index."""
        found = {}
        for path in self.folder(study).glob("proposal-*.json"):
            found[int(path.stem.removeprefix("proposal-"))] = value = self._read(path)
            if not isinstance(value, dict) or not isinstance(value.get("values"), dict):
                raise self._corrupt(path, "it holds no values")
        return {index: found[index]["values"] for index in sorted(found)}

    def rows(self, study: str) -> list[Row]:
        """The rows of all runs of a study that are done, search before final."""
        folder = self.folder(study)
        found: list[Row] = []
        for path in [*sorted(folder.glob("search-*.json")), *sorted(folder.glob("final-*.json"))]:
            if path.name.endswith(".failed.json"):
                continue
            rows = self._read(path)
            if not isinstance(rows, list) or not all(isinstance(row, dict) and "seed" in row for row in rows):
                raise self._corrupt(path, "it holds no rows")
            found += map(with_current_names, rows)
        return found

    def failures(self, study: str) -> dict[str, str]:
        """trial name -> the last line of its error, of trials that failed and were not repeated with success."""
        found = {}
        for path in sorted(self.folder(study).glob("*.failed.json")):
            name = path.name.removesuffix(".failed.json")
            if not path.with_name(f"{name}.json").exists():
                found[name] = self._read(path)["error"]
        return found

    def launch(self) -> dict[str, Any]:
        """The last heartbeat (pid, host, since, updated, slots, running, earlier launches); empty if there is none."""
        return self._read_cache("launch.json")

    def speedups(self) -> dict[str, dict[int, float]]:
        """task without its split -> runs together -> how many times faster than in turn; what has been measured."""
        found = self._read_cache("speedups.json")
        return {task: {int(runs): ratio for runs, ratio in sizes.items()} for task, sizes in found.items()}

    def memory(self) -> dict[int, dict[str, dict[int, int | None]]]:
        """bytes of a GPU -> task without its split -> runs together -> bytes that a trial needs (None: more)."""
        found = self._read_cache("memory.json")
        return {
            int(gpu): {task: {int(runs): need for runs, need in sizes.items()} for task, sizes in tasks.items()}
            for gpu, tasks in found.items()
        }

    def _read_cache(self, name: str) -> dict[str, Any]:
        """What can be made anew at no loss: one that is garbled counts as none."""
        try:
            return dict(json.loads(files.read(self.path / name)))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise unreadable_error(self.path / name, error) from error
        except (TypeError, ValueError):
            return {}

    def _read(self, path: Path) -> Any:
        try:
            return json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise self._corrupt(path, error) from error

    def _corrupt(self, path: Path, why: object) -> CorruptFile:
        return CorruptFile(self.named / path.relative_to(self.path).as_posix(), why)

    # What the launching process, and no other, writes. OSError: the disk, or the store, refused it.

    def write_suite(self, suite: Suite) -> None:
        """Also makes the folders of checkpoints: workers make none, lest they bring back a directory that vanished."""
        for study in suite.studies:
            files.make_folder(self.path / "checkpoints" / study.name)
        self._write(self.path / "suite.json", json.loads(to_json(suite)))
        self.suite_written = True

    def write_proposal(self, study: str, index: int, values: Mapping[str, float]) -> None:
        self._write(self.folder(study) / f"proposal-{index:04d}.json", {"values": dict(values)})

    def write_rows(self, trial: Trial, rows: list[Row]) -> None:
        """Never overwrites: a result that is there stays."""
        self._check_exists()
        files.make_folder(self.folder(trial.study))
        files.create(self.file(trial), encode_json(rows))
        files.remove(self.file(trial).with_suffix(".failed.json"))
        files.remove(self.checkpoint(trial))

    def write_failure(self, trial: Trial, error: str) -> None:
        self._write(self.file(trial).with_suffix(".failed.json"), {"error": error})

    def write_speedups(self, found: Mapping[str, Mapping[int, float]]) -> None:
        self._write(self.path / "speedups.json", found)

    def write_memory(self, found: Mapping[int, Mapping[str, Mapping[int, int | None]]]) -> None:
        self._write(self.path / "memory.json", found)

    def write_launch(self, heartbeat: Mapping[str, Any]) -> None:
        self._write(self.path / "launch.json", dict(heartbeat))

    def _write(self, path: Path, value: object) -> None:
        self._check_exists()
        files.make_folder(path.parent)
        with files.atomic_write(path) as file:
            file.write(encode_json(value))

    def _check_exists(self) -> None:
        """A folder that vanished is not made again, half empty; in a store there are none."""
        if self.suite_written and not files.is_remote(self.path) and not self.exists():
            raise FileNotFoundError(errno.ENOENT, "the run directory has vanished", str(self.path))
