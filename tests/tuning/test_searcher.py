"""Which trials the searcher hands out, over all studies, and what an interruption leaves for the next launch."""

import dataclasses
import itertools
import math
import random
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from statistics import fmean
from typing import get_args

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from ray.tune.search import Searcher

from search_spaces.methods import ALPHA, to_json_dict
from tests.helpers.launches import contents, results_of
from tests.helpers.searchers import make_searcher
from tests.helpers.suites import made_up_rows, ray_result, small_suite
from tune_kmixup.analysis.load import load
from tune_kmixup.core.config import Sampler, Study, Suite, Trial
from tune_kmixup.core.selection import by_configuration, final_rows, ranking, selected
from tune_kmixup.search.export import NOT_FINITE, export, exported_trials
from tune_kmixup.search.optuna_study import Search
from tune_kmixup.search.retries import LOST_NODES, RETRIES
from tune_kmixup.search.samplers import finite_values, grid, value_at
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.store.status import launch_status, study_status
from tune_kmixup.tuning.searcher import SuiteSearcher
from tune_kmixup.tuning.slots import EqualSlots, Node

ray_ids = map(str, itertools.count())


def suggest(searcher: SuiteSearcher) -> tuple[str, Trial] | None:
    """The next trial with its Ray id; None if the searcher hands out none now."""
    ray_id = next(ray_ids)
    config = searcher.suggest(ray_id)
    if config is None or config == Searcher.FINISHED:
        return None
    assert isinstance(config, dict)
    return ray_id, config["trial"]


def fail(searcher: SuiteSearcher, ray_id: str, error: str = "its worker died", node_lost: bool = False) -> None:
    """What happens when Ray Tune sees a trial fail."""
    searcher.on_trial_complete(ray_id, error=True)
    searcher.on_error(ray_id, error, node_lost)


def simulate(suite: Suite, path: Path, slots: int, rng: random.Random, stop_after: int | None = None) -> None:
    """Runs a suite without training, with trials that end in random order, and stops after so many of them."""
    RunDir(path).write_suite(suite)
    searcher = make_searcher(suite, RunDir(path))
    running: list[tuple[str, Trial]] = []
    ended = 0
    while True:
        while len(running) < slots and (new := suggest(searcher)):
            running.append(new)
        if not running or ended == stop_after:
            return
        ray_id, trial = running.pop(rng.randrange(len(running)))
        searcher.on_trial_complete(ray_id, ray_result(made_up_rows(suite, trial)))
        ended += 1


def test_the_planned_number_of_runs(suite: Suite, run_dir: RunDir) -> None:
    simulate(suite, run_dir.path, slots=3, rng=random.Random(0))
    for study in suite.studies:
        rows = results_of(run_dir, study.name).rows
        search_runs = by_configuration(rows)
        assert len(search_runs) == (1 if study.method == "erm" else suite.trials)
        assert all(len(runs) == suite.search_seeds for runs in search_runs.values())
        finals = final_rows(rows, 1, "error")
        assert {row.trial for row in finals} == {ranking(rows, "error")[0]}
        assert len({row.seed for row in finals}) == len(finals) == suite.final_seeds
        assert len(rows) == suite.trial_count(study) * suite.search_seeds + suite.final_seeds


def test_no_slot_is_idle_while_any_study_has_work(suite: Suite, run_dir: RunDir) -> None:
    """All search trials of all studies are handed out at once. Final trials of a study follow when its search ends."""
    searcher = make_searcher(suite, run_dir)
    planned = sum(suite.trial_count(study) for study in suite.studies)
    trials = [suggest(searcher) for _ in range(planned)]
    assert all(trials)
    assert suggest(searcher) is None, "a final trial needs the selected configuration"
    ray_id, trial = next(item for item in trials if item and item[1].study == "iris/mlp@0/erm")
    searcher.on_trial_complete(ray_id, ray_result(made_up_rows(suite, trial)))
    final = suggest(searcher)
    assert final and final[1].phase == "final" and final[1].study == "iris/mlp@0/erm"


