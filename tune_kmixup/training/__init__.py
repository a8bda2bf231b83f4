"""Training of runs and evaluation into rows. Uses torch, but no Ray or Optuna."""
