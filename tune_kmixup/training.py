"""The training step of the suite, and the runs of a trial one after another. Knows nothing of Ray or Optuna."""

import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_kmixup import checkpoint
from tune_kmixup.batches import Batch, batches, paired
from tune_kmixup.data import Data
from tune_kmixup.evaluation import evaluate, examine
from tune_kmixup.mixing import mix, mixed_cross_entropy, perturbation_factor
from tune_kmixup.models import ARCHITECTURES
from tune_kmixup.provenance import provenance
from tune_kmixup.results import COLUMNS, Row
from tune_kmixup.study import Configuration, Recipe, Task, Trial, configuration, derived_seed

MEASURED_STEPS = 100  # first steps of a run, over which its pairing is described
REPORT_SECONDS = 1.0  # between two signs of life: Ray carries some 50 reports a second over a whole cluster


def loss_of(model: nn.Module, batch: Batch) -> Tensor:
    """Mean loss of one training step on a batch whose partner has been permuted."""
    if batch.partner is None or batch.y_partner is None:
        return F.cross_entropy(model(batch.x), batch.y)
    logits = model(mix(batch.x, batch.partner, batch.lam))
    return mixed_cross_entropy(logits, batch.y, batch.y_partner, batch.lam)


def learning_rate(recipe: Recipe, step: int, per_epoch: int) -> float:
    """Linear warm-up, then a cosine that reaches zero after the last step."""
    warmup, total = recipe.warmup_epochs * per_epoch, recipe.epochs * per_epoch
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    return recipe.lr * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


