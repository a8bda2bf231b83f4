"""Early stopping (`--scheduler asha`): its bookkeeping without Ray, and a launch on a real Ray."""

import dataclasses
import itertools
import random
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState
from ray.tune.schedulers import TrialScheduler

from tests.helpers.launches import contents, results_of, run_cli_in_process
from tests.helpers.searchers import make_searcher
from tests.helpers.suites import made_up_rows, ray_result, small_suite
from tune_kmixup.analysis.load import load
from tune_kmixup.analysis.report import methods_text
from tune_kmixup.core.config import Draft, Suite, Trial
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row, Rung
from tune_kmixup.core.selection import (
    by_configuration,
    completed_configurations,
    final_rows,
    ranking,
    rung_scores,
    stopped_configurations,
)
from tune_kmixup.planning.suite import build_suite, check_continues
from tune_kmixup.search.export import export
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.store.status import study_status
from tune_kmixup.tuning.scheduler import SuiteScheduler
from tune_kmixup.tuning.searcher import SuiteSearcher

ray_ids = map(str, itertools.count())


def asha_suite(epochs: int = 45, **changes: object) -> Suite:
    suite = small_suite(**{"trials": 14, "scheduler": "asha", **changes})
    studies = []
    for study in suite.studies:
        recipe = dataclasses.replace(study.task.recipe, epochs=epochs)
        studies.append(dataclasses.replace(study, task=dataclasses.replace(study.task, recipe=recipe)))
    return dataclasses.replace(suite, studies=tuple(studies))


def rung_error(suite: Suite, trial: Trial, epoch: int) -> float:
    """A fixed function of the values, close to the error at the last epoch."""
    row = made_up_rows(suite, trial)[0]
    return float(row.val_error) + random.Random(f"{sorted(trial.values.items())} {epoch}").gauss(0.2, 0.005)


def rung_row(suite: Suite, trial: Trial, epoch: int) -> Row:
    """The row that a trial reports at a rung."""
    errors = {e: rung_error(suite, trial, e) for e in trial.rungs if e <= epoch}
    row = made_up_rows(suite, trial)[0]
    rungs = tuple(itertools.starmap(Rung, errors.items()))
    return dataclasses.replace(row, status="stopped", epochs=epoch, val_error=errors[epoch], rungs=rungs)


def complete_rows(suite: Suite, trial: Trial) -> list[Row]:
    """The rows of a trial that was not stopped."""
    first, *others = made_up_rows(suite, trial)
    rungs = tuple(Rung(epoch, rung_error(suite, trial, epoch)) for epoch in trial.rungs)
    return [dataclasses.replace(first, rungs=rungs), *others]


class RayTrial:
    def __init__(self, trial_id: str):
        self.trial_id = trial_id


def play(suite: Suite, path: Path, slots: int, chance: random.Random, events: int | None = None) -> SuiteSearcher:
    """Runs a suite without Ray. Trials reach rungs and end in random order.

    Args:
        suite: what to run.
        path: the run directory.
        slots: trials at once.
        chance: chooses which trial reports next.
        events: reports after which the launch is killed; None: it runs to its end.
    """
    RunDir(path).write_suite(suite)
    searcher = make_searcher(suite, RunDir(path))
    scheduler = SuiteScheduler(searcher)
    running: list[tuple[str, Trial, list[int]]] = []
    for _ in itertools.count() if events is None else range(events):
        while len(running) < slots and isinstance(config := searcher.suggest(ray_id := next(ray_ids)), dict):
            running.append((ray_id, config["trial"], [*config["trial"].rungs]))
        if not running:
            break
        index = chance.randrange(len(running))
        ray_id, trial, rungs_left = running[index]
        if rungs_left:
            result: dict[str, object] = {"rung": [rung_row(suite, trial, rungs_left.pop(0)).to_json()]}
            if scheduler.on_trial_result(None, RayTrial(ray_id), result) != TrialScheduler.STOP:
                continue
        else:
            result = ray_result(complete_rows(suite, trial))
        running.pop(index)
        searcher.on_trial_complete(ray_id, result)
    return searcher


