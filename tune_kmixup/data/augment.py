"""Augmentation of whole batches on their device, drawn from an explicit generator.

Batches go in and come out in their stored form. Every row gets draws of its own.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

PADDING = 4  # pixels, as in He et al. 2016 for CIFAR
SHIFT = 0.1  # largest shift in either direction, of the length of a recording
GAIN = 0.25  # largest gain is 1 + GAIN, smallest 1 / (1 + GAIN)


def crop_flip(x: Tensor, generator: Generator) -> Tensor:
    """Random crop after padding with 4 zero pixels on every side, then a horizontal flip with probability 1/2.

    Same distribution as torchvision's RandomCrop(H, padding=4) followed by RandomHorizontalFlip().

    Args:
        x: images N x C x H x W, any type.
        generator: on the device of `x`.

    Returns:
        Images of the same shape and type.
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
    """Shift in time by up to a tenth in either direction, filled with silence, and a log-uniform gain of 0.8 to 1.25.

    Args:
        x: recordings, int16 N x samples.
        generator: on the device of `x`.

    Returns:
        Recordings of the same shape and type, clipped to the range of int16.
    """
    n, samples = x.shape
    max_shift = int(SHIFT * samples)
    shift = torch.randint(-max_shift, max_shift + 1, (n, 1), generator=generator, device=x.device)
    gain = ((2 * torch.rand(n, 1, generator=generator, device=x.device) - 1) * math.log(1 + GAIN)).exp()
    source = torch.arange(samples, device=x.device) - shift
    inside = (source >= 0) & (source < samples)
    shifted = x.gather(1, source.clamp(0, samples - 1)) * inside
    return (shifted * gain).round().clamp(-32768, 32767).to(x.dtype)


AUGMENTATIONS: dict[str, Callable[[Tensor, Generator], Tensor] | None] = {
    "none": None,
    "crop_flip": crop_flip,
    "shift_gain": shift_gain,
}
AUGMENTED = {"crop_flip": "image", "shift_gain": "recording"}  # augmentation -> kind of the rows that it is for
