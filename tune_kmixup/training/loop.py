"""The training loop: the steps of runs trained together, and the runs of a trial. Independent of Ray and Optuna."""

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import torch

from tune_kmixup.core.config import Recipe, Task, Trial, derived_seed
from tune_kmixup.core.coordinates import Configuration, configuration
from tune_kmixup.core.rows import Row
from tune_kmixup.data.tensors import Data
from tune_kmixup.mixing.step import mean_cross_entropy
from tune_kmixup.models.ensemble import can_batch
from tune_kmixup.models.randomness import seed_all
from tune_kmixup.store import files
from tune_kmixup.training import checkpoint
from tune_kmixup.training.batches import MEASURED_STEPS, chunks
from tune_kmixup.training.record import extend_curves, make_row, rung_row
from tune_kmixup.training.state import TrainingState, initial_state

REPORT_SECONDS = 1.0  # between two reports of a trial: Ray handles about 50 a second over a whole cluster


def learning_rate(recipe: Recipe, step: int, per_epoch: int) -> float:
    """The learning rate of a step: linear warm-up, then a cosine that reaches zero after the last step."""
    warmup, total = recipe.warmup_epochs * per_epoch, recipe.epochs * per_epoch
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    return recipe.lr * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


def steps(state: TrainingState, config: Configuration, data: Data) -> Generator[list[int], None, None]:
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
    per_epoch = recipe.steps_per_epoch(len(data.train.y))
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


