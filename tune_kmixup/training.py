"""The training step of the suite, and the runs of a trial one after another. Knows nothing of Ray or Optuna.

A run draws everything random from generators named by (seed, purpose, epoch or step). So the same seed gives the same
initial weights and the same clean batches whatever the method, and a run continues from a checkpoint with nothing but
its step number: no generator has a state to be saved.
"""

import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_kmixup import checkpoint
from tune_kmixup.data import Data
from tune_kmixup.evaluation import evaluate
from tune_kmixup.lookahead import look_ahead
from tune_kmixup.mixing import mix, mixed_cross_entropy, perturbation_factor, sample_lambda
from tune_kmixup.models import ARCHITECTURES
from tune_kmixup.provenance import provenance
from tune_kmixup.results import Row
from tune_kmixup.study import Configuration, Recipe, Task, Trial, configuration, derived_seed

MEASURED_STEPS = 100  # first steps of a run, over which its pairing is described
REPORT_SECONDS = 1.0  # between two signs of life: Ray carries some 50 reports a second over a whole cluster


class Batch(NamedTuple):
    """A batch and the independent batch it is to be mixed with: row numbers, network inputs and labels of both.

    The partner is None where nothing is mixed (α = 0).
    """

    step: int
    rows: Tensor
    x: Tensor
    y: Tensor
    lam: float = 1.0
    partner_rows: Tensor | None = None
    partner: Tensor | None = None
    y_partner: Tensor | None = None


def stream(seed: int, *purpose: object, device: torch.device | str = "cpu") -> torch.Generator:
    """The random generator of one purpose: same seed and purpose, same numbers."""
    return torch.Generator(device).manual_seed(derived_seed(seed, *purpose))


def batches(data: Data, alpha: float, recipe: Recipe, seed: int, first_step: int = 0) -> Iterator[Batch]:
    """All batches of a run from `first_step` on. A last partial batch of an epoch is dropped.

    A batch and its partner come from two independent permutations of the training rows and are augmented
    independently. α decides λ alone: rows, augmentation and the uniforms behind λ are the same for every method.
    """
    x, y = data.train
    per_epoch = len(y) // recipe.batch_size

    def draw(order: Tensor, step: int, who: str) -> tuple[Tensor, Tensor, Tensor]:
        start = step % per_epoch * recipe.batch_size
        rows = order[start : start + recipe.batch_size]
        stored = x[rows]
        if data.augment is not None:
            stored = data.augment(stored, stream(seed, "augment", who, step, device=x.device))
        return rows, data.inputs(stored), y[rows]

    for epoch in range(first_step // per_epoch, recipe.epochs):
        order = torch.randperm(len(y), generator=stream(seed, "order", epoch)).to(y.device)
        partners = torch.randperm(len(y), generator=stream(seed, "partner", epoch)).to(y.device)
        lam = sample_lambda(alpha, per_epoch, stream(seed, "lambda", epoch)).tolist()
        for step in range(max(first_step, epoch * per_epoch), (epoch + 1) * per_epoch):
            clean = Batch(step, *draw(order, step, "batch"), lam[step % per_epoch])
            yield clean if alpha == 0 else Batch(*clean[:5], *draw(partners, step, "partner"))


def paired(source: Iterator[Batch], k: int, cost: str) -> Iterator[tuple[Batch, float]]:
    """Partners permuted by the pairing of blocks of k, solved ahead of their use; and the seconds that took."""
    for batch, sigma, seconds in look_ahead(source, k, cost=cost):
        assert batch.partner is not None and batch.partner_rows is not None and batch.y_partner is not None
        matched = (batch.partner_rows[sigma], batch.partner[sigma], batch.y_partner[sigma])
        yield Batch(*batch[:5], *matched), seconds


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
    if recipe.optimizer == "adamw":
        kind, options = torch.optim.AdamW, {}
    else:
        kind, options = torch.optim.SGD, {"momentum": recipe.momentum, "nesterov": recipe.momentum > 0}
    optimizer = kind(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True, **options)
    return Run(model, optimizer, loss=torch.zeros((), device=data.train.x.device))


def steps(run: Run, chosen: Configuration, data: Data, seed: int) -> Iterator[None]:
    """Trains `run` from where it stands to its end, one step at a time; stops early where the loss diverges."""
    recipe = chosen.recipe
    device = data.train.x.device
    per_epoch = len(data.train.y) // recipe.batch_size
    half = recipe.precision == "bfloat16" and device.type == "cuda"
    draws_at_random = any(isinstance(layer, nn.modules.dropout._DropoutNd) for layer in run.model.modules())
    source = batches(data, chosen.alpha, recipe, seed, run.step)
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
            loss.backward()
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
    parts = {"val": data.val} if data.test is None else {"val": data.val, "test": data.test}
    found = {
        f"{part}_{name}": value for part in parts for name, value in evaluate(run.model, parts[part], data).items()
    }
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
        **{name: None for name in ("test_error", "test_nll", "test_brier")},
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
    seconds, and one that is there is continued from; one of another trial is refused (BadInput).
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
                yield (len(rows) + run.step / total) / len(trial.seeds)
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
