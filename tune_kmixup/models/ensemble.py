"""An ensemble: R networks of one architecture as one network, so that one set of kernels serves all of them.

Activations are B x (R·C) x ...: the C channels of the first network, then those of the second, and so on. Convolutions
become grouped convolutions. A BatchNorm over R·C channels is R independent ones. Linear layers become one batched
product. Layers that work channel by channel (ReLU, pooling, sums, flattening) stay as they are.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from tune_kmixup.models.architectures import ARCHITECTURES, Builder, Shape
from tune_kmixup.models.networks import build_network
from tune_kmixup.models.randomness import random_states, seeded

TRIED_RUNS, TRIED_STEPS, TRIED_ROWS = 2, 3, 4  # of the training that `can_batch` compares


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

    An ensemble of one network uses that network itself; otherwise the weights are copied. Weights that two layers share
    stay shared, and those that are not trained stay so.

    Args:
        networks: R ≥ 1 networks of one architecture, on one device.

    Raises:
        NotBatchable: if R > 1 and a layer has weights that cannot be combined (for example LayerNorm). `can_batch`
            notices all else: layers that mix channels without weights, or draw random numbers.
    """

    def __init__(self, networks: Sequence[nn.Module]):
        super().__init__()
        self.runs = len(networks)
        self.body = networks[0] if self.runs == 1 else batched_layer(networks[0], self.runs, {})
        if self.runs > 1:
            share_and_freeze(self.body, networks[0])
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


def batched_layer(layer: nn.Module, runs: int, done: dict[nn.Module, nn.Module]) -> nn.Module:
    """The layer for R networks. Its weights are not set yet. A layer that occurs again is looked up in `done`."""
    if layer not in done:
        done[layer] = new_layer(layer, runs)
        for name, child in layer._modules.items():
            done[layer]._modules[name] = child and batched_layer(child, runs, done)
    return done[layer]


def new_layer(layer: nn.Module, runs: int) -> nn.Module:
    """The layer for R networks, without the layers in it."""
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
    tensors = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
    if type(layer) is nn.BatchNorm1d or type(layer) is nn.BatchNorm2d:
        norm: nn.Module = type(layer)(
            runs * layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats
        )
        return norm.to(tensors[0].device) if tensors else norm
    if tensors:
        raise NotBatchable(f"{type(layer).__name__} layers of several networks cannot be combined into one.")
    container = copy.copy(layer)
    container._modules = {}
    return container


def share_and_freeze(body: nn.Module, network: nn.Module) -> None:
    """Gives an ensemble one weight where its networks have one under several names, and freezes what they freeze."""
    shared: dict[nn.Parameter, nn.Parameter] = {}
    for name, weight in network.named_parameters(remove_duplicate=False):
        layer, _, attribute = name.rpartition(".")
        owner = body.get_submodule(layer)
        combined = shared.setdefault(weight, owner.get_parameter(attribute))
        setattr(owner, attribute, combined.requires_grad_(weight.requires_grad))


def can_batch(architecture: str, shape: Shape, classes: int) -> bool:
    """Whether an ensemble trains as its networks do alone. This is tried: a few steps of two networks, in float64.

    It draws from no generator that others use, and gives the same answer in every process.

    Args:
        architecture: key of ARCHITECTURES.
        shape: shape of one input.
        classes: number of classes.

    Returns:
        True if logits, weights, buffers and the logits in evaluation agree up to rounding, which is far below an error.
        False also if the network draws random numbers, or keeps a state in attributes, which may tell only later.
    """
    build, key = ARCHITECTURES[architecture], (architecture, shape, classes)
    if key not in tried or tried[key][0] is not build:
        with seeded(0), torch.enable_grad():
            try:
                tried[key] = build, trains_as_alone(architecture, shape, classes)
            except Exception:  # a layer cannot be combined, shapes do not fit, or whatever else a user's code raises
                tried[key] = build, False
    return tried[key][1]


tried: dict[tuple[str, Shape, int], tuple[Builder, bool]] = {}  # what `can_batch` has found, for which builder


def trains_as_alone(architecture: str, shape: Shape, classes: int) -> bool:
    """`can_batch`, for a network that lets itself be tried."""

    def build(run: int) -> nn.Module:
        # A copy, because a builder may hand out a layer that it keeps, e.g. a pretrained one.
        return copy.deepcopy(build_network(architecture, shape, classes, run)).double()

    x = torch.randn(TRIED_RUNS, TRIED_STEPS, TRIED_ROWS, *shape, dtype=torch.float64)
    y = torch.randint(classes, x.shape[:3])
    expected = []
    for run in range(TRIED_RUNS):
        network = build(run)
        states, attributes = random_states(), attributes_of(network)
        logits = try_steps(Ensemble([network]), x[run : run + 1], y[run : run + 1])
        expected.append([logits[0], network.eval()(x[run, 0]), *network.state_dict().values()])
        if random_states() != states or not are_same(attributes, attributes_of(network)):
            return False
    network = build(0)
    ensemble = Ensemble([network, *(build(run) for run in range(1, TRIED_RUNS))]).double()
    batched = try_steps(ensemble, x, y)
    for run, alone in enumerate(expected):
        ensemble.copy_to(network, run)
        together = [batched[run], network.eval()(x[run, 0]), *network.state_dict().values()]
        for a, b in zip(alone, together, strict=True):
            if a.shape != b.shape or not torch.allclose(a, b, rtol=1e-6, atol=1e-8):
                return False
    return True


def try_steps(model: Ensemble, x: Tensor, y: Tensor) -> Tensor:
    """Trains a model by gradient descent, and returns its logits before each step.

    Args:
        model: its weights are changed.
        x: inputs, R x steps x B x ....
        y: class indices, R x steps x B.

    Returns:
        Logits, R x steps x B x classes.
    """
    every = []
    model.train()
    for inputs, labels in zip(x.unbind(1), y.unbind(1), strict=True):
        logits = model(inputs)
        every.append(logits.detach())
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / TRIED_ROWS
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                if gradient is not None:
                    weight.sub_(gradient, alpha=0.1)
    return torch.stack(every, 1)


def attributes_of(network: nn.Module) -> list[dict[str, object]]:
    """The attributes of every layer: one that keeps a state there binds them anew."""
    return [dict(vars(layer)) for layer in network.train().modules()]


def are_same(before: list[dict[str, object]], after: list[dict[str, object]]) -> bool:
    """Whether all attributes are still the same objects."""
    return all(
        old.keys() == new.keys() and all(old[name] is new[name] for name in old)
        for old, new in zip(before, after, strict=True)
    )
