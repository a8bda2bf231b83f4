"""The global random generators of torch, NumPy and Python: all that the code of a network may draw from."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seeds them. `torch.manual_seed` would seed torch's alone, and take 30 times as long on a CPU.

    Args:
        seed: ≥ 0.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds them inside a `with`, and restores them at its end.

    Args:
        seed: ≥ 0.
    """
    torch_state, cuda = torch.get_rng_state(), torch.cuda.is_initialized()
    cuda_states = torch.cuda.get_rng_state_all() if cuda else []
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        seed_all(seed)
        yield
    finally:
        torch.set_rng_state(torch_state)
        if cuda:
            torch.cuda.set_rng_state_all(cuda_states)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def random_states() -> tuple[object, ...]:
    """The states on a CPU, to compare: they differ once something has been drawn."""
    numpy_state: Any = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), numpy_state[1].tobytes(), numpy_state[2:], random.getstate()