@settings(max_examples=10, deadline=None)
@given(kills=st.lists(st.integers(0, 40), max_size=4), slots=st.integers(1, 4), seed=st.integers(0, 9))
def test_every_configuration_is_done_once_however_often_the_launch_is_killed(
    tmp_path_factory: pytest.TempPathFactory, kills: list[int], slots: int, seed: int
) -> None:
    suite, run = asha_suite(), RunDir(tmp_path_factory.mktemp("run"))
    run.write_suite(suite)
    chance = random.Random(seed)
    for after in kills:
        play(suite, run.path, slots, chance, after)
    searcher = play(suite, run.path, slots, chance)
    assert searcher.finished() and make_searcher(suite, run).finished() and searcher.failures() == {}
    for study in suite.studies:
        rows = results_of(run, study.name).rows
        configurations, early = by_configuration(rows), stopped_configurations(rows)
        assert len(configurations) == suite.trial_count(study)
        assert all(len(runs) == (1 if index in early else 2) for index, runs in configurations.items())
        assert bool(early) == bool(study.space), "the only configuration of a study is never stopped"
        assert len(early) < len(configurations) and ranking(rows, "error")[0] not in early
        assert [row.trial for row in final_rows(rows, 1, "error")] == [ranking(rows, "error")[0]] * 3
        for epoch in (5, 15) if study.space else ():
            errors = {index: rung_scores(runs) for index, runs in configurations.items()}
            best = min((i for i in errors if epoch in errors[i]), key=lambda index: errors[index][epoch])
            assert best not in early or errors[best].keys() > {epoch}, "the best configuration at a rung goes on"
        status = study_status(suite, study, rows, {}, ())
        assert status.missing == 0 and status.search_done == status.search_planned
        assert status.stopped == len(early)
    assert load([run.path]).missing.empty


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_with_one_slot_a_killed_search_ends_like_an_uninterrupted_one(sampler: str, tmp_path: Path) -> None:
    suite = asha_suite(sampler=sampler)
    uninterrupted = play(suite, tmp_path / "whole", 1, random.Random(0))
    for after in (5, 31, 3, 40):
        play(suite, tmp_path / "killed", 1, random.Random(0), after)
    play(suite, tmp_path / "killed", 1, random.Random(0))
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    rebuilt = make_searcher(suite, RunDir(tmp_path / "whole"))
    for name, queue in uninterrupted.queues.items():
        rebuilt_queue = rebuilt.queues[name]
        assert rebuilt_queue.search.rungs.scores == queue.search.rungs.scores
        if queue.search.space:
            expected, trials = (
                [(t.state, t.value, t.params, t.intermediate_values) for t in optuna_study.trials]
                for optuna_study in (queue.search.optuna_study, rebuilt_queue.search.optuna_study)
            )
            assert trials == expected
            assert {state for state, *_ in trials} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_a_larger_budget_extends_and_stopped_trials_stay_stopped(tmp_path: Path) -> None:
    play(asha_suite(trials=8), tmp_path, 2, random.Random(0))
    before = contents(tmp_path)
    searcher = play(asha_suite(trials=20), tmp_path, 2, random.Random(1))
    assert searcher.finished() and before.items() <= contents(tmp_path).items()
    assert len(by_configuration(results_of(RunDir(tmp_path), "iris/mlp@0/mixup").rows)) == 20


def start_trial_with_rungs(searcher: SuiteSearcher) -> tuple[str, Trial]:
    """Starts trials until one has rungs, and returns that one with its id."""
    while True:
        config = searcher.suggest(ray_id := next(ray_ids))
        assert isinstance(config, dict)
        if config["trial"].rungs:
            return ray_id, config["trial"]


