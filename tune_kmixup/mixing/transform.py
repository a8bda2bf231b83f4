"""k-mixup as a transform of batches, for anyone's training loop, with the call of torchvision's `v2.MixUp`.

A permutation of a batch against itself matches rows with themselves, the more the larger k is. Here the partner of a
batch is always an independent draw: the batch before, or the other half of the batch.
"""

from collections import UserDict
from collections.abc import Mapping
from copy import copy
from numbers import Integral
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import get_worker_info

from tune_kmixup.core.errors import BadInput
from tune_kmixup.mixing.pairing import Cost, pair
from tune_kmixup.mixing.step import check_alpha, check_tensor, mix, sample_lambda

Partner = Literal["previous", "halves"]
Per = Literal["batch", "row"]


class KMixup(nn.Module):
    """Mixes a batch with its optimally matched partners: `x, y = kmixup(x, y)`.

    The output is that of `torchvision.transforms.v2.MixUp`: mixed inputs, and labels of B x C for a loss that takes
    probabilities, such as `cross_entropy`. k = 1 is mixup, α = 0 changes no input. In evaluation mode (`kmixup.eval()`)
    the batch is returned as it came. docs/kmixup.md shows it in several training loops.

    Args:
        k: rows per pairing block, ≥ 1. A block never has more rows than there are: B, or B/2 with `halves`.
        alpha: α ≥ 0 of λ ~ Beta(α, α).
        num_classes: C, for class indices; None if labels come as floating-point numbers, which are mixed as they are.
        partner: what a batch is mixed with. `previous`: the batch before, of which a detached copy is kept. The first
            batch, and one that has more rows than the last or other shapes, is mixed by halves. `halves`: the first
            half of the batch and the second, each with the other. An odd last row is mixed with the first.
        per: one λ for each `batch` or each `row`.
        p: probability that a batch (or row) is mixed.
        off_epoch: epoch, counted from 0, from which nothing is mixed; it needs `set_epoch`. None: never.
        label_smoothing: of class indices, in [0, 1): (1-s) onehot(y) + s/C, as in `cross_entropy`.
        cost: see `pair`.
        generator: on the CPU, for λ and p; None: torch's global one. Not in the workers of a DataLoader.

    Raises:
        BadInput: if an argument is out of range; when called, if a batch is not as described.
    """

    def __init__(
        self,
        k: int,
        alpha: float,
        num_classes: int | None = None,
        *,
        partner: Partner = "previous",
        per: Per = "batch",
        p: float = 1.0,
        off_epoch: int | None = None,
        label_smoothing: float = 0.0,
        cost: Cost = "sqeuclidean",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_alpha(alpha)
        for name, value, least in (("k", k, 1), ("num_classes", num_classes, 1), ("off_epoch", off_epoch, 0)):
            optional = value is None and name != "k"
            if not optional and (isinstance(value, bool) or not isinstance(value, Integral) or value < least):
                raise BadInput(f"{name}={value!r} is not a whole number ≥ {least}: choose one.")
        for name, choice, choices in (("partner", partner, Partner), ("per", per, Per), ("cost", cost, Cost)):
            if choice not in get_args(choices):
                raise BadInput(f"{name}={choice!r} is unknown: choose among {', '.join(get_args(choices))}.")
        if not 0 <= p <= 1:
            raise BadInput(f"p={p} is no probability: choose 0 ≤ p ≤ 1.")
        if not 0 <= label_smoothing < 1:
            raise BadInput(f"label_smoothing={label_smoothing} is out of range: choose 0 ≤ label_smoothing < 1.")
        if label_smoothing and num_classes is None:
            raise BadInput(f"label_smoothing={label_smoothing} needs num_classes: give the number of classes.")
        if generator is not None and generator.device.type != "cpu":
            raise BadInput(f"generator is on {generator.device}: give one on the CPU, where λ is drawn.")
        self.k, self.alpha, self.num_classes = k, alpha, num_classes
        self.partner, self.per, self.p, self.off_epoch = partner, per, p, off_epoch
        self.label_smoothing, self.cost, self.generator = label_smoothing, cost, generator
        self.epoch: int | None = None
        self.previous: tuple[Tensor, Tensor] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Tells which epoch begins, counted from 0, and forgets the batch before.

        So an epoch is the same whether or not training was interrupted before it, if it gets the same batches, and the
        generator that λ is drawn from (`generator`, or torch's) has the same state.
        """
        self.epoch, self.previous = epoch, None

    def forward(self, *batch: Any) -> Any:
        """Mixes a batch.

        Args:
            batch: inputs and labels, as two arguments, a tuple or list of two, or a mapping with `labels` or `label`
                and one floating-point tensor, whose other entries are left as they are. Inputs are B x ..., of a
                floating type. Labels are class indices of shape (B,), or numbers of shape B x ..., of a floating type
                or not, which are mixed as they are.

        Returns:
            The batch in the same structure: a tuple, named or not, a list, a UserDict of the same type (Hugging Face's
            batches are some), or a dict for other mappings. Inputs keep their type, device and memory format. Labels
            are floating point.
        """
        given: Any = batch[0] if len(batch) == 1 else batch
        if not self.training:
            return given
        if isinstance(given, Mapping):
            names = names_of(given)
            entries = dict(zip(names, self.mixed(*(given[name] for name in names)), strict=True))
            if not isinstance(given, UserDict):
                return {**given, **entries}
            changed = copy(given)
            changed.update(entries)
            return changed
        if not (isinstance(given, tuple | list) and len(given) == 2):
            raise BadInput(f"a {type(given).__name__} is no batch: give inputs and labels, or a mapping with `labels`.")
        mixed = self.mixed(*given)
        if isinstance(given, list):
            return list(mixed)
        named: Any = getattr(given, "_make", None)  # of a named tuple
        return named(mixed) if named else mixed

    def mixed(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        check_batch(x, y)
        y = self.soft_labels(y)
        previous = self.previous
        if self.partner == "previous":  # a copy: loaders reuse their memory, and callers change batches in place
            self.previous = x.detach().clone(), y.detach().clone()
        lam = self.draw_lambda(len(x))
        if len(x) < 2 or (lam == 1).all():
            return x, y
        partner, y_partner = self.partners(x, y, previous)
        return mix(x, partner, lam), mix(y, y_partner, lam)

    def draw_lambda(self, rows: int) -> Tensor:
        """λ of the batch, shape (1,), or of each row; 1 where nothing is mixed."""
        if self.generator is not None and get_worker_info() is not None:
            remedy = "leave it out, and give the DataLoader one"
            raise BadInput(f"generator is copied into every worker, so that all draw the same λ: {remedy}.")
        generator = self.generator or torch.default_generator
        size = rows if self.per == "row" else 1
        if self.off_epoch is not None:
            if self.epoch is None:
                raise BadInput(f"off_epoch={self.off_epoch} needs the epoch: call set_epoch(epoch) before each.")
            if self.epoch >= self.off_epoch:
                return torch.ones(size, dtype=torch.float64, device="cpu")
        lam = sample_lambda(self.alpha, size, generator)
        if self.p == 1:
            return lam
        return lam.where(torch.rand(size, generator=generator, device="cpu") < self.p, 1.0)

    def partners(self, x: Tensor, y: Tensor, previous: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """The inputs and labels that each row is mixed with."""
        if previous is None or not all(fits(kept, now) for kept, now in zip(previous, (x, y), strict=True)):
            order = self.halves(x)
            return x[order], y[order.to(y.device)]
        before, y_before = (kept[: len(x)].to(now) for kept, now in zip(previous, (x, y), strict=True))
        sigma = pair(x, before, self.k, cost=self.cost)
        return before[sigma], y_before[sigma.to(y.device)]

    def halves(self, x: Tensor) -> Tensor:
        """The row that each row is mixed with: the pairing of the first half with the second, and its inverse."""
        half = len(x) // 2
        sigma = pair(x[:half], x[half : 2 * half], self.k, cost=self.cost)
        odd = sigma.new_zeros(len(x) - 2 * half)
        return torch.cat([sigma + half, sigma.argsort(), odd])

    def soft_labels(self, y: Tensor) -> Tensor:
        """Class indices as rows of B x C, smoothed; all other labels as floating-point numbers."""
        if y.ndim != 1 or y.is_floating_point():
            return y if y.is_floating_point() else y.float()
        if self.num_classes is None:
            raise BadInput("num_classes is missing, and the labels are class indices: give the number of classes.")
        y = y.long()
        if len(y):  # before `one_hot`, whose error on a GPU cannot be caught
            low, high = torch.stack(y.aminmax()).tolist()
            if low < 0 or high >= self.num_classes:
                raise BadInput(f"labels of {low} to {high} do not fit num_classes={self.num_classes}: give 0 to C-1.")
        hot = F.one_hot(y, self.num_classes).float()
        return hot * (1 - self.label_smoothing) + self.label_smoothing / self.num_classes


def check_batch(x: Tensor, y: Tensor) -> None:
    check_tensor("x", x)
    check_tensor("y", y)
    if not x.is_floating_point():
        raise BadInput(f"x holds {x.dtype}: convert it to a floating type first, for images x.float() / 255.")
    if not (x.ndim and y.ndim and len(x) == len(y)):
        raise BadInput(f"inputs have shape {tuple(x.shape)} and labels {tuple(y.shape)}: give one label per row.")


def fits(kept: Tensor, now: Tensor) -> bool:
    return len(kept) >= len(now) and kept.shape[1:] == now.shape[1:]


def names_of(batch: Mapping[str, Any]) -> tuple[str, str]:
    """The keys of the inputs and of the labels."""
    labels = [name for name in ("labels", "label") if name in batch]
    inputs = [
        name
        for name, value in batch.items()
        if name not in labels and isinstance(value, Tensor) and value.is_floating_point()
    ]
    if len(labels) != 1 or len(inputs) != 1:
        raise BadInput(
            f"the batch has the keys {', '.join(map(str, batch))}: give one of `labels` and `label`, and one "
            "floating-point tensor of inputs."
        )
    return inputs[0], labels[0]
