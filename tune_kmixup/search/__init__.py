"""One Optuna study per task and method: sampling, proposals, export. No Ray or torch."""
