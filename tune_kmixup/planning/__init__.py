"""From what was asked for to a suite: names, budgets, resources, plugins."""