def test_everything_follows_the_score_by_which_the_suite_selects(run_dir: RunDir, tmp_path: Path) -> None:
    """What Optuna is told, shortlist, final runs, status, export and report. Made-up balanced errors reverse errors."""
    suite = small_suite(select_by="balanced_error", shortlist=2)
    simulate(suite, run_dir.path, slots=2, rng=random.Random(0))
    export(run_dir, str(tmp_path / "optuna.db"))
    final = load([run_dir.path]).final
    for study, status in zip(suite.studies, launch_status(run_dir).studies, strict=True):
        rows = results_of(run_dir, study.name).rows
        scores = {i: fmean(1 - row.val_error for row in runs) for i, runs in by_configuration(rows).items()}
        assert status.best == pytest.approx(min(scores.values()))
        assert {row.trial for row in rows if row.phase == "final"} == {selected(rows, 2, "balanced_error")}
        of_study = (final["method"] == study.method) & (final["outer_split"] == study.task.outer_split)
        assert set(final[of_study]["trial"]) == {selected(rows, 2, "balanced_error")}
        if study.space:
            shortlist = sorted(scores, key=scores.__getitem__)[:2]
            assert {row.trial for row in rows if row.phase == "shortlist"} == set(shortlist)
            told = Search(suite, study, run_dir.study_results(suite, study)).optuna_study
            assert told.best_trial.number == shortlist[0]
            assert [trial.value for trial in told.trials] == pytest.approx([scores[i] for i in range(4)])
            exported = optuna.load_study(study_name=study.name, storage=f"sqlite:///{tmp_path / 'optuna.db'}")
            assert exported.best_trial.user_attrs["index"] == selected(rows, 2, "balanced_error")
            assert exported.metric_names == ["balanced validation error"]
            assert selected(rows, 2, "error") not in shortlist


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random"])
def test_a_search_by_nll_goes_on_after_a_run_whose_nll_is_not_finite(sampler: Sampler, run_dir: RunDir) -> None:
    suite = small_suite(select_by="nll", sampler=sampler, trials=12, search_seeds=1)
    suite = dataclasses.replace(suite, studies=suite.studies[1:2])
    run_dir.write_suite(suite)
    searcher = make_searcher(suite, run_dir)
    while new := suggest(searcher):
        ray_id, trial = new
        rows = made_up_rows(suite, trial)
        if trial.phase == "search" and trial.index % 2:
            rows = [dataclasses.replace(row, val_nll=None) for row in rows]
        searcher.on_trial_complete(ray_id, ray_result(rows))
    results = run_dir.study_results(suite, suite.studies[0])
    chosen = selected(results.rows, 1, "nll")
    assert chosen is not None and chosen % 2 == 0 and len(final_rows(results.rows, 1, "nll")) == suite.final_seeds
    exported = exported_trials(results, suite.studies[0], suite)
    assert [trial.user_attrs.get("pruned") for trial in exported] == [None, NOT_FINITE] * 6


@settings(max_examples=15, deadline=None)
@given(
    kills=st.lists(st.integers(0, 12), max_size=6),
    slots=st.integers(1, 4),
    seed=st.integers(0, 9),
    shortlist=st.integers(1, 3),
)
def test_killed_at_any_moment_ends_like_one_left_alone(
    tmp_path_factory: pytest.TempPathFactory, kills: list[int], slots: int, seed: int, shortlist: int
) -> None:
    suite = small_suite(shortlist=shortlist)
    whole, interrupted = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("interrupted")
    simulate(suite, whole, slots=1, rng=random.Random(0))
    rng = random.Random(seed)
    for after in kills:  # a killed launch leaves its files, and proposals whose trials never ended
        simulate(suite, interrupted, slots, rng, stop_after=after)
    simulate(suite, interrupted, slots, rng)
    assert contents(interrupted) == contents(whole)


def test_the_shortlist_runs_between_search_and_final_trials(run_dir: RunDir) -> None:
    suite = small_suite(shortlist=2)
    simulate(suite, run_dir.path, slots=3, rng=random.Random(0))
    for study in suite.studies:
        rows = results_of(run_dir, study.name).rows
        assert len(rows) == suite.run_count(study)
        compared = [row for row in rows if row.phase == "shortlist"]
        assert {row.trial for row in compared} == (set(ranking(rows, "error")[:2]) if study.space else set())
        assert {row.trial for row in rows if row.phase == "final"} == {selected(rows, 2, "error")}
        status = study_status(suite, study, rows, {}, [])
        assert (status.search_done, status.final_done, status.missing) == (status.search_planned, 3, 0)
    assert make_searcher(suite, run_dir).finished()


