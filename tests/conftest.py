"""Fixtures that several rooms share."""

import math
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from ray.util import get_node_ip_address

from search_spaces.methods import study
from tune_kmixup.columns import Row
from tune_kmixup.results import RunDir
from tune_kmixup.study import Recipe, Suite, Task, Trial, configuration

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a script runs in the background
torch.set_num_threads(1)  # of these small networks: threads that wait for each other crawl where the cores are shared


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data-dir", default=None, help="folder of real data sets; default: $DATA_DIR")


@pytest.fixture
def suite() -> Suite:
    return small_suite()


def small_suite(**changes: Any) -> Suite:
    """Two tasks of iris x three methods."""
    recipe = Recipe(epochs=2, batch_size=50, lr=0.1)
    tasks = [Task("iris", "mlp", recipe, outer_split=split) for split in (0, 1)]
    studies = tuple(study(task, method, 90) for task in tasks for method in ("erm", "mixup", "kmixup"))
    options = {"trials": 4, "search_seeds": 2, "final_seeds": 3, "sampler": "random"} | changes
    return Suite("small", studies, **options)


def made_up_rows(suite: Suite, trial: Trial) -> list[Row]:
    """Rows as a training would return them, their scores a fixed function of values and seed: nothing was trained."""
    task = suite.study(trial.study).task
    chosen = configuration(task.recipe, trial.values)
    rows = []
    for seed in trial.seeds:
        noise = random.Random(f"{trial.study} {sorted(trial.values.items())} {seed}").random()
        error = 0.1 + 0.02 * abs(math.log(chosen.alpha + 0.1)) + 0.01 * abs(chosen.k - 4) + 0.01 * noise
        rows.append(
            {
                "task": task.base,
                "dataset": task.dataset,
                "architecture": task.architecture,
                "outer_split": task.outer_split,
                "method": trial.study.rpartition("/")[2],
                "phase": trial.phase,
                "trial": trial.index,
                "alpha": chosen.alpha,
                "k": chosen.k,
                "epochs": task.recipe.epochs,
                "seed": seed,
                "status": "ok",
                "val_error": error,
                "val_nll": 3 * error,
                "test_error": error if trial.phase == "final" else None,
                "seconds": 1.0,
            }
        )
    return rows


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "run")


class Guarded(NamedTuple):
    """A cluster of one node that asks for a token and admits clients."""

    address: str
    client: str  # its address for Ray's client
    env: dict[str, str]  # an environment that has its token


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    short = tempfile.mkdtemp()  # the paths of sockets may not be long
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        port, client = (free.getsockname()[1] for free in (one, other))
    env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64, "RAY_TMPDIR": short}
    start = ["start", "--head", "--block", f"--port={port}", f"--ray-client-server-port={client}", "--num-cpus=2"]
    start += ["--include-dashboard=false", "--dashboard-agent-listen-port=0"]
    quiet = {"env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    node = subprocess.Popen([Path(sys.executable).with_name("ray"), *start], **quiet)  # type: ignore[call-overload]
    try:
        host, until = get_node_ip_address(), time.monotonic() + 60
        while socket.socket().connect_ex((host, client)) and time.monotonic() < until:
            time.sleep(0.5)
        yield Guarded(f"{host}:{port}", f"ray://{host}:{client}", env)
    finally:
        node.terminate()
        node.wait(timeout=60)
        shutil.rmtree(short, ignore_errors=True)
