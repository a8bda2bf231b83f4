"""Networks as users may bring them, one per kind, for a table of four columns."""

import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_kmixup.models.architectures import Builder

WIDTH = 8


class Applied(nn.Module):
    """A layer that is a function of itself and its input."""

    def __init__(self, function: Callable[["Applied", Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def with_layer(make: Callable[[], nn.Module]) -> Builder:
    """Builds a network around a new layer."""
    return lambda shape, classes: nn.Sequential(nn.Linear(*shape, WIDTH), make(), nn.ReLU(), nn.Linear(WIDTH, classes))


def applied(function: Callable[[Applied, Tensor], Tensor]) -> Builder:
    return with_layer(lambda: Applied(function))


def tied_layer(shape: tuple[int, ...], classes: int) -> nn.Module:
    layer = nn.Linear(WIDTH, WIDTH)
    return nn.Sequential(nn.Linear(*shape, WIDTH), layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(WIDTH, classes))


def tied_weights(shape: tuple[int, ...], classes: int) -> nn.Module:
    first, second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
    second.weight = first.weight
    return nn.Sequential(nn.Linear(*shape, WIDTH), first, nn.ReLU(), second, nn.ReLU(), nn.Linear(WIDTH, classes))


def frozen(shape: tuple[int, ...], classes: int) -> nn.Module:
    """One layer is frozen, and the bias of another."""
    first, second = nn.Linear(*shape, WIDTH).requires_grad_(False), nn.Linear(WIDTH, WIDTH)
    second.bias.requires_grad_(False)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(WIDTH, classes))


PRETRAINED = nn.Linear(4, WIDTH).requires_grad_(False)


class OneMean(nn.Module):
    """Centres its input by a running mean of all channels."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean.mul_(0.9).add_(0.1 * x.detach().mean())
        return x - self.mean


def counting(self: Applied, x: Tensor) -> Tensor:
    """Does something else from the tenth step on, where a short trial has ended."""
    self.calls = getattr(self, "calls", 0) + 1
    return x if self.calls < 10 else x.flip(1)


def hooked(shape: tuple[int, ...], classes: int) -> nn.Module:
    first = nn.Linear(*shape, WIDTH)
    first.register_forward_hook(lambda layer, x, y: 2 * y)
    return nn.Sequential(first, nn.ReLU(), nn.Linear(WIDTH, classes))


def recurrent(shape: tuple[int, ...], classes: int) -> nn.Module:
    last = Applied(lambda self, x: x[0][:, -1])
    return nn.Sequential(
        nn.Unflatten(1, (*shape, 1)), nn.RNN(1, WIDTH, batch_first=True), last, nn.Linear(WIDTH, classes)
    )


def noise(self: Applied, x: Tensor) -> Tensor:
    return x * (1 + random.random() + np.random.random()) if self.training else x


class LateNoise(nn.Module):
    """Draws from the fourth step on."""

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        return x + torch.randn_like(x) if self.training and self.steps > 3 else x


# Their seeds can train together.
TOGETHER: dict[str, Builder] = {
    "tied_layer": tied_layer,
    "tied_weights": tied_weights,
    "frozen": frozen,
    "pretrained": lambda shape, classes: nn.Sequential(PRETRAINED, nn.ReLU(), nn.Linear(WIDTH, classes)),
    "batchnorm": with_layer(lambda: nn.BatchNorm1d(WIDTH)),
    "batchnorm_without_weights": with_layer(lambda: nn.BatchNorm1d(WIDTH, affine=False)),
    "batchnorm_without_statistics": with_layer(lambda: nn.BatchNorm1d(WIDTH, track_running_stats=False)),
    "batchnorm_without_tensors": with_layer(
        lambda: nn.BatchNorm1d(WIDTH, momentum=None, affine=False, track_running_stats=False)
    ),
    "lazy": lambda shape, classes: nn.Sequential(
        nn.LazyLinear(WIDTH), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(classes)
    ),
}
# These draw random numbers, so their seeds train in turn.
DRAWING: dict[str, Builder] = {
    "dropout": with_layer(nn.Dropout),
    "functional_dropout": applied(lambda self, x: F.dropout(x, 0.5, self.training)),
    "dropout_that_drops_nothing": with_layer(lambda: nn.Dropout(1e-9)),
    "rrelu": with_layer(nn.RReLU),
    "numpy_and_python": applied(noise),
    "in_evaluation_too": applied(lambda self, x: x + 0.1 * torch.randn_like(x)),
}
# These are not combined, so their seeds train in turn.
IN_TURN: dict[str, Builder] = {
    "layernorm": with_layer(lambda: nn.LayerNorm(WIDTH)),
    "layernorm_without_weights": with_layer(lambda: nn.LayerNorm(WIDTH, elementwise_affine=False)),
    "softmax": applied(lambda self, x: x.softmax(1)),
    "rnn": recurrent,
    "one_mean": with_layer(OneMean),
    "counting": applied(counting),
    "late_noise": with_layer(LateNoise),
    "hook": hooked,
    "weight_norm": with_layer(lambda: nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH))),
    "old_weight_norm": with_layer(lambda: nn.utils.weight_norm(nn.Linear(WIDTH, WIDTH))),
    "spectral_norm": with_layer(lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(WIDTH, WIDTH))),
}
NETWORKS = {**TOGETHER, **DRAWING, **IN_TURN}
