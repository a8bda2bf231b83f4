"""The script that one would write without this suite: Ray Tune, Optuna, one seed per trial, a DataLoader.

    python benchmarks/plain_tune.py --out RUNS.json [--trials 8] [--search-seeds 5] [--final-seeds 20]

Two tasks, three methods, one study after another. Each study is a search in which Ray's Repeater repeats every
configuration over its seeds, then final trials of the best one. Networks, data, recipes and pairing are the suite's, so
that only the organisation of the runs differs. Writes the number of runs to `--out`. `benchmarks/throughput.py` times
this script.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

import ray
from ray import tune
from ray.tune.search import Repeater
from ray.tune.search.optuna import OptunaSearch

from search_spaces.tasks import TASKS
from tune_kmixup import mix, mixed_cross_entropy, pair, sample_lambda
from tune_kmixup.data.prepare import prepare
from tune_kmixup.models.architectures import ARCHITECTURES

TASKS_TUNED = ("breast_cancer/mlp", "digits/small_cnn")
SPACES = {
    "erm": {},
    "mixup": {"alpha": tune.loguniform(0.01, 64)},
    "kmixup": {"alpha": tune.loguniform(0.01, 64), "k": tune.choice([2, 4, 8, 16, 32])},
}


def train(config: dict) -> None:
    """Trains one network, and reports its validation and test error at the end."""
    import torch  # here, as in Ray's guides: Ray sends the function to its worker by value
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset

    torch.set_num_threads(1)
    task = TASKS[config["task"]][0]
    parts = prepare(task, Path("nowhere"), test=True)
    recipe, alpha, k = task.recipe, config.get("alpha", 0.0), int(config.get("k", 1))
    torch.manual_seed(config.get("seed", config.get("__trial_index__", 0)))
    generator = torch.Generator().manual_seed(torch.initial_seed())
    rows = TensorDataset(parts.inputs(parts.train.x), parts.train.y)
    loaders = [DataLoader(rows, recipe.batch_size, shuffle=True, drop_last=True) for _ in range(1 + (alpha > 0))]
    model = ARCHITECTURES[task.architecture](parts.shape, parts.classes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs * len(loaders[0]))
    for _ in range(recipe.epochs):
        for batches in zip(*loaders, strict=True):
            x, y = batches[0]
            if alpha > 0:
                other, y_other = batches[1]
                lam = float(sample_lambda(alpha, 1, generator))
                sigma = pair(x, other, k)
                loss = mixed_cross_entropy(model(mix(x, other[sigma], lam)), y, y_other[sigma], lam)
            else:
                loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        errors = {
            name: (model(parts.inputs(part.x)).argmax(1) != part.y).float().mean().item()
            for name, part in (("val_error", parts.val), ("test_error", parts.test))
        }
    tune.report(errors)


def run_study(task: str, space: dict, trials: int, search_seeds: int, final_seeds: int) -> list[float]:
    """Searches, trains the best configuration with fresh seeds, and returns the test errors of those final runs."""
    best = {}
    if space:
        searcher = Repeater(OptunaSearch(metric="val_error", mode="min"), repeat=search_seeds)
        config = tune.TuneConfig(
            metric="val_error",
            mode="min",
            num_samples=trials * search_seeds,
            search_alg=searcher,
        )
        runs = tune.Tuner(train, param_space={"task": task, **space}, tune_config=config).fit().get_dataframe()
        columns = [f"config/{name}" for name in space]
        chosen = runs.groupby(columns)["val_error"].mean().idxmin()
        best = dict(zip(space, chosen if isinstance(chosen, tuple) else (chosen,), strict=True))
    else:
        tune.Tuner(train, param_space={"task": task, "seed": tune.grid_search(list(range(search_seeds)))}).fit()
    seeds = tune.grid_search(list(range(1000, 1000 + final_seeds)))
    runs = tune.Tuner(train, param_space={"task": task, **best, "seed": seeds}).fit().get_dataframe()
    return list(runs["test_error"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=TASKS_TUNED)
    for name, default in (("trials", 8), ("search-seeds", 5), ("final-seeds", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level="error")
    budget = (options.trials, options.search_seeds, options.final_seeds)
    errors = {
        f"{task}/{method}": run_study(task, space, *budget)
        for task in options.tasks
        for method, space in SPACES.items()
    }
    for name, test_errors in errors.items():
        print(f"{name}: test error {100 * sum(test_errors) / len(test_errors):.2f} %")
    search_runs = len(options.tasks) * options.search_seeds * (1 + 2 * options.trials)
    options.out.write_text(json.dumps(search_runs + sum(map(len, errors.values()))))