def test_a_trial_that_passed_a_rung_passes_it_again_after_its_worker_is_lost(run_dir: RunDir) -> None:
    suite = asha_suite(sampler="random")
    run_dir.write_suite(suite)
    searcher = make_searcher(suite, run_dir)
    scheduler = SuiteScheduler(searcher)

    def goes_on(ray_id: str, trial: Trial, error: float) -> bool:
        row = dataclasses.replace(rung_row(suite, trial, 5), val_error=error, rungs=(Rung(5, error),))
        decision = scheduler.on_trial_result(None, RayTrial(ray_id), {"rung": [row.to_json()]})
        return bool(decision == TrialScheduler.CONTINUE)

    ray_id, trial = start_trial_with_rungs(searcher)
    assert goes_on(ray_id, trial, 0.5)
    others = [start_trial_with_rungs(searcher) for _ in range(12)]
    better, worse = [item for item in others if item[1].study == trial.study][:2]
    assert goes_on(*better, 0.4) and not goes_on(*worse, 0.6)
    searcher.on_trial_complete(worse[0], {"rung": [{}], "done": True})
    assert [row.status for row in results_of(run_dir, trial.study).rows] == ["stopped"]
    assert searcher.failures() == {} and not searcher.queues[trial.study].retries.waiting
    searcher.on_trial_complete(ray_id, error=True)
    searcher.on_error(ray_id, "its worker died")
    retry_id, retried = start_trial_with_rungs(searcher)
    assert retried.name == trial.name and goes_on(retry_id, retried, 0.5)


def test_a_trial_whose_last_report_is_a_passed_rung_is_lost_and_not_stopped(run_dir: RunDir) -> None:
    """This happens if its worker is lost after the rung."""
    suite = asha_suite()
    run_dir.write_suite(suite)
    searcher = make_searcher(suite, run_dir)
    ray_id, trial = start_trial_with_rungs(searcher)
    row = rung_row(suite, trial, 5).to_json()
    assert SuiteScheduler(searcher).on_trial_result(None, RayTrial(ray_id), {"rung": [row]}) == TrialScheduler.CONTINUE
    searcher.on_trial_complete(ray_id, {"rung": [row]})
    assert results_of(run_dir, trial.study).rows == []
    assert [lost.name for lost in searcher.queues[trial.study].retries.waiting] == [trial.name]


def test_stopped_trials_are_exported_as_pruned_with_their_errors_at_rungs(run_dir: RunDir, tmp_path: Path) -> None:
    suite = asha_suite()
    run_dir.write_suite(suite)
    searcher = play(suite, run_dir.path, 2, random.Random(0))
    export(run_dir, str(tmp_path / "optuna.db"))
    for study in suite.studies[1:3]:
        rows, optuna_study = results_of(run_dir, study.name).rows, searcher.queues[study.name].search.optuna_study
        exported = optuna.load_study(study_name=study.name, storage=f"sqlite:///{tmp_path / 'optuna.db'}")
        pruned = {t.user_attrs["index"] for t in exported.trials if t.state == TrialState.PRUNED}
        assert pruned == stopped_configurations(rows)
        assert {t.state for t in exported.trials} == {TrialState.PRUNED, TrialState.COMPLETE}
        assert exported.best_trial.user_attrs["index"] == ranking(rows, "error")[0]
        live = {t.number: (t.value, t.intermediate_values) for t in optuna_study.trials}
        assert live == {t.number: (t.value, t.intermediate_values) for t in exported.trials}


def test_early_stopping_is_off_by_default_and_for_studies_with_one_configuration(suite: Suite) -> None:
    assert Draft("x", ()).scheduler == suite.scheduler == "none"
    assert all(suite.search_trial(study, 0, {}).rungs == () for study in suite.studies)
    rungs = {s.method: asha_suite().search_trial(s, 0, {}).rungs for s in asha_suite().studies}
    assert rungs == {"erm": (), "mixup": (5, 15), "kmixup": (5, 15)}
    assert all(trial.rungs == () for trial in asha_suite().final_trials(asha_suite().studies[1], 0, {}, (), 2))


