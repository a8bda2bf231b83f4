"""Scores of a trained network on one part of the data: errors, likelihood, ranking, calibration, robustness."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_kmixup.core import bitset
from tune_kmixup.core.rows import CALIBRATION_BINS, Bin
from tune_kmixup.data.tensors import Data, Part

Scores = dict[str, Any]  # name of a column of a row, without `val_` or `test_` -> its value

EVAL_BATCH = {"cuda": 1024, "cpu": 128}  # large enough to fill a GPU; small enough for the cache of a CPU
MAX_WRONG_ROWS = 6000  # test rows whose outcome a row of results keeps: about a kilobyte
FLOOR_DRAWS = 20  # simulated networks behind `ece_floor`
# Sizes of perturbations, for images with values in [0, 1], waveforms in [-1, 1], and standardised table columns.
NOISE = (0.1, 0.3)  # standard deviations of Gaussian noise
FGSM = (0.01, 0.03, 0.1)  # step sizes of the fast gradient sign method (Goodfellow et al., ICLR 2015)
MAX_CATEGORIES = 10  # a table column with no more distinct values is a category, which is not perturbed


def chunks(rows: Tensor) -> tuple[Tensor, ...]:
    return torch.split(rows, EVAL_BATCH.get(rows.device.type, 128))


@torch.no_grad()
def predict(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """Logits of rows in their stored form: float32, N x classes."""
    model.eval()
    return torch.cat([model(data.inputs(rows)).float() for rows in chunks(x)])


def correct(logits: Tensor, y: Tensor) -> Tensor:
    """Which rows are classified correctly.

    A row with a logit that is not finite counts as wrong, so that a diverged network gets no credit for whatever class
    argmax returns.
    """
    return (logits.argmax(1) == y) & logits.isfinite().all(1)


def error(logits: Tensor, y: Tensor) -> float:
    """The share of rows of another class than predicted, 0 to 1, from logits N x C and class indices (N,)."""
    return 1 - correct(logits, y).double().mean().item()


def scores(logits: Tensor, y: Tensor) -> Scores:
    """Error, mean NLL, mean Brier score, and scores for which rare classes count as much as frequent ones.

    Args:
        logits: N x C.
        y: N class indices.

    Returns:
        `error`: share of rows classified wrongly; `nll` in nats and `brier` (0 to 2): None if not finite;
        `balanced_error` and `macro_f1`, see `class_scores`; `auroc`, see that function: None if there is none.
    """
    probabilities = logits.double().softmax(1)
    nll = F.cross_entropy(logits.double(), y)
    brier = (probabilities - F.one_hot(y, logits.shape[1])).square().sum(1).mean()
    balanced_error, macro_f1 = class_scores(logits, y)
    return {
        "error": error(logits, y),
        "nll": finite_or_none(nll),
        "brier": finite_or_none(brier),
        "balanced_error": balanced_error.item(),
        "macro_f1": macro_f1.item(),
        "auroc": finite_or_none(auroc(probabilities, y)),
    }


def class_scores(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Balanced error and macro F1.

    The balanced error is 1 - the mean recall of the classes that have rows. The F1 of a class is twice its hits,
    divided by its rows and its predictions; their mean is over the classes that have rows or predictions. So a class
    that is predicted without having rows, or has rows and is never predicted, has an F1 of 0. A row with a logit that
    is not finite is a prediction of no class.

    Args:
        logits: N x C.
        y: N class indices.

    Returns:
        Two numbers from 0 to 1.
    """
    predicted = logits.argmax(1)[logits.isfinite().all(1)]
    counts = (torch.bincount(labels, minlength=logits.shape[1]) for labels in (y, predicted, y[correct(logits, y)]))
    rows, predictions, hits = (count.double() for count in counts)
    recalls, f1 = hits / rows, 2 * hits / (rows + predictions)  # NaN where a class has none
    return 1 - recalls.nanmean(), f1.nanmean()


