"""Scores of a trained network on one part of the data."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_kmixup.data import Data, Part

ROWS_AT_ONCE = 1024  # large batches: evaluation keeps no gradients


@torch.no_grad()
def predict(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """Logits, float32, N x classes, of rows in their stored form."""
    model.eval()
    return torch.cat([model(data.inputs(rows)).float() for rows in torch.split(x, ROWS_AT_ONCE)])


def scores(logits: Tensor, y: Tensor) -> dict[str, float | None]:
    """Error (share of rows classified wrongly), mean NLL (nats) and mean Brier score (0 to 2).

    logits: N x C, y: N class indices. A row whose logits are not all finite is classified wrongly, whatever its
    label: a diverged network gets no credit for the class that argmax happens to return. NLL and Brier are None where
    they are not finite.
    """
    right = (logits.argmax(1) == y) & logits.isfinite().all(1)
    nll = F.cross_entropy(logits.double(), y).item()
    brier = (logits.double().softmax(1) - F.one_hot(y, logits.shape[1])).square().sum(1).mean().item()
    finite = torch.tensor([nll, brier]).isfinite().tolist()
    return {
        "error": 1 - right.double().mean().item(),
        "nll": nll if finite[0] else None,
        "brier": brier if finite[1] else None,
    }


def evaluate(model: nn.Module, part: Part, data: Data) -> dict[str, float | None]:
    return scores(predict(model, part.x, data), part.y)
