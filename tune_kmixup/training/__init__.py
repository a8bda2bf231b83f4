"""Runs, from their batches to their rows. Torch; no Ray or Optuna."""