@dataclass
class Run:
    """One training of a configuration with one seed: the network, its optimiser, and what is measured on the way."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    loss: Tensor = field(default_factory=lambda: torch.zeros(()))  # summed over the epoch so far
    distance: float = 0.0  # these three: summed over the measured steps
    self_pairs: float = 0.0
    cross_class: float = 0.0
    pairing_seconds: float = 0.0
    seconds: float = 0.0

    def state(self) -> dict[str, Any]:
        plain = {name: value for name, value in vars(self).items() if name not in ("model", "optimizer")}
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "plain": plain}

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        vars(self).update(state["plain"] | {"loss": state["plain"]["loss"].to(self.loss.device)})

    def describe(self, batch: Batch) -> None:
        """Adds what the pairing of this step looks like."""
        if batch.partner is None or batch.partner_rows is None or batch.y_partner is None:
            return
        self.distance += (batch.x - batch.partner).square().flatten(1).sum(1).mean().item()
        self.self_pairs += (batch.rows == batch.partner_rows).double().mean().item()
        self.cross_class += (batch.y != batch.y_partner).double().mean().item()


def start(task: Task, chosen: Configuration, data: Data, seed: int) -> Run:
    """A fresh run. The initial weights depend on seed, architecture and data set alone, never on the method."""
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(seed, "init"))
        model = ARCHITECTURES[task.architecture](data.shape, data.classes).to(data.train.x.device)
    recipe = chosen.recipe
    weights, lr, decay = model.parameters(), recipe.lr, recipe.weight_decay
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "adamw":
        optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=decay, fused=True)
    else:
        optimizer = torch.optim.SGD(weights, lr=lr, weight_decay=decay, momentum=recipe.momentum, fused=True)
    return Run(model, optimizer, loss=torch.zeros((), device=data.train.x.device))


def steps(run: Run, chosen: Configuration, data: Data, seed: int) -> Iterator[None]:
    """Trains `run` from where it stands to its end, one step at a time; stops early where the loss diverges."""
    recipe = chosen.recipe
    device = data.train.x.device
    per_epoch = len(data.train.y) // recipe.batch_size
    half = recipe.precision == "bfloat16" and device.type == "cuda"
    draws_at_random = any(isinstance(layer, nn.modules.dropout._DropoutNd) for layer in run.model.modules())
    source = batches(data, chosen.alpha, recipe, seed, run.step)
    pairs: Generator[tuple[Batch, float], None, None]
    pairs = paired(source, chosen.k, recipe.cost) if chosen.alpha > 0 else ((batch, 0.0) for batch in source)
    run.model.train()
    with closing(pairs):
        for batch, pairing_seconds in pairs:
            if batch.step % per_epoch == 0:
                run.loss = torch.zeros((), device=device)
            if batch.step < MEASURED_STEPS:
                run.describe(batch)
            if draws_at_random:
                torch.manual_seed(derived_seed(seed, "dropout", batch.step))
            for group in run.optimizer.param_groups:
                group["lr"] = learning_rate(recipe, batch.step, per_epoch)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                loss = loss_of(run.model, batch)
            run.optimizer.zero_grad()
            torch.autograd.backward(loss)
            run.optimizer.step()
            run.loss += loss.detach()
            run.pairing_seconds += pairing_seconds
            run.step += 1
            if run.step % per_epoch == 0 and not run.loss.isfinite():
                return
            yield


def row_of(run: Run, task: Task, chosen: Configuration, trial: Trial, data: Data, seed: int) -> Row:
    """Evaluates a run that ended and describes it in one row (see `results.COLUMNS`)."""
    clock = time.perf_counter()
    found = {f"val_{name}": value for name, value in evaluate(run.model, data.val, data).items()}
    if data.test is not None:
        found |= {f"test_{name}": value for name, value in examine(run.model, data.test, data).items()}
    recipe = chosen.recipe
    per_epoch = len(data.train.y) // recipe.batch_size
    finite = bool(run.loss.isfinite()) and found["val_nll"] is not None
    measured = min(run.step, MEASURED_STEPS)
    mixes = chosen.alpha > 0
    distance = run.distance / measured
    pairing = {
        "matched_distance": distance if mixes else None,
        "perturbation": perturbation_factor(chosen.alpha) * distance if mixes else 0.0,
        "self_pair_share": run.self_pairs / measured if mixes else None,
        "cross_class_share": run.cross_class / measured if mixes else None,
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
        "seed": seed,
        "status": "ok" if finite else "diverged",
        "train_loss": run.loss.item() / per_epoch if run.loss.isfinite() else None,
        **{name: None for name in COLUMNS if name.startswith("test_")},
        **found,
        **pairing,
        "pairing_seconds": run.pairing_seconds,
        "seconds": run.seconds + time.perf_counter() - clock,
        **provenance(data.train.x.device),
    }


def train(
    task: Task, trial: Trial, data: Data, *, saved: Path | None = None, save_every: float = 30.0
) -> Generator[float, None, list[Row]]:
    """Trains a trial once per seed and returns its rows.

    A generator, so that whoever runs it decides when to go on: it yields the share done, 0 to 1, at most once a
    second, and returns one row per seed. With `saved`, a checkpoint is written there at most every `save_every`
    seconds and when the generator is closed, and one that is there is continued from; one of another trial is refused
    (BadInput).
    """
    chosen = configuration(task.recipe, trial.values)
    total = chosen.recipe.epochs * (len(data.train.y) // chosen.recipe.batch_size)
    identity = checkpoint.identity(task, trial)
    state = checkpoint.load(saved, identity) if saved else None
    rows: list[Row] = state["rows"] if state else []
    reported = time.monotonic()
    written = time.monotonic()
    for seed in trial.seeds[len(rows) :]:
        started, clock = time.time(), time.perf_counter()
        run = start(task, chosen, data, seed)
        if state and state["run"]:
            run.load(state["run"])
        before, state = run.seconds, None
        for _ in steps(run, chosen, data, seed):
            run.seconds = before + time.perf_counter() - clock
            if time.monotonic() - written > save_every and saved:
                checkpoint.save(saved, identity, rows, run.state())
                written = time.monotonic()
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                try:
                    yield (len(rows) + run.step / total) / len(trial.seeds)
                except GeneratorExit:  # closed in the middle
                    if saved:
                        checkpoint.save(saved, identity, rows, run.state())
                    raise
        run.seconds = before + time.perf_counter() - clock
        rows.append({**row_of(run, task, chosen, trial, data, seed), "started": started})
        if saved and time.monotonic() - written > save_every:
            checkpoint.save(saved, identity, rows, None)
            written = time.monotonic()
    return rows


def train_to_end(task: Task, trial: Trial, data: Data) -> list[Row]:
    """`train` for those who have nothing to do in between."""
    training = train(task, trial, data)
    while True:
        try:
            next(training)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
