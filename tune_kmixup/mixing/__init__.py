"""The mixing step of ERM, mixup and k-mixup as pure functions of tensors. No Ray or Optuna."""

from tune_kmixup.mixing.pairing import pair, pair_runs
from tune_kmixup.mixing.step import (
    alpha_for,
    mean_cross_entropy,
    mix,
    mixed_cross_entropy,
    perturbation_factor,
    sample_lambda,
)
from tune_kmixup.mixing.transform import KMixup

__all__ = [
    "KMixup",
    "alpha_for",
    "mean_cross_entropy",
    "mix",
    "mixed_cross_entropy",
    "pair",
    "pair_runs",
    "perturbation_factor",
    "sample_lambda",
]
