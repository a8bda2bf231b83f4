"""Optuna samplers that continue a rebuilt study as if it had never been interrupted.

Proposal n is drawn with a seed derived from the study and n, or is point n of a fixed sequence. A sampler with one seed
for the whole study would restart its random numbers when the study is rebuilt, and propose the same values again.
"""

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    json_to_distribution,
)
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from scipy.stats import qmc

from tune_kmixup.core.config import Sampler, Study, derived_seed

STARTUP_TRIALS = 8  # trials drawn at random before TPE or the Gaussian process is used

PointFunction = Callable[[int], Mapping[str, Any]]  # number of a trial -> free coordinate -> value


def space_of(study: Study) -> dict[str, BaseDistribution]:
    """The ranges of a study as Optuna's own."""
    return {name: json_to_distribution(json.dumps(value)) for name, value in study.space.items()}


class SeededSampler(BaseSampler):
    """Optuna's TPE, random or Gaussian-process sampler, created anew with its own seed for each proposal."""

    def __init__(self, kind: str, seed: int):
        self.kind, self.seed = kind, seed
        self.sampler = self.sampler_of_trial(0)

    def sampler_of_trial(self, number: int) -> BaseSampler:
        seed = derived_seed(self.seed, "proposal", number) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if self.kind == "random":
                return RandomSampler(seed=seed)
            if self.kind == "gp":
                return GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
            # With constant_liar, trials in progress count as bad ones: parallel proposals do not cluster.
            return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True)

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        self.sampler = self.sampler_of_trial(trial.number)
        self.sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        with warnings.catch_warnings():  # the Gaussian process takes an infinite NLL for the worst finite one
            warnings.filterwarnings("ignore", message="Clip non-finite values")
            return self.sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        return self.sampler.sample_independent(study, trial, name, distribution)


class PointSampler(BaseSampler):
    """Proposal n is point n of a sequence.

    Optuna's QMCSampler and GridSampler keep in the study's storage which points were used, so they would start their
    sequence again in a rebuilt study.
    """

    def __init__(self, point: PointFunction):
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


