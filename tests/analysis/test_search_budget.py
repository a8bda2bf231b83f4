"""Budget curves, selection bias, costs, and the comparison at equal seconds."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from benchmarks.report import made_up
from tests.helpers.suites import small_suite
from tune_kmixup.analysis import costs, search_budget
from tune_kmixup.analysis.report import tables
from tune_kmixup.core.config import Study, Task


def test_expected_best_is_the_mean_over_all_subsets() -> None:
    errors = np.array([0.5, 0.2, 0.9, 0.2, 0.4])
    for n, value in enumerate(search_budget.expected_best(errors), start=1):
        assert value == pytest.approx(np.mean([min(subset) for subset in combinations(errors, n)]))


def test_best_so_far_never_rises_and_ends_where_the_expectation_does() -> None:
    errors = np.random.default_rng(0).random(30)
    best = search_budget.best_so_far(errors)
    assert (np.diff(best) <= 0).all() and best[-1] == errors.min()
    assert search_budget.expected_best(errors)[-1] == pytest.approx(errors.min())


def test_curves_average_over_outer_splits() -> None:
    rows = made_up(np.random.default_rng(1), tasks=["a/mlp"], splits=3, trials=6)
    curve = search_budget.budget_curves(rows, random_order=False).query("method == 'mixup'")
    assert list(curve["trials"]) == list(range(1, 7)) and (curve["val_error"].diff().dropna() <= 1e-12).all()
    first = rows.query("method == 'mixup' and phase == 'search' and trial == 0")
    assert curve["val_error"].iloc[0] == pytest.approx(first.groupby("outer_split")["val_error"].mean().mean())


def test_selection_is_optimistic_where_configurations_differ_by_noise_alone() -> None:
    rows = made_up(np.random.default_rng(2), tasks=["a/mlp"], splits=1, trials=50, seeds=10)
    noisy = rows.assign(val_error=np.random.default_rng(3).normal(0.2, 0.02, len(rows)))
    for _, of_method in noisy.groupby("method"):
        errors = of_method[of_method["phase"] == "search"].groupby("trial")["val_error"].mean()
        noisy.loc[of_method.index[of_method["selected"]], "trial"] = errors.idxmin()
    bias = search_budget.selection_bias(noisy).set_index("method")
    assert bias.loc["mixup", "optimism"] > 0.01 and abs(bias.loc["erm", "optimism"]) < 0.03
    assert bias.loc["mixup", "ties"] == 0
    tied = search_budget.selection_bias(rows.assign(val_error=0.2)).set_index("method")
    assert tied.loc["mixup", "ties"] == 1 and tied.loc["erm", "ties"] == 0


def search_rows(method: str, seconds: list[float], errors: list[float]) -> pd.DataFrame:
    table = pd.DataFrame({"seconds": seconds, "val_error": errors, "val_nll": errors})
    table["trial"] = range(len(table))
    return table.assign(task="a/mlp", outer_split=0, method=method, phase="search", alpha=1.0, k=1, status="ok")


def test_at_equal_seconds_the_slower_method_has_fewer_configurations() -> None:
    errors = [0.3, 0.2, 0.1]
    rows = pd.concat([search_rows("mixup", [1, 1, 1], errors), search_rows("kmixup", [2, 2, 2], errors)])
    best = costs.equal_seconds(rows).set_index("method")
    assert best.loc["mixup", "val_error"] == 0.1 and best.loc["mixup", "same"] == 1
    assert best.loc["kmixup", "val_error"] == 0.3 and best.loc["kmixup", "same"] == 0  # 2 of 3 s; 4 do not fit


def test_configurations_stopped_early_cost_their_seconds_and_are_never_the_best() -> None:
    mixup = search_rows("mixup", [1, 1, 1, 1], [0.0, 0.3, 0.2, 0.1])
    mixup.loc[0, "status"] = "stopped"
    rows = pd.concat([mixup, search_rows("kmixup", [1, 1, 1], [0.3, 0.2, 0.1])])
    best = costs.equal_seconds(rows).set_index("method")
    assert best.loc["mixup", "val_error"] == 0.2 and best.loc["mixup", "same"] == 0
    assert best.loc["kmixup", "val_error"] == 0.1
    curve = search_budget.budget_curves(rows, random_order=False).query("method == 'mixup'")
    assert list(curve["val_error"]) == [0.3, 0.2, 0.1]
    assert search_budget.configuration_errors(rows).query("method == 'mixup'")["val_error"].min() == 0.1


def test_another_score_may_select_and_is_the_worst_where_it_is_not_finite() -> None:
    mixup = search_rows("mixup", [1, 1, 1], [0.3, 0.2, 0.1]).assign(val_nll=[np.nan, 0.5, 0.7])
    rows = pd.concat([mixup, search_rows("kmixup", [1, 1, 1], [0.3, 0.2, 0.1])])
    best = costs.equal_seconds(rows, "val_nll").set_index("method")
    assert best.loc["mixup", "val_nll"] == 0.5 and best.loc["kmixup", "val_nll"] == 0.1
    curve = search_budget.budget_curves(rows, random_order=True, score="val_nll").query("method == 'mixup'")
    assert list(curve["val_nll"]) == pytest.approx([0.6, 0.5])
    final = rows[rows["trial"] == 1].assign(phase="final", selected=True)
    bias = search_budget.selection_bias(pd.concat([rows.assign(selected=False), final]), "val_nll").set_index("method")
    assert bias.loc["mixup", "at selection"] == 0.5


def test_costs_add_up() -> None:
    rows = made_up(np.random.default_rng(4), tasks=["a/mlp"], splits=1)
    run_costs = costs.run_costs(rows).set_index("method")
    assert run_costs["hours"].sum() == pytest.approx(rows["seconds"].sum() / 3600)
    assert run_costs["runs"].sum() == len(rows)
    per_run = run_costs["seconds per run"]
    assert run_costs["over ERM"].to_dict() == pytest.approx((per_run / per_run["erm"]).to_dict())
    assert run_costs.loc["erm", "pairing"] == 0 < run_costs.loc["kmixup", "pairing"] < 0.02


def test_selected_values_near_the_ends_of_their_ranges_are_counted() -> None:
    """On the scale of the range; the levels of k are few, so that chance alone puts many at an end."""
    suite = small_suite()
    rows = made_up(np.random.default_rng(0), tasks=["a/mlp"], splits=4, trials=2)
    alpha = {"name": "FloatDistribution", "attributes": {"low": 0.01, "high": 100.0, "log": True, "step": None}}
    log2_k = {"name": "IntDistribution", "attributes": {"low": 1, "high": 4, "log": False, "step": 1}}
    space = {"alpha": alpha, "log2_k": log2_k}
    task = Task("a", "mlp", suite.studies[0].task.recipe)
    studies = tuple(Study(replace(task, outer_split=split), "kmixup", space) for split in range(4))
    for split, (a, k) in enumerate([(0.011, 2), (0.015, 16), (0.02, 4), (99.0, 2)]):
        rows.loc[(rows["method"] == "kmixup") & (rows["outer_split"] == split), ["alpha", "k"]] = (a, k)
    values = search_budget.selected_values(rows, [replace(suite, studies=studies)])
    assert values["value"].tolist() == [0.011, 1, 0.015, 4, 0.02, 2, 99.0, 1]
    ends = search_budget.range_ends(values).set_index("coordinate")
    assert ends.loc["alpha", ["studies", "at low", "at high", "chance"]].tolist() == [4, 0.5, 0.25, 0.05]
    assert ends.loc["log2_k", ["at low", "at high", "chance"]].tolist() == [0.5, 0.25, 0.25]
    assert tables.range_ends(ends.reset_index())["high"].tolist() == ["100", "16"]


def test_the_error_at_selection_is_that_of_the_configuration_selected() -> None:
    """Over search and shortlist: the first of the search is not the one that the shortlist selects."""
    rows = made_up(np.random.default_rng(2), {"mixup": 0.0}, tasks=["a/mlp"], splits=1, trials=2, search_seeds=1)
    search, final = rows[rows["phase"] == "search"].copy(), rows[rows["phase"] == "final"].copy()
    search["val_error"] = search["trial"].map({0: 0.10, 1: 0.11})
    shortlist = search.assign(phase="shortlist", val_error=search["trial"].map({0: 0.20, 1: 0.13}))
    final = final.assign(trial=1, val_error=0.14)
    (bias,) = search_budget.selection_bias(pd.concat([search, shortlist, final])).to_dict("records")
    assert bias["at selection"] == pytest.approx(0.12) and bias["optimism"] == pytest.approx(0.02)
