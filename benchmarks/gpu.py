"""What has to be measured on a GPU, in pieces of at most nine minutes each.

    python benchmarks/gpu.py steps --out DIR      # ERM, mixup and k-mixup steps of PreAct ResNet-18, compiled or not
    python benchmarks/gpu.py seeds --out DIR      # R seeds trained together, compared with one after another
    python benchmarks/gpu.py memory --out DIR     # memory of a whole trial, compared with what a launch measures
    python benchmarks/gpu.py epoch --out DIR      # an epoch of CIFAR-10 on the GPU, compared with a DataLoader
    python benchmarks/gpu.py shares --out DIR     # trials at once on one GPU, compared with one after another
    python benchmarks/gpu.py train --out DIR      # ERM of PreAct ResNet-18 on CIFAR-10
    python benchmarks/gpu.py report DIR           # the tables of all pieces

It needs the source tree, torch and torchvision; nothing has to be installed. Without scipy, blocks of more than 4 rows
and the piece `memory` are left out. CIFAR-10 is read from --data-dir (`cifar10.npz` or `cifar-10-batches-py`). Without
it, random data of the same shape are used, and `train` is refused. MLP and LeNet always train on random data.

A piece consists of parts, and each part that is done is in DIR/PIECE.json. A part begins only if there is time for one
as long as the longest so far. The same command goes on with the parts that are missing. `train` has one part per epoch
and continues from DIR/train.pt.

Ratios are medians over rounds, with quartiles. All arms of a part run in turn in one process, with one thread.

Expected of `train`, written before its first run: 94.5 % of the test rows or more after the suite's 200 epochs, and
93 % or more with `--epochs 30`.

`--quick` runs tiny sizes, to try all this before a GPU is paid for: with `--device cpu` too, as the tests do.
"""

import argparse
import json
import math
import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # the suite need not be installed

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import advance, print_header, print_row, ratio, time_arms
from search_spaces.tasks import TASKS
from tune_kmixup.core.config import Precision, Recipe, Task, Trial
from tune_kmixup.core.coordinates import configuration
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data.images import cifar_loader
from tune_kmixup.data.tensors import Data, Part, channel_statistics
from tune_kmixup.mixing.pairing import ALL_PERMUTATIONS
from tune_kmixup.mixing.step import mean_cross_entropy
from tune_kmixup.store.files import atomic_write
from tune_kmixup.training import checkpoint
from tune_kmixup.training.batches import MEASURED_STEPS, chunk_steps
from tune_kmixup.training.loop import steps, train_to_end
from tune_kmixup.training.metrics import error, predict
from tune_kmixup.training.profile import measure_gpu_memory, peak_gpu_memory, short_trial
from tune_kmixup.training.record import prepare_evaluation
from tune_kmixup.training.state import TrainingState, initial_state
from tune_kmixup.tuning.gpu_sharing import MEMORY_MARGIN

FOREVER = 1_000_000  # epochs
MIXUP = {"alpha": 1.0}
REFERENCE = "ERM as the suite trains it"
HAS_SCIPY = find_spec("scipy") is not None

# Architecture -> the task that has its recipe, and the shape of its inputs. Others are trained as on CIFAR-10.
SOURCES: dict[str, tuple[str, tuple[int, ...]]] = {
    "mlp": ("breast_cancer/mlp", (30,)),
    "lenet": ("mnist-2000/lenet", (1, 28, 28)),
}
CIFAR: tuple[str, tuple[int, ...]] = ("cifar10/preact_resnet18", (3, 32, 32))

