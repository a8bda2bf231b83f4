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
from collections.abc import Iterable, Mapping
from typing import Any

from tune_kmixup import storage
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
    "status": ("str", "ok, or diverged: the loss or a prediction was not finite"),
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
    "fused": ("int", "runs trained together, this one among them; 1 if alone"),
    "seconds": ("float", "wall-clock seconds of the run, training and evaluation; its share of those trained together"),
    "pairing_seconds": ("float", "of these, seconds spent computing pairings"),
    "started": ("float", "start of the run, Unix time"),
    "device": ("str", "device the run trained on"),
    "machine": ("str", "processor architecture, cores and Python of the machine"),
    "code": ("str", "version and fingerprint of the source of this suite"),
    "versions": ("str", "versions of torch, ray, optuna, numpy and scipy, as far as they are installed"),
}


class CorruptFile(BadInput):
    """A file of a run directory that cannot be read as what its name says it is."""

    def __init__(self, path: storage.Place, why: object):
        self.path = path
        super().__init__(f"{path} cannot be read ({why}): launch again, which sets it aside and makes it anew.")


def write_json(path: storage.Place, value: object) -> None:
    text = json.dumps(value, allow_nan=False)
    with storage.whole(path) as file:
        file.write(text.encode())


def read_json(path: storage.Place) -> Any:
    return parsed(path, storage.read_all([path])[0])


def parsed(path: storage.Place, content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise CorruptFile(path, error) from error


class RunDir:
    """The files of one launch, in a folder or under a URL such as `s3://bucket/run`. Reading creates nothing."""

    def __init__(self, path: Any):
        self.path = storage.place(path)

    def checkpoint(self, trial: Trial) -> storage.Place:
        return self.path.absolute() / "checkpoints" / trial.study / f"{trial.name}.pt"

    def exists(self) -> bool:
        return bool((self.path / "suite.json").exists())

    def suite(self) -> Suite:
        path = self.path / "suite.json"
        if not path.exists():
            raise BadInput(f"run_dir={str(self.path)!r} holds no suite.json: name the --out of an earlier launch.")
        try:
            return from_json(storage.read_all([path])[0].decode())
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"{path} is not a suite ({error!r}): restore it, or launch into a new --out.") from error

    def folder(self, study: str) -> storage.Place:
        return self.path / "studies" / study

    def file(self, trial: Trial) -> storage.Place:
        return self.folder(trial.study) / f"{trial.name}.json"

    # What is there

    def proposals(self, study: str) -> dict[int, dict[str, float]]:
        """index -> values of the configurations that were proposed, in order of their index."""
        paths = storage.listed(self.folder(study), "proposal-*.json")
        found = {}
        for path, content in zip(paths, storage.read_all(paths), strict=True):
            value = parsed(path, content)
            if not isinstance(value, dict) or not isinstance(value.get("values"), dict):
                raise CorruptFile(path, "it holds no values")
            found[int(path.stem.removeprefix("proposal-"))] = value["values"]
        return dict(sorted(found.items()))

    def rows(self, study: str) -> list[Row]:
        """The rows of all runs of a study that are done, search before final."""
        folder = self.folder(study)
        paths = storage.listed(folder, "search-*.json") + storage.listed(folder, "final-*.json")
        paths = [path for path in paths if not path.name.endswith(".failed.json")]
        found = []
        for path, content in zip(paths, storage.read_all(paths), strict=True):
            rows = parsed(path, content)
            if not isinstance(rows, list) or not all(isinstance(row, dict) and "seed" in row for row in rows):
                raise CorruptFile(path, "it holds no rows")
            found += rows
        return found

    def failures(self, study: str) -> dict[str, str]:
        """trial name -> the last line of its error, of trials that failed and were not repeated with success."""
        found = {}
        for path in storage.listed(self.folder(study), "*.failed.json"):
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

    def _noted(self, name: str) -> dict[str, Any]:
        """What can be made anew at no loss: one that is garbled counts as none."""
        path = self.path / name
        try:
            return dict(read_json(path)) if path.exists() else {}
        except (CorruptFile, TypeError, ValueError):
            return {}

    # What the launching process, and no other, writes. OSError: the disk, or the store, refused it.

    def write_suite(self, suite: Suite) -> None:
        """Also makes the folders, so that what is written later is refused once the run directory has vanished."""
        if storage.on_disk(self.path):
            for study in suite.studies:
                self.folder(study.name).mkdir(parents=True, exist_ok=True)
                (self.path / "checkpoints" / study.name).mkdir(parents=True, exist_ok=True)
        write_json(self.path / "suite.json", json.loads(to_json(suite)))

    def write_proposal(self, study: str, index: int, values: Mapping[str, float]) -> None:
        write_json(self.folder(study) / f"proposal-{index:04d}.json", {"values": dict(values)})

    def write_rows(self, trial: Trial, rows: list[Row]) -> None:
        """Never overwrites: a result that is there stays."""
        if not self.file(trial).exists():
            write_json(self.file(trial), rows)
        storage.remove(self.file(trial).with_suffix(".failed.json"))
        storage.remove(self.checkpoint(trial))

    def write_failure(self, trial: Trial, error: str) -> None:
        write_json(self.file(trial).with_suffix(".failed.json"), {"error": error})

    def write_speedups(self, found: Mapping[str, Mapping[int, float]]) -> None:
        write_json(self.path / "speedups.json", found)

    def write_launch(self, heartbeat: Mapping[str, Any]) -> None:
        write_json(self.path / "launch.json", dict(heartbeat))

    def set_aside(self, path: storage.Place) -> list[str]:
        """Renames a garbled file, to be made anew; a proposal together with the results of its configuration."""
        kind, _, number = path.stem.partition("-")
        results = [path.with_name(f"search-{number}.json"), *storage.listed(path.parent, f"final-{number}-*.json")]
        moved = [path, *(one for one in results if kind == "proposal" and one.exists())]
        for one in moved:
            one.rename(one.with_name(f"{one.name}.garbled"))
        return [str(one) for one in moved]


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


def ranking(rows: Iterable[Row]) -> list[int]:
    """The configurations of a study, best first: the one selection rule.

    Least validation error of the last epoch, averaged over the search seeds; among equals the lower NLL, then the
    smaller α, then the smaller k (the milder regulariser), then the earlier trial. Test data play no part.
    """
    runs = by_configuration(rows)
    return sorted(runs, key=lambda i: (*score(runs[i]), runs[i][0]["alpha"], runs[i][0]["k"], i))


def tied(rows: Iterable[Row]) -> int:
    """How many configurations share the least validation error: more than one means that a tie was broken."""
    errors = [score(runs)[0] for runs in by_configuration(rows).values()]
    return errors.count(min(errors)) if errors else 0


def final_rows(rows: Iterable[Row]) -> list[Row]:
    """The final runs that count: those of the configuration that the selection rule chooses now."""
    rows = list(rows)
    best = ranking(rows)[:1]
    return [row for row in rows if row["phase"] == "final" and row["trial"] in best]
