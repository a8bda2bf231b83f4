"""Nouns and rules: recipes, tasks, suites, rows, selection, ASHA. Standard library only."""
