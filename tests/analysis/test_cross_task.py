"""Over tasks: against scipy and by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.report import made_up
from tune_kmixup.analysis import cross_task


def means(tasks: int = 8) -> pd.DataFrame:
    values = np.random.default_rng(0).normal([0.2, 0.1, 0.0], 1, (tasks, 3))
    return pd.DataFrame(values, columns=["erm", "mixup", "kmixup"], index=[f"t{n}/mlp" for n in range(tasks)])


def test_ranks_and_critical_difference() -> None:
    found = cross_task.ranks(means())
    assert found is not None and found.mean.sum() == pytest.approx(6)
    assert found.p == pytest.approx(stats.friedmanchisquare(*means().to_numpy().T).pvalue)
    demsar = {2: 1.960, 3: 2.343}  # q at 0.05 (Demšar 2006, table 5a)
    assert found.difference == pytest.approx(demsar[3] * np.sqrt(3 * 4 / (6 * 8)), abs=1e-3)


def test_signed_ranks_are_scipys_and_say_what_p_cannot_reach() -> None:
    found = cross_task.signed_ranks(means()).set_index(["method", "reference"])
    one = found.loc[("kmixup", "erm")]
    assert one["p"] == pytest.approx(stats.wilcoxon(means()["erm"] - means()["kmixup"]).pvalue)
    assert one["least"] == 2 / 2**8 and (found["p_holm"] >= found["p"]).all()
    unanimous = pd.DataFrame({"erm": np.arange(5) + 1.0, "mixup": np.arange(5) * 0.9})
    assert cross_task.signed_ranks(unanimous)["p"].iloc[0] == pytest.approx(2 / 2**5)


def test_outer_splits_are_one_value_per_task() -> None:
    rows = made_up(np.random.default_rng(1), tasks=["a/mlp", "b/mlp"], splits=5)
    found = cross_task.task_means(rows)
    final = rows[rows["selected"]]
    assert found.shape == (2, 3)
    assert found.loc["a/mlp", "erm"] == pytest.approx(
        final[(final["task"] == "a/mlp") & (final["method"] == "erm")]["test_error"].mean()
    )


def test_outcomes_by_interval() -> None:
    tasks = [f"t{n}/mlp" for n in range(4)]
    rows = made_up(np.random.default_rng(2), {"erm": 0.0, "mixup": 0.05}, tasks=tasks, splits=1, seeds=20)
    assert cross_task.outcomes(rows, "mixup", "erm") == {"wins": 4, "losses": 0, "ties": 0}
    assert cross_task.outcomes(rows, "erm", "mixup") == {"wins": 0, "losses": 4, "ties": 0}


def test_interquartile_mean_leaves_out_the_outer_quarters() -> None:
    assert cross_task.interquartile_mean(np.array([-100.0, 1, 2, 3, 4, 5, 6, 100])) == 3.5
    assert np.isnan(cross_task.interquartile_mean(np.array([])))


@pytest.mark.parametrize("effects", [{"erm": 0.0}, {"erm": 0.0, "mixup": 0.01}])
def test_too_few_methods_or_tasks_have_no_ranks(effects: dict[str, float]) -> None:
    assert cross_task.ranks(cross_task.task_means(made_up(np.random.default_rng(3), effects))) is None
    assert cross_task.ranks(means(1)) is None


def test_a_method_of_some_tasks_alone_does_not_leave_out_the_others() -> None:
    rows = pd.concat(
        [
            made_up(np.random.default_rng(4), {"erm": 0.0, "mixup": 0.0}, tasks=["a/mlp", "b/mlp"]),
            made_up(np.random.default_rng(5), {"erm": 0.0, "mixup": 0.0, "placebo": 0.0}, tasks=["c/mlp"]),
        ]
    )
    assert list(cross_task.task_means(rows).columns) == ["erm", "mixup"] and len(cross_task.task_means(rows)) == 3
