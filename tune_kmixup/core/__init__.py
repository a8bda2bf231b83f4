"""Recipes, tasks, suites and rows, and the rules on them: selection, ASHA, batched seeds. Standard library only."""
