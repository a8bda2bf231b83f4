"""Reads and writes the files of a run directory. Standard library only, except for object stores.

The result files are the only record of a launch. Everything else (Ray's state, the Optuna studies, the report) is
derived from `suite.json` and these files, and can be deleted. Each result file is written once, whole or not at all,
under a name that says what it holds. If it exists, its runs are done.

    suite.json                                    the suite
    memory.json                                   measured GPU memory of a trial, per size of GPU and task
    launch.json                                   heartbeat: who launched, since when, and what is running
    launch.lock                                   held by the launch that uses the directory; in a store the lease
                                                  launch-N.lock with the largest N
    holder.json                                   on disk: which launch that is
    studies/<task>/<method>/proposal-0003.json    a configuration, written before its trial starts
    studies/<task>/<method>/search-0003.json      rows of its search runs
    studies/<task>/<method>/shortlist-0003.json   rows that compare it again, on more seeds
    studies/<task>/<method>/final-0003-<seed>.json  rows of its final runs, starting with this seed
    studies/<task>/<method>/<trial>.failed.json   last line of the error of a failed trial
    models/<task>/<method>/final-0003-<seed>.npz  weights of a final run with this seed, with `--save-models`
    checkpoints/                                  checkpoints of running trials, and weights of their runs that ended
"""

import errno
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from tune_kmixup.core.config import Phase, Study, Suite, Trial, from_json, to_json
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.progress import Left, left
from tune_kmixup.core.rows import Row
from tune_kmixup.store import files, schema
from tune_kmixup.store.notes import Heartbeat, Holder, heartbeat_of, holder_of

LONGEST_MESSAGE = 300  # characters
TRIAL_FILE = re.compile(r"(search|shortlist|final)-([0-9]{4,7})(?:-(-?[0-9]{1,19}))?")
PROPOSAL_FILE = re.compile(r"proposal-([0-9]{4,7})")


class CorruptFile(BadInput):
    """A file of a run directory that does not hold what its name says."""

    def __init__(
        self,
        path: Path,
        reason: object,
        remedy: str = "delete it and launch again to recreate it.",
        fault: str = "cannot be read",
    ):
        name = str(path) if len(str(path)) <= 150 else f"...{str(path)[-147:]}"
        text = " ".join(str(reason.strerror if isinstance(reason, OSError) else reason).split()).rstrip(".")
        room = LONGEST_MESSAGE - len(f"{name} {fault} (): {remedy}")
        text = text if len(text) <= room else f"{text[: room - 3]}..."
        super().__init__(f"{name} {fault} ({text}): {remedy}")


def unreadable_error(path: Path, error: OSError) -> BadInput:
    return BadInput(f"{str(path)!r} cannot be read ({error}): check the path and its permissions.")


def encode_json(value: object) -> bytes:
    """Encodes a value as JSON. Raises ValueError for NaN and infinity, which JSON does not have."""
    return json.dumps(value, allow_nan=False).encode()


def read_note(path: Path, check: Callable[[Any], None]) -> dict[str, Any]:
    """Reads a file that can be written again without loss. If it is missing, or does not fit, it counts as empty.

    Raises:
        OSError: if the disk or store cannot be read.
    """
    try:
        content = schema.parse(files.read(path))
        check(content)
        return dict(content)
    except (FileNotFoundError, files.NotRegular, ValueError):
        return {}


def is_copied(name: str) -> bool:
    """Whether `local_copy` has a file of a store: notes, results, and suites below, which may be what is meant."""
    folder, _, rest = name.partition("/")
    return folder == "studies" or rest == "suite.json" if rest else name.endswith((".json", ".lock"))


def lease_numbers(folder: Path) -> list[int]:
    """The numbers of the leases of a run directory in a store, see `lock.store_lease`."""
    found = (re.fullmatch(r"launch-(\d+)\.lock", name) for name in files.names_in(folder))
    return [int(match[1]) for match in found if match]


def lease_path(folder: Path, number: int) -> Path:
    return folder / f"launch-{number}.lock"


def newest_lease(folder: Path) -> Path | None:
    numbers = lease_numbers(folder)
    return lease_path(folder, max(numbers)) if numbers else None


def trial_remedy(index: int) -> str:
    """What to do about a configuration whose proposal is missing: nothing says what its results were trained with."""
    theirs = f"*-{index:04d}.json, *-{index:04d}.failed.json and final-{index:04d}-*.json"
    return f"delete {theirs} of its folder and launch again."


