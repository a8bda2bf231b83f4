"""Verdicts on runs with known effects, and how often a verdict is wrong where there is no effect."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pytest

from benchmarks.report import made_up
from tests.helpers.suites import small_suite
from tune_kmixup.analysis import gains
from tune_kmixup.analysis.claims import OVERALL, Verdict, judge, judge_runs
from tune_kmixup.analysis.load import Launch, Runs
from tune_kmixup.core.config import Claims, Task

USUAL = Claims()


def verdicts(rows: pd.DataFrame, claims: Claims = USUAL) -> dict[tuple[str, str], Verdict]:
    return {(verdict.claim, verdict.task): verdict for verdict in judge(rows, claims)}


def outcomes(effects: dict[str, float]) -> dict[tuple[str, str], str]:
    rows = made_up(np.random.default_rng(0), effects, tasks=["a/mlp"], splits=100, trials=1)
    return {key: verdict.outcome for key, verdict in verdicts(rows).items()}


@pytest.mark.parametrize(
    ("mixup", "kmixup", "claim_1", "claim_2"),
    [
        (0.02, 0.05, "supported", "supported"),  # gains 0.02 and 0.03
        (0.04, 0.046, "supported", "contradicted"),  # 0.04 and 0.006: less than half
        (0.04, 0.01, "contradicted", "contradicted"),
        (-0.02, 0.03, "supported", "void"),  # mixup gains nothing, so there is no gain to compare with
        (0.0, 0.0, "undecided", "void"),
    ],
)
def test_verdicts_follow_the_effects(mixup: float, kmixup: float, claim_1: str, claim_2: str) -> None:
    effects = {"erm": 0.0, "mixup": mixup, "kmixup": kmixup}
    found = outcomes(effects)
    assert (found["1", "a/mlp"], found["2", "a/mlp"]) == (claim_1, claim_2)


def test_claim_3_is_supported_where_mixup_gains_nothing_and_kmixup_does() -> None:
    assert outcomes({"erm": 0.0, "mixup": 0.0, "kmixup": 0.03})["3", OVERALL] == "supported"
    assert outcomes({"erm": 0.0, "mixup": 0.03, "kmixup": 0.06})["3", OVERALL] == "undecided"


def test_a_kmixup_that_is_mixup_is_rarely_supported() -> None:
    """From rows to verdicts; mixup's gain is a share of ERM's error. `test_verdicts` has many more studies.

    Each study has noise of its own, so that all of them count for claim 1, whatever mixup gains.
    """
    rows = made_up(np.random.default_rng(0), tasks=["a/mlp", "b/mlp", "c/mlp", "d/mlp"], splits=8, seeds=2, trials=1)
    rows = rows.loc[rows["selected"], ["task", "dataset", "method", "outer_split", "seed", "selected", "test_rows"]]
    supported: list[str] = []
    for study, mixup in enumerate([0.0, 0.02, 0.04, 0.09, -0.1] * 6):
        means = rows["method"].map({"erm": 0.1, "mixup": 0.1 * (1 - mixup), "kmixup": 0.1 * (1 - mixup)})
        rows = rows.assign(test_error=means + 0.005 * np.random.default_rng(study).normal(size=len(rows)))
        supported += [v.claim for v in judge(rows, Claims()) if v.outcome == "supported" and v.task == OVERALL]
    assert supported.count("1") <= 3  # of 30: three standard errors above 2.5 %
    assert supported.count("2") + supported.count("3") <= 2


def test_overall_the_units_are_data_sets() -> None:
    """Two networks on each of six data sets are six pieces of evidence; those that carry the verdict are named."""
    tasks = [f"t{number}/{network}" for number in range(6) for network in ("mlp", "lenet")]
    rows = made_up(np.random.default_rng(1), {"erm": 0.0, "mixup": 0.02, "kmixup": 0.05}, tasks=tasks)
    found = verdicts(rows)
    assert "over 6 data sets" in found["1", OVERALL].reason and "carried by t0/lenet" in found["1", OVERALL].reason
    assert [found[claim, OVERALL].outcome for claim in "123"] == ["supported", "supported", "undecided"]


def test_claim_4_is_judged_on_the_errors_under_noise_and_fgsm() -> None:
    rows = made_up(np.random.default_rng(2), {"erm": 0.0, "mixup": 0.02, "kmixup": 0.05}, tasks=["a/mlp"], splits=20)
    for column in [c for c in rows.columns if c.startswith(("test_error_noise_", "test_error_fgsm_"))]:
        rows.loc[rows["method"] == "kmixup", column] += 0.5
    found = verdicts(rows)
    assert found["1", "a/mlp"].outcome == "supported" and found["4.1", "a/mlp"].outcome == "contradicted"


def test_a_later_version_s_shift_does_not_change_claim_4() -> None:
    rows = made_up(np.random.default_rng(2), {"erm": 0.0, "mixup": 0.02, "kmixup": 0.05}, tasks=["a/mlp"], splits=20)
    later = rows.assign(**{"test_error_noise_0.9": [0.9, *[np.nan] * (len(rows) - 1)], "test_error_fgsm_x": "text"})
    assert verdicts(later)["4.1", "a/mlp"] == verdicts(rows)["4.1", "a/mlp"]


@pytest.mark.parametrize("methods", [("erm",), ("erm", "mixup"), ("mixup", "kmixup")])
def test_a_missing_method_gives_no_verdict(methods: tuple[str, ...]) -> None:
    rows = made_up(np.random.default_rng(3), dict.fromkeys(methods, 0.0), tasks=["a/mlp"])
    assert judge(rows, Claims()) == []


def test_one_search_decides_nothing_and_enters_no_mean() -> None:
    """However large its gains and however many its seeds."""
    effects = {"erm": 0.0, "mixup": 0.02, "kmixup": 0.09}
    single = made_up(np.random.default_rng(4), effects, tasks=["single/mlp"], splits=1, seeds=50)
    others = made_up(np.random.default_rng(5), dict.fromkeys(effects, 0.0), tasks=["b/mlp", "c/mlp", "d/mlp"])
    found = judge(pd.concat([single, others]), Claims())
    assert "single/mlp" not in {verdict.task for verdict in found}
    assert "over 3 data sets" in found[0].reason
    assert np.isnan(gains.gain(single, "single/mlp", "mixup", "erm").low)


def test_the_family_is_what_was_fixed() -> None:
    """Holm's correction counts the tasks of the family, those that are not reported too, and no others."""
    effects = {"erm": 0.0, "mixup": 0.0, "kmixup": 0.0015}
    rows = made_up(np.random.default_rng(6), effects, tasks=["a/mlp", "b/mlp"], splits=25)
    alone = verdicts(rows, Claims(families={"1": ("a/mlp",)}))
    larger = verdicts(rows, Claims(families={"1": ("a/mlp", *(f"absent{number}/mlp" for number in range(99)))}))
    assert ("1", "b/mlp") not in alone and ("3", "b/mlp") in alone
    assert larger["1", "a/mlp"].p == pytest.approx(min(1.0, 100 * alone["1", "a/mlp"].p))
    assert alone["1", "a/mlp"].outcome == larger["1", "a/mlp"].uncorrected == "supported"
    assert larger["1", "a/mlp"].outcome == "undecided"


