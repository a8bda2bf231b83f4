"""The mixing step of ERM, mixup and k-mixup: pure functions of tensors.

    draw a batch (x, y) and an independent batch (x', y')
    σ  = pair(x, x', k)          optimal assignment inside consecutive blocks of k rows
    λ  ~ Beta(α, α)              one per batch
    train on  λ x + (1-λ) x'[σ]  with labels  λ y + (1-λ) y'[σ]

k = 1 pairs in the given order and is mixup (Zhang et al., arXiv 1710.09412); α = 0 gives λ = 1 and is ERM; k > 1 is
k-mixup: the displacement interpolation of two k-batches along their optimal matching (Greenewald et al., arXiv
2106.02933).
"""

import math

import numpy as np
import torch
from scipy.special import betainc, betaincinv
from torch import Tensor
from torch.nn import functional as F

from tune_kmixup.core.errors import BadInput
from tune_kmixup.mixing.pairing import pair as pair

SMALLEST_ALPHA = 1e-6


def sample_lambda(alpha: float, size: int, generator: torch.Generator) -> Tensor:
    """`size` draws of λ ~ Beta(α, α), float64 on the CPU; ones where α = 0.

    By inverse distribution function from one uniform each: the same generator gives comonotone draws for every α, and
    leaves the generator in the same state. In float64, since torch's own Beta breaks below α = 0.01.
    Raises BadInput for α < 0 or not finite.
    """
    check_alpha(alpha)
    uniform = torch.rand(size, generator=generator, dtype=torch.float64)
    if alpha == 0:
        return torch.ones(size, dtype=torch.float64)
    return torch.from_numpy(np.asarray(betaincinv(alpha, alpha, uniform.numpy())))


def mix(x: Tensor, partner: Tensor, lam: float | Tensor) -> Tensor:
    """λ x + (1-λ) partner, for a partner whose rows have been permuted by σ; x itself, bit for bit, where λ = 1.

    λ is a number, or one for each entry of the first dimension: a tensor of R beside R x B x ....
    """
    if isinstance(lam, Tensor):
        return torch.lerp(partner, x, lam.reshape(-1, *(1,) * (x.ndim - 1)))
    return x if lam == 1 else torch.lerp(partner, x, lam)


def mixed_cross_entropy(logits: Tensor, y: Tensor, y_partner: Tensor, lam: float | Tensor) -> Tensor:
    """Mean cross-entropy against λ onehot(y) + (1-λ) onehot(y_partner), nats.

    logits: B x C; y, y_partner: B class indices, the partner's permuted by σ. Cross-entropy is linear in the label.
    With one λ for each of R runs: R x B x C and R x B, and the mean loss of each run.
    """
    if not isinstance(lam, Tensor):
        found = F.cross_entropy(logits, y)
        return found if lam == 1 else lam * found + (1 - lam) * F.cross_entropy(logits, y_partner)
    return lam * mean_cross_entropy(logits, y) + (1 - lam) * mean_cross_entropy(logits, y_partner)


def mean_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of each run, nats: from R x B x C and R x B."""
    if len(y) == 1:
        return F.cross_entropy(logits[0], y[0])[None]
    each = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none")
    return each.reshape(y.shape).mean(1)


def perturbation_factor(alpha: float) -> float:
    """E[min(λ,1-λ)²] for λ ~ Beta(α, α): 0 at α = 0, rising to 1/4.

    (α+1)/(2α+1) · I_½(α+2, α), with I the regularised incomplete beta function: twice the integral of λ² over λ < ½.
    Times the mean squared distance of the pairs it is the expected squared displacement of a training point from the
    nearer end of its segment.
    """
    check_alpha(alpha)
    return float((alpha + 1) / (2 * alpha + 1) * betainc(alpha + 2, alpha, 0.5)) if alpha else 0.0


def alpha_for(perturbation: float, mean_squared_distance: float, cap: float = 1000.0) -> float:
    """α at which the expected squared displacement is `perturbation`, for pairs of that mean squared distance.

    The inverse of `perturbation_factor`, by bisection in log α. k-mixup shortens the distances, so equal α is not
    equal perturbation: this matches methods at equal perturbation instead.
    Raises BadInput where no α ≤ `cap` reaches it: the limit is a quarter of the mean squared distance.
    """
    if perturbation == 0:
        return 0.0
    if not (perturbation > 0 and mean_squared_distance > 0):
        raise BadInput(
            f"perturbation={perturbation} and mean_squared_distance={mean_squared_distance} must not be negative, "
            "and a perturbation needs a distance: give positive numbers."
        )
    wanted = perturbation / mean_squared_distance
    if wanted > perturbation_factor(cap):
        raise BadInput(
            f"perturbation={perturbation:g} is out of reach for mean_squared_distance={mean_squared_distance:g}: "
            f"α = {cap:g} gives {perturbation_factor(cap) * mean_squared_distance:g}, and no α more than a quarter of "
            f"the distance. Choose less, or a smaller k."
        )
    low, high = math.log(SMALLEST_ALPHA), math.log(cap)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if perturbation_factor(math.exp(middle)) < wanted else (low, middle)
    return math.exp((low + high) / 2)


def check_alpha(alpha: float) -> None:
    if not 0 <= alpha < math.inf:
        raise BadInput(f"alpha={alpha} is not a finite number ≥ 0: choose 0 for ERM, or α > 0.")