def auroc(probabilities: Tensor, y: Tensor) -> Tensor:
    """Area under the ROC curve.

    Of two classes it is that of the probability of class 1. Of more, it is the mean over the classes that have rows, of
    each class against the rest.

    Args:
        probabilities: N x C.
        y: N class indices.

    Returns:
        0 to 1; NaN if all rows are of one class, or a probability is not finite.
    """
    classes = [1] if probabilities.shape[1] == 2 else y.unique().tolist()
    areas = [area(probabilities[:, label].contiguous(), y == label) for label in classes]
    return torch.where(probabilities.isfinite().all(), torch.stack(areas).mean(), torch.nan)


def area(scores: Tensor, positive: Tensor) -> Tensor:
    """The share of pairs of a positive and another row in which the former has the larger score. Ties count half.

    Args:
        scores: N numbers.
        positive: N, bool.
    """
    ordered, of_positive = scores.sort().values, scores[positive]
    # Twice the number of rows below each positive one, itself and its ties counting half. Pairs of two positive rows
    # make up the square of their number.
    below = torch.searchsorted(ordered, of_positive) + torch.searchsorted(ordered, of_positive, right=True)
    count = len(of_positive)
    return (below.sum() - count**2).double() / (2 * count * (len(scores) - count))


def finite_or_none(value: Tensor) -> float | None:
    return value.item() if value.isfinite() else None


def evaluate(model: nn.Module, part: Part, data: Data) -> Scores:
    """The `scores` of a network on one part of the data: what every run records."""
    return scores(predict(model, part.x, data), part.y)


def evaluate_final(model: nn.Module, part: Part, data: Data) -> Scores:
    """`evaluate`, plus calibration, error per class and robustness: what final runs record on test rows."""
    logits = predict(model, part.x, data)
    by_class = [error(logits[part.y == c], part.y[part.y == c]) for c in range(data.classes)]
    return {
        **scores(logits, part.y),
        **calibration(logits, part.y),
        "error_by_class": tuple(None if math.isnan(value) else round(value, 6) for value in by_class),
        "rows": len(part.y),
        "wrong": wrong_rows(logits, part.y),
        **robustness(model, part, data),
    }


def wrong_rows(logits: Tensor, y: Tensor) -> str:
    """Which rows are classified wrongly, in the form of `core.bitset`, for the variance that test rows cause.

    Of more than `MAX_WRONG_ROWS` rows it tells that of a fixed random choice, the same for every run on such a part.
    """
    wrong = ~correct(logits, y).cpu()
    if len(wrong) > MAX_WRONG_ROWS:
        wrong = wrong[torch.randperm(len(wrong), generator=torch.Generator().manual_seed(0))[:MAX_WRONG_ROWS]]
    return bitset.encode(wrong.tolist())


def calibration(logits: Tensor, y: Tensor) -> Scores:
    """Expected calibration error in bins of equal width and of equal mass, its floor, and the reliability diagram.

    The floor is the `ece` that a perfectly calibrated network with the same confidences would show on so many rows.
    With few rows it is far from zero, and an `ece` close to it means little.

    Args:
        logits: N x C.
        y: N class indices.

    Returns:
        `ece`, `ece_adaptive` (equal mass), `ece_floor` and `reliability`, see that function. All are None if a logit is
        not finite.
    """
    if not logits.isfinite().all():
        return {"ece": None, "ece_adaptive": None, "ece_floor": None, "reliability": None}
    confidence = logits.double().softmax(1).amax(1).cpu()
    hits = correct(logits, y).double().cpu()
    order = confidence.argsort()
    mass_bins = torch.empty(len(y), dtype=torch.long)
    mass_bins[order] = torch.arange(len(y)) * CALIBRATION_BINS // len(y)
    width_bins = (confidence * CALIBRATION_BINS).ceil().long().clamp(1, CALIBRATION_BINS) - 1
    generator = torch.Generator().manual_seed(0)
    calibrated = [torch.bernoulli(confidence, generator=generator) for _ in range(FLOOR_DRAWS)]
    return {
        "ece": calibration_error(confidence, hits, width_bins),
        "ece_adaptive": calibration_error(confidence, hits, mass_bins),
        "ece_floor": sum(calibration_error(confidence, draw, width_bins) for draw in calibrated) / FLOOR_DRAWS,
        "reliability": reliability(confidence, hits, width_bins),
    }


