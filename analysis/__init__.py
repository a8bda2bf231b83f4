"""Read run directories, estimate gains, judge claims, and report. No torch, Ray or Optuna."""
