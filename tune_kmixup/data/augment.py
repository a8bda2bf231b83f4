"""Augmentation of whole batches on the device where they are, drawn from an explicit generator.

A batch goes in and out in its stored form; every row draws for itself.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

PADDING = 4  # pixels, as in He et al. 2016 for CIFAR
SHIFT = 0.1  # seconds to either side
GAIN = 0.25  # louder by up to this share, or quieter by the same factor


def crop_flip(x: Tensor, generator: Generator) -> Tensor:
    """Random crop after padding with 4 zero pixels on every side, then a horizontal flip with probability 1/2.

    x: images N x C x H x W, any type; the same is returned. In distribution torchvision's RandomCrop(H, padding=4)
    followed by RandomHorizontalFlip().
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


def shift_gain(x: Tensor, generator: Generator) -> Tensor:
    """Shift in time by up to 0.1 s to either side, silence moving in, and a gain of 0.8 to 1.25, log-uniform.

    x: recordings of one second, int16 N x rate; the same is returned, clipped where it gets too loud.
    """
    n, samples = x.shape
    reach = int(SHIFT * samples)
    shift = torch.randint(-reach, reach + 1, (n, 1), generator=generator, device=x.device)
    gain = ((2 * torch.rand(n, 1, generator=generator, device=x.device) - 1) * math.log(1 + GAIN)).exp()
    source = torch.arange(samples, device=x.device) - shift
    inside = (source >= 0) & (source < samples)
    moved = x.gather(1, source.clamp(0, samples - 1)) * inside
    return (moved * gain).round().clamp(-32768, 32767).to(x.dtype)


AUGMENTATIONS: dict[str, Callable[[Tensor, Generator], Tensor] | None] = {
    "none": None,
    "crop_flip": crop_flip,
    "shift_gain": shift_gain,
}
