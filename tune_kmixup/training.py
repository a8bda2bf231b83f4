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

from tune_kmixup import checkpoint, halving
from tune_kmixup.batches import Batch, batches, paired
from tune_kmixup.bundle import Bundle, start
from tune_kmixup.columns import COLUMNS, Row
from tune_kmixup.data import Data
from tune_kmixup.evaluation import evaluate, examine
from tune_kmixup.mixing import mean_cross_entropy, mix, mixed_cross_entropy, perturbation_factor
from tune_kmixup.provenance import provenance
from tune_kmixup.stacking import can_stack
from tune_kmixup.study import Configuration, Recipe, Task, Trial, configuration, derived_seed

MEASURED_STEPS = 100  # first steps of a run, over which its pairing is described
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


def steps_per_epoch(recipe: Recipe, data: Data) -> int:
    return len(data.train.y) // recipe.batch_size


def learning_rate(recipe: Recipe, step: int, per_epoch: int) -> float:
    """Linear warm-up, then a cosine that reaches zero after the last step."""
    warmup, total = recipe.warmup_epochs * per_epoch, recipe.epochs * per_epoch
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    return recipe.lr * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


def steps(bundle: Bundle, chosen: Configuration, data: Data) -> Iterator[list[int]]:
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


def row_of(bundle: Bundle, run: int, task: Task, chosen: Configuration, trial: Trial, data: Data) -> Row:
    """Evaluates a run that ended and describes it in one row (see `columns.COLUMNS`)."""
    clock = time.perf_counter()
    bundle.model.copy_to(bundle.network, run)
    found = {f"val_{name}": value for name, value in evaluate(bundle.network, data.val, data).items()}
    if data.test is not None:
        found |= {f"test_{name}": value for name, value in examine(bundle.network, data.test, data).items()}
    recipe, runs = chosen.recipe, len(bundle.seeds)
    loss = bundle.loss[run].item()
    finite = math.isfinite(loss) and found["val_nll"] is not None
    measured = min(bundle.step, MEASURED_STEPS)
    mixes = chosen.alpha > 0
    distance = bundle.distance[run].item() / measured
    pairing = {
        "matched_distance": distance if mixes else None,
        "perturbation": perturbation_factor(chosen.alpha) * distance if mixes else 0.0,
        "self_pair_share": bundle.self_pairs[run].item() / measured if mixes else None,
        "cross_class_share": bundle.cross_class[run].item() / measured if mixes else None,
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
        "seed": bundle.seeds[run],
        "status": "ok" if finite else "diverged",
        "train_loss": loss / steps_per_epoch(recipe, data) if math.isfinite(loss) else None,
        **{name: None for name in COLUMNS if name.startswith("test_")},
        **found,
        **pairing,
        "rungs": halving.written(bundle.rungs if run == 0 else {}),
        "fused": runs,
        "pairing_seconds": bundle.pairing_seconds / runs,
        "seconds": bundle.seconds / runs + time.perf_counter() - clock,
        "started": bundle.started,
        **provenance(data.train.x.device),
    }


def rung_row(bundle: Bundle, task: Task, chosen: Configuration, trial: Trial, data: Data) -> Row | None:
    """At a rung: what the trial leaves if it is stopped here, one row of its first seed. None elsewhere.

    The first seed is the same for every configuration, so that those judged had the same initial weights and batches.
    """
    epoch, rest = divmod(bundle.step, steps_per_epoch(chosen.recipe, data))
    if rest or epoch not in trial.rungs or bundle.seeds[0] != trial.seeds[0] or 0 not in bundle.live:
        return None
    row = row_of(bundle, 0, task, chosen, trial, data)
    bundle.model.train()  # a network that is alone was evaluated where it stands
    bundle.rungs[epoch] = row["val_error"]
    spent = {name: row[name] * len(bundle.seeds) for name in ("seconds", "pairing_seconds")}  # the others leave no row
    return row | spent | {"status": "stopped", "epochs": epoch, "rungs": halving.written(bundle.rungs)}


def train(
    task: Task, trial: Trial, data: Data, *, saved: Path | None = None, save_every: float = 30.0
) -> Generator[Progress, None, list[Row]]:
    """Trains a trial once per seed and returns its rows: all seeds together where the trial is `fused` and can be.

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
        bundle = start(task, chosen, data, seeds)
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
    if len(left) > 1 and trial.fused and can_stack(task.architecture, data.shape, data.classes):
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
