"""Runs a suite as one Ray Tune experiment. The only package that imports Ray."""
