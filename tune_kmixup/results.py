"""The run directory, a run's row, and the one selection rule. Standard library only.

The result files are the store: everything else (Ray's state, the Optuna studies, the report) can be thrown away and is
derived from `suite.json` and these files. A file is written once, whole or not at all, under a name that says what it
holds; a file that exists is work that is done.

    suite.json                                    the frozen suite
    speedups.json                                 of training seeds together, as measured per task
    launch.json                                   who launches, since when, what is running (a heartbeat)
    studies/<task>/<method>/proposal-0003.json    a configuration, written before its trial starts
    studies/<task>/<method>/search-0003.json      the rows of its search runs
    studies/<task>/<method>/final-0003-<seed>.json  rows of final runs, from that seed on
    studies/<task>/<method>/<trial>.failed.json   the last line of the error of a trial that failed
    checkpoints/                                  of trials that are running
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tune_kmixup.study import BadInput, Suite, Trial, from_json, to_json

Row = dict[str, Any]

# What a row holds: column -> (type, meaning). `docs/results-schema.md` is made from it.
COLUMNS: dict[str, tuple[str, str]] = {
    "suite": ("str", "name of the suite; added when a run directory is read"),
    "task": ("str", "data set, training size and architecture, without the outer split, e.g. digits-200/small_cnn"),
    "dataset": ("str", "data set"),
    "architecture": ("str", "architecture"),
    "outer_split": ("int", "cross-validation fold held out as test data; empty where the test set is official"),
    "train_rows": ("int", "rows trained on, in search and final runs alike"),
    "method": ("str", "erm, mixup, kmixup, placebo or a user's own"),
    "phase": ("str", "search (scored on validation data alone) or final (scored on test data as well)"),
    "trial": ("int", "number of the configuration within its study"),
    "alpha": ("float", "parameter of Beta(α, α); 0 for erm"),
    "k": ("int", "rows per pairing block; 1 for erm and mixup"),
    "lr": ("float", "learning rate used"),
    "weight_decay": ("float", "weight decay used"),
    "epochs": ("int", "epochs trained"),
    "batch_size": ("int", "rows per batch"),
    "cost": ("str", "cost of the pairing: sqeuclidean or euclidean"),
    "seed": ("int", "seed of the run; equal seeds pair the methods"),
    "status": ("str", "ok; diverged: the loss or a prediction was not finite; stopped: early, scored after `epochs`"),
    "train_loss": ("float", "mean loss of the last epoch on what the method trains on; empty if diverged"),
    "val_error": ("float", "share of validation rows classified wrongly after the last epoch"),
    "val_nll": ("float", "mean negative log-likelihood on validation rows, nats; empty if not finite"),
    "val_brier": ("float", "mean Brier score on validation rows, 0 to 2; empty if not finite"),
    "test_error": ("float", "share of test rows classified wrongly after the last epoch; empty in search"),
    "test_nll": ("float", "mean negative log-likelihood on test rows, nats; empty in search or if not finite"),
    "test_brier": ("float", "mean Brier score on test rows, 0 to 2; empty in search or if not finite"),
    "test_ece": (
        "float",
        "expected calibration error on test rows, 15 bins of equal width; empty if diverged",
    ),
    "test_ece_adaptive": ("float", "the same in 15 bins of equal mass"),
    "test_ece_floor": ("float", "test_ece of a perfectly calibrated network of the same confidences, by simulation"),
    "test_reliability": (
        "str",
        "bins of test_ece that hold rows, as rows:mean confidence:accuracy, separated by spaces",
    ),
    "test_error_by_class": ("str", "test_error among the test rows of each class, in order, separated by spaces"),
    "test_error_noise_0.1": (
        "float",
        "test_error under Gaussian noise of deviation 0.1, the same for every run",
    ),
    "test_error_noise_0.3": (
        "float",
        "of 0.3; in [0, 1] units of images, [-1, 1] of waveforms, standardised columns",
    ),
    "test_error_fgsm_0.01": ("float", "test_error after a signed gradient step of 0.01, in the same units"),
    "test_error_fgsm_0.03": ("float", "of 0.03"),
    "test_error_fgsm_0.1": ("float", "of 0.1; noise and steps leave out columns with ten or fewer distinct values"),
    "test_fgsm_zero_gradient": ("float", "share of test rows whose gradient is zero, which FGSM cannot move"),
    "matched_distance": ("float", "mean squared Euclidean distance of the pairs trained on; empty for erm"),
    "perturbation": ("float", "E[min(λ,1-λ)²] times matched_distance: expected squared displacement; 0 for erm"),
    "self_pair_share": ("float", "share of training rows paired with themselves; empty for erm"),
    "cross_class_share": ("float", "share of training rows paired with another class; empty for erm"),
    "rungs": ("str", "of the first search seed with asha: epoch:val_error where it was judged, separated by spaces"),
    "fused": ("int", "runs trained together, this one among them; 1 if alone"),
    "seconds": (
        "float",
        "wall-clock seconds of the run, training and evaluation; its share of those trained together, all if stopped",
    ),
    "pairing_seconds": ("float", "of these, seconds spent computing pairings"),
    "started": ("float", "start of the run, Unix time"),
    "device": ("str", "device the run trained on"),
    "machine": ("str", "processor architecture, cores and Python of the machine"),
    "code": ("str", "version and fingerprint of the source of this suite"),
    "versions": ("str", "versions of torch, ray, optuna, numpy and scipy, as far as they are installed"),
}


class CorruptFile(BadInput):
    """A file of a run directory that cannot be read as what its name says it is."""


def write_json(path: Path, value: object) -> None:
    """Writes whole or not at all: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w") as file:
            json.dump(value, file, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CorruptFile(f"{path} cannot be read ({error}): delete it and launch again to make it anew.") from error


class RunDir:
    """The files of one launch. Reading creates nothing."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def checkpoint(self, trial: Trial) -> Path:
        return self.path.absolute() / "checkpoints" / trial.study / f"{trial.name}.pt"

    def exists(self) -> bool:
        return (self.path / "suite.json").exists()

    def suite(self) -> Suite:
        path = self.path / "suite.json"
        if not path.exists():
            raise BadInput(f"run_dir={str(self.path)!r} holds no suite.json: name the --out of an earlier launch.")
        try:
            return from_json(path.read_text())
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFile(f"{path} is not a suite ({error!r}): restore it, or launch into a new --out.") from error

    def write_suite(self, suite: Suite) -> None:
        write_json(self.path / "suite.json", json.loads(to_json(suite)))

    def folder(self, study: str) -> Path:
        return self.path / "studies" / study

    def file(self, trial: Trial) -> Path:
        return self.folder(trial.study) / f"{trial.name}.json"

    # What is there

    def proposals(self, study: str) -> dict[int, dict[str, float]]:
        """index -> values of the configurations that were proposed, in order of their index."""
        paths = sorted(self.folder(study).glob("proposal-*.json"))
        return {int(path.stem.removeprefix("proposal-")): read_json(path)["values"] for path in paths}

    def rows(self, study: str) -> list[Row]:
        """The rows of all runs of a study that are done, search before final."""
        folder = self.folder(study)
        paths = sorted(folder.glob("search-*.json")) + sorted(folder.glob("final-*.json"))
        return [row for path in paths if not path.name.endswith(".failed.json") for row in self._rows(path)]

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
        path = self.path / "launch.json"
        return read_json(path) if path.exists() else {}

    def speedups(self) -> dict[str, dict[int, float]]:
        """task without its split -> runs together -> how many times faster than in turn; what has been measured."""
        path = self.path / "speedups.json"
        found = read_json(path) if path.exists() else {}
        return {task: {int(runs): ratio for runs, ratio in sizes.items()} for task, sizes in found.items()}

    @staticmethod
    def _rows(path: Path) -> list[Row]:
        rows = read_json(path)
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "seed" in row for row in rows):
            raise CorruptFile(f"{path} holds no rows: delete it and launch again to make it anew.")
        return rows

    # What the launching process, and no other, writes

    def write_proposal(self, study: str, index: int, values: Mapping[str, float]) -> None:
        write_json(self.folder(study) / f"proposal-{index:04d}.json", {"values": dict(values)})

    def write_rows(self, trial: Trial, rows: list[Row]) -> None:
        """Never overwrites: a result that is there stays."""
        if not self.file(trial).exists():
            write_json(self.file(trial), rows)
        self.file(trial).with_suffix(".failed.json").unlink(missing_ok=True)
        self.checkpoint(trial).unlink(missing_ok=True)

    def write_failure(self, trial: Trial, error: str) -> None:
        write_json(self.file(trial).with_suffix(".failed.json"), {"error": error})

    def write_speedups(self, found: Mapping[str, Mapping[int, float]]) -> None:
        write_json(self.path / "speedups.json", found)

    def write_launch(self, heartbeat: Mapping[str, Any]) -> None:
        write_json(self.path / "launch.json", dict(heartbeat))


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
