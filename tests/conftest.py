"""Fixtures that several rooms share."""

import signal
from pathlib import Path

import pytest
import torch

from tests.helpers.suites import small_suite
from tune_kmixup.core.config import Suite
from tune_kmixup.store.run_dir import RunDir

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a script runs in the background
torch.set_num_threads(1)  # of these small networks: threads that wait for each other crawl where the cores are shared


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data-dir", default=None, help="folder of real data sets; default: $DATA_DIR")


@pytest.fixture
def suite() -> Suite:
    return small_suite()


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "run")
