"""The comparison over data sets, against scipy and by hand."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from benchmarks.report import made_up
from tune_kmixup.analysis import cross_task, gains
from tune_kmixup.analysis.evidence import gain_of
from tune_kmixup.core.methods import CLAIM_METHODS


def random_logs(data_sets: int = 8) -> pd.DataFrame:
    values = np.random.default_rng(0).normal([0.2, 0.1, 0.0], 1, (data_sets, 3))
    return pd.DataFrame(values, columns=["erm", "mixup", "kmixup"], index=[f"t{n}" for n in range(data_sets)])


def test_mean_ranks_and_friedmans_p() -> None:
    ranks = cross_task.rank_methods(random_logs())
    assert ranks is not None
    assert list(ranks.mean) == pytest.approx(scipy.stats.rankdata(random_logs(), axis=1).mean(0))
    assert ranks.p == pytest.approx(scipy.stats.friedmanchisquare(*random_logs().to_numpy().T).pvalue)


def test_signed_ranks_are_scipys_and_tell_the_smallest_possible_p() -> None:
    tests = cross_task.signed_ranks(random_logs()).set_index(["method", "reference"])
    kmixup = tests.loc[("kmixup", "erm")]
    assert kmixup["p"] == pytest.approx(scipy.stats.wilcoxon(random_logs()["erm"] - random_logs()["kmixup"]).pvalue)
    assert kmixup["better"] + kmixup["worse"] == 8
    assert kmixup["smallest_p"] == 2 / 2**8 and (tests["p_holm"] >= tests["p"]).all()
    unanimous = pd.DataFrame({"erm": np.arange(5) + 1.0, "mixup": np.arange(5) * 0.9})
    (test,) = cross_task.signed_ranks(unanimous).to_dict("records")
    assert (test["better"], test["worse"]) == (5, 0) and test["p"] == pytest.approx(2 / 2**5) == test["smallest_p"]


def test_tasks_of_a_data_set_are_one_value() -> None:
    rows = made_up(np.random.default_rng(1), tasks=["a/mlp", "a/lenet", "b/mlp"], splits=5)
    logs = cross_task.log_errors(rows)
    assert list(logs.index) == ["a", "b"] and list(logs.columns) == ["erm", "mixup", "kmixup"]
    errors = [gains.mean_metric(rows, task, "erm").mean for task in ("a/mlp", "a/lenet")]
    assert logs.loc["a", "erm"] == pytest.approx(np.log(errors).mean())


def test_an_error_of_0_counts_as_half_of_the_smallest_error() -> None:
    rows = made_up(np.random.default_rng(1), tasks=["a/mlp"], splits=5)
    rows.loc[rows["method"] == "mixup", "test_error"] = 0.0
    others = [gains.mean_metric(rows, "a/mlp", method).mean for method in ("erm", "kmixup")]
    assert cross_task.log_errors(rows).loc["a", "mixup"] == pytest.approx(np.log(min(others) / 2))


def test_a_saturated_task_enters_no_mean_and_no_rank() -> None:
    """One test row of one draw would be 100 % of its errors, with the largest weight of all."""
    rows = made_up(np.random.default_rng(1), tasks=["a/mlp", "b/mlp"], splits=5)
    rows.loc[(rows["task"] == "a/mlp") & rows["selected"], "test_error"] = 0.0
    one = (rows["task"] == "a/mlp") & rows["selected"] & (rows["method"] == "erm") & (rows["outer_split"] == 0)
    rows.loc[one, "test_error"] = 1e-4
    assert cross_task.comparable_tasks(rows, ["erm", "mixup"]) == ["b/mlp"]
    assert list(cross_task.log_errors(rows).index) == ["b"]
    found = cross_task.gains_by_data_set(rows, gain_of("mixup", "erm"), ["a/mlp", "b/mlp"])
    assert list(found.tasks) == ["b"]


def test_a_mean_gain_over_data_sets_by_hand() -> None:
    """With one task per data set and folds: shares of ERM's error with the variance of the delta method."""
    tasks = [f"t{number}/mlp" for number in range(5)]
    rows = made_up(np.random.default_rng(2), tasks=tasks, splits=6)
    found = cross_task.gains_by_data_set(rows, gain_of("kmixup", "mixup"), tasks)
    relative = [gains.final_errors(rows, task, CLAIM_METHODS).task_errors() for task in tasks]
    expected = [errors.relative(gain_of("kmixup", "mixup")) for errors in relative]
    assert found.gains.mean == pytest.approx([float(mean.mean) for mean in expected])
    assert found.gains.variance == pytest.approx([float(mean.variance) for mean in expected])
    assert found.gains.df == pytest.approx([5] * 5)
    assert found.plain_mean().mean == pytest.approx(found.gains.mean.mean())
    low, high = found.prediction()
    assert low <= found.mean().low < found.mean().high <= high


def test_tasks_of_a_data_set_are_averaged_with_what_they_share() -> None:
    """Equal tasks are one task: two copies have the gain and the variance of one."""
    rows = made_up(np.random.default_rng(3), tasks=["a/mlp"], splits=6)
    twice = pd.concat([rows, rows.assign(task="a/lenet")])
    weights = gain_of("mixup", "erm")
    one = cross_task.gains_by_data_set(rows, weights, ["a/mlp"]).gains
    two = cross_task.gains_by_data_set(twice, weights, ["a/mlp", "a/lenet"]).gains
    assert (two.mean, two.variance, two.df) == (pytest.approx(one.mean), pytest.approx(one.variance), one.df)


