"""Prepares a launch: builds the suite from names and budgets, the resources of trials, and plugins."""
