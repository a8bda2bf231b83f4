"""TASKS: a data set, an architecture and a recipe each, with all outer splits.

A recipe is the same for every method of a task. Its source says where the numbers come from. "ours" are choices made
for this project before any method was compared on test data: ERM is well trained, that is, its loss has levelled off
when the learning rate reaches zero, and training is cheap. `docs/data.md` lists the cost of one training of each task.
"""

from dataclasses import replace
from math import ceil

from tune_kmixup.core.config import OUTER_FOLDS, TOY_SETS, Recipe, Task

# Small networks on small data: AdamW at twice its default learning rate, batches of 50, long enough to fit the training
# data. One training takes under a second on one core for tables, and a few seconds for images.
TABLE = Recipe(epochs=100, batch_size=50, lr=2e-3, weight_decay=1e-4, optimizer="adamw", source="ours")
TOY = replace(TABLE, epochs=200)  # 200 rows: 4 steps per epoch
TINY = replace(TABLE, epochs=200, batch_size=40)  # 40 rows: a single batch
LARGE_TABLE = replace(TABLE, epochs=30, batch_size=64)
HUGE_TABLE = replace(TABLE, epochs=15, batch_size=256)
SMALL_IMAGES = replace(TABLE, epochs=25)
DIGITS = replace(TABLE, epochs=60)

# 2,000 colour images on a CPU. Chosen among two recipes for the ResNet, SGD and AdamW for 20 epochs each, and four for
# LeNet, by ERM's validation error with one seed. LeNet for 40 epochs had a point less, and costs a quarter more.
COLOUR = replace(SMALL_IMAGES, epochs=30, augment="crop_flip")
COLOUR_RESNET = replace(COLOUR, epochs=20, batch_size=64, weight_decay=5e-4)

# All of MNIST (one epoch) and Fashion-MNIST (ten epochs) with LeNet. docs/data.md has what a run takes.
ONE_EPOCH = Recipe(epochs=1, batch_size=64, lr=2e-3, optimizer="adamw", source="ours: MNIST under 2.5 % error")
GREY = replace(ONE_EPOCH, epochs=10, weight_decay=1e-4, source="ours")

# Spoken digits: LeNet on spectrograms of 81 x 101.
SPOKEN = Recipe(epochs=8, batch_size=64, lr=2e-3, weight_decay=1e-2, optimizer="adamw", source="ours: under 8 % error")

# Networks for GPUs. The recipe is that of the mixup paper's code (facebookresearch/mixup-cifar10, train.py): SGD with
# momentum 0.9, learning rate 0.1, batches of 128, weight decay 1e-4, 200 epochs, crop and flip. That code divides the
# learning rate by 10 after epochs 100 and 150. Here it falls to zero along a cosine, as in all other recipes.
CIFAR = Recipe(
    epochs=200,
    batch_size=128,
    lr=0.1,
    weight_decay=1e-4,
    augment="crop_flip",
    precision="bfloat16",
    source="facebookresearch/mixup-cifar10, with a cosine schedule",
)
HOUSE_NUMBERS = replace(CIFAR, augment="none", source="as for CIFAR; a flipped digit is another sign")
TRANSFORMER = Recipe(
    epochs=200,
    batch_size=128,
    lr=1e-3,
    weight_decay=5e-2,
    optimizer="adamw",
    warmup_epochs=10,
    augment="crop_flip",
    precision="bfloat16",
    source="weight decay 0.05 and warm-up as Touvron et al. 2021 (DeiT); the rest ours",
)
COMMANDS = Recipe(
    epochs=30,
    batch_size=128,
    lr=2e-3,
    weight_decay=1e-2,
    warmup_epochs=2,
    augment="shift_gain",
    precision="bfloat16",
    optimizer="adamw",
    source="ours",
)


def task_entry(
    splits: int | None,
    dataset: str,
    architecture: str,
    recipe: Recipe,
    train_size: int | None = None,
    label_noise: float = 0.0,
) -> dict[str, tuple[Task, ...]]:
    """One entry of TASKS: a task per outer split, or a single one if the test set is official (`splits` is None)."""
    outer_splits = [None] if splits is None else list(range(splits))
    tasks = tuple(
        Task(dataset, architecture, recipe, train_size, outer_split, label_noise=label_noise)
        for outer_split in outer_splits
    )
    return {tasks[0].base: tasks}


def holdout_entry(
    dataset: str, architecture: str, recipe: Recipe, train_size: int, label_noise: float = 0.0
) -> dict[str, tuple[Task, ...]]:
    """One entry of TASKS: half of the rows are test rows, and each repeat draws its training rows from the others.

    It selects on as many validation rows as it trains on.
    """
    task = Task(dataset, architecture, recipe, train_size, val_rows=train_size, holdout=True, label_noise=label_noise)
    return {task.base: (task,)}