def test_tasks_with_different_numbers_of_repeats_share_the_common_ones() -> None:
    rows = made_up(np.random.default_rng(3), tasks=["a/mlp"], splits=12)
    fewer = rows[rows["outer_split"] < 4].assign(task="a/lenet")
    weights = gain_of("mixup", "erm")
    found = cross_task.gains_by_data_set(pd.concat([rows, fewer]), weights, ["a/mlp", "a/lenet"]).gains
    parts = [cross_task.relative_gain(table, task, weights) for table, task in ((rows, "a/mlp"), (fewer, "a/lenet"))]
    assert found.mean == pytest.approx([np.mean([part.by_unit.mean() for part in parts if part])])
    assert found.df == [3] and found.variance > 0


def test_one_search_enters_no_mean_and_no_rank() -> None:
    single = made_up(np.random.default_rng(4), tasks=["single/mlp"], splits=1, seeds=50)
    others = made_up(np.random.default_rng(5), tasks=["b/mlp", "c/mlp"])
    rows = pd.concat([single, others])
    assert cross_task.comparable_tasks(rows, ["erm", "mixup"]) == ["b/mlp", "c/mlp"]
    assert list(cross_task.log_errors(rows).index) == ["b", "c"]
    assert sum(cross_task.count_outcomes(rows, "mixup", "erm").values()) == 2


def test_outcomes_are_counted_by_interval() -> None:
    tasks = [f"t{n}/mlp" for n in range(4)]
    rows = made_up(np.random.default_rng(2), {"erm": 0.0, "mixup": 0.05}, tasks=tasks, splits=20)
    assert cross_task.count_outcomes(rows, "mixup", "erm") == {"wins": 4, "losses": 0, "ties": 0}
    assert cross_task.count_outcomes(rows, "erm", "mixup") == {"wins": 0, "losses": 4, "ties": 0}
    rows.loc[rows["task"] == "t0/mlp", "test_error"] /= 1e5
    assert cross_task.count_outcomes(rows, "mixup", "erm") == {"wins": 3, "losses": 0, "ties": 0}, "t0 is saturated"


def test_the_luck_of_shared_test_rows_counts_beside_a_task_that_has_none() -> None:
    rng = np.random.default_rng(0)
    by_unit, by_row = pd.Series(rng.normal(size=10)), rng.normal(size=400)
    repeats = cross_task.RelativeGain(by_unit, by_row, 400)
    folds = cross_task.RelativeGain(-by_unit, None, None)
    assert cross_task.average_relative_gains([folds, folds]).variance == pytest.approx(by_unit.var() / 10)
    for tasks in ([repeats, folds], [folds, repeats]):
        found = cross_task.average_relative_gains(tasks)
        assert found.variance == pytest.approx(by_row.var(ddof=1) / 400 / 4), "half of the weight"


@pytest.mark.parametrize("effects", [{"erm": 0.0}, {"erm": 0.0, "mixup": 0.01}])
def test_too_few_methods_or_tasks_have_no_ranks(effects: dict[str, float]) -> None:
    assert cross_task.rank_methods(cross_task.log_errors(made_up(np.random.default_rng(3), effects))) is None
    assert cross_task.rank_methods(random_logs(1)) is None


def test_methods_that_tie_on_every_data_set_have_equal_ranks_and_p_1() -> None:
    ranks = cross_task.rank_methods(random_logs() * 0)
    assert ranks is not None and ranks.p == 1.0 and set(ranks.mean) == {2.0}


def test_a_method_that_only_some_tasks_have_does_not_leave_out_the_others() -> None:
    rows = pd.concat(
        [
            made_up(np.random.default_rng(4), {"erm": 0.0, "mixup": 0.0}, tasks=["a/mlp", "b/mlp"]),
            made_up(np.random.default_rng(5), {"erm": 0.0, "mixup": 0.0, "placebo": 0.0}, tasks=["c/mlp"]),
        ]
    )
    assert list(cross_task.log_errors(rows).columns) == ["erm", "mixup"] and len(cross_task.log_errors(rows)) == 3


def test_methods_that_no_task_has_together_leave_the_others_compared() -> None:
    tasks = [f"{name}/mlp" for name in "abcdef"]
    rows = made_up(np.random.default_rng(4), {"erm": 0.0, "mixup": 0.0, "kmixup": 0.0, "placebo": 0.0}, tasks=tasks)
    half = rows["task"].isin(tasks[:3])
    logs = cross_task.log_errors(rows[((rows["method"] != "kmixup") | half) & ((rows["method"] != "placebo") | ~half)])
    assert list(logs.columns) == ["erm", "mixup"] and len(logs) == 6


def test_a_method_that_one_task_lacks_is_compared_on_the_others() -> None:
    rows = made_up(np.random.default_rng(4), tasks=["a/mlp", "b/mlp", "c/mlp"])
    logs = cross_task.log_errors(rows[(rows["task"] != "c/mlp") | (rows["method"] != "kmixup")])
    assert list(logs.columns) == ["erm", "mixup", "kmixup"] and list(logs.index) == ["a", "b"]