class Training:
    """The training of a trial, once per seed: of all seeds together if it is `batched` and its networks allow it.

    Args:
        task: what to train.
        trial: its values, seeds and rungs.
        data: the data of the task, on the device of the training.
        checkpoint_path: file of the checkpoint, which is continued if it exists; None saves none.
        save_every: least number of seconds between two checkpoints.
        model_path: seed -> file for the weights of its run, written before its row is in a checkpoint; None keeps none.

    Attributes:
        rows: one per run that has ended.
        rung: at a rung, the row that the trial leaves if it is stopped here; None elsewhere.

    Raises:
        BadInput: if the values are out of range.
    """

    def __init__(
        self,
        task: Task,
        trial: Trial,
        data: Data,
        *,
        checkpoint_path: Path | None = None,
        save_every: float = 30.0,
        model_path: Callable[[int], Path] | None = None,
    ):
        self.task, self.trial, self.data = task, trial, data
        self.checkpoint_path, self.save_every, self.model_path = checkpoint_path, save_every, model_path
        self.config = configuration(task.recipe, trial.values)
        self.per_epoch = self.config.recipe.steps_per_epoch(len(data.train.y))
        self.rows: list[Row] = []
        self.rung: Row | None = None
        self.saved_state: dict[str, Any] | None = None  # of the runs that a checkpoint continues
        self.state: TrainingState | None = None  # of the runs in progress
        self.steps: Generator[list[int], None, None] | None = None  # their steps to come
        self.last_save = time.monotonic()
        self.load_checkpoint()
        self.waiting = self.seed_groups()  # seeds that are trained together, and after them the next ones

    @property
    def done(self) -> bool:
        return len(self.rows) == len(self.trial.seeds)

    @property
    def share(self) -> float:
        """The share of the training that is done, 0 to 1."""
        steps_done = len(self.state.live) * self.state.step if self.state else 0
        return (len(self.rows) + steps_done / (self.config.recipe.epochs * self.per_epoch)) / len(self.trial.seeds)

    def result(self) -> list[Row]:
        """One row per seed, in the order of the trial's seeds."""
        return sorted(self.rows, key=lambda row: self.trial.seeds.index(row.seed))

    def step(self) -> None:
        """Trains for about a second, or until a rung or the end."""
        self.rung, start = None, time.monotonic()
        while not self.done:
            if self.state is None:
                self.begin(self.waiting.pop(0))
            else:
                self.train_step(self.state)
            if self.rung or time.monotonic() - start > REPORT_SECONDS:
                return

    def stop(self) -> None:
        """Ends the training. A checkpoint is saved, to be continued, or with all rows where nobody has taken them."""
        if self.state or self.rows:
            self.save_checkpoint()
        self.end_steps()

    def begin(self, seeds: Sequence[int]) -> None:
        """Begins the runs of some seeds, or continues them."""
        self.state = initial_state(self.task, self.config, self.data, seeds)
        if self.saved_state:
            self.state.load_state_dict(self.saved_state)
            self.saved_state = None
        self.started = time.perf_counter() - self.state.seconds
        self.steps = steps(self.state, self.config, self.data)
        # A checkpoint may have been taken at a rung, before it was decided whether the trial goes on.
        self.rung = rung_row(self.state, self.task, self.config, self.trial, self.data)

    def train_step(self, state: TrainingState) -> None:
        """Trains one step, and does what is due after it."""
        assert self.steps is not None
        ended = next(self.steps)
        if self.trial.curves:
            extend_curves(state, self.data, self.per_epoch)
        state.seconds = time.perf_counter() - self.started
        for run in ended:
            row = make_row(state, run, self.task, self.config, self.trial, self.data)
            if self.model_path:
                # It reads users' files too, with packages that a machine with torch alone lacks (benchmarks/gpu.py).
                from tune_kmixup.training.model import save_model

                assert self.data.preprocessing is not None
                save_model(self.model_path(row.seed), state.network, self.data.preprocessing, row)
            self.rows.append(row)
        if not state.live:
            self.end_steps()
        if time.monotonic() - self.last_save > self.save_every:
            self.save_checkpoint()
        self.rung = rung_row(state, self.task, self.config, self.trial, self.data)

    def end_steps(self) -> None:
        if self.steps is not None:
            self.steps.close()  # ends the thread that prefetches batches
        self.state = self.steps = None

    def load_checkpoint(self) -> None:
        """Takes what an earlier launch left of the seeds of this trial, unless a model of theirs is missing."""
        if not self.checkpoint_path:
            return
        rows, state = checkpoint.load(self.checkpoint_path, checkpoint.identity(self.task, self.trial)) or ([], None)
        rows = [row for row in rows if row.seed in self.trial.seeds]
        if state:  # of other seeds, or half done, as earlier versions saved it after an error
            seeds, live = state["plain"]["seeds"], state["plain"]["live"]
            ended = {seed for run, seed in enumerate(seeds) if run not in live}
            if not live or not set(seeds) <= set(self.trial.seeds) or not ended <= {row.seed for row in rows}:
                state = None
        # A launch may have died while it moved the models, or kept none.
        if not self.model_path or all(files.exists(self.model_path(row.seed)) for row in rows):
            self.rows, self.saved_state = rows, state

    def save_checkpoint(self) -> None:
        if self.checkpoint_path:
            state = self.state.state_dict() if self.state else self.saved_state
            checkpoint.save(self.checkpoint_path, checkpoint.identity(self.task, self.trial), self.rows, state)
            self.last_save = time.monotonic()

    def seed_groups(self) -> list[tuple[int, ...]]:
        """The seeds that are not done, in groups that are trained together. Those of a checkpoint come first."""
        continued = tuple(self.saved_state["plain"]["seeds"]) if self.saved_state else ()
        done = {*continued, *(row.seed for row in self.rows)}
        left = tuple(seed for seed in self.trial.seeds if seed not in done)
        together = len(left) > 1 and self.trial.batched
        if together and can_batch(self.task.architecture, self.data.shape, self.data.classes):
            groups = [left]
        else:
            groups = [(seed,) for seed in left]
        return [continued, *groups] if continued else groups


def train_to_end(task: Task, trial: Trial, data: Data) -> list[Row]:
    """Trains a trial without interruption.

    Args:
        task: see `Training`, as for `trial` and `data`.

    Returns:
        One row per seed, in the order of the trial's seeds.
    """
    training = Training(task, trial, data)
    while not training.done:
        training.step()
    return training.result()
