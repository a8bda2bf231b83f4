"""Networks: ARCHITECTURES, and several networks of one architecture as an ensemble. No Ray or Optuna."""

from tune_kmixup.models.architectures import ARCHITECTURES, mlp

__all__ = ["ARCHITECTURES", "mlp"]
