"""Searches α from 1e-4 instead of 0.01: is it the range of α that keeps mixup away from ERM?

tune-kmixup launch two_spirals/mlp --load examples/lower_alpha.py --trials 24 --search-seeds 1 --final-seeds 2 \
    --out runs/lower-alpha
"""

from optuna.distributions import FloatDistribution

from search_spaces.methods import METHODS

METHODS["mixup"]["alpha"] = METHODS["kmixup"]["alpha"] = FloatDistribution(1e-4, 64.0, log=True)