def test_a_larger_search_makes_another_shortlist_and_keeps_what_was_compared(run_dir: RunDir) -> None:
    simulate(small_suite(shortlist=2), run_dir.path, slots=2, rng=random.Random(0))
    before = contents(run_dir.path)
    larger = small_suite(shortlist=2, trials=9)
    simulate(larger, run_dir.path, slots=2, rng=random.Random(0))
    assert before.items() <= contents(run_dir.path).items()
    changed = 0
    for study in larger.studies:
        rows = results_of(run_dir, study.name).rows
        compared = {row.trial for row in rows if row.phase == "shortlist"}
        assert not study.space or set(ranking(rows, "error")[:2]) <= compared
        changed += len(compared) > 2
    assert changed, "no shortlist changed: the test shows nothing"


def test_where_comparing_again_fails_the_rest_is_selected_from(run_dir: RunDir) -> None:
    suite = small_suite(shortlist=2, studies=small_suite().studies[1:2])
    run_dir.write_suite(suite)
    searcher = make_searcher(suite, run_dir)
    broken = None
    while new := suggest(searcher):
        ray_id, trial = new
        broken = trial.index if broken is None and trial.phase == "shortlist" else broken
        failed = trial.phase == "shortlist" and trial.index == broken
        if failed:
            fail(searcher, ray_id)
        else:
            searcher.on_trial_complete(ray_id, ray_result(made_up_rows(suite, trial)))
    finals = {row.trial for row in results_of(run_dir, suite.studies[0].name).rows if row.phase == "final"}
    assert len(finals) == 1 and broken not in finals
    assert searcher.failures().keys() == {f"{suite.studies[0].name}/shortlist-{broken:04d}"}
    assert not make_searcher(suite, run_dir).finished(), "the next launch tries it again"


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc", "grid"])
def test_what_is_missing_of_a_search_is_run_again_whatever_its_number(sampler: str, run_dir: RunDir) -> None:
    """Holes in the numbering: whole trials and lone proposals are gone, the last ones too."""
    suite = small_suite(sampler=sampler)
    simulate(suite, run_dir.path, slots=1, rng=random.Random(0))
    before = contents(run_dir.path)
    for name, gone in (("iris/mlp@0/mixup", (0, 2)), ("iris/mlp@1/kmixup", (3,)), ("iris/mlp@1/erm", (0,))):
        for index in gone:
            for path in run_dir.folder(name).glob(f"*-{index:04d}*.json"):
                path.unlink()
    run_dir.write_proposal("iris/mlp@0/mixup", 2, {"alpha": 0.5})
    simulate(suite, run_dir.path, slots=2, rng=random.Random(0))
    assert make_searcher(suite, run_dir).finished()
    for study in suite.studies:
        assert study_status(suite, study, results_of(run_dir, study.name).rows, {}, []).missing == 0
    again = contents(run_dir.path)
    assert before.keys() <= again.keys()
    if sampler != "tpe":  # which learns from what is there
        changed = {path for path in before if again[path] != before[path]}
        assert {Path(path).name for path in changed if "mlp@0/mixup/proposal" in path} == {"proposal-0002.json"}
        assert all("mlp@0/mixup" in path for path in changed)


@pytest.mark.parametrize(("sampler", "trials"), [*((s, 14) for s in get_args(Sampler) if s != "gp"), ("grid", 16)])
def test_a_rebuilt_sampler_proposes_the_same(sampler: str, trials: int, tmp_path: Path) -> None:
    suite = small_suite(sampler=sampler, trials=trials)
    whole, interrupted = tmp_path / "whole", tmp_path / "interrupted"
    simulate(suite, whole, slots=1, rng=random.Random(0))
    for after in (5, 11, 3, 17, 30):
        simulate(suite, interrupted, slots=1, rng=random.Random(0), stop_after=after)
    simulate(suite, interrupted, slots=1, rng=random.Random(0))
    assert contents(interrupted) == contents(whole)
    for study in suite.studies:
        values = [tuple(sorted(v.items())) for v in results_of(RunDir(whole), study.name).proposals.values()]
        assert len(set(values)) == len(values), "a configuration was proposed twice"


