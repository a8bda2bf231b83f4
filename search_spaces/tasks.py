"""TASKS: data set + architecture + recipe, each with all its outer splits.

A recipe is the same for every method of a task. Every number below says where it is from; "ours" are choices made
here so that ERM is well trained (its loss has levelled off when the learning rate reaches zero) and cheap, before any
method was compared on test data. Costs are those of one training (`docs/data.md` has them for each task).
"""

from dataclasses import replace

from tune_kmixup.core.config import Recipe, Task

FOLDS = 5  # outer cross-validation where there is no official test set
TOY_SETS = 25  # fresh data sets of a toy task

# Small networks on small data: AdamW at twice its default learning rate, batches of 50, long enough to interpolate.
# Under a second on one core for tables, a few seconds for images.
TABLE = Recipe(epochs=100, batch_size=50, lr=2e-3, weight_decay=1e-4, optimizer="adamw", source="ours")
TOY = replace(TABLE, epochs=200)  # 200 rows: 4 steps per epoch
TINY = replace(TABLE, epochs=200, batch_size=40)  # 40 rows: one batch is all of them
LARGE_TABLE = replace(TABLE, epochs=30, batch_size=64)
SMALL_IMAGES = replace(TABLE, epochs=25)
DIGITS = replace(TABLE, epochs=60)

# MNIST and Fashion-MNIST as a whole with LeNet: one short and one ordinary training. About 15 s an epoch on one core.
ONE_EPOCH = Recipe(epochs=1, batch_size=64, lr=2e-3, optimizer="adamw", source="ours: MNIST under 2.5 % error")
GREY = replace(ONE_EPOCH, epochs=10, weight_decay=1e-4, source="ours")

# Spoken digits, LeNet on spectrograms of 81 x 101: about 40 s on one core.
SPOKEN = Recipe(epochs=8, batch_size=64, lr=2e-3, weight_decay=1e-2, optimizer="adamw", source="ours: under 8 % error")

# Networks for GPUs. The code of the mixup paper (facebookresearch/mixup-cifar10, train.py): SGD with momentum 0.9,
# learning rate 0.1, batches of 128, weight decay 1e-4, 200 epochs, crop and flip. It divides the learning rate by 10
# after epochs 100 and 150; here the rate falls to zero along a cosine, as everywhere.
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


def entry(
    splits: int | None, dataset: str, architecture: str, recipe: Recipe, train_size: int | None = None
) -> dict[str, tuple[Task, ...]]:
    """One entry of TASKS: a task per outer split, or a single one where the test set is official (None)."""
    numbers = [None] if splits is None else list(range(splits))
    tasks = tuple(Task(dataset, architecture, recipe, train_size, number) for number in numbers)
    return {tasks[0].base: tasks}


TASKS: dict[str, tuple[Task, ...]] = {
    **entry(TOY_SETS, "one_ring", "mlp", TOY),
    **entry(TOY_SETS, "four_bars", "mlp", TOY),
    **entry(TOY_SETS, "swiss_roll", "mlp", TOY),
    **entry(TOY_SETS, "two_spirals", "mlp", TOY),
    **entry(FOLDS, "iris", "mlp", TABLE),
    **entry(FOLDS, "wine", "mlp", TABLE),
    **entry(FOLDS, "wine", "mlp", TINY, 40),
    **entry(FOLDS, "breast_cancer", "mlp", TABLE),
    **entry(FOLDS, "breast_cancer", "mlp", TINY, 40),
    **entry(FOLDS, "abalone", "mlp", LARGE_TABLE),
    **entry(FOLDS, "abalone", "mlp", TABLE, 300),
    **entry(FOLDS, "phishing", "mlp", LARGE_TABLE),
    **entry(FOLDS, "phishing", "mlp", TABLE, 300),
    **entry(FOLDS, "digits", "small_cnn", DIGITS),
    **entry(FOLDS, "digits", "small_cnn", DIGITS, 200),
    **entry(None, "mnist", "lenet", ONE_EPOCH),
    **entry(None, "mnist", "lenet", SMALL_IMAGES, 2000),
    **entry(None, "fashion_mnist", "lenet", GREY),
    **entry(None, "fashion_mnist", "lenet", SMALL_IMAGES, 2000),
    **entry(None, "cifar10", "preact_resnet18", CIFAR),
    **entry(None, "cifar10", "wide_resnet28_10", CIFAR),
    **entry(None, "cifar10", "densenet_bc_190", CIFAR),
    **entry(None, "cifar10", "resnet18", CIFAR),
    **entry(None, "cifar10", "vit_tiny", TRANSFORMER),
    **entry(None, "cifar100", "preact_resnet18", CIFAR),
    **entry(None, "cifar100", "wide_resnet28_10", CIFAR),
    **entry(None, "cifar100", "densenet_bc_190", CIFAR),
    **entry(None, "cifar100", "vit_tiny", TRANSFORMER),
    **entry(None, "svhn", "resnet18", HOUSE_NUMBERS),
    **entry(None, "tiny_imagenet", "resnet18", CIFAR),
    **entry(None, "tiny_imagenet", "wide_resnet101_2", CIFAR),
    **entry(None, "spoken_digits", "lenet", SPOKEN),
    **entry(FOLDS, "spoken_digits_speakers", "lenet", SPOKEN),
    **entry(None, "speech_commands_v1", "lenet", COMMANDS),
    **entry(None, "speech_commands_v1", "vgg11", COMMANDS),
    **entry(None, "speech_commands_v2", "lenet", COMMANDS),
    **entry(None, "speech_commands_v2", "vgg11", COMMANDS),
}