def launch(name: str, data_set: str, claims: Claims, splits: Iterable[int] = range(5)) -> Launch:
    """A launch with the studies of made-up rows."""
    suite = small_suite()
    task = Task(data_set, "mlp", suite.studies[0].task.recipe)
    studies = tuple(
        dataclasses.replace(suite.studies[0], task=dataclasses.replace(task, outer_split=split), method=method)
        for split in splits
        for method in ("erm", "mixup", "kmixup")
    )
    return Launch(name, dataclasses.replace(suite, studies=studies, claims=claims), None)


def test_launches_that_fixed_different_margins_have_the_usual_one_together() -> None:
    rows = made_up(np.random.default_rng(7), tasks=["a/mlp", "b/mlp"])
    fixed = [Claims(delta=0.04, families={"1": ("a/mlp",)}), Claims(delta=0.05, families={"1": ("b/mlp",)})]
    one, two = launch("one", "a", fixed[0]), launch("two", "b", fixed[1])
    assert Runs(rows, launches=[one]).claims == fixed[0]
    assert Runs(rows, launches=[one, two]).claims == Claims(families={"1": ("a/mlp", "b/mlp")})


def test_nothing_is_judged_before_the_first_final_run() -> None:
    rows = made_up(np.random.default_rng(7), tasks=["a/mlp"])
    runs = Runs(rows[rows["phase"] == "search"], launches=[launch("one", "a", Claims())])
    assert [judgement.verdicts for judgement in judge_runs(runs)] == [[]]