def sobol(seed: int, space: Mapping[str, BaseDistribution]) -> PointFunction:
    """The points of one scrambled Sobol sequence over a search space."""
    names = sorted(space)

    def point(number: int) -> dict[str, Any]:
        sequence = qmc.Sobol(len(names), scramble=True, rng=seed % 2**32)
        if number:
            sequence.fast_forward(number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # SciPy warns that a single point is not a balanced set
            fractions = sequence.random(1)[0]
        return {name: value_at(space[name], float(x)) for name, x in zip(names, fractions, strict=True)}

    return point


def grid(space: Mapping[str, BaseDistribution], trials: int) -> PointFunction:
    """The points of a grid over a search space.

    The grid has every value of the finite coordinates, and the same number of levels for each continuous coordinate:
    the smallest number that gives at least `trials` ≥ 1 points. Ranges of more than `trials` numbers count as
    continuous: the first points would have the smallest of them alone.
    """
    finite = {name: values for name in sorted(space) if (values := finite_values(space[name]))}
    long = {n for n in finite if len(finite[n]) > trials and not isinstance(space[n], CategoricalDistribution)}
    continuous = sorted(space.keys() - finite.keys() | long)
    points = math.prod(len(values) for name, values in finite.items() if name not in long)
    levels = max(1, int((trials / points) ** (1 / max(1, len(continuous)))))
    while continuous and points * math.prod(len(grid_levels(space[n], levels)) for n in continuous) < trials:
        levels += 1
    axes = {name: values for name, values in finite.items() if name not in long}
    for name in continuous:  # points go through a long range even where others have enough values for all of them
        axes[name] = grid_levels(space[name], trials if levels == 1 and name in long else levels)
    if len(axes) == 1:  # levels of whole numbers on a log scale may be a few too many
        axes = {name: [*axis[: trials - 1], *axis[-1:]] if len(axis) > trials else axis for name, axis in axes.items()}

    def point(number: int) -> dict[str, Any]:
        values, shift = {}, 0
        for name, axis in axes.items():
            number, digit = divmod(number, len(axis))
            # Points go along diagonals. Counting digit by digit, the first `trials` points could miss the last levels
            # of the last axis.
            shift += digit
            values[name] = axis[shift % len(axis)]
        return values

    return point


def finite_values(distribution: BaseDistribution) -> Sequence[Any]:
    """All values of a distribution in order; empty if it is continuous."""
    if isinstance(distribution, CategoricalDistribution):
        return list(dict.fromkeys(distribution.choices))
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    assert isinstance(distribution, FloatDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if low == high:
        return [low]
    return [] if step is None else [min(low + i * step, high) for i in range(round((high - low) / step) + 1)]


def grid_levels(distribution: BaseDistribution, count: int) -> Sequence[float]:
    """`count` ≥ 1 evenly spaced levels of a range of numbers, both ends included; a single one is the middle.

    A range of whole numbers may have fewer than `count`.
    """
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    values = finite_values(distribution)
    if values and len(values) <= count:
        return values
    if count == 1:
        return [value_at(distribution, 0.5)]
    if values and not distribution.log:
        return [values[round(i * (len(values) - 1) / (count - 1))] for i in range(count)]
    inner = [value_at(distribution, i / (count - 1)) for i in range(1, count - 1)]
    return list(dict.fromkeys([distribution.low, *inner, distribution.high]))


def value_at(distribution: BaseDistribution, fraction: float) -> Any:
    """The value at a fraction, 0 to 1, of the way from the lowest value of a distribution to the highest."""
    if isinstance(distribution, IntDistribution) and distribution.log:  # each whole number is as wide as its logarithm
        low, high = distribution.low - 0.5, distribution.high + 0.5
        return min(distribution.high, max(distribution.low, round(low * math.exp(fraction * math.log(high / low)))))
    if values := finite_values(distribution):
        return values[min(len(values) - 1, int(fraction * len(values)))]
    assert isinstance(distribution, FloatDistribution)
    low, high = distribution.low, distribution.high
    if distribution.log:
        return min(high, low * math.exp(fraction * math.log(high / low)))
    return low + fraction * (high - low)


class DistinctSampler(BaseSampler):
    """Another sampler over a finite search space, which proposes no configuration twice.

    In place of a configuration that was proposed before, it proposes the next one that was not. Configurations are
    counted like numbers with a digit per coordinate.
    """

    def __init__(self, sampler: BaseSampler, space: Mapping[str, BaseDistribution]):
        self.sampler, self.space = sampler, dict(space)
        self.axes = {name: finite_values(space[name]) for name in sorted(space)}

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        self.sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self.space

    def sample_relative(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        related = self.sampler.infer_relative_search_space(study, trial)
        values = self.sampler.sample_relative(study, trial, related)
        for name, distribution in self.space.items():
            if name not in values:
                values[name] = self.sampler.sample_independent(study, trial, name, distribution)
            if isinstance(distribution, FloatDistribution):  # samplers round the values of a step differently
                values[name] = min(self.axes[name], key=lambda value: abs(value - values[name]))
        others = (other for other in study.get_trials(deepcopy=False) if other.number != trial.number)
        proposed = [other.params or other.system_attrs.get("fixed_params") for other in others]
        for _ in proposed:
            if values not in proposed:
                break
            values = self.following(values)
        return values

    def following(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration after this one; after the last one comes the first."""
        result = dict(values)
        for name, axis in self.axes.items():
            position = (axis.index(values[name]) + 1) % len(axis)
            result[name] = axis[position]
            if position:
                break
        return result

    def sample_independent(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        return self.sampler.sample_independent(study, trial, name, distribution)


def make_sampler(kind: Sampler, seed: int, space: Mapping[str, BaseDistribution], trials: int) -> BaseSampler:
    """The sampler of a study. Over a finite search space it proposes no configuration twice.

    Args:
        kind: which one.
        seed: seed of the study.
        space: free coordinate -> distribution.
        trials: search budget of the study, ≥ 1, and not above the number of configurations of a finite space.
    """
    sampler: BaseSampler
    if kind in ("qmc", "grid"):
        sampler = PointSampler(sobol(seed, space) if kind == "qmc" else grid(space, trials))
    else:
        sampler = SeededSampler(kind, seed)
    return DistinctSampler(sampler, space) if all(map(finite_values, space.values())) else sampler
