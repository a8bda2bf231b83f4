"""One test per rule of docs/fairness.md."""

import dataclasses
import inspect
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from search_spaces import methods
from search_spaces.methods import METHODS
from tests.helpers.batches import joined
from tests.helpers.searchers import make_searcher
from tests.helpers.suites import made_up_rows, ray_result, small_suite, without_clock
from tune_kmixup.core.config import Draft, Phase, Recipe, StudyName, Task, Trial
from tune_kmixup.core.coordinates import configuration
from tune_kmixup.core.rows import Row
from tune_kmixup.core.selection import by_configuration, ranking
from tune_kmixup.data.download import load_arrays
from tune_kmixup.data.prepare import prepare, split_rows
from tune_kmixup.mixing.pairing import pair_runs
from tune_kmixup.planning.suite import build_suite
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.training.batches import batches
from tune_kmixup.training.loop import train_to_end
from tune_kmixup.training.state import initial_state

RECIPE = Recipe(epochs=2, batch_size=30, lr=0.05)
TASK = Task("iris", "mlp", RECIPE, outer_split=0)


def test_equal_budgets(tmp_path: Path) -> None:
    """Rule 1: the same number of trials, seeds and epochs for each searched method of a task."""
    suite = build_suite(Draft("custom", ("iris/mlp@0",), methods=("erm", "mixup", "kmixup", "placebo")), tmp_path)
    searcher = make_searcher(suite, RunDir(tmp_path))
    trials_by_method: dict[str, list[Trial]] = {}
    while not searcher.finished():
        config = searcher.suggest(name := str(random.random()))
        assert isinstance(config, dict)
        trial: Trial = config["trial"]
        trials_by_method.setdefault(StudyName.parse(trial.study).method, []).append(trial)
        searcher.on_trial_complete(name, ray_result(made_up_rows(suite, trial)))
    searched = {m: [t for t in trials if t.phase == "search"] for m, trials in trials_by_method.items()}
    assert {m: len(trials) for m, trials in searched.items()} == {"erm": 1, "mixup": 16, "kmixup": 16, "placebo": 16}
    assert {trial.seeds for trials in searched.values() for trial in trials} == {
        suite.seeds(suite.studies[0], "search")
    }
    assert {study.task.recipe for study in suite.studies} == {suite.studies[0].task.recipe}