def test_a_grid_is_proposed_point_by_point(run_dir: RunDir) -> None:
    suite = small_suite(sampler="grid", trials=24)
    simulate(suite, run_dir.path, slots=3, rng=random.Random(0))
    alphas = [values["alpha"] for values in results_of(run_dir, "iris/mlp@0/mixup").proposals.values()]
    assert alphas == pytest.approx([0.0001 * 640_000 ** (i / 23) for i in range(24)])
    proposals = results_of(run_dir, "iris/mlp@1/kmixup").proposals
    points = [(values["log2_k"], values["alpha"]) for values in proposals.values()]
    levels = pytest.approx([0.0001 * 640_000 ** (i / 5) for i in range(6)])
    assert all(sorted(a for k, a in points if k == log2_k) == levels for log2_k in (1, 2, 3, 4)) and len(points) == 24


GRIDS: dict[str, dict[str, BaseDistribution]] = {
    "mixup": {"alpha": ALPHA},
    "kmixup": {"alpha": ALPHA, "log2_k": IntDistribution(1, 4)},
    "placebo": {"alpha": ALPHA, "dummy": FloatDistribution(0.0, 1.0)},
    "tuned": {
        "alpha": ALPHA,
        "log2_k": IntDistribution(1, 5),
        "lr": FloatDistribution(0.01, 1.0, log=True),
        "weight_decay": FloatDistribution(1e-6, 0.1, log=True),
    },
    "custom": {
        "alpha": ALPHA,
        "k": CategoricalDistribution((2, 8, 32)),
        "momentum": FloatDistribution(0.0, 0.9, step=0.3),
    },
}


@pytest.mark.parametrize("trials", [2, 8, 14, 24, 33, 64])
@pytest.mark.parametrize("space", GRIDS.values(), ids=GRIDS)
def test_a_grid_is_even_whatever_the_number_of_trials(space: dict[str, BaseDistribution], trials: int) -> None:
    point = grid(space, trials)
    points = [point(number) for number in range(trials)]
    assert len({tuple(sorted(values.items())) for values in points}) == trials
    for name, distribution in space.items():
        counts = Counter(values[name] for values in points)
        assert all(distribution._contains(distribution.to_internal_repr(value)) for value in counts)
        finite = finite_values(distribution)
        assert max(counts.values()) <= 2 * min(counts.values()) + 1, f"{name} is uneven: {counts}"
        if finite and trials >= 2 * len(finite):
            assert sorted(counts) == sorted(finite)
        if not finite and len(counts) > 1:
            assert isinstance(distribution, FloatDistribution)
            assert (min(counts), max(counts)) == (distribution.low, distribution.high)


@pytest.mark.parametrize("log", [False, True])
def test_a_grid_reaches_both_ends_of_a_long_range_of_whole_numbers(log: bool) -> None:
    """All of its values would be more than the points, of which the first ones are the smallest."""
    k = IntDistribution(2, 1024, log=log)
    points = [grid({"alpha": ALPHA, "k": k}, 24)(number) for number in range(24)]
    levels = sorted({values["k"] for values in points})
    assert (levels[0], levels[-1], len(levels)) == (2, 1024, 5) and len({values["alpha"] for values in points}) == 5
    assert levels[2] == pytest.approx(40 if log else 512, rel=0.1), "evenly spaced, on a log scale if it is one"
    assert len({tuple(values.values()) for values in points}) == 24
    alone = [grid({"k": k}, 24)(number)["k"] for number in range(24)]
    assert len(set(alone)) == 24 and {2, 1024} <= set(alone)
    sizes = IntDistribution(16, 39)
    beside = [grid({"batch_size": sizes, "k": k}, 24)(number) for number in range(24)]
    assert len({values["batch_size"] for values in beside}) == 24 and len({values["k"] for values in beside}) >= 23


def test_a_range_of_whole_numbers_on_a_log_scale_is_drawn_so() -> None:
    k = IntDistribution(2, 1024, log=True)
    drawn = [value_at(k, i / 1000) for i in range(1000)]
    assert (value_at(k, 0), value_at(k, 1)) == (2, 1024) and drawn == sorted(drawn)
    assert drawn[500] == pytest.approx(40, rel=0.1), "the geometric mean of 1.5 and 1024.5"


