"""The training step of the suite, and the runs of a trial, together or one after another.

Knows nothing of Ray or Optuna.
"""

import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tune_kmixup.core.config import Configuration, Recipe, Task, Trial, configuration, derived_seed
from tune_kmixup.core.rows import Row
from tune_kmixup.data.prepare import Data
from tune_kmixup.mixing.step import mean_cross_entropy, mix, mixed_cross_entropy
from tune_kmixup.models.ensemble import can_batch
from tune_kmixup.training import checkpoint
from tune_kmixup.training.batches import Batch, batches, pair_batches
from tune_kmixup.training.record import MEASURED_STEPS, make_row, rung_row, steps_per_epoch
from tune_kmixup.training.state import TrainingState, initial_state

REPORT_SECONDS = 1.0  # between two signs of life: Ray carries some 50 reports a second over a whole cluster


class TrainingProgress(NamedTuple):
    """How far a trial is."""

    share: float  # done, 0 to 1
    rung: Row | None = None  # at a rung: the row that the trial leaves if it is stopped here


def step_losses(model: nn.Module, batch: Batch) -> Tensor:
    """Mean loss of each run in one training step, on a batch whose partner has been permuted. R losses."""
    if batch.partner is None or batch.y_partner is None:
        return mean_cross_entropy(model(batch.x), batch.y)
    logits = model(mix(batch.x, batch.partner, batch.lam))
    return mixed_cross_entropy(logits, batch.y, batch.y_partner, batch.lam)


def learning_rate(recipe: Recipe, step: int, per_epoch: int) -> float:
    """Linear warm-up, then a cosine that reaches zero after the last step."""
    warmup, total = recipe.warmup_epochs * per_epoch, recipe.epochs * per_epoch
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    return recipe.lr * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


def steps(state: TrainingState, chosen: Configuration, data: Data) -> Iterator[list[int]]:
    """Trains from where the state stands to its end, one step at a time.

    Yields the positions of the runs that have just ended: all at the last step; one whose loss is not finite, at the
    end of that epoch.
    """
    recipe, model = chosen.recipe, state.model
    device = data.train.x.device
    per_epoch = steps_per_epoch(recipe, data)
    half = recipe.precision == "bfloat16" and device.type == "cuda"
    draws_at_random = any(isinstance(layer, nn.modules.dropout._DropoutNd) for layer in model.modules())
    source = batches(data, chosen.alpha, recipe, state.seeds, state.step)
    pairs: Generator[tuple[Batch, float], None, None]
    pairs = pair_batches(source, chosen.k, recipe.cost) if chosen.alpha > 0 else ((batch, 0.0) for batch in source)
    ones = torch.ones(len(state.seeds), device=device)
    model.train()
    with closing(pairs):
        for batch, pairing_seconds in pairs:
            if batch.step % per_epoch == 0:
                state.loss = torch.zeros_like(state.loss)
            if batch.step < MEASURED_STEPS:
                state.measure_pairing(batch)
            if draws_at_random:  # only ever one run
                torch.manual_seed(derived_seed(state.seeds[0], "dropout", batch.step))
            for group in state.optimizer.param_groups:
                group["lr"] = learning_rate(recipe, batch.step, per_epoch)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                losses = step_losses(model, batch)
            state.optimizer.zero_grad()
            torch.autograd.backward(losses, ones)  # of their sum: the gradient of each run is that of its own loss
            state.optimizer.step()
            state.loss += losses.detach()
            state.pairing_seconds += pairing_seconds
            state.step += 1
            yield state.finish_epoch(state.step == recipe.epochs * per_epoch) if state.step % per_epoch == 0 else []
            if not state.live:
                return


def train(
    task: Task, trial: Trial, data: Data, *, saved: Path | None = None, save_every: float = 30.0
) -> Generator[TrainingProgress, None, list[Row]]:
    """Trains a trial once per seed and returns its rows: all seeds together where the trial is `batched` and can be.

    A generator, so that whoever runs it decides when to go on: it yields its progress, at most once a second and at
    the trial's rungs, and returns one row per seed. To stop the trial at a rung, close the generator. With `saved`, a
    checkpoint is written there at most every `save_every` seconds and when the generator is closed elsewhere than at a
    rung, and one that is there is continued from; one of another trial is refused (BadInput).
    """
    chosen = configuration(task.recipe, trial.values)
    total = chosen.recipe.epochs * steps_per_epoch(chosen.recipe, data)
    identity = checkpoint.identity(task, trial)
    resumed = checkpoint.load(saved, identity) if saved else None
    rows: list[Row] = resumed["rows"] if resumed else []
    reported = written = time.monotonic()
    for seeds, begun in pending_seeds(task, trial, data, resumed):
        state = initial_state(task, chosen, data, seeds)
        if begun:
            state.load(begun)
        clock = time.perf_counter() - state.seconds
        rung = None
        try:
            # Looked at once before the first step: a checkpoint may be of a rung at which nothing was decided yet.
            for ended in chain([[]], steps(state, chosen, data)):
                state.seconds = time.perf_counter() - clock
                rows += [make_row(state, run, task, chosen, trial, data) for run in ended]
                if saved and time.monotonic() - written > save_every:
                    checkpoint.save(saved, identity, rows, state.state() if state.live else None)
                    written = time.monotonic()
                rung = rung_row(state, task, chosen, trial, data)
                if rung or (state.live and time.monotonic() - reported > REPORT_SECONDS):
                    reported = time.monotonic()
                    yield TrainingProgress((len(rows) + len(state.live) * state.step / total) / len(trial.seeds), rung)
        except GeneratorExit:  # closed in the middle; at a rung, perhaps for good
            if saved and not rung:
                checkpoint.save(saved, identity, rows, state.state())
            raise
    return sorted(rows, key=lambda row: trial.seeds.index(row["seed"]))


def pending_seeds(
    task: Task, trial: Trial, data: Data, resumed: dict[str, Any] | None
) -> Iterator[tuple[tuple[int, ...], dict[str, Any] | None]]:
    """The seeds still to be trained, together or one by one. First those that a checkpoint left in the middle, with their state."""
    begun = resumed["bundle"] if resumed else None
    over = {row["seed"] for row in resumed["rows"]} if resumed else set()
    if begun:
        seeds = tuple(begun["plain"]["seeds"])
        over |= {*seeds}
        yield seeds, begun
    left = tuple(seed for seed in trial.seeds if seed not in over)
    if len(left) > 1 and trial.batched and can_batch(task.architecture, data.shape, data.classes):
        yield left, None
    else:
        yield from (((seed,), None) for seed in left)


def train_to_end(task: Task, trial: Trial, data: Data) -> list[Row]:
    """`train` for those who have nothing to do in between."""
    training = train(task, trial, data)
    while True:
        try:
            next(training)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
