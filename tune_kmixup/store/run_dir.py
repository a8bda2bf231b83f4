"""Reads and writes the files of a run directory. Standard library only, except for object stores.

The result files are the only record of a launch. Everything else (Ray's state, the Optuna studies, the report) is
derived from `suite.json` and these files, and can be deleted. Each result file is written once, whole or not at all,
under a name that says what it holds. If it exists, its runs are done.

    suite.json                                    the suite
    speedups.json                                 measured speedups of training seeds together, per task
    memory.json                                   measured GPU memory of a trial, per size of GPU and task
    launch.json                                   heartbeat: who launched, since when, and what is running
    launch.lock                                   held by the launch that uses the directory
    holder.json                                   on disk: which launch that is
    studies/<task>/<method>/proposal-0003.json    a configuration, written before its trial starts
    studies/<task>/<method>/search-0003.json      rows of its search runs
    studies/<task>/<method>/final-0003-<seed>.json  rows of its final runs, starting with this seed
    studies/<task>/<method>/<trial>.failed.json   last line of the error of a failed trial
    checkpoints/                                  checkpoints of running trials
"""

import errno
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_args

from tune_kmixup.core.config import Phase, Suite, Trial, from_json, to_json
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row, with_current_names
from tune_kmixup.store import files


class CorruptFile(BadInput):
    """A result file of a run directory that is not what its name says."""

    def __init__(self, path: Path, reason: object):
        super().__init__(f"{path} cannot be read ({reason}): delete it and launch again to recreate it.")


def unreadable_error(path: Path, error: OSError) -> BadInput:
    return BadInput(f"{str(path)!r} cannot be read ({error}): check the path and its permissions.")


def encode_json(value: object) -> bytes:
    """Encodes a value as JSON. Raises ValueError for NaN and infinity, which JSON does not have."""
    return json.dumps(value, allow_nan=False).encode()


