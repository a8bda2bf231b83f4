"""What is compared: methods (ranges of α and k), tasks (data sets, networks, recipes), suites (budgets)."""
