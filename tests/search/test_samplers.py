"""Samplers do what their names say, on a smooth error without noise. test_searcher.py has that they can be resumed."""

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from scipy.stats import qmc

from tune_kmixup.search.samplers import STARTUP_TRIALS, PointSampler, SeededSampler, sobol

SPACE: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
TRIALS = 24


def least_error(kind: str, seed: int) -> float:
    """Of `TRIALS` proposals, one after the other."""
    study = optuna.create_study(sampler=SeededSampler(kind, seed))
    for _ in range(TRIALS):
        trial = study.ask(SPACE)
        study.tell(trial, (trial.params["x"] - 0.7) ** 2 + (trial.params["y"] - 0.2) ** 2)
    return study.best_value


@pytest.mark.parametrize(("kind", "searches"), [("tpe", 12), ("gp", 1)])  # a search with gp takes two seconds
def test_what_learns_from_earlier_trials_finds_less_error_than_random_search(kind: str, searches: int) -> None:
    learnt = [least_error(kind, seed) for seed in range(searches)]
    random = [least_error("random", seed) for seed in range(12)]
    assert np.median(learnt) < 0.5 * np.median(random)


def test_parallel_proposals_do_not_cluster() -> None:
    """While eight trials run, TPE proposes others: trials in progress count as bad ones."""
    distances = []
    for seed in range(5):
        study = optuna.create_study(sampler=SeededSampler("tpe", seed))
        for _ in range(2 * STARTUP_TRIALS):
            trial = study.ask(SPACE)
            study.tell(trial, (trial.params["x"] - 0.7) ** 2 + (trial.params["y"] - 0.2) ** 2)
        points = np.array([list(study.ask(SPACE).params.values()) for _ in range(8)])
        apart = np.linalg.norm(points[:, None] - points, axis=2)[np.triu_indices(8, 1)]
        distances.append(np.median(apart))
    assert np.mean(distances) > 0.3  # 0.2 if they are left out


def test_points_of_a_sobol_sequence_fill_the_space_evenly() -> None:
    study = optuna.create_study(sampler=PointSampler(sobol(0, SPACE)))
    points = np.array([list(study.ask(SPACE).params.values()) for _ in range(64)])
    random = np.random.default_rng(0).random((200, 64, 2))
    assert qmc.discrepancy(points) < min(qmc.discrepancy(sample) for sample in random)