def table_recipe(rows: int) -> Recipe:
    """The recipe of a table that has none of its own, by its training rows: 200 to some 6,000 steps."""
    if rows < 100:
        return replace(TINY, batch_size=min(TINY.batch_size, max(1, rows // 2)))
    return TABLE if rows < 2000 else LARGE_TABLE if rows < 20_000 else HUGE_TABLE


def fitted(recipe: Recipe, rows: int) -> Recipe:
    """A recipe of larger data for few training rows: two batches at least, and as long as 200 steps take."""
    batch_size = min(recipe.batch_size, max(1, rows // 2))
    return replace(recipe, batch_size=batch_size, epochs=max(recipe.epochs, ceil(200 / max(1, rows // batch_size))))


def default_repeats(task: Task) -> int:
    """The number of outer splits of a task whose splits share their test rows, unless told otherwise.

    Ten show a gain of 5 % of ERM's error with 80 % power (docs/fairness.md). Recipes in bfloat16 are those for GPUs,
    where five are what most can afford.
    """
    return 5 if task.recipe.precision == "bfloat16" else 10


TASKS: dict[str, tuple[Task, ...]] = {
    **task_entry(TOY_SETS, "one_ring", "mlp", TOY),
    **task_entry(TOY_SETS, "four_bars", "mlp", TOY),
    **task_entry(TOY_SETS, "swiss_roll", "mlp", TOY),
    **task_entry(TOY_SETS, "two_spirals", "mlp", TOY),
    **task_entry(OUTER_FOLDS, "iris", "mlp", TABLE),
    **task_entry(OUTER_FOLDS, "wine", "mlp", TABLE),
    **task_entry(OUTER_FOLDS, "wine", "mlp", TINY, 40),
    **task_entry(OUTER_FOLDS, "breast_cancer", "mlp", TABLE),
    **task_entry(OUTER_FOLDS, "breast_cancer", "mlp", TINY, 40),
    **task_entry(OUTER_FOLDS, "abalone", "mlp", LARGE_TABLE),
    **task_entry(OUTER_FOLDS, "abalone", "mlp", TABLE, 300),
    **task_entry(OUTER_FOLDS, "phishing", "mlp", LARGE_TABLE),
    **holdout_entry("phishing", "mlp", TABLE, 300),
    **holdout_entry("texture", "mlp", TABLE, 500),
    **holdout_entry("penbased", "mlp", TABLE, 500),
    **holdout_entry("satimage", "mlp", TABLE, 500),
    **holdout_entry("letter", "mlp", TABLE, 1000),
    **task_entry(OUTER_FOLDS, "digits", "small_cnn", DIGITS),
    **holdout_entry("digits", "mlp", DIGITS, 200),
    **holdout_entry("digits", "mlp", DIGITS, 200, label_noise=0.2),
    **holdout_entry("digits", "small_cnn", DIGITS, 100),
    **holdout_entry("digits", "small_cnn", DIGITS, 200),
    **task_entry(None, "mnist", "mlp", SMALL_IMAGES, 250),
    **task_entry(None, "mnist", "mlp", SMALL_IMAGES, 500),
    **task_entry(None, "mnist", "mlp", SMALL_IMAGES, 500, label_noise=0.2),
    **task_entry(None, "mnist", "mlp", SMALL_IMAGES, 500, label_noise=0.4),
    **task_entry(None, "mnist", "mlp", SMALL_IMAGES, 1000),
    **task_entry(None, "mnist", "mlp", SMALL_IMAGES, 2000),
    **task_entry(None, "mnist", "mlp", SMALL_IMAGES, 4000),
    **task_entry(None, "mnist", "mlp", SMALL_IMAGES, 8000),
    **task_entry(None, "mnist", "lenet", ONE_EPOCH),
    **task_entry(None, "mnist", "lenet", SMALL_IMAGES, 500),
    **task_entry(None, "mnist", "lenet", SMALL_IMAGES, 2000),
    **task_entry(None, "fashion_mnist", "mlp", SMALL_IMAGES, 500),
    **task_entry(None, "fashion_mnist", "lenet", GREY),
    **task_entry(None, "fashion_mnist", "lenet", SMALL_IMAGES, 2000),
    **task_entry(None, "cifar10", "lenet", COLOUR, 2000),
    **task_entry(None, "cifar10", "small_resnet", COLOUR_RESNET, 2000),
    **task_entry(None, "cifar10", "preact_resnet18", CIFAR),
    **task_entry(None, "cifar10", "wide_resnet28_10", CIFAR),
    **task_entry(None, "cifar10", "densenet_bc_190", CIFAR),
    **task_entry(None, "cifar10", "resnet18", CIFAR),
    **task_entry(None, "cifar10", "vit_tiny", TRANSFORMER),
    **task_entry(None, "cifar100", "preact_resnet18", CIFAR),
    **task_entry(None, "cifar100", "wide_resnet28_10", CIFAR),
    **task_entry(None, "cifar100", "densenet_bc_190", CIFAR),
    **task_entry(None, "cifar100", "vit_tiny", TRANSFORMER),
    **task_entry(None, "svhn", "resnet18", HOUSE_NUMBERS),
    **task_entry(None, "tiny_imagenet", "resnet18", CIFAR),
    **task_entry(None, "tiny_imagenet", "wide_resnet101_2", CIFAR),
    **task_entry(None, "spoken_digits", "lenet", SPOKEN),
    **task_entry(OUTER_FOLDS, "spoken_digits_speakers", "lenet", SPOKEN),
    **task_entry(None, "speech_commands_v1", "lenet", COMMANDS),
    **task_entry(None, "speech_commands_v1", "vgg11", COMMANDS),
    **task_entry(None, "speech_commands_v2", "lenet", COMMANDS),
    **task_entry(None, "speech_commands_v2", "vgg11", COMMANDS),
}
