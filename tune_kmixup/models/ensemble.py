"""An ensemble: R networks of one architecture as one network, so that one set of kernels serves all of them.

Activations are B x (R·C) x ...: the C channels of the first network, then those of the second, and so on. Convolutions
become grouped convolutions. A BatchNorm over R·C channels is R independent ones. Linear layers become one batched
product. Layers that work channel by channel (ReLU, pooling, sums, flattening) stay as they are.
"""

import copy
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from tune_kmixup.models.architectures import ARCHITECTURES, Shape


class NotBatchable(ValueError):
    """The architecture has a layer that an ensemble cannot combine."""


class EnsembleLinear(nn.Module):
    """R linear layers: B x (R·inputs) to B x (R·outputs)."""

    def __init__(self, layer: nn.Linear, runs: int):
        super().__init__()
        self.weight = nn.Parameter(layer.weight.new_empty(runs, *layer.weight.shape))
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.new_empty(runs, 1, layer.out_features))

    def forward(self, x: Tensor) -> Tensor:
        inputs = x.unflatten(1, (len(self.weight), -1)).transpose(0, 1)
        weight = self.weight.mT
        outputs = torch.bmm(inputs, weight) if self.bias is None else torch.baddbmm(self.bias, inputs, weight)
        return outputs.transpose(0, 1).flatten(1)


class Ensemble(nn.Module):
    """Several networks of one architecture as one: inputs R x B x ... to logits R x B x classes.

    An ensemble of one network uses that network itself; otherwise the weights are copied.

    Args:
        networks: R ≥ 1 networks of one architecture, on one device.

    Raises:
        NotBatchable: if R > 1 and a layer draws random numbers (dropout) or has weights that cannot be combined (for
            example LayerNorm). Layers that mix channels without weights are not noticed here, but by `can_batch`.
    """

    def __init__(self, networks: Sequence[nn.Module]):
        super().__init__()
        self.runs = len(networks)
        self.body = networks[0] if self.runs == 1 else batched_layer(networks[0], self.runs)
        if self.runs > 1:
            states = [network.state_dict() for network in networks]
            # Values without a dimension are BatchNorm's step counters, which are equal in all networks.
            self.body.load_state_dict(
                {
                    name: torch.stack([state[name] for state in states]).reshape(value.shape) if value.ndim else value
                    for name, value in self.body.state_dict().items()
                }
            )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor
        if self.runs == 1:  # fewer calls: they dominate the step time of a small network
            logits = self.body(x[0])
            return logits[None]
        logits = self.body(x.transpose(0, 1).flatten(1, 2))
        return logits.reshape(len(logits), self.runs, -1).transpose(0, 1)

    @torch.no_grad()
    def copy_to(self, network: nn.Module, run: int) -> None:
        """Copies the weights and buffers of one network of the ensemble.

        Args:
            network: a network of the same architecture, which is overwritten.
            run: position of the network to copy, 0 to R - 1.
        """
        if network is self.body:  # the only network of an ensemble of one
            return
        state = self.body.state_dict()
        for name, value in network.state_dict().items():
            value.copy_(state[name].reshape(-1, *value.shape)[run] if value.ndim else state[name])


def batched_layer(layer: nn.Module, runs: int) -> nn.Module:
    """The layer for R networks. Its weights are not set yet."""
    if type(layer) is nn.Linear:
        return EnsembleLinear(layer, runs)
    if type(layer) is nn.Conv2d:
        convolution: nn.Module = skip_init(
            nn.Conv2d,
            runs * layer.in_channels,
            runs * layer.out_channels,
            layer.kernel_size,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            groups=runs * layer.groups,
            bias=layer.bias is not None,
            padding_mode=layer.padding_mode,
            device=layer.weight.device,
        )
        return convolution
    if type(layer) is nn.BatchNorm2d:
        norm = nn.BatchNorm2d(
            runs * layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats
        )
        return norm if layer.weight is None else norm.to(layer.weight.device)
    weights = {**dict(layer.named_parameters(recurse=False)), **dict(layer.named_buffers(recurse=False))}
    if weights or isinstance(layer, nn.modules.dropout._DropoutNd):
        raise NotBatchable(f"{type(layer).__name__} layers of several networks cannot be combined into one.")
    container = copy.copy(layer)
    container._modules = {name: child and batched_layer(child, runs) for name, child in layer._modules.items()}
    return container


@lru_cache(maxsize=64)
def can_batch(architecture: str, shape: Shape, classes: int) -> bool:
    """Whether an ensemble computes what its networks compute alone. This is tried on two networks.

    Args:
        architecture: key of ARCHITECTURES.
        shape: shape of one input.
        classes: number of classes.

    Returns:
        True if the logits agree in float64, where the rounding of a deep network is far below an error.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        networks = [ARCHITECTURES[architecture](shape, classes).double().eval() for _ in range(2)]
        x = torch.randn(2, 3, *shape, dtype=torch.float64)
        try:
            batched = Ensemble(networks).double().eval()(x)
        except (NotBatchable, RuntimeError, ValueError):  # a layer cannot be combined, or the shapes no longer fit
            return False
        separate = torch.stack([network(inputs) for network, inputs in zip(networks, x, strict=True)])
        return batched.shape == separate.shape and torch.allclose(batched, separate, rtol=1e-9, atol=1e-9)
