"""Batches of all steps as one."""

from collections.abc import Iterable

import torch

from tune_kmixup.training.batches import Batches


def joined(parts: Iterable[Batches]) -> Batches:
    """The batches of consecutive steps, however they were cut into parts."""
    step, *columns = zip(*parts, strict=True)
    return Batches(step[0], *(None if column[0] is None else torch.cat(column) for column in columns))  # type: ignore[arg-type]
