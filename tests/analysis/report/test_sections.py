import math

import numpy as np
import pandas as pd

from benchmarks.report import made_up
from tune_kmixup.analysis.load import Runs
from tune_kmixup.analysis.report import tables
from tune_kmixup.analysis.report.sections import make_report, with_worst_class
from tune_kmixup.core.config import Claims


def test_means_over_data_sets_need_no_ranks() -> None:
    """Of a launch that goes on, ERM may have most tasks, so that no other method has enough of them for a test."""
    tasks = [f"{name}/mlp" for name in "abcdefg"]
    rows = made_up(np.random.default_rng(0), {"erm": 0.0, "mixup": 0.01}, tasks=tasks)
    some = rows[(rows["method"] == "erm") | rows["task"].isin(tasks[:3])]
    (found,) = [s for s in make_report(Runs(some), 0.95, "test_error").sections if s.title == "Over data sets"]
    assert [table.caption for table in found.tables] == ["Mean gains over data sets, % of ERM's error."]


def test_tables_of_precision_leave_out_gains_without_spread() -> None:
    rows = made_up(np.random.default_rng(0), tasks=["a/mlp", "b/mlp"])
    rows.loc[(rows["task"] == "a/mlp") & (rows["phase"] == "final"), "test_error"] = 0.1
    final = Runs(rows).final
    for table in (tables.detectable_gains(final, Claims()), tables.variances(final)):
        assert set(table["task"]) == {"b/mlp"}
    assert "no spread" in set(tables.gain_details(final, Claims())["points"].str.partition(", ")[2])


def test_the_worst_class_is_one_with_test_rows() -> None:
    """max() of a list with NaN in it depends on the order: most runs of abalone, with 28 classes, were left out."""
    rows = pd.DataFrame({"test_error_by_class": [(None, 0.1, 0.4), (0.2, None, 0.1), (0.3, 0.1), (None,), None]})
    worst = with_worst_class(rows)["test_error_worst"]
    assert worst[:3].tolist() == [0.4, 0.2, 0.3] and all(map(math.isnan, worst[3:]))