Result = Mapping[str, list[float]]  # arm -> seconds per step, one per round; or another quantity of the piece
Parts = Mapping[str, Callable[[], Result]]  # name -> what measures it


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        resnet: the network on CIFAR-10.
        batch_size: rows of a step; None takes that of each task.
        train_rows: training rows of CIFAR-10, or of random data in its place.
        test_rows: test rows.
        ks: rows per pairing block.
        seeds: numbers of seeds to train together, from 1.
        shared: networks of the trials that share a GPU.
        processes: numbers of trials at once, from 1.
        trials: network and number of seeds of the trials whose memory is measured.
        workers: processes of the DataLoader.
        steps: steps of a round, at least.
        rounds: rounds that count.
        epochs: epochs of the whole training; None takes those of the task.
    """

    resnet: str
    batch_size: int | None
    train_rows: int
    test_rows: int
    ks: tuple[int, ...]
    seeds: tuple[int, ...]
    shared: tuple[str, ...]
    processes: tuple[int, ...]
    trials: tuple[tuple[str, int], ...]
    workers: int
    steps: int
    rounds: int
    epochs: int | None


FULL = Sizes(
    resnet="preact_resnet18",
    batch_size=None,
    train_rows=50_000,
    test_rows=10_000,
    ks=(1, 2, 4, 16, 64, 128),
    seeds=(1, 2, 5, 10),
    shared=("lenet", "preact_resnet18"),
    processes=(1, 2, 4, 8),
    trials=(("lenet", 10), ("preact_resnet18", 1), ("preact_resnet18", 5), ("wide_resnet28_10", 1)),
    workers=8,
    steps=60,
    rounds=7,
    epochs=None,
)
QUICK = Sizes(
    resnet="small_resnet",
    batch_size=8,
    train_rows=32,
    test_rows=16,
    ks=(1, 2, 8),
    seeds=(1, 2),
    shared=("lenet", "small_resnet"),
    processes=(1, 2),
    trials=(("lenet", 2),),
    workers=1,
    steps=1,
    rounds=2,
    epochs=3,
)


@dataclass(frozen=True)
class Setting:
    """The options of a piece.

    Attributes:
        device: `cuda` or `cpu`.
        quick: whether the sizes are tiny.
        data_dir: folder that may hold CIFAR-10; None: random data.
        out: folder of the JSON files.
        epochs: of the piece `train`; None takes those of the sizes or the task.
    """

    device: str
    quick: bool
    data_dir: Path | None
    out: Path
    epochs: int | None = None

    @property
    def sizes(self) -> Sizes:
        return QUICK if self.quick else FULL

    def about(self) -> dict[str, str]:
        """What figures depend on. A file of results that says otherwise is not continued."""
        return {
            "machine": machine(self.device),
            "data": "random, of the shape of CIFAR-10" if cifar_path(self.data_dir) is None else "CIFAR-10",
            "sizes": "tiny (--quick): no figures to quote" if self.quick else "full",
            "epochs": "" if self.epochs is None else str(self.epochs),
            "left out": "" if HAS_SCIPY else f"k > {ALL_PERMUTATIONS} and memory, which need scipy",
        }


def machine(device: str) -> str:
    cores = f"{os.cpu_count()} cores of {platform.machine()}"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    if device == "cpu":
        return f"no GPU, {cores}, {versions}"
    gpu = torch.cuda.get_device_properties(0)
    return f"{gpu.name} ({gpu.total_memory / 2**30:.0f} GiB), CUDA {torch.version.cuda}, {cores}, {versions}"


# Data and steps


def cifar_path(data_dir: Path | None) -> Path | None:
    paths = [data_dir / name for name in ("cifar10.npz", "cifar-10-batches-py")] if data_dir else []
    return next((path for path in paths if path.exists()), None)


@cache
def cifar(data_dir: Path | None, train_rows: int, test_rows: int) -> tuple[Part, Part]:
    """The first training and test rows of CIFAR-10, or random ones in their place."""
    path = cifar_path(data_dir)
    if path is None:
        return random_part((3, 32, 32), train_rows), random_part((3, 32, 32), test_rows)
    arrays = dict(np.load(path)) if path.suffix == ".npz" else cifar_loader("CIFAR10")(path.parent, False)
    train, test = (
        Part(*(torch.from_numpy(arrays[f"{name}_{part}"][:rows]) for name in "xy"))
        for part, rows in (("train", train_rows), ("test", test_rows))
    )
    return train, test


def random_part(shape: tuple[int, ...], rows: int) -> Part:
    """Images if the shape is that of one, else rows of a table. Ten classes."""
    generator = torch.Generator().manual_seed(0)
    size = (rows, *shape)
    images = len(shape) == 3
    x = torch.randint(256, size, generator=generator, dtype=torch.uint8) if images else torch.randn(size)
    return Part(x, torch.arange(rows) % 10)


def task_of(setting: Setting, architecture: str) -> Task:
    """An architecture with the suite's recipe."""
    name, _ = SOURCES.get(architecture, CIFAR)
    recipe = TASKS[name][0].recipe
    recipe = replace(recipe, batch_size=setting.sizes.batch_size or recipe.batch_size)
    return Task(name.partition("/")[0], architecture, recipe, outer_split=0)


