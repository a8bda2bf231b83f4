"""Runs a suite as one Ray Tune experiment. The only package that imports Ray."""

import os

# Ray reads it when it is imported. Otherwise it prints pages of a node's log when the node dies.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "(?s).*")