def test_a_grid_of_one_level_takes_the_middle() -> None:
    point = grid(GRIDS["kmixup"], 4)
    assert [point(n)["log2_k"] for n in range(4)] == [1, 2, 3, 4]
    assert [point(n)["alpha"] for n in range(4)] == pytest.approx([0.08] * 4), "the geometric mean of 0.0001 and 64"


FINITE: dict[str, dict[str, BaseDistribution]] = {
    "whole numbers": {"log2_k": IntDistribution(1, 5)},
    "choices": {"alpha": CategoricalDistribution((0.5, 2.0, 0.5)), "k": CategoricalDistribution((2, 8, 32))},
    "steps": {"alpha": FloatDistribution(0.1, 1.0, step=0.3), "log2_k": IntDistribution(1, 5, step=2)},
    "one value": {"alpha": FloatDistribution(1.0, 1.0)},
}


@pytest.mark.parametrize("sampler", get_args(Sampler))
@pytest.mark.parametrize("space", FINITE.values(), ids=FINITE)
def test_a_finite_space_is_tried_once_and_no_configuration_twice(
    space: dict[str, BaseDistribution], sampler: str, tmp_path: Path
) -> None:
    points = math.prod(len(set(finite_values(distribution))) for distribution in space.values())
    task = small_suite().studies[0].task
    study = Study(task, "finite", {name: to_json_dict(distribution) for name, distribution in space.items()})
    for trials in (max(1, points - 2), 24):
        whole, interrupted = RunDir(tmp_path / f"whole-{trials}"), tmp_path / f"interrupted-{trials}"
        suite = small_suite(studies=(study,), trials=trials, sampler=sampler)
        simulate(suite, whole.path, slots=1, rng=random.Random(0))
        values = [tuple(sorted(values.items())) for values in results_of(whole, study.name).proposals.values()]
        assert len(values) == len(set(values)) == min(trials, points) == suite.trial_count(study)
        assert all(d._contains(d.to_internal_repr(dict(v)[name])) for v in values for name, d in space.items())
        for after in (2, 1, 9):
            simulate(suite, interrupted, slots=1, rng=random.Random(0), stop_after=after)
        simulate(suite, interrupted, slots=1, rng=random.Random(0))
        assert contents(interrupted) == contents(whole.path), "a rebuilt study proposes the same"


def test_a_larger_budget_extends_a_finished_suite(run_dir: RunDir) -> None:
    simulate(small_suite(), run_dir.path, slots=2, rng=random.Random(0))
    before = contents(run_dir.path)
    larger = small_suite(trials=6, final_seeds=7)
    simulate(larger, run_dir.path, slots=2, rng=random.Random(1))
    after = contents(run_dir.path)
    assert before.items() <= after.items(), "no finished run is lost or overwritten"
    for study in larger.studies:
        rows = results_of(run_dir, study.name).rows
        assert len(by_configuration(rows)) == larger.trial_count(study)
        assert len(final_rows(rows, 1, "error")) == 7
        keys = [(row.phase, row.trial, row.seed) for row in rows]
        assert len(set(keys)) == len(keys), "a run was done twice"


def test_a_finished_suite_has_nothing_to_run(suite: Suite, run_dir: RunDir) -> None:
    assert not make_searcher(suite, run_dir).finished()
    simulate(suite, run_dir.path, slots=2, rng=random.Random(0))
    assert make_searcher(suite, run_dir).finished()


