"""Run directories: their files, their lock, and the status of a launch. No torch, Ray or Optuna."""
