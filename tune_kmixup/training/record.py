"""One function from a run to its row."""

import math
import time

from tune_kmixup.core import asha
from tune_kmixup.core.config import Configuration, Recipe, Task, Trial
from tune_kmixup.core.rows import COLUMNS, Row
from tune_kmixup.data.prepare import Data
from tune_kmixup.mixing.step import perturbation_factor
from tune_kmixup.training.metrics import evaluate, evaluate_final
from tune_kmixup.training.provenance import provenance
from tune_kmixup.training.state import TrainingState

MEASURED_STEPS = 100  # first steps of a run, over which its pairing is described


def steps_per_epoch(recipe: Recipe, data: Data) -> int:
    return len(data.train.y) // recipe.batch_size


def make_row(state: TrainingState, run: int, task: Task, chosen: Configuration, trial: Trial, data: Data) -> Row:
    """Evaluates a run that ended and describes it in one row (see `columns.COLUMNS`)."""
    clock = time.perf_counter()
    state.model.copy_to(state.network, run)
    found = {f"val_{name}": value for name, value in evaluate(state.network, data.val, data).items()}
    if data.test is not None:
        found |= {f"test_{name}": value for name, value in evaluate_final(state.network, data.test, data).items()}
    recipe, runs = chosen.recipe, len(state.seeds)
    loss = state.loss[run].item()
    finite = math.isfinite(loss) and found["val_nll"] is not None
    measured = min(state.step, MEASURED_STEPS)
    mixes = chosen.alpha > 0
    distance = state.distance[run].item() / measured
    pairing = {
        "matched_distance": distance if mixes else None,
        "perturbation": perturbation_factor(chosen.alpha) * distance if mixes else 0.0,
        "self_pair_share": state.self_pairs[run].item() / measured if mixes else None,
        "cross_class_share": state.cross_class[run].item() / measured if mixes else None,
    }
    return {
        "task": task.base,
        "dataset": task.dataset,
        "architecture": task.architecture,
        "outer_split": task.outer_split,
        "train_rows": len(data.train.y),
        "method": trial.study.rpartition("/")[2],
        "phase": trial.phase,
        "trial": trial.index,
        "alpha": chosen.alpha,
        "k": chosen.k,
        "lr": recipe.lr,
        "weight_decay": recipe.weight_decay,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "cost": recipe.cost,
        "seed": state.seeds[run],
        "status": "ok" if finite else "diverged",
        "train_loss": loss / steps_per_epoch(recipe, data) if math.isfinite(loss) else None,
        **{name: None for name in COLUMNS if name.startswith("test_")},
        **found,
        **pairing,
        "rungs": asha.format_rungs(state.rungs if run == 0 else {}),
        "batched": runs,
        "pairing_seconds": state.pairing_seconds / runs,
        "seconds": state.seconds / runs + time.perf_counter() - clock,
        "started": state.started,
        **provenance(data.train.x.device),
    }


def rung_row(state: TrainingState, task: Task, chosen: Configuration, trial: Trial, data: Data) -> Row | None:
    """At a rung: what the trial leaves if it is stopped here, one row of its first seed. None elsewhere.

    The first seed is the same for every configuration, so that those judged had the same initial weights and batches.
    """
    epoch, rest = divmod(state.step, steps_per_epoch(chosen.recipe, data))
    if rest or epoch not in trial.rungs or state.seeds[0] != trial.seeds[0] or 0 not in state.live:
        return None
    row = make_row(state, 0, task, chosen, trial, data)
    state.model.train()  # a network that is alone was evaluated where it stands
    state.rungs[epoch] = row["val_error"]
    spent = {name: row[name] * len(state.seeds) for name in ("seconds", "pairing_seconds")}  # the others leave no row
    return row | spent | {"status": "stopped", "epochs": epoch, "rungs": asha.format_rungs(state.rungs)}
