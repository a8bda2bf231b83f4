"""ARCHITECTURES: name -> builder of a network, from the shape of one input and the number of classes."""

from collections.abc import Callable

import torch
from torch import nn

Shape = tuple[int, ...]


def mlp(shape: Shape, classes: int) -> nn.Module:
    """Two hidden layers of 128 units with ReLU; no normalisation, no dropout."""
    inputs = int(torch.Size(shape).numel())
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, classes)
    )


def small_cnn(shape: Shape, classes: int) -> nn.Module:
    """Two 3x3 convolutions (32, 64 channels) with ReLU and 2x2 max-pooling, 128 hidden units: fits 8x8 images."""
    channels, height, width = shape
    return nn.Sequential(
        *(nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * (height // 4) * (width // 4), 128), nn.ReLU(), nn.Linear(128, classes)),
    )


def lenet(shape: Shape, classes: int) -> nn.Module:
    """LeNet-5 (LeCun et al., 1998) with ReLU and max-pooling, its first layer padded so that 28x28 acts as 32x32."""
    channels, height, width = shape
    features = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
    return nn.Sequential(
        *(nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(features, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes)),
    )


ARCHITECTURES: dict[str, Callable[[Shape, int], nn.Module]] = {
    "mlp": mlp,
    "small_cnn": small_cnn,
    "lenet": lenet,
}
