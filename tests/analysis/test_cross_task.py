"""The comparison over tasks, against scipy and by hand."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from benchmarks.report import made_up
from tune_kmixup.analysis import cross_task


def random_means(tasks: int = 8) -> pd.DataFrame:
    values = np.random.default_rng(0).normal([0.2, 0.1, 0.0], 1, (tasks, 3))
    return pd.DataFrame(values, columns=["erm", "mixup", "kmixup"], index=[f"t{n}/mlp" for n in range(tasks)])


def test_mean_ranks_and_friedmans_p() -> None:
    ranks = cross_task.rank_methods(random_means())
    assert ranks is not None
    assert list(ranks.mean) == pytest.approx(scipy.stats.rankdata(random_means(), axis=1).mean(0))
    assert ranks.p == pytest.approx(scipy.stats.friedmanchisquare(*random_means().to_numpy().T).pvalue)


def test_signed_ranks_are_scipys_and_tell_the_smallest_possible_p() -> None:
    tests = cross_task.signed_ranks(random_means()).set_index(["method", "reference"])
    kmixup = tests.loc[("kmixup", "erm")]
    assert kmixup["p"] == pytest.approx(scipy.stats.wilcoxon(random_means()["erm"] - random_means()["kmixup"]).pvalue)
    assert kmixup["better"] + kmixup["worse"] == 8
    assert kmixup["smallest_p"] == 2 / 2**8 and (tests["p_holm"] >= tests["p"]).all()
    unanimous = pd.DataFrame({"erm": np.arange(5) + 1.0, "mixup": np.arange(5) * 0.9})
    (test,) = cross_task.signed_ranks(unanimous).to_dict("records")
    assert (test["better"], test["worse"]) == (5, 0) and test["p"] == pytest.approx(2 / 2**5) == test["smallest_p"]


def test_outer_splits_are_one_value_per_task() -> None:
    rows = made_up(np.random.default_rng(1), tasks=["a/mlp", "b/mlp"], splits=5)
    means = cross_task.task_means(rows)
    final = rows[rows["selected"]]
    assert means.shape == (2, 3)
    assert means.loc["a/mlp", "erm"] == pytest.approx(
        final[(final["task"] == "a/mlp") & (final["method"] == "erm")]["test_error"].mean()
    )


def test_outcomes_are_counted_by_interval() -> None:
    tasks = [f"t{n}/mlp" for n in range(4)]
    rows = made_up(np.random.default_rng(2), {"erm": 0.0, "mixup": 0.05}, tasks=tasks, splits=1, seeds=20)
    assert cross_task.count_outcomes(rows, "mixup", "erm") == {"wins": 4, "losses": 0, "ties": 0}
    assert cross_task.count_outcomes(rows, "erm", "mixup") == {"wins": 0, "losses": 4, "ties": 0}


@pytest.mark.parametrize("effects", [{"erm": 0.0}, {"erm": 0.0, "mixup": 0.01}])
def test_too_few_methods_or_tasks_have_no_ranks(effects: dict[str, float]) -> None:
    assert cross_task.rank_methods(cross_task.task_means(made_up(np.random.default_rng(3), effects))) is None
    assert cross_task.rank_methods(random_means(1)) is None


def test_methods_that_tie_on_every_task_have_equal_ranks_and_p_1() -> None:
    ranks = cross_task.rank_methods(random_means() * 0)
    assert ranks is not None and ranks.p == 1.0 and set(ranks.mean) == {2.0}


def test_a_method_that_only_some_tasks_have_does_not_leave_out_the_others() -> None:
    rows = pd.concat(
        [
            made_up(np.random.default_rng(4), {"erm": 0.0, "mixup": 0.0}, tasks=["a/mlp", "b/mlp"]),
            made_up(np.random.default_rng(5), {"erm": 0.0, "mixup": 0.0, "placebo": 0.0}, tasks=["c/mlp"]),
        ]
    )
    assert list(cross_task.task_means(rows).columns) == ["erm", "mixup"] and len(cross_task.task_means(rows)) == 3
