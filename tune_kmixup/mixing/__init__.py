"""The mixing step of ERM, mixup and k-mixup as pure functions of tensors. No Ray or Optuna."""

from tune_kmixup.mixing.pairing import pair
from tune_kmixup.mixing.step import alpha_for, mix, mixed_cross_entropy, sample_lambda
from tune_kmixup.mixing.transform import KMixup

__all__ = ["KMixup", "alpha_for", "mix", "mixed_cross_entropy", "pair", "sample_lambda"]
