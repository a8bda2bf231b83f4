"""The run directory: its files, its lock, and where a launch stands. No torch, Ray or Optuna."""