def test_search_never_touches_test_data(tmp_path: Path) -> None:
    """Rule 2: other test data change no row of the search, not even by a bit. They do change the final runs."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 4)).astype(np.float32), rng.integers(0, 3, 300)
    x[np.arange(300), y] += 2
    original, changed = tmp_path / "original", tmp_path / "changed"
    for folder in (original, changed):
        folder.mkdir()
    np.savez(original / "own.npz", x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])
    np.savez(changed / "own.npz", x_train=x[:200], y_train=y[:200], x_test=x[200:] * 1e3, y_test=(y[200:] + 1) % 3)
    task = Task("own", "mlp", RECIPE)

    def rows(folder: Path, phase: str) -> list[Row]:
        data = prepare(task, folder, test=phase == "final")
        trial = Trial("own/mlp/kmixup", 0, phase, {"alpha": 1.0, "k": 4}, (0, 1))  # type: ignore[arg-type]
        return without_clock(train_to_end(task, trial, data))

    assert prepare(task, original, test=False).test is None
    assert rows(original, "search") == rows(changed, "search")
    assert rows(original, "final") != rows(changed, "final")


def test_selection_rule() -> None:
    """Rule 3: the mean validation error after the last epoch, over the search seeds. Test columns do not matter."""
    suite = small_suite()
    study = suite.studies[1]
    rows = [
        row
        for index, alpha in enumerate((0.1, 1.0, 10.0))
        for row in made_up_rows(suite, suite.search_trial(study, index, {"alpha": alpha}))
    ]
    means = {i: np.mean([row.val_error for row in runs]) for i, runs in by_configuration(rows).items()}
    assert ranking(rows, "error")[0] == min(means, key=means.__getitem__)
    scrambled = [dataclasses.replace(row, test_nll=1 - row.val_error, train_loss=0.0) for row in rows]
    assert ranking(scrambled, "error") == ranking(rows, "error")


def test_final_seeds_fresh_and_shared() -> None:
    """Rule 4: final seeds differ from those of the search and the shortlist, and are the same for every method."""
    suite = small_suite()
    for task in {study.task for study in suite.studies}:
        studies = [study for study in suite.studies if study.task == task]
        search = {s for study in studies for s in suite.search_trial(study, 0, {}).seeds}
        search |= {s for study in studies for s in suite.shortlist_trial(study, 0, {}).seeds}
        finals = [{s for trial in suite.final_trials(study, 0, {}, (), 2) for s in trial.seeds} for study in studies]
        assert all(seeds == finals[0] for seeds in finals) and len(finals[0]) == suite.final_seeds
        assert len(search) == suite.search_seeds + suite.shortlist_seeds and not search & finals[0]


def test_no_two_runs_share_a_seed_but_those_of_a_pair() -> None:
    """Rule 10: seeds are hashed from suite seed, task, outer split, phase and number."""
    phases: tuple[Phase, ...] = ("search", "shortlist", "final")
    suites = [small_suite(seed=seed, search_seeds=3, final_seeds=50) for seed in (0, 1)]
    seeds = [
        seed
        for suite in suites
        for study in suite.studies
        if study.method == "erm"
        for phase in phases
        for seed in suite.seeds(study, phase)
    ]
    assert len(set(seeds)) == len(seeds) == 2 * 2 * (3 + 4 + 50)
    assert all(0 <= seed == int(float(seed)) < 2**53 for seed in seeds), "a float holds them exactly"


@pytest.mark.parametrize("values", [{"alpha": 0.5}, {"alpha": 8.0, "k": 8}, {"alpha": 0.5, "k": 16}])
def test_same_seed_same_weights_and_batches(values: dict[str, float]) -> None:
    """Rule 5: initial weights and clean batches depend on the seed alone, not on the method."""
    data = prepare(TASK, Path("nowhere"), test=False)
    erm, other = configuration(RECIPE, {}), configuration(RECIPE, values)
    for erm_weights, other_weights in zip(
        initial_state(TASK, erm, data, [7]).model.parameters(),
        initial_state(TASK, other, data, [7]).model.parameters(),
        strict=True,
    ):
        assert torch.equal(erm_weights, other_weights)
    clean = joined(batches(data, 0.0, RECIPE, [7]))
    mixed = joined(batches(data, values["alpha"], RECIPE, [7]))
    assert torch.equal(clean.rows, mixed.rows) and torch.equal(clean.x, mixed.x)
    assert not torch.equal(clean.rows, joined(batches(data, 0.0, RECIPE, [8])).rows)


def test_outer_splits_are_disjoint() -> None:
    """Rule 6: without an official test set, disjoint folds cover the data, and each has its own search."""
    suite = build_suite(Draft("custom", ("iris/mlp",)), Path("nowhere"))
    assert len({study.name for study in suite.studies}) == 5 * 3
    arrays = load_arrays("iris", Path("nowhere"))
    tests = [split_rows(dataclasses.replace(TASK, outer_split=split), arrays).test for split in range(5)]
    assert sorted(np.concatenate(tests).tolist()) == list(range(150))  # type: ignore[arg-type]


def test_tuned_recipe_values_are_free_for_every_method() -> None:
    """Rule 7: a recipe value that is tuned for one method is tuned for every method, ERM included."""
    for method in METHODS:
        space = methods.make_study(TASK, method, 90, ("lr", "weight_decay")).space
        assert {"lr", "weight_decay"} <= space.keys()
    spaces = [methods.make_study(TASK, method, 90, ("lr",)).space["lr"] for method in METHODS]
    assert all(space == spaces[0] for space in spaces)


def test_pairing_sees_only_the_batches() -> None:
    """Rule 8: the model's only forward pass in a step is the one on the mixed batch."""
    data = prepare(TASK, Path("nowhere"), test=False)
    trial = Trial("iris/mlp@0/kmixup", 0, "search", {"alpha": 1.0, "k": 8}, (0,))
    calls: list[tuple[int, bool]] = []
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, x, y: (
            calls.append((len(x[0]), module.training)) if isinstance(module, torch.nn.Flatten) else None
        )
    )
    try:
        train_to_end(TASK, trial, data)
    finally:
        hook.remove()
    steps = RECIPE.epochs * (len(data.train.y) // RECIPE.batch_size)
    assert calls == [*[(RECIPE.batch_size, True)] * steps, (len(data.val.y), False)], "and one to validate at the end"
    assert list(inspect.signature(pair_runs).parameters) == ["x", "partner", "k", "cost", "solver"], "it gets no model"


def test_partner_is_independent() -> None:
    """Rule 9: the partner batch is drawn independently, so rows are in both batches only by chance."""
    data = prepare(TASK, Path("nowhere"), test=False)
    recipe = dataclasses.replace(RECIPE, epochs=200)
    drawn = joined(batches(data, 1.0, recipe, [0]))
    assert drawn.partner_rows is not None
    steps = zip(drawn.rows, drawn.partner_rows, strict=True)
    shared = np.mean([len(np.intersect1d(rows, partners)) / rows.numel() for rows, partners in steps])
    expected = RECIPE.batch_size / len(data.train.y)
    assert abs(shared - expected) < 0.02, "the overlap is not that of two independent draws"