def test_another_scheduler_is_refused(run_dir: RunDir, suite: Suite, tmp_path: Path) -> None:
    run_dir.write_suite(suite)
    with pytest.raises(BadInput, match=r"scheduler \(was none, now asha\).*Choose another --out, or the same"):
        check_continues(run_dir, dataclasses.replace(suite, scheduler="asha"))
    drafts: list[tuple[Callable[[], Suite], str]] = [
        (lambda: build_suite(Draft("x", ("iris/mlp",), scheduler="asah"), tmp_path), "did you mean asha"),  # type: ignore[arg-type]
        (lambda: build_suite(Draft("x", ("iris/mlp",), scheduler="asha", epochs=1), tmp_path), "choose epochs ≥ 2"),
    ]
    for build, message in drafts:
        with pytest.raises(BadInput, match=message):
            build()


def test_the_methods_paragraph_says_how_many_were_stopped(run_dir: RunDir, suite: Suite) -> None:
    plain = methods_text.suite_paragraph(suite)
    assert "halving" not in plain
    early = asha_suite()
    run_dir.write_suite(early)
    play(early, run_dir.path, 2, random.Random(0))
    runs = load([run_dir.path])
    count = int((runs.rows["status"] == "stopped").sum())
    assert count > 10 and f"stopped {count} configurations early" in methods_text.markdown(runs.suites, runs.rows, 0.95)


# With real Ray

LAUNCH = ["launch", "iris/mlp@0", "--method", "mixup", "--method", "kmixup", "--epochs", "45", "--search-seeds", "2"]
LAUNCH += ["--tune", "lr", "--scheduler", "asha", "--final-seeds", "2", "--shortlist", "1", "--max-concurrent", "2"]


@pytest.mark.slow
@pytest.mark.parametrize("batch_seeds", ["on", pytest.param("off", marks=pytest.mark.thorough)])
def test_a_launch_that_stops_trials_early(ray_address: str, tmp_path: Path, batch_seeds: str) -> None:
    run = RunDir(tmp_path / "run")
    given = ["--batch-seeds", batch_seeds, "--address", ray_address]
    planned = run_cli_in_process("plan", *LAUNCH[1:-2], "--trials", "12")
    assert "Fewer runs where asha stops configurations early." in planned
    begun = run_cli_in_process(*LAUNCH, "--trials", "12", *given, "--out", run.path)
    assert "Done: every run" in begun
    before = {path: path.read_text() for path in run.path.rglob("studies/**/*.json")}
    assert "Nothing to do" in run_cli_in_process("resume", run.path)
    assert "Done: every run" in run_cli_in_process(
        "resume", run.path, "--trials", "18", "--max-concurrent", "2", *given
    )
    assert all(path.read_text() == text for path, text in before.items())
    assert not list(run.path.rglob("*.pt")), "no checkpoint is left"
    early = 0
    for study in run.suite().studies:
        rows = results_of(run, study.name).rows
        assert len(by_configuration(rows)) == 18 and results_of(run, study.name).failures == {}
        early += len(stopped_configurations(rows))
        first_seed = run.suite().seeds(study, "search")[0]
        for row in rows:
            stopped = (row.status, row.seed, row.test_error) == ("stopped", first_seed, None)
            assert stopped or row.status == "ok"
            assert row.epochs in ((5, 15) if row.status == "stopped" else (45,))
        assert all(
            list(rung_scores(runs)) == [5, 15] and len(runs) == 2 for runs in completed_configurations(rows).values()
        )
        assert [row.trial for row in final_rows(rows, 1, "error")] == [ranking(rows, "error")[0]] * 2
        assert ranking(rows, "error")[0] not in stopped_configurations(rows)
    assert early > 0
    status = run_cli_in_process("status", run.path)
    assert f"{early} configurations were stopped early." in status and "runs left" not in status
    run_cli_in_process("report", run.path, "--out", tmp_path / "report", "--format", "md")
    assert f"stopped {early} configuration" in (tmp_path / "report" / "methods.md").read_text()
