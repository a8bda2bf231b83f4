"""What runs in Ray's worker processes: trials, and what is measured before the first of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from ray import tune

from tune_kmixup.core.config import Task, Trial
from tune_kmixup.data.download import fetch
from tune_kmixup.data.prepare import Data, prepare
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.resources import Resources
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.training import profile
from tune_kmixup.training.loop import train


class TrialActor(tune.Trainable):  # type: ignore[misc]
    """Trains one trial after another in one process, so that torch is imported and data are read once."""

    def setup(
        self,
        config: dict[str, Any],
        tasks: dict[str, Task],
        data_dir: Path,
        run: RunDir,
        plugins: Plugins,
        resources: Resources,
    ) -> None:
        plugins.load()
        torch.set_num_threads(resources.threads)
        trial = Trial(**{**config, "seeds": tuple(config["seeds"]), "rungs": tuple(config["rungs"])})
        prepared = cached_data(tasks[trial.study], data_dir, trial.phase == "final", resources.device)
        self.training = train(tasks[trial.study], trial, prepared, saved=run.checkpoint(trial))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.training.close()  # of a trial stopped at a rung
        self.setup(new_config)  # type: ignore[call-arg]  # tune.with_parameters adds the others
        return True

    def step(self) -> dict[str, Any]:
        try:
            share, rung = next(self.training)
            # In a list, since Ray flattens what is a mapping.
            return {"share": share, "done": False} | ({"rung": [rung]} if rung else {})
        except StopIteration as end:
            return {"share": 1.0, "done": True, "rows": end.value}

    def cleanup(self) -> None:
        self.training.close()  # stopped in the middle: `train` saves where it stands

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: `train` keeps its own checkpoint, under a name that survives this experiment."""


KEPT = {"cpu": 4, "cuda": 1}  # a share of a GPU has room for the data of one task
kept: dict[tuple[Task, Path, bool, str], Data] = {}  # of this process, the last used at the end


def cached_data(task: Task, data_dir: Path, test: bool, device: str) -> Data:
    """One process trains many trials of a task; it reads and splits the data once.

    Where nodes share no disk, the first process of each downloads what is missing there.
    """
    key = (task, data_dir, test, device)
    found = kept.pop(key, None)
    if found is None:
        while len(kept) >= KEPT[device]:
            del kept[next(iter(kept))]
        if device == "cuda":
            torch.cuda.empty_cache()  # what the task before had reserved is no part of this one's share
        fetch(task.dataset, data_dir)
        found = prepare(task, data_dir, test=test, device=device)
    kept[key] = found
    return found


def measure_speedups(
    task: Task, data_dir: Path, plugins: Plugins, resources: Resources, sizes: Iterable[int]
) -> dict[int, float]:
    """`profile.measure_speedups` of a task with the device and the threads that its trials have."""
    plugins.load()
    torch.set_num_threads(resources.threads)
    return profile.measure_speedups(task, cached_data(task, data_dir, False, resources.device), sizes)


def measure_gpu_memory(task: Task, data_dir: Path, plugins: Plugins, resources: Resources, runs: int) -> int | None:
    """`profile.measure_gpu_memory` of a task with so many runs together."""
    plugins.load()
    torch.set_num_threads(resources.threads)
    return profile.measure_gpu_memory(task, cached_data(task, data_dir, True, resources.device), runs)


def total_gpu_memory(plugins: Plugins) -> int:
    """`profile.total_gpu_memory` of the node that this runs on."""
    plugins.load()
    return profile.total_gpu_memory()