def test_a_failed_trial_stops_no_other_and_runs_again_in_the_next_launch(suite: Suite, run_dir: RunDir) -> None:
    run_dir.write_suite(suite)
    searcher = make_searcher(suite, run_dir)
    failing = "iris/mlp@0/mixup/search-0001"
    while not searcher.finished():
        new = suggest(searcher)
        assert new
        ray_id, trial = new
        if f"{trial.study}/{trial.name}" == failing:
            fail(searcher, ray_id, "RuntimeError: out of luck")
        else:
            searcher.on_trial_complete(ray_id, ray_result(made_up_rows(suite, trial)))
    assert searcher.failures() == {failing: "RuntimeError: out of luck"}
    assert results_of(run_dir, "iris/mlp@0/mixup").failures == {"search-0001": "RuntimeError: out of luck"}
    assert len(final_rows(results_of(run_dir, "iris/mlp@0/mixup").rows, 1, "error")) == suite.final_seeds
    simulate(suite, run_dir.path, slots=1, rng=random.Random(0))
    assert results_of(run_dir, "iris/mlp@0/mixup").failures == {}
    assert len(by_configuration(results_of(run_dir, "iris/mlp@0/mixup").rows)) == suite.trials


def test_a_trial_whose_worker_is_lost_is_run_again_and_the_rest_is_the_same(suite: Suite, tmp_path: Path) -> None:
    """Every trial is lost as often as it is retried. Proposals and results are those of a launch without losses."""
    simulate(suite, tmp_path / "whole", slots=1, rng=random.Random(0))
    searcher = make_searcher(suite, RunDir(tmp_path / "lossy"))
    attempts: Counter[str] = Counter()
    while not searcher.finished():
        new = suggest(searcher)
        assert new
        ray_id, trial = new
        name = f"{trial.study}/{trial.name}"
        attempts[name] += 1
        if attempts[name] <= RETRIES:
            fail(searcher, ray_id, "its worker died")
        else:
            searcher.on_trial_complete(ray_id, ray_result(made_up_rows(suite, trial)))
    assert searcher.failures() == {}
    assert contents(tmp_path / "lossy") == contents(tmp_path / "whole")


def test_nodes_that_leave_do_not_count_as_retries(suite: Suite, run_dir: RunDir) -> None:
    """The first trial loses its node again and again, and in the end its worker dies as often as it is retried."""
    searcher = make_searcher(suite, run_dir)
    new = suggest(searcher)
    assert new
    ray_id, first = new
    for _ in range(LOST_NODES):
        fail(searcher, ray_id, "The actor died because its node has died.", node_lost=True)
        ray_id, trial = suggest(searcher) or ("", first)
        assert (trial.study, trial.name) == (first.study, first.name), "a retry goes first"
    for _ in range(RETRIES):
        fail(searcher, ray_id)
        ray_id, trial = suggest(searcher) or ("", first)
        assert (trial.study, trial.name) == (first.study, first.name)
    assert searcher.failures() == {}
    fail(searcher, ray_id)
    assert searcher.failures() == {f"{first.study}/{first.name}": "its worker died"}


def test_a_trial_that_brings_its_nodes_down_is_given_up(suite: Suite, run_dir: RunDir) -> None:
    searcher = make_searcher(suite, run_dir)
    lost = 0
    while not searcher.failures():
        ray_id, _ = suggest(searcher) or pytest.fail("nothing is handed out")
        lost += 1
        fail(searcher, ray_id, "its node has died", node_lost=True)
    assert lost == LOST_NODES + 1


def test_no_more_trials_are_handed_out_than_nodes_carry(suite: Suite, run_dir: RunDir) -> None:
    slots = EqualSlots(nodes=[Node("a", 2, 0)])
    searcher = make_searcher(suite, run_dir, slots=slots)
    handed_out = [suggest(searcher) for _ in range(3)]
    assert handed_out[0] and handed_out[1] and not handed_out[2]
    slots.follow([Node("a", 2, 0), Node("b", 1, 0)])
    assert suggest(searcher) and not suggest(searcher), "a node has joined"
    slots.follow([Node("b", 1, 0)])
    searcher.on_trial_complete(handed_out[0][0], ray_result(made_up_rows(suite, handed_out[0][1])))
    assert not suggest(searcher), "a node has left, and two trials hold its slots still"
    slots.follow([])
    assert searcher.suggest(next(ray_ids)) is None, "not the end: nodes may come back"


