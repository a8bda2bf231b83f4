"""One configuration per task and method stands for those that were selected."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.launches import run_cli_in_process
from tests.helpers.reports import filled
from tests.helpers.suites import small_suite
from tune_kmixup.analysis.best import best, most_typical
from tune_kmixup.analysis.best_script import script
from tune_kmixup.analysis.load import Runs, load
from tune_kmixup.analysis.results import Results
from tune_kmixup.core.config import Recipe
from tune_kmixup.core.errors import BadInput
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.training.loop import learning_rate

PUBLISHED = Path(__file__).parents[2] / "docs" / "results" / "comparison" / "comparison-texture-500-mlp"


@pytest.fixture(scope="module")
def runs() -> Runs:
    return load([PUBLISHED])


def test_the_medoid_is_the_point_most_like_the_others() -> None:
    points = np.array([[0.0, 1.0], [0.1, 1.0], [0.2, 1.0], [5.0, 1.0]])
    assert most_typical(points) in (1, 2)
    assert most_typical(points[:1]) == 0
    assert most_typical(np.zeros((3, 2))) == 0, "of equal points the first"
    assert most_typical(points * [1000.0, 1.0]) == most_typical(points), "units do not matter"


def test_it_is_a_configuration_that_was_selected_and_trained(runs: Runs) -> None:
    found = best(runs)
    assert [(one.task, one.method) for one in found] == [("texture-500/mlp", m) for m in ("erm", "mixup", "kmixup")]
    for one in found:
        final = runs.final[(runs.final["method"] == one.method) & (runs.final["outer_split"] == one.outer_split)]
        assert (final[["alpha", "k", "lr"]] == [one.alpha, one.k, one.recipe.lr]).all(axis=None)
        assert one.test_error == pytest.approx(final["test_error"].mean()) and one.splits == one.expected.units == 10


def test_a_tuned_value_is_kept_where_the_recipe_has_a_whole_number(runs: Runs) -> None:
    (launch,) = runs.launches
    studies = []
    for study in launch.suite.studies:
        recipe = dataclasses.replace(study.task.recipe, lr=1, weight_decay=0)
        studies.append(dataclasses.replace(study, task=dataclasses.replace(study.task, recipe=recipe)))
    suite = dataclasses.replace(launch.suite, studies=tuple(studies))
    found = best(dataclasses.replace(runs, launches=[dataclasses.replace(launch, suite=suite)]))
    tuned = [(one.recipe.lr, one.recipe.weight_decay) for one in found]
    assert tuned == [(one.recipe.lr, one.recipe.weight_decay) for one in best(runs)] and tuned[0] != (1, 0)


def test_test_rows_have_no_say(runs: Runs) -> None:
    others = runs.rows.assign(test_error=runs.rows["test_error"].sample(frac=1, random_state=0).to_numpy())
    changed = best(dataclasses.replace(runs, rows=others))
    assert [one.outer_split for one in changed] == [one.outer_split for one in best(runs)]


def test_a_task_or_method_that_is_not_there_is_refused_with_those_that_are(runs: Runs) -> None:
    with pytest.raises(BadInput, match=r"task='iris' method='erm' has no final run: choose among texture-500/mlp"):
        best(runs, "iris", "erm")
    with pytest.raises(BadInput, match="the launch has no final run yet: resume it, or wait"):
        best(dataclasses.replace(runs, rows=runs.rows.assign(selected=False)))


def test_the_script_runs_and_follows_the_schedule(runs: Runs) -> None:
    for warmup, rows, steps in ((0, 100, 10), (1, 100, 10), (1, 2000, 2)):
        for one in best(runs):
            recipe = Recipe(3, rows, 0.1, 1e-4, "sgd", warmup_epochs=warmup)
            lines = script([dataclasses.replace(one, recipe=recipe, k=min(one.k, 100))])
            rates: list[float] = []
            lines = lines.replace("optimizer.step()", "rates.append(optimizer.param_groups[0]['lr']); optimizer.step()")
            exec(compile(lines, "script", "exec"), {"rates": rates})
            assert rates == pytest.approx([learning_rate(recipe, step, steps) for step in range(3 * steps)])


def test_the_script_names_what_it_leaves_to_the_caller(runs: Runs) -> None:
    one = best(runs)[-1]
    recipe = dataclasses.replace(one.recipe, augment="crop_flip", precision="bfloat16")
    lines = script([dataclasses.replace(one, recipe=recipe)])
    assert "# Its recipe has augment='crop_flip' and precision='bfloat16', which you have to add.\n" in lines
    compile(lines, "script", "exec")
    assert "which you have to add" not in script([one])


def test_a_value_that_results_do_not_hold_only_hinders_the_script(runs: Runs) -> None:
    (launch,) = runs.launches
    tuned = [
        dataclasses.replace(study, space={**study.space, "momentum": study.space["lr"]}) if study.space else study
        for study in launch.suite.studies
    ]
    suite = dataclasses.replace(launch.suite, studies=tuple(tuned))
    one, *_ = found = best(dataclasses.replace(runs, launches=[dataclasses.replace(launch, suite=suite)]))
    assert one.unrecorded == ("momentum",) and [b.alpha for b in found] == [b.alpha for b in best(runs)]
    with pytest.raises(BadInput, match="tunes momentum, which results do not hold"):
        script([one])


def test_the_command_prints_a_table_json_and_a_script(tmp_path: Path) -> None:
    run = filled(RunDir(tmp_path / "run"), small_suite())
    table = run_cli_in_process("best", run.path)
    assert "k-mixup" in table and max(map(len, table.splitlines())) <= 80
    (one,) = json.loads(
        run_cli_in_process("best", run.path, "--task", "iris/mlp", "--method", "kmixup", "--format", "json")
    )
    assert (one["alpha"], one["k"], one["splits"], one["expected"]["low"]) == (1.0, 4, 2, None)
    refused = run_cli_in_process("best", run.path, "--format", "python", code=2)
    assert "a script is of one task and method, not of 3: name the task and the method." in refused


def test_results_in_python(runs: Runs, tmp_path: Path) -> None:
    results = Results.read([PUBLISHED])
    gains = results.gains()
    assert isinstance(gains, pd.DataFrame) and len(gains) == 3 and gains["mean"].abs().max() < 0.1
    assert results.rows.equals(runs.rows) and results.best("texture-500/mlp", "mixup") == best(runs, None, "mixup")
    assert results.figure() is not None and "mixup over ERM" in results.conclusions()[0]
    html = results._repr_html_()
    assert "<table" in html and "<svg" in html
    assert results.report(tmp_path / "report", ["csv"]) == tmp_path / "report"