def with_precision(task: Task, precision: Precision) -> Task:
    return replace(task, recipe=replace(task.recipe, precision=precision))


def task_and_data(setting: Setting, architecture: str) -> tuple[Task, Data]:
    """An architecture with the suite's recipe, and its data on the device. Validation rows are the test rows."""
    task, sizes, (_, shape) = task_of(setting, architecture), setting.sizes, SOURCES.get(architecture, CIFAR)
    if shape == CIFAR[1]:
        parts = cifar(setting.data_dir, sizes.train_rows, sizes.test_rows)
    else:
        parts = random_part(shape, min(2000, sizes.train_rows)), random_part(shape, sizes.test_rows)
    train, test = (Part(*(tensor.to(setting.device) for tensor in part)) for part in parts)
    return task, Data(train, test, test, 10, shape, *transforms(train.x))


def transforms(x: Tensor) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """`decode` and `normalise` of `Data`, for images or a table."""
    if x.dtype != torch.uint8:
        return lambda x: x, lambda u: u
    mean, std = (values[:, None, None] for values in channel_statistics(x))
    return lambda x: x.float() / 255, lambda u: (u - mean) / std


def suite_steps(
    task: Task,
    data: Data,
    values: Mapping[str, float],
    runs: int = 1,
    change: Callable[[nn.Module], object] = lambda model: None,
) -> Iterator[object]:
    """Training steps of the suite without end, after a change of their network. A small lr keeps the loss finite."""
    chosen = configuration(replace(task.recipe, epochs=FOREVER, lr=1e-3), values)
    state = initial_state(task, chosen, data, range(runs))
    change(state.model)
    return steps(state, chosen, data)


def autocast(recipe: Recipe, device: str) -> Any:
    """The precision of a forward pass, as in `training.loop`."""
    half = recipe.precision == "bfloat16" and device == "cuda"
    return torch.autocast(device, torch.bfloat16) if half else nullcontext()


def network_steps(task: Task, data: Data, change: Callable[[nn.Module], object]) -> Iterator[None]:
    """The floor: the network and its optimiser alone, on one batch that is there already."""
    state = initial_state(task, configuration(task.recipe, {}), data, [0])
    change(state.model)
    x, y = data.inputs(data.train.x[: task.recipe.batch_size])[None], data.train.y[None, : task.recipe.batch_size]
    while True:
        step_on(state, x, y, autocast(task.recipe, data.train.x.device.type))
        yield


def step_on(state: TrainingState, x: Tensor, y: Tensor, precision: Any) -> None:
    with precision:
        loss = mean_cross_entropy(state.model(x), y).sum()
    state.optimizer.zero_grad()
    loss.backward()
    state.optimizer.step()


def time_steps(setting: Setting, arms: Mapping[str, Callable[[], object]], count: int) -> Result:
    """Seconds per step of arms with so many steps each. The first steps of a run do not count: they measure pairs."""
    warmup = 1 if setting.quick else math.ceil(MEASURED_STEPS / count)
    seconds = time_arms(arms, setting.sizes.rounds, warmup)
    return {name: (values / count).tolist() for name, values in seconds.items()}


# Pieces: each has the parts that are measured, and a table of their results


class Way(NamedTuple):
    """How a network is trained: the precision of its forward pass, and what is done with it before the first step."""

    precision: Precision = "bfloat16"
    change: Callable[[nn.Module], object] = lambda model: None