def is_due(trial: str, todo: Left) -> bool:
    """Whether a trial is among what is left to run of its study. `trial` is the name of its file."""
    match = TRIAL_FILE.fullmatch(trial)
    assert match  # see `RunDir._result_files`
    phase, index, seed = match[1], int(match[2]), match[3]
    if phase == "final":
        return index == todo.selected and int(seed) in todo.final
    return index in (todo.search if phase == "search" else todo.shortlist)


@dataclass(frozen=True)
class Results:
    """What one study has proposed and finished.

    Attributes:
        proposals: number of a configuration -> free coordinate -> value, in order. Numbers may be missing.
        rows: the rows of all finished runs, search runs first.
        failures: trial -> last line of its error, for trials that failed and are still to be done.
    """

    proposals: dict[int, dict[str, Any]]
    rows: list[Row]
    failures: dict[str, str]


class RunDir:
    """The files of one launch, on disk or in an object store. Reading creates nothing.

    Single files (`suite`, `heartbeat`, `holder`, `memory`) are read from a store directly. Result files are many:
    `results` downloads them first, and what else reads them needs a `local_copy`. Methods that read raise BadInput if
    the disk or store cannot be read. Methods that write are for the launching process alone. They raise OSError if the
    disk or store cannot be written.

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
            The run directory itself, or a temporary copy if it is in an object store. Only single files and
            results are copied.
        """
        if not files.is_remote(self.path):
            yield self
            return
        with tempfile.TemporaryDirectory(prefix="tune-kmixup-") as folder:
            try:
                files.download(self.path, Path(folder), is_copied)
            except OSError as error:
                raise unreadable_error(self.path, error) from error
            yield RunDir(folder, copy_of=self.path)

    def checkpoint(self, trial: Trial) -> Path:
        """The path of the checkpoint of a trial."""
        return self.path.absolute() / "checkpoints" / trial.study / f"{trial.name}.pt"

    def ended_model(self, trial: Trial, seed: int) -> Path:
        """The path where a worker keeps the weights of a final run that has ended, until its trial has."""
        return self.checkpoint(trial).with_name(f"final-{trial.index:04d}-{seed}.npz")

    def model(self, study: str, index: int, seed: int) -> Path:
        """The path of the weights of a final run of configuration `index`."""
        return self.path / "models" / study / f"final-{index:04d}-{seed}.npz"

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
            raise BadInput(f"run_dir={str(self.display_path)!r} {self._what_is_wrong()}: name the --out of a launch.")
        try:
            content = files.read(self.path / "suite.json")
            schema.parse(content)
            return from_json(content.decode())
        except files.NotRegular as error:
            raise self._not_a_suite(error) from error
        except OSError as error:
            raise unreadable_error(self.path, error) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._not_a_suite(error if isinstance(error, ValueError) else repr(error)) from error

    def _what_is_wrong(self) -> str:
        """Why this is no run directory, with those below it."""
        if files.is_remote(self.path):
            return "holds no suite.json"
        if not self.path.exists():
            return "is not there"
        below = sorted(path.parent.name for path in self.path.glob("*/suite.json"))
        return "holds no suite.json" + (f", but {', '.join(below[:3])} in it does" if below else "")

    def _not_a_suite(self, reason: object) -> CorruptFile:
        remedy = "restore it, or launch into a new --out."
        return CorruptFile(self.display_path / "suite.json", reason, remedy, "is not a suite")

    def results(self, suite: Suite) -> dict[str, "Results"]:
        """What each study has proposed and finished, all of it checked.

        Args:
            suite: the suite; that of the directory or one that continues it.

        Returns:
            Name of the study -> its results.

        Raises:
            CorruptFile: if a file does not fit its name, the suite or another file.
        """
        if files.is_remote(self.path):
            with self.local_copy() as local:
                return local.results(suite)
        results = {study.name: self.study_results(suite, study) for study in suite.studies}
        for path in self._study_folders():
            name = path.relative_to(self.path / "studies").as_posix()
            if name not in results:
                raise self._corrupt(
                    path, "suite.json has no such study", "restore suite.json, or move this folder elsewhere."
                )
        return results

    def _study_folders(self) -> list[Path]:
        """The folders that hold files of a study."""
        return [path for path in (self.path / "studies").glob("*/*/*") if path.is_dir()]

    def study_results(self, suite: Suite, study: Study) -> "Results":
        """What one study has proposed and finished; see `results`."""
        checks = schema.StudyRows(suite, study)
        names = self._result_files(study.name)
        proposals = self._read_proposals(study, checks, [name for name in names if name.startswith("proposal-")])
        rows: list[Row] = []
        for name in (name for phase in get_args(Phase) for name in names if name.startswith(f"{phase}-")):
            rows += self._read_rows(self.folder(study.name) / name, checks, proposals)
        seen: set[tuple[int, int]] = set()
        for row in rows:
            if row.phase == "final":
                run = (row.trial, row.seed)
                if run in seen:
                    raise self._corrupt(
                        self.folder(study.name),
                        f"two files hold the final run of trial {run[0]} with seed {run[1]}",
                        f"delete its files final-{run[0]:04d}-*.json and launch again.",
                    )
                seen.add(run)
        return Results(proposals, rows, self._read_failures(study.name, names, left(suite, study, rows)))

    def _result_files(self, study: str) -> list[str]:
        """The names of the files of a study, sorted; nothing else stands in its folder."""
        folder = self.folder(study)
        try:
            names = sorted(name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith("."))
        except FileNotFoundError:
            return []
        except NotADirectoryError as error:
            raise self._corrupt(folder, error, "delete it and launch again.") from error
        except OSError as error:
            raise unreadable_error(folder, error) from error
        for name in names:
            stem = name.removesuffix(".json").removesuffix(".failed")
            trial, proposal = TRIAL_FILE.fullmatch(stem), PROPOSAL_FILE.fullmatch(name.removesuffix(".json"))
            fits = trial and f"{int(trial[2]):04d}" == trial[2] and (trial[1] == "final") == (trial[3] is not None)
            if not fits and not (proposal and f"{int(proposal[1]):04d}" == proposal[1]):
                raise self._corrupt(folder / name, "no file of a launch has such a name")
        return names

    def _read_proposals(self, study: Study, checks: schema.StudyRows, names: list[str]) -> dict[int, dict[str, Any]]:
        proposals: dict[int, dict[str, Any]] = {}
        for name in names:
            path, index = self.folder(study.name) / name, int(name[len("proposal-") : -len(".json")])
            content = self._read(path, trial_remedy(index))
            try:
                checks.check_index(index)
                proposals[index] = schema.check_proposal(content, study)
            except BadInput as error:
                raise self._corrupt(path, error, trial_remedy(index)) from error
        return dict(sorted(proposals.items()))

    def _read_rows(self, path: Path, checks: schema.StudyRows, proposals: Mapping[int, Mapping[str, Any]]) -> list[Row]:
        if path.name.endswith(".failed.json"):
            return []
        content, match = self._read(path), TRIAL_FILE.fullmatch(path.stem)
        assert match  # see `_result_files`
        phase, index = match[1], int(match[2])
        if index not in proposals:
            raise self._corrupt(path, f"there is no proposal-{index:04d}.json beside it", trial_remedy(index))
        try:
            if not isinstance(content, list):
                raise BadInput("it holds no rows")
            rows = [Row.from_json(row) for row in content]
            checks.check_trial(rows, phase, index, proposals[index])
            if match[3] is not None and int(match[3]) != rows[0].seed:
                raise BadInput(f"seed={rows[0].seed} of its first row is not that of its name")
        except BadInput as error:
            raise self._corrupt(path, error) from error
        return rows

    def _read_failures(self, study: str, names: list[str], todo: Left) -> dict[str, str]:
        """The failures of trials that are still to be done: seeds may be grouped, and selections change, in between."""
        failures = {}
        for name in (name for name in names if name.endswith(".failed.json")):
            trial = name.removesuffix(".failed.json")
            if is_due(trial, todo) and (note := self._read_note(f"studies/{study}/{name}", schema.check_failure)):
                failures[trial] = note["error"]
        return failures

    def heartbeat(self) -> Heartbeat | None:
        """The last heartbeat of a launch; None if there is none."""
        content = self._read_note("launch.json", schema.check_heartbeat)
        return heartbeat_of(content) if content else None

    def holder(self) -> Holder | None:
        """The launch that holds the run directory; None if none does."""
        name = "holder.json"
        if files.is_remote(self.path):
            try:
                lease = newest_lease(self.path)
            except OSError as error:
                raise unreadable_error(self.path, error) from error
            if lease is None:
                return None
            name = lease.name
        content = self._read_note(name, schema.check_holder)
        return holder_of(content) if content else None

    def memory(self) -> dict[int, dict[str, dict[int, int | None]]]:
        """The measured GPU memory of trials so far.

        Returns:
            Bytes of the GPU -> task without its split -> number of seeds trained together -> bytes that a trial needs;
            None if it needs more than the GPU has.
        """
        by_gpu = self._read_note("memory.json", schema.check_memory)
        return {
            int(gpu): {task: {int(seeds): need for seeds, need in sizes.items()} for task, sizes in tasks.items()}
            for gpu, tasks in by_gpu.items()
        }

    def _read_note(self, name: str, check: Callable[[Any], None]) -> dict[str, Any]:
        try:
            return read_note(self.path / name, check)
        except OSError as error:
            raise unreadable_error(self.path / name, error) from error

    def _read(self, path: Path, *remedy: str) -> Any:
        try:
            return schema.parse(files.read(path))
        except (OSError, ValueError) as error:
            raise self._corrupt(path, error, *remedy) from error

    def _corrupt(self, path: Path, reason: object, *remedy: str) -> CorruptFile:
        return CorruptFile(self.display_path / path.relative_to(self.path).as_posix(), reason, *remedy)

    # Writing

    def write_suite(self, suite: Suite) -> None:
        """Writes the suite, and creates the folders for checkpoints.

        Workers create no folders, so that they cannot bring back a run directory that was deleted.
        """
        self._write(self.path / "suite.json", json.loads(to_json(suite)))  # first: it says whose the folders are
        self.suite_written = True
        for study in suite.studies:
            files.make_folder(self.path / "checkpoints" / study.name)

    def write_proposal(self, study: str, index: int, values: Mapping[str, float]) -> None:
        """Writes configuration `index` of a study: free coordinate -> value.

        Raises:
            OSError: if it cannot be written. FileExistsError if the configuration has other values already: these stay.
        """
        self._create(self.folder(study) / f"proposal-{index:04d}.json", encode_json({"values": dict(values)}))

    def write_rows(self, trial: Trial, rows: list[Row]) -> None:
        """Writes the rows of a finished trial. Removes its failure and its checkpoint.

        Raises:
            OSError: if they cannot be written. FileExistsError if the trial has other rows already: these stay.
        """
        self._create(self.rows_path(trial), encode_json([row.to_json() for row in rows]))
        files.remove(self.rows_path(trial).with_suffix(".failed.json"))
        files.remove(self.checkpoint(trial))

    def keep_models(self, trial: Trial) -> None:
        """Puts the weights of a final trial, which has ended, where `model` finds them. Call it before `write_rows`.

        Raises:
            OSError: if they are not there, or cannot be moved.
        """
        self._check_exists()
        for seed in trial.seeds:
            path = self.model(trial.study, trial.index, seed)
            files.make_folder(path.parent)
            files.move(self.ended_model(trial, seed), path)

    def write_failure(self, trial: Trial, error: str) -> None:
        """Writes the last line of the error of a failed trial."""
        self._write(self.rows_path(trial).with_suffix(".failed.json"), {"error": error})

    def write_memory(self, memory: Mapping[int, Mapping[str, Mapping[int, int | None]]]) -> None:
        """Writes what `memory` reads."""
        self._write(self.path / "memory.json", memory)

    def write_holder(self, holder: Holder) -> None:
        """Writes what `holder` reads, on disk."""
        self._write(self.path / "holder.json", asdict(holder))

    def remove_holder(self) -> None:
        """Removes what `write_holder` wrote, if it can."""
        with suppress(OSError):
            files.remove(self.path / "holder.json")

    def write_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Writes what `heartbeat` reads."""
        self._write(self.path / "launch.json", asdict(heartbeat))

    def _write(self, path: Path, value: object) -> None:
        self._check_exists()
        files.make_folder(path.parent)
        with files.atomic_write(path) as file:
            file.write(encode_json(value))

    def _create(self, path: Path, content: bytes) -> None:
        """Writes a file that is never overwritten: a launch that does not know yet that it was taken over may try."""
        self._check_exists()
        files.make_folder(path.parent)
        if not files.create(path, content) and files.read(path) != content:
            raise FileExistsError(errno.EEXIST, "another launch has written something else", str(path))

    def _check_exists(self) -> None:
        """Raises OSError if the run directory has vanished. Otherwise writing would create it again, half empty."""
        if self.suite_written and not files.is_remote(self.path) and not files.exists(self.path / "suite.json"):
            raise FileNotFoundError(errno.ENOENT, "the run directory has vanished", str(self.path))
