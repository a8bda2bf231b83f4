"""The mixing step of ERM, mixup and k-mixup: pure functions of tensors.

    draw a batch (x, y) and an independent batch (x', y')
    σ  = pair(x, x', k)          optimal assignment within consecutive blocks of k rows
    λ  ~ Beta(α, α)              one per batch
    train on  λ x + (1-λ) x'[σ]  with labels  λ y + (1-λ) y'[σ]

k = 1 pairs in the given order and is mixup (Zhang et al., arXiv 1710.09412). α = 0 gives λ = 1 and is ERM. k > 1 is
k-mixup: the displacement interpolation of two k-batches along their optimal matching (Greenewald et al., arXiv
2106.02933).
"""

import math
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tune_kmixup.core.errors import BadInput

# Where only torch is installed (benchmarks/gpu.py), α = 0 and 1 can still be used.
with suppress(ModuleNotFoundError):
    from scipy.special import betainc, betaincinv

MIN_ALPHA, MAX_ALPHA = 1e-6, 1000.0  # the range that `alpha_for` searches


def sample_lambda(alpha: float, size: int, generator: torch.Generator) -> Tensor:
    """Draws λ ~ Beta(α, α), each from one uniform number by the inverse distribution function.

    So every α uses the generator equally, and draws from the same generator state rise and fall together. Computed in
    float64 by scipy, since torch's Beta breaks below α = 0.01.

    Args:
        alpha: α ≥ 0; 0 gives ones.
        size: number of draws.
        generator: a generator on the CPU.

    Returns:
        float64, shape (size,), on the CPU, in [0, 1].

    Raises:
        BadInput: if α < 0 or not finite.
    """
    check_alpha(alpha)
    uniform = torch.rand(size, generator=generator, dtype=torch.float64, device="cpu")
    if alpha == 0:
        return torch.ones_like(uniform)
    if alpha == 1:
        return uniform
    return torch.from_numpy(np.asarray(betaincinv(alpha, alpha, uniform.numpy())))


def mix(x: Tensor, partner: Tensor, lam: float | Tensor) -> Tensor:
    """The mixed inputs λ x + (1-λ) partner. For λ = 1 they equal x bit for bit.

    Soft labels are mixed the same way. Types of less than 32 bits are mixed in float32 and rounded once.

    Args:
        x: B x ..., or R x B x ... for R runs, of a floating type.
        partner: same shape; its rows are already permuted by σ.
        lam: λ in [0, 1], as `sample_lambda` returns it: one value, or as many as `x` has rows (B,) or runs (R,). Its
            type and device need not be those of `x`.

    Returns:
        Same shape, type and memory format as `x`.

    Raises:
        BadInput: if an argument is no tensor, `x` holds integers, or a shape does not fit.
    """
    check_tensor("x", x)
    check_tensor("partner", partner)
    if not (x.is_floating_point() and partner.is_floating_point()):
        found = f"x holds {x.dtype} and partner {partner.dtype}"
        raise BadInput(f"{found}: convert them to a floating type first, for images x.float() / 255.")
    if x.shape != partner.shape:
        raise BadInput(f"x and partner have shapes {tuple(x.shape)} and {tuple(partner.shape)}: give two of one shape.")
    if not isinstance(lam, Tensor):
        return x if lam == 1 else torch.lerp(partner, x, lam)
    return interpolate(partner, x, weight_of(lam, x.shape, x))


def interpolate(start: Tensor, end: Tensor, weight: Tensor) -> Tensor:
    """One operation instead of four: for small networks the calls are what a step costs."""
    if weight.dtype == end.dtype:
        return torch.lerp(start, end, weight)
    return torch.lerp(start.to(weight.dtype), end.to(weight.dtype), weight).to(end.dtype)


def weight_of(lam: Tensor, shape: torch.Size, like: Tensor) -> Tensor:
    """λ as a weight of `like`: with its dimensions, on its device, and in its type or, if that is shorter, in float32.

    Args:
        lam: one value, or one for each index of the first dimensions of a batch.
        shape: that of the batch.
        like: what is weighted. It has the first dimensions of the batch.
    """
    if lam.shape != like.shape:
        own = () if lam.numel() == 1 else lam.shape
        if own != shape[: len(own)]:
            given = f"lam has shape {tuple(own)} for a batch of shape {tuple(shape)}"
            raise BadInput(f"{given}: give one value, or one for each of its {shape[0]} rows (or runs).")
        lam = lam.reshape((*own, *(1,) * (like.ndim - len(own))))
    if lam.dtype != like.dtype or lam.device != like.device:
        lam = lam.to(like.device, torch.promote_types(like.dtype, torch.float32))
    return lam


def check_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise BadInput(f"{name} is a {type(value).__name__}: give a tensor, for an array torch.from_numpy({name}).")


