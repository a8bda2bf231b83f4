"""R networks of one architecture side by side in their channels: one set of kernels for all of them.

Activations are B x (R·C) x ..., the C channels of one network after those of another. Convolutions become grouped
ones, a BatchNorm over R·C channels is R independent ones, linear layers become one batched product, and all that
works channel by channel (ReLU, pooling, sums, flattening) stays as it is.
"""

import copy
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from tune_kmixup.models.architectures import ARCHITECTURES


class NotBatchable(ValueError):
    """The architecture holds a layer of which R cannot be put side by side."""


class EnsembleLinear(nn.Module):
    """R linear layers: B x (R·inputs) to B x (R·outputs)."""

    def __init__(self, layer: nn.Linear, runs: int):
        super().__init__()
        self.weight = nn.Parameter(layer.weight.new_empty(runs, *layer.weight.shape))
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.new_empty(runs, 1, layer.out_features))

    def forward(self, x: Tensor) -> Tensor:
        apart = x.unflatten(1, (len(self.weight), -1)).transpose(0, 1)
        weight = self.weight.mT
        found = torch.bmm(apart, weight) if self.bias is None else torch.baddbmm(self.bias, apart, weight)
        return found.transpose(0, 1).flatten(1)


class Ensemble(nn.Module):
    """Several networks of one architecture: R x B x ... to R x B x classes. A single one stays as it is.

    Raises NotBatchable for layers that draw at random or have weights of a kind not known here (dropout, LayerNorm).
    Those that mix channels without weights are found by `can_batch`.
    """

    def __init__(self, networks: Sequence[nn.Module]):
        super().__init__()
        self.runs = len(networks)
        self.body = networks[0] if self.runs == 1 else batched_layer(networks[0], self.runs)
        if self.runs > 1:
            states = [network.state_dict() for network in networks]
            # What has no dimension is a counter, the same for all.
            self.body.load_state_dict(
                {
                    name: torch.stack([state[name] for state in states]).reshape(like.shape) if like.ndim else like
                    for name, like in self.body.state_dict().items()
                }
            )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor
        if self.runs == 1:  # fewer calls, which is what a small network's step consists of
            logits = self.body(x[0])
            return logits[None]
        logits = self.body(x.transpose(0, 1).flatten(1, 2))
        return logits.reshape(len(logits), self.runs, -1).transpose(0, 1)

    @torch.no_grad()
    def copy_to(self, network: nn.Module, run: int) -> None:
        """The weights of one run into a network of the architecture."""
        together = self.body.state_dict()
        for name, value in network.state_dict().items():
            value.copy_(together[name].reshape(-1, *value.shape)[run] if value.ndim else together[name])


def batched_layer(layer: nn.Module, runs: int) -> nn.Module:
    """The layer for R networks, its weights still to be filled in."""
    if type(layer) is nn.Linear:
        return EnsembleLinear(layer, runs)
    if type(layer) is nn.Conv2d:
        channels, bias = (runs * layer.in_channels, runs * layer.out_channels), layer.bias is not None
        form = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, runs * layer.groups)
        made: nn.Module = skip_init(nn.Conv2d, *channels, *form, bias, layer.padding_mode, device=layer.weight.device)
        return made
    if type(layer) is nn.BatchNorm2d:
        rest = (layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        norm = nn.BatchNorm2d(runs * layer.num_features, *rest)
        return norm if layer.weight is None else norm.to(layer.weight.device)
    weights = {**dict(layer.named_parameters(recurse=False)), **dict(layer.named_buffers(recurse=False))}
    if weights or isinstance(layer, nn.modules.dropout._DropoutNd):
        raise NotBatchable(f"{type(layer).__name__} of several networks cannot be put side by side.")
    made = copy.copy(layer)
    made._modules = {name: child and batched_layer(child, runs) for name, child in layer._modules.items()}
    return made


@lru_cache(maxsize=64)
def can_batch(architecture: str, shape: tuple[int, ...], classes: int) -> bool:
    """Whether networks of an architecture, side by side, give what each gives alone; tried on two of them.

    In double precision: the rounding of a deep network is not to decide.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        networks = [ARCHITECTURES[architecture](shape, classes).double().eval() for _ in range(2)]
        x = torch.randn(2, 3, *shape, dtype=torch.float64)
        try:
            together = Ensemble(networks).double().eval()(x)
        except (NotBatchable, RuntimeError, ValueError):  # refused, or the shapes no longer fit
            return False
        alone = torch.stack([network(rows) for network, rows in zip(networks, x, strict=True)])
        return together.shape == alone.shape and torch.allclose(together, alone, rtol=1e-9, atol=1e-9)
