"""Scores of a trained network on one part of the data: error, likelihood, calibration, robustness."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_kmixup.data.prepare import Data, Part

Scores = dict[str, float | str | None]

ROWS_AT_ONCE = {"cuda": 1024, "cpu": 128}  # a GPU is to be filled; on a CPU activations should stay in its cache
BINS = 15  # of the calibration error, as is customary (Guo et al., ICML 2017)
FLOOR_DRAWS = 20
NOISE = (0.1, 0.3)  # standard deviations, and below: step sizes of FGSM (Goodfellow et al., ICLR 2015),
FGSM = (0.01, 0.03, 0.1)  # in [0, 1] units of images, [-1, 1] of waveforms, standard deviations of table columns
FEWEST_VALUES = 10  # a column with no more distinct values is a category, which no small step moves


def chunks(rows: Tensor) -> tuple[Tensor, ...]:
    return torch.split(rows, ROWS_AT_ONCE.get(rows.device.type, 128))


@torch.no_grad()
def predict(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """Logits, float32, N x classes, of rows in their stored form."""
    model.eval()
    return torch.cat([model(data.inputs(rows)).float() for rows in chunks(x)])


def correct(logits: Tensor, y: Tensor) -> Tensor:
    """Which rows are classified correctly.

    A row whose logits are not all finite is wrong, whatever its label: a diverged network gets no credit for the class
    that argmax happens to return.
    """
    return (logits.argmax(1) == y) & logits.isfinite().all(1)


def error(logits: Tensor, y: Tensor) -> float:
    return 1 - correct(logits, y).double().mean().item()


def scores(logits: Tensor, y: Tensor) -> Scores:
    """Error (share of rows classified wrongly), mean NLL (nats) and mean Brier score (0 to 2).

    logits: N x C, y: N class indices. NLL and Brier are None where they are not finite.
    """
    nll = F.cross_entropy(logits.double(), y)
    brier = (logits.double().softmax(1) - F.one_hot(y, logits.shape[1])).square().sum(1).mean()
    return {"error": error(logits, y), "nll": finite_or_none(nll), "brier": finite_or_none(brier)}


def finite_or_none(value: Tensor) -> float | None:
    return value.item() if value.isfinite() else None


def evaluate(model: nn.Module, part: Part, data: Data) -> Scores:
    return scores(predict(model, part.x, data), part.y)


def evaluate_final(model: nn.Module, part: Part, data: Data) -> Scores:
    """`evaluate`, and calibration, error per class, under Gaussian noise and under FGSM: what final runs record."""
    logits = predict(model, part.x, data)
    found = scores(logits, part.y) | calibration(logits, part.y)
    by_class = [error(logits[part.y == c], part.y[part.y == c]) for c in range(data.classes)]
    found["error_by_class"] = " ".join(f"{value:.6g}" for value in by_class)
    return found | robustness(model, part, data)


def calibration(logits: Tensor, y: Tensor) -> Scores:
    """Expected calibration error in bins of equal width and of equal mass, and the floor of the first.

    The floor is what a perfectly calibrated network of the same confidences would show with so many rows: with few
    rows it is far from zero, and a calibration error means little beside it.
    """
    if not logits.isfinite().all():
        return {"ece": None, "ece_adaptive": None, "ece_floor": None, "reliability": None}
    confidence = logits.double().softmax(1).amax(1).cpu()
    hit = correct(logits, y).double().cpu()
    order = confidence.argsort()
    mass = torch.empty(len(y), dtype=torch.long)
    mass[order] = torch.arange(len(y)) * BINS // len(y)
    width = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    generator = torch.Generator().manual_seed(0)
    perfect = [torch.bernoulli(confidence, generator=generator) for _ in range(FLOOR_DRAWS)]
    return {
        "ece": binned_gap(confidence, hit, width),
        "ece_adaptive": binned_gap(confidence, hit, mass),
        "ece_floor": sum(binned_gap(confidence, draw, width) for draw in perfect) / FLOOR_DRAWS,
        "reliability": reliability(confidence, hit, width),
    }


def binned_gap(confidence: Tensor, hit: Tensor, bins: Tensor) -> float:
    """Σ over bins of |sum of confidence - number of hits| / N."""
    gap = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, confidence - hit)
    return gap.abs().sum().item() / len(hit)


def reliability(confidence: Tensor, hit: Tensor, bins: Tensor) -> str:
    """`rows:mean confidence:accuracy` of each bin that holds rows, in order, separated by spaces."""
    inside = [bins == number for number in range(BINS) if (bins == number).any()]
    return " ".join(f"{int(b.sum())}:{confidence[b].mean():.4f}:{hit[b].mean():.4f}" for b in inside)


def robustness(model: nn.Module, part: Part, data: Data) -> Scores:
    """Errors under Gaussian noise and under one signed gradient step, taken before normalisation.

    The noise is the same for every run of a task, whatever the method. Images are clipped to [0, 1] and waveforms to
    [-1, 1]. In tables only columns with more than a few distinct values move; without any, there is nothing to report.
    """
    names = [f"error_noise_{size:g}" for size in NOISE] + [f"error_fgsm_{size:g}" for size in FGSM]
    found: Scores = dict.fromkeys([*names, "fgsm_zero_gradient"])
    moves = movable(data)
    if not moves.any():
        return found
    model.eval()
    wrong = dict.fromkeys(names, 0)
    flat = 0
    generator = torch.Generator().manual_seed(0)
    for x, y in zip(chunks(part.x), chunks(part.y), strict=True):
        clean = data.decode(x).detach().requires_grad_()
        noise = torch.randn(clean.shape, generator=generator).to(clean.device) * moves
        loss = F.cross_entropy(model(data.normalise(clean)).float(), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, clean)
        step = gradient.sign() * moves
        flat += int((step == 0).flatten(1).all(1).sum())
        with torch.no_grad():
            for name, by in zip(names, [s * noise for s in NOISE] + [s * step for s in FGSM], strict=True):
                moved = data.normalise(clip(clean + by, data))
                wrong[name] += int((~correct(model(moved).float(), y)).sum())
    found |= {name: count / len(part.y) for name, count in wrong.items()}
    return found | {"fgsm_zero_gradient": flat / len(part.y)}


def movable(data: Data) -> Tensor:
    """Ones where an input is continuous: everywhere in images and waveforms, in tables per column."""
    x = data.train.x
    if not is_table(data):
        return torch.ones((), device=x.device)
    return torch.tensor([len(column.unique()) > FEWEST_VALUES for column in x.unbind(1)], device=x.device).float()


def is_table(data: Data) -> bool:
    return data.train.x.ndim == 2 and data.train.x.dtype == torch.float32


def clip(u: Tensor, data: Data) -> Tensor:
    if is_table(data):
        return u
    return u.clamp(0 if data.train.x.dtype == torch.uint8 else -1, 1)
