"""Optuna samplers whose proposal n is drawn from a seed made of the study and n, or is point n of a sequence.

So a study rebuilt from its finished trials goes on as if it had never been interrupted. With one seed for the whole
study, a rebuilt sampler starts its random numbers over and proposes again what was tried before.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from scipy.stats import qmc

from tune_kmixup.core.config import derived_seed

SAMPLERS = ("tpe", "random", "qmc", "gp", "grid")
STARTUP_TRIALS = 8  # drawn at random before TPE or the Gaussian process sets in

Point = Callable[[int], Mapping[str, Any]]


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


class PointSampler(BaseSampler):
    """Proposal n is point n of a sequence: `point` maps the number of a trial to its values by name.

    Optuna's own QMCSampler and GridSampler look up in the study's storage which points were taken, so a rebuilt study
    would begin the sequence again.
    """

    def __init__(self, point: Point):
        self.point = point

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
        return self.point(trial.number)[name]


def sobol(seed: int, space: Mapping[str, BaseDistribution]) -> Point:
    """The points of one scrambled Sobol sequence."""
    names = sorted(space)

    def point(number: int) -> dict[str, Any]:
        sequence = qmc.Sobol(len(names), scramble=True, rng=seed % 2**32)
        if number:
            sequence.fast_forward(number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # one point at a time is no balanced set, and need not be
            shares = sequence.random(1)[0]
        return {name: value_at(space[name], float(share)) for name, share in zip(names, shares, strict=True)}

    return point


def grid(space: Mapping[str, BaseDistribution], trials: int) -> Point:
    """The points of the least grid that has `trials` ≥ 1: every finite value, equally many levels of each continuum.

    Where nothing is continuous and the grid has fewer points, they come again.
    """
    finite = {name: found for name in sorted(space) if (found := finite_values(space[name]))}
    continuous = sorted(space.keys() - finite.keys())
    count, others = 1, math.prod(map(len, finite.values()))
    while continuous and count ** len(continuous) * others < trials:
        count += 1
    axes = finite | {name: grid_levels(space[name], count) for name in continuous}

    def point(number: int) -> dict[str, Any]:
        found, shift = {}, 0
        for name, axis in axes.items():
            number, digit = divmod(number, len(axis))
            # Along diagonals: counted up digit by digit, the first `trials` points could miss an end of the last axis.
            shift += digit
            found[name] = axis[shift % len(axis)]
        return found

    return point


def finite_values(distribution: BaseDistribution) -> list[Any]:
    """All values of a distribution in order; empty where they are a continuum."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if low == high:
        return [low]
    return [] if step is None else [low + i * step for i in range(round((high - low) / step) + 1)]


def grid_levels(distribution: BaseDistribution, count: int) -> list[float]:
    """`count` ≥ 1 levels of a continuum, evenly spaced from end to end; a single one is the middle."""
    assert isinstance(distribution, FloatDistribution)
    if count == 1:
        return [value_at(distribution, 0.5)]
    inner = [value_at(distribution, i / (count - 1)) for i in range(1, count - 1)]
    return [distribution.low, *inner, distribution.high]


def value_at(distribution: BaseDistribution, share: float) -> Any:
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


def make_sampler(kind: str, seed: int, space: Mapping[str, BaseDistribution], trials: int) -> BaseSampler:
    """The sampler of a study: `kind` is one of SAMPLERS, `seed` the study's own, `trials` ≥ 1 its budget."""
    if kind == "qmc":
        return PointSampler(sobol(seed, space))
    return PointSampler(grid(space, trials)) if kind == "grid" else SeededSampler(kind, seed)