def test_suites_that_fixed_different_things_are_judged_separately() -> None:
    rows = made_up(np.random.default_rng(7), tasks=["a/mlp", "b/mlp"])
    both = Claims(families={claim: ("a/mlp", "b/mlp") for claim in "1234"})
    other = dataclasses.replace(both, delta=0.05)
    agreeing = judge_runs(Runs(rows, launches=[launch("one", "a", both), launch("two", "b", both)]))
    assert [judgement.launches for judgement in agreeing] == [("one", "two")]
    apart = judge_runs(Runs(rows, launches=[launch("one", "a", both), launch("two", "b", other)]))
    assert [judgement.launches for judgement in apart] == [("one",), ("two",)]
    assert {verdict.task for verdict in apart[0].verdicts} == {OVERALL, "a/mlp"}
    assert all(judgement.fixed_before for judgement in apart)


def test_launches_that_share_a_task_are_judged_by_their_own_outer_splits() -> None:
    rows = made_up(np.random.default_rng(7), tasks=["a/mlp", "b/mlp"], splits=8)
    one, other = (Claims(delta=delta, families={"1": ("a/mlp", "b/mlp")}) for delta in (0.03, 0.05))
    launches = [launch("one", "a", one, range(3)), launch("two", "a", other, range(3, 8))]
    apart = judge_runs(Runs(rows, launches=launches))
    for judgement, splits in zip(apart, (range(3), range(3, 8)), strict=True):
        theirs = rows[rows["outer_split"].isin(splits) & (rows["task"] == "a/mlp")]
        assert repr(judgement.verdicts) == repr(judge(theirs, judgement.claims))  # NaN differs from itself


def test_a_task_that_is_saturated_without_shift_takes_part_in_claim_4() -> None:
    rows = made_up(
        np.random.default_rng(3), {"erm": 0.0, "mixup": 0.0, "kmixup": 0.05}, tasks=["a/mlp", "b/mlp", "c/mlp"]
    )
    rows["test_error_noise_0.1"] = rows["test_error"]
    rows.loc[rows["task"] == "a/mlp", "test_error"] = 0.0
    overall = {verdict.claim: verdict.reason for verdict in judge(rows, USUAL) if verdict.task == OVERALL}
    assert "over 3 data sets" in overall["4.1"] and "2 data sets, too few" in overall["1"]


def test_version_0_1_0_fixed_nothing() -> None:
    rows = made_up(np.random.default_rng(8), tasks=["a/mlp", "b/mlp"])
    (judgement,) = judge_runs(Runs(rows, launches=[launch("one", "a", Claims()), launch("two", "b", Claims())]))
    assert not judgement.fixed_before
    assert {verdict.task for verdict in judgement.verdicts} == {OVERALL, "a/mlp", "b/mlp"}


def test_an_unfinished_task_has_no_verdict() -> None:
    """Its verdict would come from other runs than the interval of the same gain."""
    rows = made_up(np.random.default_rng(9), tasks=["a/mlp", "b/mlp"])
    unfinished = rows[~((rows["task"] == "a/mlp") & (rows["method"] == "erm") & (rows["outer_split"] == 4))]
    assert {verdict.task for verdict in judge(unfinished, USUAL)} == {OVERALL, "b/mlp"}


def test_the_order_of_a_family_does_not_matter() -> None:
    rows = made_up(np.random.default_rng(7), tasks=["a/mlp", "b/mlp"])
    one, other = (Claims(families={"1": family}) for family in (("a/mlp", "b/mlp"), ("b/mlp", "a/mlp")))
    assert len(judge_runs(Runs(rows, launches=[launch("one", "a", one), launch("two", "b", other)]))) == 1
