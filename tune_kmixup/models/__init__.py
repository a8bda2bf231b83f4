"""Networks: ARCHITECTURES, and several networks of one architecture as an ensemble. No Ray or Optuna."""

from tune_kmixup.models.architectures import (
    ARCHITECTURES,
    Shape,
    densenet_bc_190,
    lenet,
    mlp,
    preact_resnet18,
    resnet,
    small_cnn,
    small_resnet,
    vgg11,
    vit_tiny,
    wide_resnet28_10,
)

__all__ = [
    "ARCHITECTURES",
    "Shape",
    "densenet_bc_190",
    "lenet",
    "mlp",
    "preact_resnet18",
    "resnet",
    "small_cnn",
    "small_resnet",
    "vgg11",
    "vit_tiny",
    "wide_resnet28_10",
]