def test_what_is_asked_for_is_what_runs_and_what_could(suite: Suite, run_dir: RunDir) -> None:
    searcher = make_searcher(suite, run_dir, slots=EqualSlots(2.0, 0.5))
    planned = sum(suite.trial_count(study) for study in suite.studies)
    assert searcher.demand(1000) == [{"CPU": 2.0, "GPU": 0.5}] * planned, "final trials wait for what is selected"
    new = suggest(searcher)
    assert new and len(searcher.demand(1000)) == planned
    assert len(searcher.demand(3)) == 3
    while not searcher.finished():
        if new:
            searcher.on_trial_complete(new[0], ray_result(made_up_rows(suite, new[1])))
        new = suggest(searcher)
    assert searcher.demand(1000) == []


@pytest.mark.parametrize("phase", ["search", "final"])
@pytest.mark.parametrize("error", ["BadInput: no such file", "tune_kmixup.core.errors.BadInput: no such file"])
def test_bad_input_is_not_retried(phase: str, error: str, suite: Suite, run_dir: RunDir) -> None:
    searcher = make_searcher(suite, run_dir)
    attempts: Counter[str] = Counter()
    while new := suggest(searcher):
        ray_id, trial = new
        attempts[f"{trial.study}/{trial.name}"] += 1
        if trial.phase == phase:
            fail(searcher, ray_id, error)
        else:
            searcher.on_trial_complete(ray_id, ray_result(made_up_rows(suite, trial)))
    assert searcher.finished()
    failures = searcher.failures()
    assert failures and set(failures.values()) == {error} and all(attempts[name] == 1 for name in failures)


def test_more_final_seeds_share_a_trial_where_seeds_are_batched(suite: Suite, run_dir: RunDir) -> None:
    suite = small_suite(final_seeds=12)
    base = suite.studies[0].task.base
    searcher = make_searcher(suite, run_dir, {base})
    final_sizes = []
    while not searcher.finished():
        new = suggest(searcher)
        assert new
        ray_id, trial = new
        assert trial.batched == (len(trial.seeds) > 1)
        final_sizes += [len(trial.seeds)] if trial.phase == "final" else []
        searcher.on_trial_complete(ray_id, ray_result(made_up_rows(suite, trial)))
    assert sorted(final_sizes) == [2] * len(suite.studies) + [10] * len(suite.studies)


