"""Rows of results: one per run that ended, and one per rung that a trial reached."""

import math
import time
from dataclasses import replace
from typing import Any

from tune_kmixup.core.config import StudyName, Task, Trial, derived_seed
from tune_kmixup.core.coordinates import Configuration
from tune_kmixup.core.rows import Row, Rung
from tune_kmixup.core.selection import run_score
from tune_kmixup.data.tensors import Data
from tune_kmixup.mixing.step import perturbation_factor
from tune_kmixup.models.randomness import seed_all
from tune_kmixup.training.batches import MEASURED_STEPS
from tune_kmixup.training.metrics import error, evaluate, evaluate_final, predict
from tune_kmixup.training.provenance import provenance
from tune_kmixup.training.state import TrainingState


def make_row(state: TrainingState, run: int, task: Task, config: Configuration, trial: Trial, data: Data) -> Row:
    """Evaluates a run that ended and describes it in one row.

    Args:
        state: state of the runs that were trained together.
        run: position of the run in the state, 0 to R - 1.
        task: what was trained.
        config: what it was trained with.
        trial: the trial that the run belongs to.
        data: the data of the task; test scores are recorded if it holds test rows.

    Returns:
        Its row, without `data` and `loaded`, which training does not know.
    """
    start = time.perf_counter()
    prepare_evaluation(state, run)
    scores = {f"val_{name}": value for name, value in evaluate(state.network, data.val, data).items()}
    if data.test is not None:
        scores |= {f"test_{name}": value for name, value in evaluate_final(state.network, data.test, data).items()}
    recipe, runs = config.recipe, len(state.seeds)
    loss = state.loss[run].item()
    finite = math.isfinite(loss) and scores["val_nll"] is not None
    measured_steps = min(state.step, MEASURED_STEPS)
    mixes = config.alpha > 0
    distance = state.distance[run].item() / measured_steps
    return Row(
        **task.columns,
        train_rows=len(data.train.y),
        method=StudyName.parse(trial.study).method,
        phase=trial.phase,
        trial=trial.index,
        **config.columns,
        seed=state.seeds[run],
        status="ok" if finite else "diverged",
        train_loss=loss / recipe.steps_per_epoch(len(data.train.y)) if math.isfinite(loss) else None,
        **scores,
        matched_distance=distance if mixes else None,
        perturbation=perturbation_factor(config.alpha) * distance if mixes else 0.0,
        self_pair_share=state.self_pairs[run].item() / measured_steps if mixes else None,
        cross_class_share=state.cross_class[run].item() / measured_steps if mixes else None,
        **curves(state, run),
        rungs=rungs(state) if run == 0 else (),
        batched=runs,
        pairing_seconds=state.pairing_seconds / runs,
        seconds=state.seconds / runs + time.perf_counter() - start,
        started=state.started,
        **provenance(data.train.x.device),
    )


def prepare_evaluation(state: TrainingState, run: int) -> None:
    """Copies the weights of a run into the network of the state, and seeds what that draws while it is scored."""
    state.model.copy_to(state.network, run)
    seed_all(derived_seed(state.seeds[run], "evaluation"))


def extend_curves(state: TrainingState, data: Data, per_epoch: int) -> None:
    """Adds the epoch to the curves of all runs, if one has just ended.

    Scoring updates no statistic, and each step seeds what it draws, so the training goes on as without curves.

    Args:
        state: state of the runs that are trained together.
        data: the data of the task; the validation rows are scored.
        per_epoch: number of steps of an epoch.
    """
    if len(state.val_errors) == state.step // per_epoch:  # a checkpoint of the last step of an epoch has it already
        return
    errors = []
    for run in range(len(state.seeds)):
        prepare_evaluation(state, run)
        errors.append(error(predict(state.network, data.val.x, data), data.val.y))
    state.model.train()  # an ensemble of one network was evaluated in place
    state.train_losses.append([loss / per_epoch for loss in state.loss.tolist()])
    state.val_errors.append(errors)


def curves(state: TrainingState, run: int) -> dict[str, Any]:
    """The columns of a run's curves: none if the trial keeps none."""
    if not state.val_errors:
        return {}
    losses = [epoch[run] for epoch in state.train_losses]
    return {
        "train_loss_by_epoch": tuple(loss if math.isfinite(loss) else None for loss in losses),
        "val_error_by_epoch": tuple(epoch[run] for epoch in state.val_errors),
    }


def rungs(state: TrainingState) -> tuple[Rung, ...]:
    return tuple(Rung(epoch, score if math.isfinite(score) else None) for epoch, score in state.rungs.items())


def rung_row(state: TrainingState, task: Task, config: Configuration, trial: Trial, data: Data) -> Row | None:
    """The row that the trial leaves if it is stopped at this step, or None if the step is not at a rung.

    Only the first seed is judged. It is the same for every configuration, so all of them had the same initial weights
    and batches.
    """
    epoch, step_in_epoch = divmod(state.step, config.recipe.steps_per_epoch(len(data.train.y)))
    if step_in_epoch or epoch not in trial.rungs or state.seeds[0] != trial.seeds[0] or 0 not in state.live:
        return None
    row = make_row(state, 0, task, config, trial, data)
    state.model.train()  # an ensemble of one network was evaluated in place
    state.rungs[epoch] = run_score(row, trial.select_by)
    return replace(
        row,
        status="stopped",
        epochs=epoch,
        rungs=rungs(state),
        # The other seeds leave no row, so this one counts the time of all.
        seconds=row.seconds * len(state.seeds),
        pairing_seconds=state.pairing_seconds,
    )
