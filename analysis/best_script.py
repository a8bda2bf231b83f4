"""A selected configuration as a Python script: a training loop to start from."""

from collections.abc import Sequence

from tune_kmixup.core.config import Recipe
from tune_kmixup.core.errors import BadInput

from .best import Best
from .report.formats import format_estimate, method_label

OPTIMIZERS = {
    "adamw": "torch.optim.AdamW(model.parameters(), lr={r.lr!r}, weight_decay={r.weight_decay!r})",
    "sgd": "torch.optim.SGD(model.parameters(), lr={r.lr!r}, momentum={r.momentum!r}, weight_decay={r.weight_decay!r})",
}

SCRIPT = '''\
"""{title}. It runs as it stands, on random numbers."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
{imports}
classes = 3  # put your number of classes here
x, y = torch.randn({rows}, 20), torch.randint(classes, ({rows},))  # your training rows
model = nn.Sequential(nn.Flatten(), nn.LazyLinear(128), nn.ReLU(), nn.Linear(128, classes))  # and your network
loader = DataLoader(TensorDataset(x, y), batch_size={r.batch_size}, shuffle=True, drop_last=True)
model(x[:2])  # gives lazy layers their sizes
optimizer = {optimizer}
steps = {r.epochs} * len(loader)
{schedule}{setup}{left}
for epoch in range({r.epochs}):
    for inputs, labels in loader:
{mixing}        loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
'''


def script(found: Sequence[Best]) -> str:
    """A script that trains with a selected configuration, with KMixup where it mixes.

    Augmentation and number format are the caller's; a comment names those of the recipe.

    Args:
        found: what was selected, for one task and method.

    Raises:
        BadInput: if there are several, or a value was tuned that results do not hold.
    """
    if len(found) > 1:
        raise BadInput(f"a script is of one task and method, not of {len(found)}: name the task and the method.")
    (best,) = found
    if best.unrecorded:
        raise BadInput(
            f"{best.method} of {best.task} tunes {', '.join(best.unrecorded)}, which results do not hold: read its "
            "proposals."
        )
    mixes = best.alpha > 0
    expected = format_estimate(best.expected)
    cost = "" if best.recipe.cost == "sqeuclidean" else f", cost={best.recipe.cost!r}"
    return SCRIPT.format(
        r=best.recipe,
        rows=max(1000, 2 * best.recipe.batch_size),
        title=f"{method_label(best.method)} as tuned on {best.task}, test error {expected} % there",
        imports="\nfrom tune_kmixup import KMixup\n" if mixes else "",
        optimizer=OPTIMIZERS[best.recipe.optimizer].format(r=best.recipe),
        schedule=schedule(best.recipe),
        setup=f"kmixup = KMixup(k={best.k}, alpha={best.alpha!r}, num_classes=classes{cost})\n" if mixes else "",
        left=left_to_caller(best.recipe),
        mixing="        inputs, labels = kmixup(inputs, labels)\n" if mixes else "",
    )


def left_to_caller(recipe: Recipe) -> str:
    """A comment on what the recipe has and the script has not; empty if there is nothing."""
    left = {"augment": recipe.augment, "precision": recipe.precision}
    named = " and ".join(f"{name}={value!r}" for name, value in left.items() if value not in ("none", "float32"))
    return f"# Its recipe has {named}, which you have to add.\n" if named else ""


def schedule(recipe: Recipe) -> str:
    """Lines that make the schedule of `training.loop.learning_rate`: a cosine to zero, after a linear warm-up."""
    if not recipe.warmup_epochs:
        return "scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)\n"
    return (
        f"warmup = {recipe.warmup_epochs} * len(loader)\n"
        "rise = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warmup, 1.0, warmup - 1)\n"
        "fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - warmup)\n"
        "scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [rise, fall], [warmup])\n"
    )