def step_parts(setting: Setting) -> Parts:
    ks = tuple(k for k in setting.sizes.ks if HAS_SCIPY or k <= ALL_PERMUTATIONS)
    backend = "eager" if setting.quick else "inductor"  # the latter takes half a minute to start
    contiguous = Way(change=lambda model: model.to(memory_format=torch.contiguous_format))
    compiled = Way(change=lambda model: model.compile(backend=backend))
    return {
        "as the suite trains": partial(measure_steps, setting, Way(), ks),
        "contiguous": partial(measure_steps, setting, contiguous, ()),
        "float32": partial(measure_steps, setting, Way("float32"), ()),
        "compiled": partial(measure_steps, setting, compiled, ks),
    }


def measure_steps(setting: Setting, way: Way, ks: tuple[int, ...]) -> Result:
    """Seconds per step. The reference is in every part. In the first one it is there twice, which shows the noise."""
    task, data = task_and_data(setting, setting.sizes.resnet)
    changed = with_precision(task, way.precision)
    runs = {
        "floor": network_steps(changed, data, way.change),
        REFERENCE: suite_steps(task, data, {}),
        "ERM": suite_steps(changed, data, {}, change=way.change),
        **{f"k={k}": suite_steps(changed, data, MIXUP | {"k": k}, change=way.change) for k in ks},
    }
    count = setting.sizes.steps
    return time_steps(setting, {name: partial(advance, run, count) for name, run in runs.items()}, count)


def print_steps(results: Mapping[str, Result]) -> None:
    print_header("how", "arm", "ms a step", f"over {REFERENCE}")
    for how, arms in results.items():
        for arm, seconds in arms.items():
            print_row(how, arm, milliseconds(seconds), over(seconds, arms[REFERENCE]))


def seed_parts(setting: Setting) -> Parts:
    return {name: partial(measure_seeds, setting, name) for name in ("mlp", "lenet", setting.sizes.resnet)}


def measure_seeds(setting: Setting, architecture: str) -> Result:
    task, data = task_and_data(setting, architecture)
    count = 1 if setting.quick else max(10, chunk_steps(data, task.recipe, 1, 1))  # all that are drawn at once
    runs = {seeds: suite_steps(task, data, MIXUP, seeds) for seeds in setting.sizes.seeds}
    return time_steps(setting, {str(seeds): partial(advance, run, count) for seeds, run in runs.items()}, count)


def print_together(results: Mapping[str, Result]) -> None:
    print_header("network", "at once", "ms a step of one alone", "ms a step of all", "faster than one after another")
    for name, arms in results.items():
        for count in (arm for arm in arms if arm != "1"):
            one_after_another = (int(count) * np.array(arms["1"])).tolist()
            print_row(
                *(name, count, milliseconds(arms["1"]), milliseconds(arms[count])),
                over(one_after_another, arms[count]),
            )


def memory_parts(setting: Setting) -> Parts:
    if not HAS_SCIPY:
        raise BadInput("memory needs scipy, for blocks of a whole batch: install it, or leave this piece out.")
    return {
        f"{architecture}, {runs}": partial(measure_memory, setting, architecture, runs)
        for architecture, runs in setting.sizes.trials
    }


def measure_memory(setting: Setting, architecture: str, runs: int) -> Result:
    """Bytes, each of a fresh process. What this process and others take is not counted."""
    free, total = (0, 0) if setting.device == "cpu" else torch.cuda.mem_get_info()

    def in_process(function: Callable[[Setting, str, int], int]) -> list[float]:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return [pool.submit(function, setting, architecture, runs).result() - (total - free)]

    return {"launch": in_process(need_of_a_launch), "trial": in_process(need_of_a_trial)}


def need_of_a_launch(setting: Setting, architecture: str, runs: int) -> int:
    """What `--gpus-per-trial auto` measures. On a CPU the memory of the process stands in for that of a GPU."""
    torch.set_num_threads(1)
    task, data = task_and_data(setting, architecture)
    if setting.device == "cpu":
        short_trial(task, data, runs)
        return peak_process_memory()
    if (need := measure_gpu_memory(task, data, runs)) is None:
        raise BadInput(f"{architecture} with {runs} seeds does not fit on this GPU: leave it out of FULL.trials.")
    return need