class RunDir:
    """The files of one launch, on disk or in an object store. Reading creates nothing.

    Single files (`suite`, `launch`, `speedups`, `memory`) can be read from a store directly. Result files are many, so
    they can be read only on disk: use `local_copy` first. Methods that read raise BadInput if the disk or store cannot
    be read. Methods that write are for the launching process alone. They raise OSError if the disk or store cannot be
    written.

    Args:
        path: folder on disk, or URL of one in an object store.
        copy_of: the run directory that `path` is a local copy of; error messages name it instead.
    """

    def __init__(self, path: str | Path, copy_of: Path | None = None):
        self.path = files.parse_location(path)
        self.display_path = copy_of or self.path
        self.suite_written = False  # if set, the run directory must not vanish any more

    @contextmanager
    def local_copy(self) -> Iterator["RunDir"]:
        """Provides the run directory on disk, to be read.

        Yields:
            The run directory itself, or a temporary copy if it is in an object store. Checkpoints are not copied.
        """
        if not files.is_remote(self.path):
            yield self
            return
        with tempfile.TemporaryDirectory(prefix="tune-kmixup-") as folder:
            try:
                files.download(self.path, Path(folder), exclude="checkpoints")
            except OSError as error:
                raise unreadable_error(self.path, error) from error
            yield RunDir(folder, copy_of=self.path)

    def checkpoint(self, trial: Trial) -> Path:
        """The path of the checkpoint of a trial."""
        return self.path.absolute() / "checkpoints" / trial.study / f"{trial.name}.pt"

    def folder(self, study: str) -> Path:
        """The folder of the results of a study."""
        return self.path / "studies" / study

    def rows_path(self, trial: Trial) -> Path:
        """The path of the rows of a trial."""
        return self.folder(trial.study) / f"{trial.name}.json"

    # Reading

    def exists(self) -> bool:
        """Whether a suite was written here."""
        try:
            return files.exists(self.path / "suite.json")
        except OSError as error:
            raise unreadable_error(self.path, error) from error

    def suite(self) -> Suite:
        """The suite. Raises BadInput if there is none, or it is corrupt."""
        if not self.exists():
            raise BadInput(f"run_dir={str(self.display_path)!r} holds no suite.json: name the --out of a launch.")
        try:
            return from_json(files.read(self.path / "suite.json").decode())
        except OSError as error:
            raise unreadable_error(self.path, error) from error
        except (KeyError, TypeError, ValueError) as error:
            path = self.display_path / "suite.json"
            reason = str(error) if isinstance(error, BadInput) else repr(error)
            raise BadInput(f"{path} is not a suite ({reason}): restore it, or launch into a new --out.") from error

    def proposals(self, study: str) -> dict[int, dict[str, float]]:
        """The configurations that were proposed in a study.

        Returns:
            Index -> free coordinate -> value, in order of the index.

        Raises:
            CorruptFile: if a file is not a proposal.
        """
        proposals = {}
        for path in self.folder(study).glob("proposal-*.json"):
            index, content = int(path.stem.removeprefix("proposal-")), self._read(path)
            if not isinstance(content, dict) or not isinstance(content.get("values"), dict):
                raise self._corrupt(path, "it holds no values")
            proposals[index] = content["values"]
        return dict(sorted(proposals.items()))

    def rows(self, study: str) -> list[Row]:
        """The rows of all finished runs of a study, search runs first.

        Raises:
            CorruptFile: if a file does not hold rows.
        """
        folder = self.folder(study)
        rows: list[Row] = []
        for path in [path for phase in get_args(Phase) for path in sorted(folder.glob(f"{phase}-*.json"))]:
            if path.name.endswith(".failed.json"):
                continue
            content = self._read(path)
            if not isinstance(content, list) or not all(isinstance(row, dict) and "seed" in row for row in content):
                raise self._corrupt(path, "it holds no rows")
            rows += map(with_current_names, content)
        return rows

    def failures(self, study: str) -> dict[str, str]:
        """Trial -> last line of its error, for trials of a study that failed and have not succeeded since."""
        failures = {}
        for path in sorted(self.folder(study).glob("*.failed.json")):
            name = path.name.removesuffix(".failed.json")
            if not path.with_name(f"{name}.json").exists():
                failures[name] = self._read(path)["error"]
        return failures

    def launch(self) -> dict[str, Any]:
        """The last heartbeat (pid, host, since, updated, slots, running, earlier launches); empty if there is none."""
        return self._read_cache("launch.json")

    def holder(self) -> dict[str, Any]:
        """The launch that holds the run directory (pid, host, since, in a store updated too); empty if none does."""
        return self._read_cache("launch.lock" if files.is_remote(self.path) else "holder.json")

    def speedups(self) -> dict[str, dict[int, float]]:
        """The measured speedups so far.

        Returns:
            Task without its split -> number of seeds -> speedup of training them together over one by one.
        """
        by_task = self._read_cache("speedups.json")
        return {task: {int(seeds): speedup for seeds, speedup in sizes.items()} for task, sizes in by_task.items()}

    def memory(self) -> dict[int, dict[str, dict[int, int | None]]]:
        """The measured GPU memory of trials so far.

        Returns:
            Bytes of the GPU -> task without its split -> number of seeds trained together -> bytes that a trial needs;
            None if it needs more than the GPU has.
        """
        by_gpu = self._read_cache("memory.json")
        return {
            int(gpu): {task: {int(seeds): need for seeds, need in sizes.items()} for task, sizes in tasks.items()}
            for gpu, tasks in by_gpu.items()
        }

    def _read_cache(self, name: str) -> dict[str, Any]:
        """Reads a file that can be written again without loss. If it is missing or corrupt, it counts as empty."""
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

    def _corrupt(self, path: Path, reason: object) -> CorruptFile:
        return CorruptFile(self.display_path / path.relative_to(self.path).as_posix(), reason)

    # Writing

    def write_suite(self, suite: Suite) -> None:
        """Writes the suite, and creates the folders for checkpoints.

        Workers create no folders, so that they cannot bring back a run directory that was deleted.
        """
        for study in suite.studies:
            files.make_folder(self.path / "checkpoints" / study.name)
        self._write(self.path / "suite.json", json.loads(to_json(suite)))
        self.suite_written = True

    def write_proposal(self, study: str, index: int, values: Mapping[str, float]) -> None:
        """Writes configuration `index` of a study: free coordinate -> value."""
        self._write(self.folder(study) / f"proposal-{index:04d}.json", {"values": dict(values)})

    def write_rows(self, trial: Trial, rows: list[Row]) -> None:
        """Writes the rows of a finished trial unless it has rows already. Removes its failure and its checkpoint."""
        self._check_exists()
        files.make_folder(self.folder(trial.study))
        files.create(self.rows_path(trial), encode_json(rows))
        files.remove(self.rows_path(trial).with_suffix(".failed.json"))
        files.remove(self.checkpoint(trial))

    def write_failure(self, trial: Trial, error: str) -> None:
        """Writes the last line of the error of a failed trial."""
        self._write(self.rows_path(trial).with_suffix(".failed.json"), {"error": error})

    def write_speedups(self, speedups: Mapping[str, Mapping[int, float]]) -> None:
        """Writes what `speedups` reads."""
        self._write(self.path / "speedups.json", speedups)

    def write_memory(self, memory: Mapping[int, Mapping[str, Mapping[int, int | None]]]) -> None:
        """Writes what `memory` reads."""
        self._write(self.path / "memory.json", memory)

    def write_holder(self, holder: Mapping[str, Any]) -> None:
        """Writes what `holder` reads, on disk."""
        self._write(self.path / "holder.json", dict(holder))

    def remove_holder(self) -> None:
        """Removes what `write_holder` wrote, if it can."""
        with suppress(OSError):
            files.remove(self.path / "holder.json")

    def write_launch(self, heartbeat: Mapping[str, Any]) -> None:
        """Writes what `launch` reads."""
        self._write(self.path / "launch.json", dict(heartbeat))

    def _write(self, path: Path, value: object) -> None:
        self._check_exists()
        files.make_folder(path.parent)
        with files.atomic_write(path) as file:
            file.write(encode_json(value))

    def _check_exists(self) -> None:
        """Raises an error if the run directory has vanished. Otherwise writing would create it again, half empty."""
        if self.suite_written and not files.is_remote(self.path) and not self.exists():
            raise FileNotFoundError(errno.ENOENT, "the run directory has vanished", str(self.path))
