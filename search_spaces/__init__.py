"""What may vary: methods (α, k), tasks (recipes), suites (budgets)."""