def need_of_a_trial(setting: Setting, architecture: str, runs: int) -> int:
    """The most memory of a final trial of k-mixup with one epoch and all its evaluations."""
    torch.set_num_threads(1)
    task, data = task_and_data(setting, architecture)
    task = replace(task, recipe=replace(task.recipe, epochs=1))
    values = MIXUP | {"k": min(16, task.recipe.batch_size)}
    train_to_end(task, Trial(f"{task.name}/kmixup", 0, "final", values, tuple(range(runs)), batched=True), data)
    return peak_process_memory() if setting.device == "cpu" else peak_gpu_memory(data.train.x.device)


def peak_process_memory() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def print_memory(results: Mapping[str, Result]) -> None:
    print_header("network, seeds", "a launch measures, MiB", "a trial takes, MiB", f"fits {MEMORY_MARGIN} of it")
    for name, arms in results.items():
        (launch,), (trial,) = arms["launch"], arms["trial"]
        enough = "yes" if trial <= MEMORY_MARGIN * launch else "no"
        print_row(name, f"{launch / 2**20:.0f}", f"{trial / 2**20:.0f}", enough)


def epoch_parts(setting: Setting) -> Parts:
    return {"epoch": partial(measure_epochs, setting)}


class Images(Dataset[tuple[Tensor, Tensor]]):
    """Training rows on the host, augmented one by one by torchvision as the suite augments batches on the device."""

    def __init__(self, rows: Part):
        from torchvision.transforms import v2  # seconds to import

        self.rows = rows
        mean, std = (statistic.tolist() for statistic in channel_statistics(rows.x))
        self.transform = v2.Compose(
            [
                v2.RandomCrop(rows.x.shape[-1], padding=4),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self.rows.y)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        return self.transform(self.rows.x[row]), self.rows.y[row]


def measure_epochs(setting: Setting) -> Result:
    """Seconds of an ERM epoch. The DataLoader's processes are kept from epoch to epoch."""
    task, data = task_and_data(setting, setting.sizes.resnet)
    on_gpu, per_epoch = suite_steps(task, data, {}), task.recipe.steps_per_epoch(len(data.train.y))
    state = initial_state(task, configuration(task.recipe, {}), data, [0])
    loader = DataLoader(
        Images(cifar(setting.data_dir, setting.sizes.train_rows, setting.sizes.test_rows)[0]),
        task.recipe.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=setting.sizes.workers,
        pin_memory=setting.device == "cuda",
        persistent_workers=True,
    )

    def loaded() -> Iterator[None]:
        for x, y in loader:
            x, y = (tensor.to(setting.device, non_blocking=True)[None] for tensor in (x, y))
            step_on(state, x, y, autocast(task.recipe, setting.device))
            yield

    arms = {
        "on the GPU": lambda: advance(on_gpu, per_epoch),
        "DataLoader": lambda: advance(loaded(), per_epoch),
    }
    rounds = min(3, setting.sizes.rounds)
    return {name: seconds.tolist() for name, seconds in time_arms(arms, rounds).items()}


def print_epochs(results: Mapping[str, Result]) -> None:
    print_header("data", "s an epoch", "over data on the GPU")
    for arms in results.values():
        for arm, seconds in arms.items():
            print_row(arm, f"{np.median(seconds):.3g}", over(seconds, arms["on the GPU"]))


def share_parts(setting: Setting) -> Parts:
    """A network as the suite trains it, and in float32 if that is another precision."""
    parts = {}
    for name in setting.sizes.shared:
        precision = task_of(setting, name).recipe.precision
        parts[name] = partial(measure_shares, setting, name, precision)
        if precision != "float32":
            parts[f"{name}, float32"] = partial(measure_shares, setting, name, "float32")
    return parts


def measure_shares(setting: Setting, architecture: str, precision: Precision) -> Result:
    """Seconds per step while so many processes train at once. All of them hold their memory all the time."""
    context, sizes = multiprocessing.get_context("spawn"), setting.sizes
    pipes = [context.Pipe() for _ in range(max(sizes.processes))]
    workers = [
        context.Process(target=train_on_demand, args=(setting, architecture, precision, end), daemon=True)
        for _, end in pipes
    ]

    def train(processes: int) -> None:
        chosen = [pipe for pipe, _ in pipes[:processes]]
        for pipe in chosen:
            pipe.send(sizes.steps)
        for pipe in chosen:
            pipe.recv()

    try:
        for worker, (_, end) in zip(workers, pipes, strict=True):
            worker.start()
            end.close()  # so that a worker that dies ends `recv`
        train(len(workers))  # all have started
        return time_steps(setting, {str(count): partial(train, count) for count in sizes.processes}, sizes.steps)
    except (EOFError, OSError) as problem:
        raise BadInput(f"{architecture}: a process ended, see above; do {len(workers)} fit on this GPU?") from problem
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def train_on_demand(setting: Setting, architecture: str, precision: Precision, pipe: "Connection[None, int]") -> None:
    """One process: trains as many steps of mixup as it is told to, again and again."""
    torch.set_num_threads(1)
    task, data = task_and_data(setting, architecture)
    training = suite_steps(with_precision(task, precision), data, MIXUP)
    while True:
        advance(training, pipe.recv())
        pipe.send(None)


def train_parts(setting: Setting) -> Parts:
    if cifar_path(setting.data_dir) is None:
        raise BadInput(
            f"train needs CIFAR-10, which is not in data_dir={setting.data_dir}: name the folder of cifar10.npz or "
            "cifar-10-batches-py with --data-dir."
        )
    training = WholeTraining(setting)
    epochs = training.task.recipe.epochs
    return {f"{epoch} of {epochs}": partial(training.to_end_of, epoch) for epoch in range(1, epochs + 1)}


class WholeTraining:
    """An ERM run on all training rows, from its checkpoint if there is one."""

    def __init__(self, setting: Setting):
        task, self.data = task_and_data(setting, setting.sizes.resnet)
        epochs = setting.epochs or setting.sizes.epochs or task.recipe.epochs
        self.task = replace(task, recipe=replace(task.recipe, epochs=epochs))
        config = configuration(self.task.recipe, {})
        self.path = setting.out / "train.pt"
        self.identity = checkpoint.identity(self.task, Trial(f"{self.task.name}/erm", 0, "final", {}, (0,)))
        self.state = initial_state(self.task, config, self.data, [0])
        saved = checkpoint.load(self.path, self.identity)
        if saved and saved[1]:
            self.state.load_state_dict(saved[1])
        self.training = steps(self.state, config, self.data)

    def to_end_of(self, epoch: int) -> Result:
        """Trains to the end of an epoch, and saves. One that was saved but is not in the JSON is only scored."""
        start, per_epoch = time.perf_counter(), self.task.recipe.steps_per_epoch(len(self.data.train.y))
        missing = epoch * per_epoch - self.state.step
        if missing < 0:
            raise BadInput(f"{self.path} is from a later epoch than {epoch}: remove it to start anew.")
        if missing and not self.state.live:
            raise BadInput(f"the training diverged before epoch {epoch}: name another --out to start anew.")
        advance(self.training, missing)
        seconds = time.perf_counter() - start
        checkpoint.save(self.path, self.identity, [], self.state.state_dict())
        assert self.data.test is not None
        prepare_evaluation(self.state, 0)
        test_error = error(predict(self.state.network, self.data.test.x, self.data), self.data.test.y)
        self.state.model.train()
        return {
            "seconds": [seconds],
            "train_loss": [self.state.loss.item() / per_epoch],
            "test_error": [test_error],
        }


def print_training(results: Mapping[str, Result]) -> None:
    print_header("epoch", "s an epoch, median so far", "training loss", "test accuracy, %")
    seconds = [result["seconds"][0] for result in results.values()]
    shown = max(1, len(results) // 10)
    for number, (name, result) in enumerate(results.items(), 1):
        if number % shown == 0 or number == len(results):
            accuracy = f"{100 * (1 - result['test_error'][0]):.2f}"
            print_row(name, f"{np.median(seconds[:number]):.3g}", f"{result['train_loss'][0]:.3g}", accuracy)


class Piece(NamedTuple):
    title: str
    parts: Callable[[Setting], Parts]
    print_table: Callable[[Mapping[str, Result]], None]


PIECES = {
    "steps": Piece("Training steps", step_parts, print_steps),
    "seeds": Piece("Seeds trained together", seed_parts, print_together),
    "memory": Piece("Memory of a trial", memory_parts, print_memory),
    "epoch": Piece("An epoch of CIFAR-10", epoch_parts, print_epochs),
    "shares": Piece("Trials at once on one GPU", share_parts, print_together),
    "train": Piece("ERM of PreAct ResNet-18 on CIFAR-10", train_parts, print_training),
}


def milliseconds(seconds: list[float]) -> str:
    return f"{1000 * np.median(seconds):.3g}"


def over(slow: list[float], fast: list[float]) -> str:
    return ratio(np.array(slow), np.array(fast))


# Files and the command line


@dataclass
class Results:
    """The JSON of a piece.

    Attributes:
        about: see `Setting.about`.
        parts: results of the parts that are done.
    """

    about: dict[str, str]
    parts: dict[str, Result]

    @staticmethod
    def read(path: Path) -> "Results | None":
        return Results(**json.loads(path.read_text())) if path.exists() else None

    def write(self, path: Path) -> None:
        with atomic_write(path) as file:
            file.write(json.dumps(asdict(self), indent=1).encode())

    def print_tables(self, piece: Piece) -> None:
        print(f"### {piece.title}\n")
        for name, value in self.about.items():
            if value:
                print(f"- {name}: {value}")
        print()
        piece.print_table(self.parts)
        print(flush=True)


def run(name: str, setting: Setting, minutes: float) -> None:
    """Measures the parts that are missing, as far as the time allows, and prints the table of all."""
    start = time.monotonic()
    path, about = setting.out / f"{name}.json", setting.about()
    results = Results.read(path) or Results(about, {})
    if results.about != about:
        key = next(key for key in about if results.about.get(key) != about[key])
        raise BadInput(
            f"{path} has {key}={results.about.get(key)!r}, and now it is {about[key]!r}: choose another --out."
        )
    parts, longest = PIECES[name].parts(setting), 0.0
    setting.out.mkdir(parents=True, exist_ok=True)
    for part in [part for part in parts if part not in results.parts]:
        began = time.monotonic()
        if longest and began - start + longest > 60 * minutes:
            break
        results.parts[part] = parts[part]()
        results.write(path)
        longest = max(longest, time.monotonic() - began)
    results.print_tables(PIECES[name])
    if missing := len(parts) - len(results.parts):
        print(f"{missing} of {len(parts)} parts are missing: run the same command again.")


def report(folder: Path) -> None:
    """Prints the tables of all pieces in a folder."""
    for name, piece in PIECES.items():
        if results := Results.read(folder / f"{name}.json"):
            results.print_tables(piece)
        else:
            print(f"### {piece.title}\n\nNot measured.\n")


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, piece in PIECES.items():
        command = commands.add_parser(name, help=piece.title)
        command.add_argument("--out", type=Path, required=True, help="folder of the results")
        command.add_argument("--data-dir", type=Path, help="folder of CIFAR-10")
        command.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu only with --quick")
        command.add_argument("--quick", action="store_true", help="tiny sizes")
        command.add_argument("--minutes", type=float, default=8.0, help="begin no part that would end later")
        if name == "train":
            command.add_argument("--epochs", type=positive, help="with the schedule of so many; default: the suite's")
    commands.add_parser("report", help="the tables of all pieces").add_argument("out", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        if options.command == "report":
            report(options.out)
        elif options.device == "cpu" and not options.quick:
            raise BadInput("device=cpu says nothing about a GPU and takes hours: add --quick.")
        elif options.device == "cuda" and not torch.cuda.is_available():
            raise BadInput("device=cuda finds no GPU: try the pieces with --device cpu --quick.")
        else:
            epochs = getattr(options, "epochs", None)
            setting = Setting(options.device, options.quick, options.data_dir, options.out, epochs)
            run(options.command, setting, options.minutes)
    except BadInput as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