def calibration_error(confidence: Tensor, hits: Tensor, bins: Tensor) -> float:
    """Σ over bins of |sum of confidence - number of hits| / N."""
    gaps = torch.zeros(CALIBRATION_BINS, dtype=torch.float64).index_add_(0, bins, confidence - hits)
    return gaps.abs().sum().item() / len(hits)


def reliability(confidence: Tensor, hits: Tensor, bins: Tensor) -> tuple[Bin, ...]:
    """The bins that hold rows, in order. Shares are rounded to four decimals: final runs are many."""
    masks = [bins == number for number in range(CALIBRATION_BINS) if (bins == number).any()]
    return tuple(
        Bin(int(m.sum()), round(confidence[m].mean().item(), 4), round(hits[m].mean().item(), 4)) for m in masks
    )


def robustness(model: nn.Module, part: Part, data: Data) -> Scores:
    """Errors under Gaussian noise and under one signed gradient step (FGSM), applied before normalisation.

    The noise is the same for every run of a task. Images are clipped to [0, 1] and waveforms to [-1, 1]. In tables only
    continuous columns are perturbed.

    Returns:
        `error_noise_*` and `error_fgsm_*` by size (`error_noise_0_1` is that of 0.1), and `fgsm_zero_gradient`: the
        share of rows that FGSM cannot move. All are None for a table without continuous columns.
    """
    names = [f"error_noise_{size:g}" for size in NOISE] + [f"error_fgsm_{size:g}" for size in FGSM]
    names = [name.replace(".", "_") for name in names]
    mask = continuous_mask(data)
    if not mask.any():
        return dict.fromkeys([*names, "fgsm_zero_gradient"])
    model.eval()
    errors = dict.fromkeys(names, 0)
    zero_gradients = 0
    generator = torch.Generator().manual_seed(0)
    for x, y in zip(chunks(part.x), chunks(part.y), strict=True):
        clean = data.decode(x).detach().requires_grad_()
        noise = torch.randn(clean.shape, generator=generator).to(clean.device) * mask
        loss = F.cross_entropy(model(data.normalise(clean)).float(), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, clean)
        sign = gradient.sign() * mask
        zero_gradients += int((sign == 0).flatten(1).all(1).sum())
        with torch.no_grad():
            for name, delta in zip(names, [s * noise for s in NOISE] + [s * sign for s in FGSM], strict=True):
                perturbed = data.normalise(clip(clean + delta, data))
                errors[name] += int((~correct(model(perturbed).float(), y)).sum())
    shares: Scores = {name: count / len(part.y) for name, count in errors.items()}
    return shares | {"fgsm_zero_gradient": zero_gradients / len(part.y)}


def continuous_mask(data: Data) -> Tensor:
    """1 where an input is continuous, else 0: one number per column of a table, a single 1 for images and waveforms."""
    x = data.train.x
    if not is_table(data):
        return torch.ones((), device=x.device)
    return torch.tensor([len(column.unique()) > MAX_CATEGORIES for column in x.unbind(1)], device=x.device).float()


def is_table(data: Data) -> bool:
    return data.train.x.ndim == 2 and data.train.x.dtype == torch.float32


def clip(decoded: Tensor, data: Data) -> Tensor:
    if is_table(data):
        return decoded
    return decoded.clamp(0 if data.train.x.dtype == torch.uint8 else -1, 1)
