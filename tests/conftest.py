"""Fixtures that several packages share."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from tests.helpers.suites import small_suite
from tune_kmixup.core.config import Suite
from tune_kmixup.store.run_dir import RunDir

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell script's background processes ignore it
settings.register_profile("no deadline", deadline=None)  # a test may wait where the cores are shared
settings.load_profile("no deadline")
os.fsync = lambda fd: None  # the tests write thousands of small files, and a disk takes milliseconds for each
torch.set_num_threads(1)  # small networks: several threads wait for each other where the cores are shared


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data-dir", default=None, help="folder of real data sets; default: $DATA_DIR")
    record = "record the numbers in tests/fixtures/golden.json anew instead of comparing with them"
    parser.addoption("--record-golden", action="store_true", help=record)


@pytest.fixture
def suite() -> Suite:
    return small_suite()


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "run")


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """One Ray per process of pytest, for tests that do not test its start."""
    from tests.helpers.clusters import a_cluster

    with a_cluster() as address:
        yield address


@pytest.fixture(scope="session")
def on_ray(ray_address: str) -> list[str]:
    """On the Ray that the tests share, with one worker: a further one takes longer to start than it saves."""
    return ["--address", ray_address, "--max-concurrent", "1"]
