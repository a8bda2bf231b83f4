"""Networks of an architecture: built from a seed alone, checked before anything trains, and counted."""

from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from tune_kmixup.core.errors import BadInput
from tune_kmixup.models.architectures import ARCHITECTURES, Shape
from tune_kmixup.models.randomness import seeded

COUNTED = (nn.Linear, nn.Conv2d)  # layers with nearly all arithmetic of the networks that can be batched


def build_network(architecture: str, shape: Shape, classes: int, seed: int) -> nn.Module:
    """A network whose initial weights depend on the arguments alone.

    Lazy layers get their shapes and weights here, from rows of zeros. They pass in evaluation mode, which changes no
    running statistic.

    Args:
        architecture: key of ARCHITECTURES.
        shape: shape of one input.
        classes: number of classes.
        seed: of the generators of torch, NumPy and Python while it is built.

    Returns:
        The network, on the CPU.
    """
    with seeded(seed):
        network = ARCHITECTURES[architecture](shape, classes)
        if any(is_lazy(tensor) for tensor in chain(network.parameters(), network.buffers())):
            with torch.no_grad():
                network.eval()(torch.zeros(2, *shape))
            network.train()
    return network


def checked_network(architecture: str, shape: Shape, classes: int, rows: int) -> nn.Module:
    """Builds a network and checks what training takes for granted of it.

    Args:
        architecture: key of ARCHITECTURES.
        shape: shape of one input.
        classes: number of classes.
        rows: of the batch that it is tried on.

    Raises:
        BadInput: if the network cannot be built or applied, does not return one finite logit per row and class that
            depends on a weight to train, or has initial weights that do not depend on the seed alone.
    """
    name = f"architecture={architecture!r}"
    try:
        network, again = (build_network(architecture, shape, classes, 0) for _ in range(2))
        weights, other_weights = network.state_dict(), again.state_dict()
        anew = all(torch.equal(weights[key], other_weights[key]) for key in weights)
        shared = {id(weight) for weight in again.parameters()}
        with seeded(0), torch.enable_grad():
            x = torch.randn(rows, *shape)
            outputs = {"training": network.train()(x), "evaluation": network.eval()(x)}
    except BadInput as error:
        raise BadInput(f"{name} cannot be trained: {error}") from error
    except Exception as error:  # a user's code raises errors of any type
        reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".: ")
        raise BadInput(
            f"{name} fails on inputs of shape={shape} with classes={classes} ({reason}): correct it, or choose another."
        ) from error
    for mode, logits in outputs.items():
        if problem := logits_problem(logits, (rows, classes)):
            raise BadInput(f"{name} returns {problem} in {mode}: return finite logits, rows x classes.")
    if not outputs["training"].requires_grad:
        raise BadInput(f"{name} has no weight to train: leave requires_grad=True on at least one that it uses.")
    if not anew:
        raise BadInput(
            f"{name} has other initial weights when it is built again from one seed: draw them from the global "
            "generators of torch, NumPy or Python."
        )
    if any(weight.requires_grad and id(weight) in shared for weight in network.parameters()):
        raise BadInput(f"{name} shares weights to train between networks: create them anew each time it is built.")
    return network


def logits_problem(logits: object, expected: tuple[int, int]) -> str:
    """What is wrong with the output of a network as logits of an expected shape, in words; empty if nothing is."""
    if not isinstance(logits, Tensor):
        return f"a {type(logits).__name__}"
    if logits.shape != expected:
        return f"a tensor of shape {tuple(logits.shape)} where {expected} is needed"
    if not logits.is_floating_point():
        return f"a tensor of {logits.dtype}"
    if not logits.isfinite().all():
        return "NaN or infinity"
    sums_to_one = (logits >= 0).all() and (logits.sum(1) - 1).abs().max() < 1e-3
    return "probabilities, to which the loss would apply another softmax," if sums_to_one else ""


@torch.no_grad()
def multiply_adds(network: nn.Module, shape: Shape) -> int:
    """Multiplications with additions that the linear and convolutional layers of a network take per row, forward.

    Args:
        network: any network. It is left in evaluation mode, and draws from the global generators if it does so there.
        shape: shape of one input.
    """
    counts: list[int] = []

    def count(layer: nn.Module, inputs: object, output: Tensor) -> None:
        weight: Tensor = layer.weight  # type: ignore[assignment]  # with weight_norm it is no parameter
        counts.append(weight[0].numel() * output[0].numel())

    layers = [layer for layer in network.modules() if type(layer) in COUNTED]
    handles = [layer.register_forward_hook(count) for layer in layers]
    network.eval()(torch.zeros(2, *shape))  # one row has no batch statistics
    for handle in handles:
        handle.remove()
    return sum(counts)
