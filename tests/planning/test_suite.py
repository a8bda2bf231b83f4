"""Building a suite, continuing one, warm starts, and the errors for bad input before Ray starts."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.methods import ALPHA, METHODS, log2_k
from search_spaces.suites import SUITES
from tests.helpers.reports import filled
from tests.helpers.suites import small_suite
from tune_kmixup.cli.commands import resume
from tune_kmixup.core.config import Claims, Draft, Recipe, Suite, from_json, to_json
from tune_kmixup.core.coordinates import configuration
from tune_kmixup.core.errors import BadInput
from tune_kmixup.planning.suite import (
    build_suite,
    check_continues,
    make_draft,
    with_repeats,
)
from tune_kmixup.search.study_queue import StudyQueue
from tune_kmixup.store.run_dir import RunDir

IRIS = Draft("custom", ("iris/mlp",))


def test_all_outer_splits_or_one(tmp_path: Path) -> None:
    assert len(build_suite(IRIS, tmp_path).studies) == 5 * 3
    suite = build_suite(dataclasses.replace(IRIS, tasks=("iris/mlp@3",)), tmp_path)
    assert [study.name for study in suite.studies] == ["iris/mlp@3/erm", "iris/mlp@3/mixup", "iris/mlp@3/kmixup"]


def test_a_suite_has_what_its_draft_says(tmp_path: Path) -> None:
    """Both have defaults, so a value that is not handed on would be an option that does nothing."""
    given = {"trials": 7, "search_seeds": 2, "final_seeds": 3, "sampler": "random", "seed": 4, "scheduler": "asha"}
    given |= {"shortlist": 6, "curves": True, "save_models": True, "select_by": "nll", "expectation": "none"}
    shared = {field.name for field in dataclasses.fields(Draft)} & {field.name for field in dataclasses.fields(Suite)}
    assert shared == {*given, "name", "claims"}
    suite = build_suite(dataclasses.replace(IRIS, **given), tmp_path)  # type: ignore[arg-type]
    assert {name: getattr(suite, name) for name in given} == given and suite.name == "custom"


OFFICIAL = Draft("custom", ("mnist-2000/lenet",), methods=("erm", "mixup"))


def test_a_task_with_an_official_test_set_has_repeats(tmp_path: Path) -> None:
    suite = build_suite(OFFICIAL, tmp_path)
    assert [study.task.name for study in suite.studies[::2]] == [f"mnist-2000/lenet@{number}" for number in range(10)]
    assert len(build_suite(dataclasses.replace(OFFICIAL, repeats=3), tmp_path).studies) == 3 * 2
    (one,) = {
        s.task for s in build_suite(dataclasses.replace(OFFICIAL, tasks=("mnist-2000/lenet@7",)), tmp_path).studies
    }
    assert (one.name, one.val_rows, one.overlap) == ("mnist-2000/lenet@7", 6000, 2000 / 60000)
    (speech, *_) = build_suite(dataclasses.replace(OFFICIAL, tasks=("spoken_digits/lenet",)), tmp_path).studies
    assert speech.task.overlap == 1, "its validation rows are official, so all repeats train on the same rows"
    gpu = build_suite(dataclasses.replace(OFFICIAL, tasks=("cifar10/resnet18",)), tmp_path)
    assert len(gpu.studies) == 5 * 2 and gpu.studies[0].task.overlap == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": ("iris/mlp",)}, "repeats=3 does not apply to iris/mlp: its 5 outer splits are folds"),
        ({"tasks": ("two_spirals/mlp",)}, "does not apply to two_spirals/mlp: its 25 outer splits are toy data sets"),
        ({"tasks": ("mnist-2000/lenet", "iris/mlp")}, "Leave out --repeats, or name only tasks whose splits share"),
        (
            {"tasks": ("mnist-2000/lenet@1",)},
            "repeats=3 does not apply to mnist-2000/lenet@1, which is one: name mnist-2000/lenet",
        ),
        ({"repeats": 0}, "repeats=0 is too small: choose repeats ≥ 1"),
        ({"tasks": ("mnist-2000/lenet@x",)}, "task='mnist-2000/lenet@x' names no repeat: choose mnist-2000/lenet@0"),
    ],
)
def test_repeats_that_do_not_apply_are_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        build_suite(dataclasses.replace(OFFICIAL, **{"repeats": 3, **change}), tmp_path)  # type: ignore[arg-type]
    assert message in str(error.value)


def test_repeats_may_grow(run_dir: RunDir, suite: Suite, tmp_path: Path) -> None:
    few, more = (build_suite(dataclasses.replace(OFFICIAL, repeats=n), tmp_path) for n in (2, 4))
    run_dir.write_suite(few)
    assert check_continues(run_dir, more) == more and with_repeats(few, 4, tmp_path).studies == more.studies
    with pytest.raises(BadInput, match="studies"):
        check_continues(run_dir, build_suite(dataclasses.replace(OFFICIAL, repeats=4, epochs=3), tmp_path))
    with pytest.raises(BadInput, match="repeats=9 does not apply to iris/mlp"):
        with_repeats(suite, 9, tmp_path)
    with pytest.raises(BadInput, match="repeats=2 adds none to those that are there: choose more, or leave out"):
        with_repeats(more, 2, tmp_path)


def test_a_run_directory_of_format_1_is_not_resumed() -> None:
    run = RunDir(Path(__file__).parents[1] / "fixtures" / "format1" / "tables")
    old = run.suite()
    assert (old.format, old.shortlist) == (1, 1) and old.seeds(old.studies[0], "final") == (1000000, 1000001, 1000002)
    with pytest.raises(BadInput, match=r"is of format 1, of version 0\.1\.0 or before"):
        check_continues(run, dataclasses.replace(old, format=2))


def test_options_replace_values_of_a_named_suite() -> None:
    draft = make_draft(["demo"], {"trials": 3, "method": ["erm"], "seed": None})
    assert draft == dataclasses.replace(SUITES["demo"], trials=3, methods=("erm",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": ("irsi/mlp",)}, "task='irsi/mlp' is unknown: did you mean iris/mlp"),
        ({"tasks": ("iris/mlp@7",)}, "task='iris/mlp@7' names an outer split that does not exist: choose among"),
        ({"methods": ("kmixpu",)}, "method='kmixpu' is unknown: did you mean kmixup"),
        ({"sampler": "tpee"}, "sampler='tpee' is unknown: did you mean tpe"),
        ({"trials": 0}, "trials=0 is too small: choose trials ≥ 1"),
        ({"search_seeds": 0}, "search_seeds=0 is too small"),
        ({"final_seeds": -1}, "final_seeds=-1 is too small"),
        ({"trials": 10**30}, "is too large: choose trials ≤ 1000000"),
        ({"tasks": "iris/mlp"}, "tasks='iris/mlp' is not allowed: choose a tuple, e.g. ('iris/mlp',)."),
        ({"epochs": 0}, "epochs=0 is too small: choose epochs ≥ 1"),
        ({"tune": ("momentun",)}, "tune='momentun' cannot be tuned: choose among"),
        ({"tasks": ("iris/mlp", "iris/mlp@1")}, "appear more than once"),
        ({"tasks": ("../../etc/mlp",)}, "is unknown"),
    ],
)
def test_bad_drafts(change: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        build_suite(dataclasses.replace(IRIS, **change), tmp_path)  # type: ignore[arg-type]
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alpha": -0.5}, "alpha=-0.5 is not a finite number ≥ 0: choose 0 for ERM"),
        ({"alpha": float("nan")}, "alpha=nan"),
        ({"alpha": 1.0, "k": 16}, "k=16 does not fit batch_size=10: choose k ≤ 10"),
        ({"alpha": 1.0, "k": 0}, "k=0 is too small"),
        ({"alpha": 1.0, "k": 2.5}, "k=2.5 is not allowed: choose a whole number"),
        ({"alpha": "1"}, "alpha='1' is not a finite number"),
        ({"alpha": 1.0, "log2_k": 10**9}, "log2_k=1000000000 is too large"),
        ({"alpha": 1.0, "log2_k": -1}, "log2_k=-1 is too small"),
        ({"alpha": 1.0, "k": 2, "log2_k": 1}, "k and log2_k are the same coordinate"),
        ({"alpha": 1.0, "epochs": 1.5}, "epochs=1.5 is not allowed"),
        ({"alhpa": 1.0}, "are not coordinates"),
    ],
)
def test_bad_values(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as error:
        configuration(Recipe(epochs=1, batch_size=10, lr=0.1), values)
    assert message in str(error.value)


def test_values_replace_those_of_the_recipe() -> None:
    chosen = configuration(Recipe(epochs=1, batch_size=50, lr=0.1), {"alpha": 2.0, "log2_k": 3, "lr": 0.5, "dummy": 1})
    assert (chosen.alpha, chosen.k, chosen.recipe.lr) == (2.0, 8, 0.5)


def test_names_must_be_one_suite_or_tasks() -> None:
    with pytest.raises(BadInput, match="name a suite or at least one task"):
        make_draft([], {})
    with pytest.raises(BadInput, match="name one suite, or tasks alone"):
        make_draft(["demo", "iris/mlp"], {})


def test_a_run_directory_of_another_suite_is_refused_with_the_differences(run_dir: RunDir, suite: Suite) -> None:
    run_dir.write_suite(suite)
    assert check_continues(run_dir, dataclasses.replace(suite, trials=9, final_seeds=9)).trials == 9
    with pytest.raises(BadInput, match=r"trials \(was 4, now 3\) of out=.* may only grow: choose as many or more"):
        check_continues(run_dir, dataclasses.replace(suite, trials=3))
    with pytest.raises(BadInput, match=r"seed \(was 0, now 1\)"):
        check_continues(run_dir, dataclasses.replace(suite, seed=1))
    study = suite.studies[0]
    task = dataclasses.replace(study.task, recipe=dataclasses.replace(study.task.recipe, lr=0.2))
    changed = (dataclasses.replace(study, task=task), *suite.studies[1:])
    with pytest.raises(BadInput, match=r"iris/mlp@0/erm: task\.recipe\.lr \(was 0\.1, now 0\.2\)"):
        check_continues(run_dir, dataclasses.replace(suite, studies=changed))
    with pytest.raises(BadInput, match="studies"):
        check_continues(run_dir, dataclasses.replace(suite, studies=suite.studies[1:]))


def test_whatever_decides_a_selection_is_fixed_by_the_first_launch(run_dir: RunDir) -> None:
    """Of numbers that others may grow, too. Studies, claims and identity are compared by what they hold."""
    suite = small_suite(shortlist=2, search_seeds=2)
    run_dir.write_suite(suite)
    others: dict[str, list[object]] = {
        "name": ["other"],
        "search_seeds": [1, 3],
        "sampler": ["tpe"],
        "seed": [1],
        "scheduler": ["asha"],
        "shortlist": [1, 3],
        "shortlist_seeds": [suite.shortlist_seeds - 1, suite.shortlist_seeds + 1],
        "expectation": ["another"],
        "curves": [True],
        "select_by": ["nll"],
    }
    elsewhere = {"studies", "claims", "identity", "save_models", "trials", "final_seeds", "format"}
    assert others.keys() | elsewhere == {field.name for field in dataclasses.fields(Suite)}
    for name, values in others.items():
        for value in values:
            with pytest.raises(BadInput, match=rf"{name} \(was .*, now {value}\)"):
                check_continues(run_dir, dataclasses.replace(suite, **{name: value}))  # type: ignore[arg-type]


def test_models_may_be_kept_as_long_as_no_final_run_has_ended(run_dir: RunDir, suite: Suite) -> None:
    keeping = dataclasses.replace(suite, save_models=True)
    assert build_suite(make_draft(["iris/mlp"], {"save_models": True}), run_dir.path).save_models
    assert from_json(to_json(keeping)) == keeping and not suite.save_models
    filled(run_dir, suite, finals=False)
    assert check_continues(run_dir, keeping) == keeping
    filled(run_dir, suite)
    with pytest.raises(
        BadInput, match=r"save_models=True comes too late for 18 final runs in out=.*: delete the files"
    ):
        check_continues(run_dir, keeping)
    for path in run_dir.path.glob("studies/**/final-*.json"):
        path.unlink()
    assert check_continues(run_dir, keeping) == keeping
    run_dir.write_suite(keeping)
    assert check_continues(run_dir, suite) == keeping, "what is kept once is kept on"


def test_curves_are_frozen_and_off_in_suites_from_before_them(run_dir: RunDir, suite: Suite, tmp_path: Path) -> None:
    assert not build_suite(make_draft(["iris/mlp"], {"curves": None}), tmp_path).curves and not suite.curves
    with_curves = build_suite(make_draft(["iris/mlp"], {"curves": True}), tmp_path)
    assert with_curves.curves and from_json(to_json(with_curves)).curves
    study = with_curves.studies[1]
    trials = [with_curves.search_trial(study, 0, {}), with_curves.shortlist_trial(study, 0, {})]
    assert all(trial.curves for trial in (*trials, *with_curves.final_trials(study, 0, {}, (), 2)))
    content = json.loads(to_json(suite))
    del content["curves"]
    assert from_json(json.dumps(content)) == suite
    run_dir.write_suite(suite)
    with pytest.raises(BadInput, match=r"curves \(was False, now True\)"):
        check_continues(run_dir, dataclasses.replace(suite, curves=True))


def test_the_budget_of_a_grid_cannot_grow(run_dir: RunDir) -> None:
    suite = small_suite(sampler="grid")
    run_dir.write_suite(suite)
    assert check_continues(run_dir, dataclasses.replace(suite, final_seeds=9)).final_seeds == 9
    message = (
        "trials=9 does not fit out=.* for trials=4: the points of a grid depend on.* Choose --trials 4, or another"
    )
    with pytest.raises(BadInput, match=message):
        check_continues(run_dir, dataclasses.replace(suite, trials=9))
    with pytest.raises(BadInput, match=message):
        resume(run_dir=run_dir.path, trials=9)
    with pytest.raises(BadInput, match=r"trials \(was 4, now 3\)"):
        check_continues(run_dir, dataclasses.replace(suite, trials=3))


def test_a_folder_with_other_files_is_refused(tmp_path: Path, suite: Suite) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(BadInput, match="holds something else"):
        check_continues(RunDir(tmp_path), suite)
    assert check_continues(RunDir(tmp_path / "new"), suite) is suite


def test_the_claims_are_frozen_with_their_families(tmp_path: Path) -> None:
    """By default all tasks that have the three methods decide every claim."""
    suite = build_suite(dataclasses.replace(IRIS, tasks=("iris/mlp", "wine/mlp")), tmp_path)
    assert suite.claims.families == dict.fromkeys("1234", ("iris/mlp", "wine/mlp"))
    assert build_suite(dataclasses.replace(IRIS, methods=("erm", "mixup")), tmp_path).claims.families["1"] == ()
    draft = make_draft(["iris/mlp"], {"family": ["3=wine/mlp,mnist-2000/lenet"]})
    suite = build_suite(draft, tmp_path)
    assert suite.claims.families["3"] == ("wine/mlp", "mnist-2000/lenet"), "a family may name tasks of other launches"
    assert suite.claims.families["1"] == ("iris/mlp",)
    assert from_json(to_json(suite)) == suite
    named = SUITES["comparison-mnist-500-mlp"].claims.families
    changed = make_draft(["comparison-mnist-500-mlp"], {"family": ["3=mnist-500/mlp"]}).claims.families
    assert changed == {**named, "3": ("mnist-500/mlp",)} and len(named["1"]) > 1, "a suite keeps its other families"
    run = RunDir(tmp_path / "run")
    run.write_suite(suite)
    assert check_continues(run, suite) == suite
    with pytest.raises(BadInput, match=r"these differ: claims: families.3 \(was \('wine/mlp', 'mnist-2000/lenet'\)"):
        check_continues(run, build_suite(IRIS, tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["3"], "family='3' is not CLAIM=TASK,TASK"),
        (["3="], "family='3=' is not CLAIM=TASK,TASK"),
        (["3=iris/mlp", "3=wine/mlp"], "family='3=wine/mlp' is not CLAIM=TASK,TASK with each claim once"),
        (["5=iris/mlp"], "claim='5' is unknown: choose among 1, 2, 3, 4"),
        (["3=iris/mpl"], "task of family 3='iris/mpl' is unknown: did you mean iris/mlp"),
        (["3=iris/mlp@1"], "names an outer split: name the task, iris/mlp"),
    ],
)
def test_families_that_do_not_exist_are_refused(options: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        build_suite(make_draft(["iris/mlp"], {"family": options}), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"delta": 0.0}, "delta=0.0 is no share of ERM's error"),
        ({"delta": float("nan")}, "delta=nan is not allowed: choose a finite number"),
        ({"level": 0.5}, "level=0.5 is no confidence level"),
        ({"endpoint": "test_nll"}, "endpoint='test_nll' is unknown: did you mean test_error"),
        ({"families": {"1": "iris/mlp"}}, "family of claim 1='iris/mlp' is not allowed: choose a tuple"),
    ],
)
def test_claims_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Claims(**change)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"alpha": FloatDistribution(-1.0, 1.0)}, "alpha=-1.0 is not a finite number ≥ 0"),
        ({"alpha": ALPHA, "k": CategoricalDistribution((8, 64))}, "k=64 does not fit batch_size=50: choose k ≤ 50"),
        ({"beta": FloatDistribution(0.0, 1.0)}, r"values=\['beta'\] are not coordinates"),
        ({"dummy": FloatDistribution(0.0, float("inf"))}, "dummy=inf is not a finite number"),
        ({"alpha": 1.0}, r"has alpha=1.0: choose an Optuna distribution. CategoricalDistribution\(\(1.0,\)\) fixes"),
        ({"alpha": lambda task, rows: [0.5, 1.0]}, r"has alpha=\[0.5, 1.0\]: choose an Optuna distribution"),
        ({"k": FloatDistribution(2, 8)}, "k=2.0 is not allowed: choose a whole number"),
        ({"k": IntDistribution(2, 32), "batch_size": IntDistribution(16, 64)}, "k=32 does not fit batch_size=16"),
        ({"log2_k": log2_k, "batch_size": CategoricalDistribution((8, 50))}, "k=16 does not fit batch_size=8"),
        ({"log2_k": log2_k, "k": CategoricalDistribution((8,))}, "k and log2_k are the same coordinate"),
        ({"batch_size": IntDistribution(16, 128)}, "batch_size=128 does not fit 96 training rows"),
        ({"optimizer": CategoricalDistribution(("sgd", "adam"))}, "optimizer='adam' is unknown"),
        ({"warmup_epochs": IntDistribution(0, 100)}, "epochs=100 does not fit warmup_epochs=100: choose more epochs"),
        (
            {"epochs": IntDistribution(5, 50), "warmup_epochs": CategoricalDistribution((0, 5))},
            "epochs=5 does not fit warmup_epochs=5: choose more epochs",
        ),
    ],
)
def test_a_method_with_values_that_cannot_be_trained_is_refused(
    space: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(METHODS, "custom", space)
    with pytest.raises(BadInput, match=message):
        build_suite(dataclasses.replace(IRIS, methods=("custom",)), tmp_path)


def test_asha_does_not_judge_configurations_of_unequal_epochs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(METHODS, "custom", {"alpha": ALPHA, "epochs": IntDistribution(20, 200)})
    draft = dataclasses.replace(IRIS, methods=("custom",), scheduler="asha")
    with pytest.raises(BadInput, match="method='custom' searches epochs: choose scheduler none"):
        build_suite(draft, tmp_path)
    assert build_suite(dataclasses.replace(draft, scheduler="none"), tmp_path)


def test_the_score_that_selects_is_frozen(tmp_path: Path) -> None:
    """A suite.json of an earlier version names none: it selected by error."""
    by_error, by_nll = (build_suite(dataclasses.replace(IRIS, select_by=by), tmp_path) for by in ("error", "nll"))
    written = json.loads(to_json(by_error))
    del written["select_by"]
    assert from_json(json.dumps(written)) == by_error and from_json(to_json(by_nll)) == by_nll
    run = RunDir(tmp_path / "run")
    run.write_suite(by_error)
    with pytest.raises(BadInput, match=r"these differ: select_by \(was error, now nll\)"):
        check_continues(run, by_nll)


def test_existing_proposals_run_first(tmp_path: Path) -> None:
    suite, run = small_suite(), RunDir(tmp_path / "run")
    study = suite.study("iris/mlp@0/mixup")
    run.write_proposal(study.name, 0, {"alpha": 0.123})
    trial = StudyQueue(suite, study, run, run.study_results(suite, study), {}).next_trial("ray-id")
    assert trial is not None and trial.index == 0 and trial.values == {"alpha": 0.123}
