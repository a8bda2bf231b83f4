"""Verdicts on runs with known effects, and how often a verdict is wrong where there is no effect."""

import numpy as np
import pytest

from benchmarks.report import made_up
from tune_kmixup.analysis import gains
from tune_kmixup.analysis.claims import ALL_TASKS, judge


def outcome(effects: dict[str, float], claim: int, task: str = "a/mlp", **sizes: int) -> str:
    rows = made_up(np.random.default_rng(0), effects, tasks=["a/mlp"], **({"splits": 1, "seeds": 20} | sizes))
    return next(v.outcome for v in judge(rows) if v.claim == claim and v.task == task)


@pytest.mark.parametrize(
    ("mixup", "kmixup", "claim_1", "claim_2"),
    [
        (0.02, 0.05, "supported", "supported"),  # gains 0.02 and 0.03
        (0.04, 0.046, "supported", "contradicted"),  # 0.04 and 0.006: short by more than 10 % of an error of 0.1
        (0.04, 0.01, "contradicted", "contradicted"),
        (-0.02, 0.03, "supported", "void"),  # mixup gains nothing, so there is no gain to be similar to
        (0.0, 0.0, "undecided", ""),
    ],
)
def test_verdicts_follow_the_effects(mixup: float, kmixup: float, claim_1: str, claim_2: str) -> None:
    effects = {"erm": 0.0, "mixup": mixup, "kmixup": kmixup}
    assert outcome(effects, 1) == claim_1
    assert claim_2 in ("", outcome(effects, 2))


def test_claim_3_is_supported_where_mixup_gains_nothing_and_kmixup_does() -> None:
    assert outcome({"erm": 0.0, "mixup": 0.0, "kmixup": 0.03}, 3, task=ALL_TASKS, seeds=40) == "supported"
    assert outcome({"erm": 0.0, "mixup": 0.03, "kmixup": 0.06}, 3, task=ALL_TASKS, seeds=40) == "undecided"


def test_a_claim_without_an_effect_is_supported_as_rarely_as_the_level_says() -> None:
    """Claim 1 where k-mixup equals mixup: wrongly supported in 2.5 % of tasks (one side of a two-sided interval).

    Claim 3 where neither method gains: wrongly supported in at most 5 %, although the data select its tasks.
    """
    rows = made_up(np.random.default_rng(0), tasks=["a/mlp"], splits=1, seeds=20)
    rows = rows.loc[rows["selected"], ["task", "method", "outer_split", "seed", "selected"]]
    wrong = {1: 0, 3: 0}
    for study in range(200):
        rows = rows.assign(test_error=0.1 + 0.01 * np.random.default_rng(study).normal(size=len(rows)))
        for verdict in judge(rows):
            if verdict.outcome == "supported" and (verdict.claim, verdict.task) in ((1, "a/mlp"), (3, ALL_TASKS)):
                wrong[verdict.claim] += 1
    assert wrong[1] <= 12 and wrong[3] <= 20  # three standard errors above 5 and 10


def test_over_all_tasks_the_units_are_tasks() -> None:
    tasks = [f"t{number}/mlp" for number in range(12)]
    rows = made_up(np.random.default_rng(1), {"erm": 0.0, "mixup": 0.02, "kmixup": 0.05}, tasks=tasks)
    verdicts = {v.claim: v for v in judge(rows) if v.task == ALL_TASKS and v.claim <= 3}
    assert verdicts[1].outcome == "supported" and "12 units" in verdicts[1].reason
    assert verdicts[2].outcome == "supported" and verdicts[3].outcome == "undecided"


def test_claim_4_is_judged_on_the_errors_under_noise_and_fgsm() -> None:
    rows = made_up(
        np.random.default_rng(2), {"erm": 0.0, "mixup": 0.02, "kmixup": 0.05}, tasks=["a/mlp"], splits=1, seeds=20
    )
    for column in [c for c in rows.columns if c.startswith(("test_error_noise_", "test_error_fgsm_"))]:
        rows.loc[rows["method"] == "kmixup", column] += 0.5
    verdicts = [v for v in judge(rows) if v.task == "a/mlp"]
    assert [v.outcome for v in verdicts if v.claim == 1] == ["supported"]
    assert [v.outcome for v in verdicts if v.claim == 4 and v.reason.startswith("claim 1:")] == ["contradicted"]


@pytest.mark.parametrize("methods", [("erm",), ("erm", "mixup"), ("mixup", "kmixup")])
def test_a_missing_method_gives_no_verdict(methods: tuple[str, ...]) -> None:
    rows = made_up(np.random.default_rng(3), dict.fromkeys(methods, 0.0), tasks=["a/mlp"])
    assert judge(rows) == []


def test_one_seed_decides_nothing() -> None:
    effects = {"erm": 0.0, "mixup": 0.02, "kmixup": 0.05}
    rows = made_up(np.random.default_rng(4), effects, tasks=["a/mlp"], splits=1, seeds=1)
    assert {v.outcome for v in judge(rows)} <= {"undecided", "void"}
    assert gains.gain(rows, "a/mlp", "mixup", "erm").units == 1
