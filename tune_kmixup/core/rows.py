"""The columns of a result row. There is one row per run."""

from typing import Any

Row = dict[str, Any]

RENAMED = {"fused": "batched"}  # column name up to version 0.1.0 -> current name

# column -> (type, meaning). The table in `docs/results-schema.md` is generated from this.
COLUMNS: dict[str, tuple[str, str]] = {
    "suite": ("str", "name of the suite; added when a run directory is read"),
    "task": ("str", "data set, training size and architecture, without the outer split, e.g. digits-200/small_cnn"),
    "dataset": ("str", "data set, with its label noise, e.g. mnist or mnist-noise0.2"),
    "architecture": ("str", "architecture"),
    "outer_split": (
        "int",
        "cross-validation fold held out as test data, draw of a toy set, or repeat where all share the test rows",
    ),
    "shared_test": ("bool", "whether the outer splits of the task are repeats that share their test rows"),
    "train_rows": ("int", "rows trained on, in search and final runs alike"),
    "method": ("str", "erm, mixup, kmixup, placebo or a user's own"),
    "phase": ("str", "search, shortlist (both scored on validation data alone) or final (on test data as well)"),
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
    "test_rows": ("int", "number of test rows; empty in search"),
    "test_wrong": ("str", "test rows classified wrongly, of 6,000 at most: their number and, in base64, a bit each"),
    "test_error_noise_0.1": (
        "float",
        "test_error under Gaussian noise of deviation 0.1, the same for every run",
    ),
    "test_error_noise_0.3": (
        "float",
        "the same at 0.3; units: images in [0, 1], waveforms in [-1, 1], standardised columns",
    ),
    "test_error_fgsm_0.01": ("float", "test_error after a signed gradient step of 0.01, in the same units"),
    "test_error_fgsm_0.03": ("float", "the same at 0.03"),
    "test_error_fgsm_0.1": (
        "float",
        "the same at 0.1; noise and steps leave out columns with ten or fewer distinct values",
    ),
    "test_fgsm_zero_gradient": ("float", "share of test rows whose gradient is zero, which FGSM cannot move"),
    "matched_distance": ("float", "mean squared Euclidean distance of the pairs trained on; empty for erm"),
    "perturbation": ("float", "E[min(λ,1-λ)²] times matched_distance: expected squared displacement; 0 for erm"),
    "self_pair_share": ("float", "share of training rows paired with themselves; empty for erm"),
    "cross_class_share": ("float", "share of training rows paired with another class; empty for erm"),
    "rungs": (
        "str",
        "epoch:val_error where asha judged the first search seed, separated by spaces; empty for other runs",
    ),
    "batched": ("int", "number of runs trained together, including this one; 1 if alone"),
    "seconds": (
        "float",
        "wall-clock seconds of training and evaluation; shared equally if trained together; the whole trial if stopped",
    ),
    "pairing_seconds": ("float", "part of `seconds` spent computing pairings"),
    "started": ("float", "start of the run, Unix time"),
    "data": ("str", "fingerprint of the arrays of the data set; generated for a toy set; empty where not recorded"),
    "loaded": ("str", "fingerprints of the `--load` files, separated by spaces; empty without"),
    "numerics": ("int", "version of the numbers: it is raised when a change of the source alters results"),
    "device": ("str", "device the run trained on"),
    "machine": ("str", "processor architecture, cores and Python of the machine"),
    "code": ("str", "version and fingerprint of the source of this suite"),
    "versions": ("str", "versions of torch, ray, optuna, numpy and scipy, as far as they are installed"),
}


def with_current_names(row: Row) -> Row:
    """Renames the columns of a row that an earlier version wrote to the current names."""
    return {RENAMED.get(name, name): value for name, value in row.items()}
