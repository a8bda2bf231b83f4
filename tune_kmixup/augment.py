"""Augmentation of whole batches on the device where they are, drawn from an explicit generator."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

PADDING = 4  # pixels, as in He et al. 2016 for CIFAR
SHIFT = 0.1  # seconds to either side
GAIN = 0.25  # louder by up to this share, or quieter by the same factor


def crop_flip(x: Tensor, generator: Generator) -> Tensor:
    """Random crop after padding with 4 zero pixels, then a horizontal flip with probability 1/2.

    x: images N x C x H x W, any dtype. Every image draws its own offset and flip.
    """
    n, channels, height, width = x.shape
    top = torch.randint(2 * PADDING + 1, (n, 1), generator=generator, device=x.device)
    left = torch.randint(2 * PADDING + 1, (n, 1), generator=generator, device=x.device)
    flip = torch.rand(n, 1, generator=generator, device=x.device) < 0.5
    rows = top + torch.arange(height, device=x.device)
    columns = torch.arange(width, device=x.device)
    columns = left + torch.where(flip, columns.flip(0), columns)
    images = torch.arange(n, device=x.device)[:, None, None, None]
    planes = torch.arange(channels, device=x.device)[None, :, None, None]
    return F.pad(x, [PADDING] * 4)[images, planes, rows[:, None, :, None], columns[:, None, None, :]]


AUGMENTATIONS: dict[str, Callable[[Tensor, Generator], Tensor] | None] = {"none": None, "crop_flip": crop_flip}
