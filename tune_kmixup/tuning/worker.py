"""What runs in Ray's worker processes: trials, and the measurement of GPU memory before the first of them."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from socket import gethostname
from typing import Any

import torch
from ray import tune

from tune_kmixup.core.config import Identity, Task, Trial
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row
from tune_kmixup.data.download import data_stamp, fetch, own_file
from tune_kmixup.data.fingerprint import fingerprint
from tune_kmixup.data.prepare import prepare
from tune_kmixup.data.tensors import Data
from tune_kmixup.data.visible import Stamp
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.resources import Resources
from tune_kmixup.store import files
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.training import profile
from tune_kmixup.training.loop import Training


class TrialActor(tune.Trainable):  # type: ignore[misc]
    """Trains one trial after another in one process, so that torch is imported and data are read only once."""

    training: Training | None = None  # of the trial; None where it failed
    error: Exception | None = None  # why the trial could not be prepared

    def setup(
        self,
        config: dict[str, Any],
        tasks: dict[str, Task],
        identity: Identity,
        data_dir: Path,
        run: RunDir,
        plugins: Plugins,
        resources: Resources,
        save_models: bool,
    ) -> None:
        """Prepares a trial.

        Args:
            config: the trial, see `SuiteSearcher.suggest`.
            tasks: study -> its task.
            identity: of the suite; rows record it.
            data_dir: folder of the data sets.
            run: where the trial keeps its checkpoint.
            plugins: the user's own modules.
            resources: device and threads of the trial.
            save_models: whether final trials keep their weights.
        """
        plugins.load()
        torch.set_num_threads(resources.threads)
        trial: Trial = config["trial"]
        data = cached_data(tasks[trial.study], data_dir, trial.phase == "final", resources.device, identity)
        self.columns = identity.columns(tasks[trial.study].dataset)
        self.rows_path = run.rows_path(trial)
        model_path = partial(run.ended_model, trial) if save_models and trial.phase == "final" else None
        self.training = Training(
            tasks[trial.study], trial, data, checkpoint_path=run.checkpoint(trial), model_path=model_path
        )

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()  # the last trial may have been stopped at a rung, for good, or its rows could not be written
        self.training = self.error = None  # and its data: a share of a GPU has room for those of one task
        try:
            self.setup(new_config)  # type: ignore[call-arg]  # tune.with_parameters adds the others
        except Exception as error:  # raised here, Ray Tune would wait for this trial for ever
            self.error = error
        return True

    def step(self) -> dict[str, Any]:
        if self.error:
            raise self.error
        training = self.training
        assert training
        try:
            training.step()
        except BaseException:  # what is half done must not become a checkpoint
            training.end_steps()
            self.training = None
            raise
        if training.done:
            return {"progress": 1.0, "done": True, "rows": self.to_json(training.result())}
        rung = training.rung
        return {"progress": training.share, "done": False} | ({"rung": self.to_json([rung])} if rung else {})

    def to_json(self, rows: Iterable[Row]) -> list[dict[str, Any]]:
        """What Ray takes to the launching process. It flattens mappings, so even a single row is in a list."""
        return [replace(row, **self.columns).to_json() for row in rows]

    def cleanup(self) -> None:
        if self.training is None:
            return
        with suppress(OSError):  # a store that cannot tell
            if files.exists(self.rows_path):  # the trial was stopped at a rung, for good
                self.training.end_steps()
                return
        self.training.stop()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Saves nothing: `Training` keeps its own checkpoint in the run directory, which outlives this experiment."""


@lru_cache(maxsize=64)  # it reads all of a data set
def check_copy(dataset: str, data_dir: Path, identity: Identity, stamp: Stamp) -> None:
    """Checks that a node reads the data that the launch has read. It may have a copy, or a file may have changed since.

    Args:
        dataset: name of the data set.
        data_dir: folder of the data sets.
        identity: of the suite.
        stamp: see `data_stamp`.

    Raises:
        BadInput: if they are others.
    """
    expected, found = identity.data[dataset], fingerprint(dataset, data_dir)
    if found != expected:
        source = own_file(dataset, data_dir)
        raise BadInput(
            f"dataset={dataset!r} is another on {gethostname()} ({found[:8]}) than the launch has read "
            f"({expected[:8]}): restore {source.path if source else data_dir}, or share it between the nodes."
        )


# Bytes that each process keeps of data prepared before. The repeats of a task take turns, and preparing one of MNIST
# takes as long as a small training. A share of a GPU has room for the data of one task.
CACHE_BYTES = {"cpu": 2**29, "cuda": 0}
data_cache: dict[tuple[Task, Path, bool, str], Data] = {}  # least recently used first


def cached_data(task: Task, data_dir: Path, test: bool, device: str, identity: Identity | None = None) -> Data:
    """The data of a task, read and split once per process, which trains many trials of the task.

    If nodes share no disk, the first process on each of them downloads what is missing.

    Args:
        task: what to prepare.
        data_dir: folder of the data sets.
        test: whether to include the test rows.
        device: `cpu` or `cuda`.
        identity: of the suite, which names the data that are expected; None expects none.

    Raises:
        BadInput: if the data cannot be read, or are others than expected.
    """
    key = (task, data_dir, test, device)
    data = data_cache.pop(key, None)
    if data is None:
        while data_cache and sum(data.nbytes for data in data_cache.values()) > CACHE_BYTES[device]:
            del data_cache[next(iter(data_cache))]
        if device == "cuda":
            torch.cuda.empty_cache()  # memory that an earlier task reserved does not belong to this task's share
        fetch(task.dataset, data_dir)
        data = prepare(task, data_dir, test=test, device=device)
        if identity:
            check_copy(task.dataset, data_dir, identity, data_stamp(task.dataset, data_dir))
    data_cache[key] = data
    return data


def measure_gpu_memory(task: Task, data_dir: Path, plugins: Plugins, resources: Resources, seeds: int) -> int | None:
    """`profile.measure_gpu_memory` with the device and threads of a trial."""
    plugins.load()
    torch.set_num_threads(resources.threads)
    return profile.measure_gpu_memory(task, cached_data(task, data_dir, True, resources.device), seeds)


def total_gpu_memory(plugins: Plugins) -> int:
    """`profile.total_gpu_memory` of the node on which this runs."""
    plugins.load()
    return profile.total_gpu_memory()
