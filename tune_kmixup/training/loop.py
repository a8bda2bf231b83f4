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
from tune_kmixup.training.batches import Batch, batches, paired
from tune_kmixup.training.record import MEASURED_STEPS, row_of, rung_row, steps_per_epoch
from tune_kmixup.training.state import TrainingState, initial_state

REPORT_SECONDS = 1.0  # between two signs of life: Ray carries some 50 reports a second over a whole cluster


class Progress(NamedTuple):
    """How far a trial is."""

    share: float  # done, 0 to 1
    rung: Row | None = None  # at a rung: the row that the trial leaves if it is stopped here


def losses_of(model: nn.Module, batch: Batch) -> Tensor:
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


def steps(bundle: TrainingState, chosen: Configuration, data: Data) -> Iterator[list[int]]:
    """Trains a bundle from where it stands to its end, one step at a time.

    Yields the positions of the runs that have just ended: all at the last step; one whose loss is not finite, at the
    end of that epoch.
    """
    recipe, model = chosen.recipe, bundle.model
    device = data.train.x.device
    per_epoch = steps_per_epoch(recipe, data)
    half = recipe.precision == "bfloat16" and device.type == "cuda"
    draws_at_random = any(isinstance(layer, nn.modules.dropout._DropoutNd) for layer in model.modules())
    source = batches(data, chosen.alpha, recipe, bundle.seeds, bundle.step)
    pairs: Generator[tuple[Batch, float], None, None]
    pairs = paired(source, chosen.k, recipe.cost) if chosen.alpha > 0 else ((batch, 0.0) for batch in source)
    ones = torch.ones(len(bundle.seeds), device=device)
    model.train()
    with closing(pairs):
        for batch, pairing_seconds in pairs:
            if batch.step % per_epoch == 0:
                bundle.loss = torch.zeros_like(bundle.loss)
            if batch.step < MEASURED_STEPS:
                bundle.describe(batch)
            if draws_at_random:  # only ever one run
                torch.manual_seed(derived_seed(bundle.seeds[0], "dropout", batch.step))
            for group in bundle.optimizer.param_groups:
                group["lr"] = learning_rate(recipe, batch.step, per_epoch)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                losses = losses_of(model, batch)
            bundle.optimizer.zero_grad()
            torch.autograd.backward(losses, ones)  # of their sum: the gradient of each run is that of its own loss
            bundle.optimizer.step()
            bundle.loss += losses.detach()
            bundle.pairing_seconds += pairing_seconds
            bundle.step += 1
            yield bundle.ended(bundle.step == recipe.epochs * per_epoch) if bundle.step % per_epoch == 0 else []
            if not bundle.live:
                return


def train(
    task: Task, trial: Trial, data: Data, *, saved: Path | None = None, save_every: float = 30.0
) -> Generator[Progress, None, list[Row]]:
    """Trains a trial once per seed and returns its rows: all seeds together where the trial is `batched` and can be.

    A generator, so that whoever runs it decides when to go on: it yields its progress, at most once a second and at
    the trial's rungs, and returns one row per seed. To stop the trial at a rung, close the generator. With `saved`, a
    checkpoint is written there at most every `save_every` seconds and when the generator is closed elsewhere than at a
    rung, and one that is there is continued from; one of another trial is refused (BadInput).
    """
    chosen = configuration(task.recipe, trial.values)
    total = chosen.recipe.epochs * steps_per_epoch(chosen.recipe, data)
    identity = checkpoint.identity(task, trial)
    state = checkpoint.load(saved, identity) if saved else None
    rows: list[Row] = state["rows"] if state else []
    reported = written = time.monotonic()
    for seeds, begun in bundles(task, trial, data, state):
        bundle = initial_state(task, chosen, data, seeds)
        if begun:
            bundle.load(begun)
        clock = time.perf_counter() - bundle.seconds
        rung = None
        try:
            # Looked at once before the first step: a checkpoint may be of a rung at which nothing was decided yet.
            for ended in chain([[]], steps(bundle, chosen, data)):
                bundle.seconds = time.perf_counter() - clock
                rows += [row_of(bundle, run, task, chosen, trial, data) for run in ended]
                if saved and time.monotonic() - written > save_every:
                    checkpoint.save(saved, identity, rows, bundle.state() if bundle.live else None)
                    written = time.monotonic()
                rung = rung_row(bundle, task, chosen, trial, data)
                if rung or (bundle.live and time.monotonic() - reported > REPORT_SECONDS):
                    reported = time.monotonic()
                    yield Progress((len(rows) + len(bundle.live) * bundle.step / total) / len(trial.seeds), rung)
        except GeneratorExit:  # closed in the middle; at a rung, perhaps for good
            if saved and not rung:
                checkpoint.save(saved, identity, rows, bundle.state())
            raise
    return sorted(rows, key=lambda row: trial.seeds.index(row["seed"]))


def bundles(
    task: Task, trial: Trial, data: Data, state: dict[str, Any] | None
) -> Iterator[tuple[tuple[int, ...], dict[str, Any] | None]]:
    """The seeds still to be trained, by bundles, the one that a checkpoint left in the middle first, with its state."""
    begun = state["bundle"] if state else None
    over = {row["seed"] for row in state["rows"]} if state else set()
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
