"""A task's rows as tensors, and what turns them into inputs of a network. Needs no more than torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tune_kmixup.data.inputs import Preprocessing

CHUNK_VALUES = 2**26  # values handled at once, so that statistics of a large data set need no second copy of it


class Part(NamedTuple):
    """Rows in their stored form (uint8 images, standardised float32 tables, int16 recordings), and their classes."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Data:
    """One task's data on the device.

    Attributes:
        train: rows to train on.
        val: rows that search trials are scored on.
        test: rows that final trials are scored on; None during search: test rows are not even read.
        classes: number of classes.
        shape: shape of one input of the network.
        decode: stored form -> images in [0, 1], tables unchanged, recordings as samples in [-1, 1].
        normalise: result of `decode` -> input of the network, float32.
        preprocessing: how rows become inputs, as a saved model holds it; None if none is to be saved.
    """

    train: Part
    val: Part
    test: Part | None
    classes: int
    shape: tuple[int, ...]
    decode: Callable[[Tensor], Tensor]
    normalise: Callable[[Tensor], Tensor]
    preprocessing: "Preprocessing | None" = None

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return sum(tensor.nbytes for part in (self.train, self.val, self.test) if part for tensor in part)

    def inputs(self, x: Tensor) -> Tensor:
        """Rows in their stored form -> inputs of the network."""
        return self.normalise(self.decode(x))


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel in units of [0, 1]. A constant channel has deviation 1."""
    counts = torch.zeros(images.shape[1], 256, dtype=torch.float64)
    for chunk in torch.split(images, max(1, CHUNK_VALUES // images[0].numel())):
        for channel, values in enumerate(chunk.unbind(1)):
            counts[channel] += torch.bincount(values.flatten().int(), minlength=256).cpu()
    share = counts / counts.sum(1, keepdim=True)
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = share @ levels
    std = (share @ levels.square() - mean.square()).clamp_min(0).sqrt()
    std[std < 1e-6] = 1
    return mean.float().to(images.device), std.float().to(images.device)
