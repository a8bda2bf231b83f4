"""One Optuna study per task and method: samplers, proposals, export. No Ray or torch."""