def mixed_cross_entropy(logits: Tensor, y: Tensor, y_partner: Tensor, lam: float | Tensor) -> Tensor:
    """Mean cross-entropy against the mixed labels λ onehot(y) + (1-λ) onehot(y_partner).

    Cross-entropy is linear in the label, so this is the mixture of two cross-entropies.

    Args:
        logits: B x C, or R x B x C for R runs.
        y: class indices, B or R x B.
        y_partner: class indices, same shape; already permuted by σ.
        lam: λ in [0, 1], as `mix` takes it.

    Returns:
        Mean loss in nats: a scalar, or one per run.

    Raises:
        BadInput: if labels are no class indices, or a shape does not fit.
    """
    y, y_partner = class_indices("y", y), class_indices("y_partner", y_partner)
    per_row = isinstance(lam, Tensor) and lam.shape == y.shape
    mean = row_cross_entropy if per_row else mean_cross_entropy if logits.ndim > 2 else F.cross_entropy
    loss = mean(logits, y)
    if not isinstance(lam, Tensor):
        return loss if lam == 1 else lam * loss + (1 - lam) * mean(logits, y_partner)
    mixed = interpolate(mean(logits, y_partner), loss, weight_of(lam, y.shape, loss))
    return mixed.mean(-1) if per_row else mixed


def class_indices(name: str, labels: Tensor) -> Tensor:
    check_tensor(name, labels)
    if labels.dtype == torch.int64:
        return labels
    if labels.is_floating_point():
        remedy = "give class indices; for soft labels use cross_entropy(logits, mix(y, y_partner, lam))"
        raise BadInput(f"{name} holds {labels.dtype}: {remedy}.")
    return labels.long()


def row_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each row, in nats: the shape of `logits` without classes. Labels as in `mean_cross_entropy`."""
    losses = F.cross_entropy(logits.flatten(0, -2), y.flatten(0, logits.ndim - 2), reduction="none")
    return losses.reshape(logits.shape[:-1])


def mean_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of each of R runs.

    Args:
        logits: R x B x C.
        y: class indices, R x B, or mixed labels, R x B x C.

    Returns:
        Nats, shape (R,).
    """
    if len(y) == 1:
        return F.cross_entropy(logits[0], y[0])[None]
    return row_cross_entropy(logits, y).mean(1)


def perturbation_factor(alpha: float) -> float:
    """E[min(λ, 1-λ)²] for λ ~ Beta(α, α).

    Times the mean squared distance of the pairs, it is the expected squared displacement of a training point from the
    nearer end of its segment. It equals (α+1)/(2α+1) · I_½(α+2, α), with I the regularised incomplete beta function:
    twice the integral of λ² over λ < ½.

    Args:
        alpha: α ≥ 0.

    Returns:
        0 for α = 0, rising to 1/4 with α.

    Raises:
        BadInput: if α < 0 or not finite.
    """
    check_alpha(alpha)
    return float((alpha + 1) / (2 * alpha + 1) * betainc(alpha + 2, alpha, 0.5)) if alpha else 0.0


def alpha_for(perturbation: float, mean_squared_distance: float) -> float:
    """The α that gives an expected squared displacement, to compare methods at equal perturbation.

    k-mixup shortens the distances of its pairs, so it perturbs less at equal α. This is the inverse of
    `perturbation_factor`, by bisection in log α.

    Args:
        perturbation: expected squared displacement of a training point, ≥ 0.
        mean_squared_distance: mean squared distance of the pairs, > 0.

    Returns:
        α from 1e-6 to 1000, or 0 for no perturbation.

    Raises:
        BadInput: if no α ≤ 1000 reaches the perturbation, whose limit is a quarter of the mean squared distance, or if
            an argument is negative or the distance is zero.
    """
    if perturbation == 0:
        return 0.0
    if not (perturbation > 0 and mean_squared_distance > 0):
        raise BadInput(
            f"perturbation={perturbation} or mean_squared_distance={mean_squared_distance} is out of range: "
            "choose perturbation ≥ 0 and mean_squared_distance > 0."
        )
    target = perturbation / mean_squared_distance
    if target > perturbation_factor(MAX_ALPHA):
        raise BadInput(
            f"perturbation={perturbation:g} is out of reach for mean_squared_distance={mean_squared_distance:g}: "
            f"α = {MAX_ALPHA:g} gives {perturbation_factor(MAX_ALPHA) * mean_squared_distance:g}, and the limit is a "
            "quarter of the distance. Choose a smaller perturbation or a smaller k."
        )
    low, high = math.log(MIN_ALPHA), math.log(MAX_ALPHA)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if perturbation_factor(math.exp(middle)) < target else (low, middle)
    return math.exp((low + high) / 2)


def check_alpha(alpha: float) -> None:
    if not 0 <= alpha < math.inf:
        raise BadInput(f"alpha={alpha} is not a finite number ≥ 0: choose 0 for ERM, or α > 0.")