@pytest.mark.parametrize("method", ["write_proposal", "write_rows"])
def test_a_full_disk_stops_the_launch_and_the_next_one_finishes_it(
    method: str, suite: Suite, run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    searcher = make_searcher(suite, run_dir)
    running = [suggest(searcher) for _ in range(2)]
    with monkeypatch.context() as patched:
        patched.setattr(RunDir, method, raise_full)
        for ray_id, trial in filter(None, running):
            searcher.on_trial_complete(ray_id, ray_result(made_up_rows(suite, trial)))
        while suggest(searcher):
            pass
    assert searcher.stopping and searcher.disk_error and suggest(searcher) is None
    simulate(suite, run_dir.path, slots=2, rng=random.Random(0))
    assert make_searcher(suite, run_dir).finished()


def test_the_shortlist_decides_what_is_trained_at_the_end(run_dir: RunDir) -> None:
    """The best configuration of the search was lucky, and falls behind with its further seeds."""
    suite = small_suite(shortlist=2, trials=4)
    run_dir.write_suite(suite)
    searcher, finals = make_searcher(suite, run_dir), set()
    while new := suggest(searcher):
        ray_id, trial = new
        error = 0.1 + 0.01 * trial.index if trial.phase == "search" else 0.5 - 0.1 * trial.index
        rows = [dataclasses.replace(row, val_error=error) for row in made_up_rows(suite, trial)]
        searcher.on_trial_complete(ray_id, ray_result(rows))
        if trial.phase == "final" and not trial.study.endswith("/erm"):
            finals.add(trial.index)
    assert finals == {1} and searcher.finished()
    for study in suite.studies:
        counted = final_rows(results_of(run_dir, study.name).rows, suite.shortlist, suite.select_by)
        assert {row.trial for row in counted} == {0 if study.method == "erm" else 1}


def test_final_runs_are_asked_for_when_the_last_node_leaves_with_the_search(suite: Suite, run_dir: RunDir) -> None:
    """The next stage began only when a trial was handed out. Without a slot none was, so no node was asked for."""
    suite = dataclasses.replace(suite, studies=suite.studies[1:2], trials=1, shortlist=1)
    run_dir.write_suite(suite)
    slots = EqualSlots(nodes=[Node("a", 1, 0)])
    searcher = make_searcher(suite, run_dir, slots=slots)
    (ray_id, trial) = suggest(searcher) or pytest.fail("nothing to run")
    slots.follow([])
    searcher.on_trial_complete(ray_id, ray_result(made_up_rows(suite, trial)))
    assert suggest(searcher) is None and searcher.demand(10) and not searcher.finished()


def test_what_failed_once_is_not_said_of_what_is_done(run_dir: RunDir) -> None:
    """The seeds of final runs may be grouped in another way, and another configuration may be selected."""
    suite = small_suite(search_seeds=1, final_seeds=3)
    suite = dataclasses.replace(suite, studies=suite.studies[1:2])
    run_dir.write_suite(suite)
    seeds = suite.seeds(suite.studies[0], "final")

    def play(suite: Suite, batched: bool, failing: Collection[int]) -> SuiteSearcher:
        searcher = make_searcher(suite, run_dir, {suite.studies[0].task.base} if batched else ())
        while found := suggest(searcher):
            ray_id, trial = found
            if trial.phase == "final" and trial.seeds[0] in failing:
                fail(searcher, ray_id, "BadInput: it fails")
            else:
                searcher.on_trial_complete(ray_id, ray_result(made_up_rows(suite, trial)))
        return searcher

    assert len(play(suite, batched=False, failing=seeds[1:]).failures()) == 2
    (status,) = launch_status(run_dir).studies
    assert len(status.failed) == 2 and status.final_done == 1
    assert play(suite, batched=True, failing=()).finished()
    (status,) = launch_status(run_dir).studies
    assert not status.failed and status.final_done == 3


def test_a_launch_that_was_taken_over_stops_before_it_proposes(run_dir: RunDir) -> None:
    """One was suspended, and another has gone on meanwhile. Proposals of TPE depend on what is known."""
    suite = small_suite(sampler="tpe", trials=30)
    suite = dataclasses.replace(suite, studies=suite.studies[2:3])
    run_dir.write_suite(suite)
    suspended = make_searcher(suite, run_dir)
    begun = [suggest(suspended) or pytest.fail("nothing to run") for _ in range(12)]
    for ray_id, trial in begun[:9]:
        suspended.on_trial_complete(ray_id, ray_result(made_up_rows(suite, trial)))
    other = make_searcher(suite, RunDir(run_dir.path))
    for _ in range(4):
        ray_id, trial = suggest(other) or pytest.fail("nothing to run")
        other.on_trial_complete(ray_id, ray_result(made_up_rows(suite, trial)))
    assert suggest(suspended) is None and isinstance(suspended.disk_error, FileExistsError)
    assert len(results_of(run_dir, suite.studies[0].name).rows) == 13 * suite.search_seeds


def test_a_trial_that_is_ending_is_left_out_of_what_runs(run_dir: RunDir, suite: Suite) -> None:
    """Between the two calls of Ray Tune for a failed trial, another thread may ask, when Ray has died."""
    run_dir.write_suite(suite)
    searcher = make_searcher(suite, run_dir)
    new = suggest(searcher)
    assert new
    queue = searcher.queue_of(new[0])
    assert len(searcher.running(queue)) == 1
    searcher.on_trial_complete(new[0], error=True)
    assert searcher.running(queue) == {}


def test_the_models_of_a_launch_that_has_taken_over_stay(run_dir: RunDir) -> None:
    suite = small_suite(save_models=True, trials=1, search_seeds=1, shortlist=1)
    run_dir.write_suite(suite)
    searcher = make_searcher(suite, run_dir)
    while new := suggest(searcher):
        ray_id, trial = new
        if trial.phase == "final":
            break
        searcher.on_trial_complete(ray_id, ray_result(made_up_rows(suite, trial)))
    theirs = run_dir.model(trial.study, trial.index, trial.seeds[0])
    for path, text in ((theirs, "theirs"), (run_dir.ended_model(trial, trial.seeds[0]), "ours")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    run_dir.write_rows(trial, made_up_rows(suite, trial))
    searcher.on_trial_complete(ray_id, ray_result(made_up_rows(suite, trial)))
    assert isinstance(searcher.disk_error, FileExistsError) and theirs.read_text() == "theirs"
