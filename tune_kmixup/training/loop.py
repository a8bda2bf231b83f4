"""The training loop: the steps of runs trained together, and the runs of a trial. Independent of Ray and Optuna."""

import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing, nullcontext
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tune_kmixup.core.config import Recipe, Task, Trial, derived_seed
from tune_kmixup.core.coordinates import Configuration, configuration
from tune_kmixup.core.rows import Row
from tune_kmixup.data.tensors import Data
from tune_kmixup.mixing.step import mean_cross_entropy
from tune_kmixup.models.ensemble import can_batch
from tune_kmixup.models.randomness import seed_all
from tune_kmixup.training import checkpoint
from tune_kmixup.training.batches import MEASURED_STEPS, chunks
from tune_kmixup.training.record import extend_curves, make_row, rung_row, steps_per_epoch
from tune_kmixup.training.state import TrainingState, initial_state

REPORT_SECONDS = 1.0  # between two reports of a trial: Ray handles about 50 a second over a whole cluster


class TrainingProgress(NamedTuple):
    """How far a trial is.

    Attributes:
        share: share of the training that is done, 0 to 1.
        rung: at a rung, the row that the trial leaves if it is stopped here; None elsewhere.
    """

    share: float
    rung: Row | None = None


def learning_rate(recipe: Recipe, step: int, per_epoch: int) -> float:
    """The learning rate of a step: linear warm-up, then a cosine that reaches zero after the last step."""
    warmup, total = recipe.warmup_epochs * per_epoch, recipe.epochs * per_epoch
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    return recipe.lr * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


def steps(state: TrainingState, config: Configuration, data: Data) -> Iterator[list[int]]:
    """Trains the runs of a state to their end, one step at a time.

    Args:
        state: where to start; it is updated in place.
        config: what to train with.
        data: training rows, on the device of the state.

    Yields:
        After each step, the positions of the runs that have just ended. All runs end after the last step; a run whose
        loss is not finite ends with its epoch.
    """
    recipe, model = config.recipe, state.model
    device = data.train.x.device
    per_epoch = steps_per_epoch(recipe, data)
    half = recipe.precision == "bfloat16" and device.type == "cuda"
    precision = torch.autocast(device.type, torch.bfloat16) if half else nullcontext()  # enabled=False would take time
    ones = torch.ones(len(state.seeds), device=device)
    model.train()
    with closing(chunks(data, config, state.seeds, state.step)) as source:
        for x, y, pairs, pairing_seconds in (step for chunk in source for step in chunk.steps()):
            if state.step % per_epoch == 0:
                state.loss = torch.zeros_like(state.loss)
            if pairs is not None and state.step < MEASURED_STEPS:
                state.add_pairs(pairs)
            # Whatever the network draws, now or in a later step. Of a single run: one that draws is not batched.
            seed_all(derived_seed(state.seeds[0], "dropout", state.step))
            for group in state.optimizer.param_groups:
                group["lr"] = learning_rate(recipe, state.step, per_epoch)
            with precision:
                losses = mean_cross_entropy(model(x), y)
            state.optimizer.zero_grad()
            torch.autograd.backward(losses, ones)  # of the sum: each run gets the gradient of its own loss
            state.optimizer.step()
            state.loss += losses.detach()
            state.pairing_seconds += pairing_seconds
            state.step += 1
            yield state.finish_epoch(state.step == recipe.epochs * per_epoch) if state.step % per_epoch == 0 else []
            if not state.live:
                return


def train(
    task: Task, trial: Trial, data: Data, *, checkpoint_path: Path | None = None, save_every: float = 30.0
) -> Generator[TrainingProgress, None, list[Row]]:
    """Trains a trial once per seed. All seeds are trained together if the trial is `batched` and its networks allow it.

    It is a generator so that the caller can pause or stop the trial. Closing it at a rung stops the trial for good.
    Closing it elsewhere saves a checkpoint, from which the next call continues.

    Args:
        task: what to train.
        trial: its values, seeds and rungs.
        data: the data of the task, on the device of the training.
        checkpoint_path: file of the checkpoint, which is continued if it exists; None saves none.
        save_every: least number of seconds between two checkpoints.

    Yields:
        The progress, at the trial's rungs and otherwise at most once a second.

    Returns:
        One row per seed, in the order of the trial's seeds.

    Raises:
        BadInput: if the checkpoint belongs to another trial, or the values are out of range.
    """
    config = configuration(task.recipe, trial.values)
    total_steps = config.recipe.epochs * steps_per_epoch(config.recipe, data)
    identity = checkpoint.identity(task, trial)
    resumed = checkpoint.load(checkpoint_path, identity) if checkpoint_path else None
    rows, saved_state = resumed or ([], None)
    last_report = last_save = time.monotonic()
    for seeds, state_dict in pending_seeds(task, trial, data, rows, saved_state):
        state = initial_state(task, config, data, seeds)
        if state_dict:
            state.load_state_dict(state_dict)
        start = time.perf_counter() - state.seconds
        rung = None
        try:
            # The first item is for a checkpoint taken at a rung, before it was decided whether the trial continues.
            for ended in chain([[]], steps(state, config, data)):
                if trial.curves:
                    extend_curves(state, data, steps_per_epoch(config.recipe, data))
                state.seconds = time.perf_counter() - start
                rows += [make_row(state, run, task, config, trial, data) for run in ended]
                if checkpoint_path and time.monotonic() - last_save > save_every:
                    checkpoint.save(checkpoint_path, identity, rows, state.state_dict() if state.live else None)
                    last_save = time.monotonic()
                rung = rung_row(state, task, config, trial, data)
                if rung or (state.live and time.monotonic() - last_report > REPORT_SECONDS):
                    last_report = time.monotonic()
                    share = (len(rows) + len(state.live) * state.step / total_steps) / len(trial.seeds)
                    yield TrainingProgress(share, rung)
        except GeneratorExit:
            if checkpoint_path and not rung:  # at a rung the trial may have been stopped for good
                checkpoint.save(checkpoint_path, identity, rows, state.state_dict())
            raise
    return sorted(rows, key=lambda row: trial.seeds.index(row.seed))


def pending_seeds(
    task: Task, trial: Trial, data: Data, rows: list[Row], saved_state: dict[str, Any] | None
) -> Iterator[tuple[tuple[int, ...], dict[str, Any] | None]]:
    """Groups of seeds that are trained together, each with its saved state. A checkpoint's group comes first."""
    done = {row.seed for row in rows}
    if saved_state:
        seeds = tuple(saved_state["plain"]["seeds"])
        done |= {*seeds}
        yield seeds, saved_state
    remaining = tuple(seed for seed in trial.seeds if seed not in done)
    if len(remaining) > 1 and trial.batched and can_batch(task.architecture, data.shape, data.classes):
        yield remaining, None
    else:
        yield from (((seed,), None) for seed in remaining)


def train_to_end(task: Task, trial: Trial, data: Data) -> list[Row]:
    """Trains a trial without interruption.

    Args:
        task: see `train`, as for `trial` and `data`.

    Returns:
        One row per seed, in the order of the trial's seeds.
    """
    training = train(task, trial, data)
    while True:
        try:
            next(training)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
