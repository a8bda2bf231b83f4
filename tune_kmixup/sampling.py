"""Optuna samplers that draw proposal n of a study from a seed made of the study and n.

So a study rebuilt from its finished trials goes on as if it had never been interrupted. With one seed for the whole
study, a rebuilt sampler starts its random numbers over and proposes again what was tried before.
"""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from scipy.stats import qmc

from tune_kmixup.study import derived_seed

SAMPLERS = ("tpe", "random", "qmc", "gp")
STARTUP_TRIALS = 8  # drawn at random before TPE or the Gaussian process sets in


class SeededSampler(BaseSampler):
    """Optuna's TPE, random or Gaussian-process sampler, made anew for each proposal."""

    def __init__(self, kind: str, seed: int):
        self.kind, self.seed = kind, seed
        self.now = self.made(0)

    def made(self, number: int) -> BaseSampler:
        seed = derived_seed(self.seed, "proposal", number) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if self.kind == "random":
                return RandomSampler(seed=seed)
            if self.kind == "gp":
                return GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
            # constant_liar: trials that run in parallel are taken into account, as bad ones
            return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True)

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        self.now = self.made(trial.number)
        self.now.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self.now.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.now.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        return self.now.sample_independent(study, trial, name, distribution)


class SobolSampler(BaseSampler):
    """Proposal n is point n of one scrambled Sobol sequence.

    Optuna's own QMCSampler counts its points in the study's storage, so a rebuilt study would begin the sequence again.
    """

    def __init__(self, seed: int, names: list[str]):
        self.seed, self.names = seed, names

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        sequence = qmc.Sobol(len(self.names), scramble=True, rng=self.seed % 2**32)
        if trial.number:
            sequence.fast_forward(trial.number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # one point at a time is no balanced set, and need not be
            point = sequence.random(1)[0]
        return at(distribution, float(point[self.names.index(name)]))


def at(distribution: BaseDistribution, share: float) -> Any:
    """The value at a share, 0 to 1, of the way through a distribution."""
    if isinstance(distribution, FloatDistribution):
        low, high = distribution.low, distribution.high
        if distribution.log:
            return min(high, low * math.exp(share * math.log(high / low)))
        return low + share * (high - low)
    if isinstance(distribution, IntDistribution):
        return min(distribution.high, distribution.low + int(share * (distribution.high - distribution.low + 1)))
    assert isinstance(distribution, CategoricalDistribution)
    return distribution.choices[min(len(distribution.choices) - 1, int(share * len(distribution.choices)))]


def sampler(kind: str, seed: int, space: Mapping[str, BaseDistribution]) -> BaseSampler:
    """The sampler of a study: `kind` is one of SAMPLERS, `seed` the study's own."""
    return SobolSampler(seed, sorted(space)) if kind == "qmc" else SeededSampler(kind, seed)
