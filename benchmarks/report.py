"""Seconds and memory of a full report by the number of rows, on made-up runs.

    python benchmarks/report.py [--rows 1000 10000 100000] [--quick]

Twenty tasks of five outer splits, three methods. Nothing is trained: the rows are drawn from a table of effects.
"""

import argparse
import platform
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tune_kmixup.analysis.load import TABLE_COLUMNS, Runs
from tune_kmixup.analysis.report.render import write
from tune_kmixup.core.rows import Bin

EFFECTS = {"erm": 0.0, "mixup": 0.01, "kmixup": 0.015}


def made_up(
    rng: np.random.Generator,
    effects: Mapping[str, float] = EFFECTS,
    tasks: Sequence[str] = ("a/mlp", "b/mlp", "c/lenet"),
    splits: int = 5,
    trials: int = 8,
    seeds: int = 4,
    search_seeds: int = 2,
) -> pd.DataFrame:
    """Rows as `analysis.load` returns them.

    Tasks and splits have effects of their own on the error, and so on the gain. Final runs of a seed share their noise.

    Args:
        rng: source of all randomness.
        effects: method -> by how much it lowers the expected test error.
        tasks: names of the tasks.
        splits: outer splits of each task; 1: an official test set.
        trials: configurations of each searched method.
        seeds: final runs of each method.
        search_seeds: runs of each configuration.
    """
    parts = []
    for number, task in enumerate(tasks):
        for split in range(splits) if splits > 1 else [None]:
            level = 0.1 + 0.01 * (number % 10) + 0.02 * rng.normal()
            shared = 0.005 * rng.normal(size=seeds)
            for method, effect in effects.items():
                searched = (trials if method != "erm" else 1) * search_seeds
                count = searched + seeds
                final = np.arange(count) >= searched
                columns: dict[str, Any] = {"phase": np.where(final, "final", "search")}
                columns["trial"] = trial = np.where(final, 0, np.arange(count) // search_seeds)
                columns["seed"] = np.where(final, 1_000_000 + np.arange(count) - searched, np.arange(count) % 2)
                columns["alpha"] = 0.0 if method == "erm" else 10 ** rng.uniform(-2, 1.8, count)[trial]
                columns["k"] = 2 ** rng.integers(1, 6, count)[trial] if method == "kmixup" else 1
                gain = effect * (1 + 0.3 * rng.normal())
                error = level - gain + 0.004 * rng.normal(size=count) + np.where(final, 0, 0.02 * rng.random(count))
                error[final] += shared
                columns["val_error"] = error = error.clip(0, 1)
                columns["test_error"] = np.where(final, error, np.nan)
                columns |= {"task": task, "outer_split": split, "method": method, "selected": final}
                parts.append({name: np.broadcast_to(values, count) for name, values in columns.items()})
    # One table from whole columns: a table per part takes ten times as long.
    rows = pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    rows = rows.reindex(columns=[*TABLE_COLUMNS])
    return with_other_columns(rows, rng)


def with_other_columns(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Adds the other columns: functions of the error, or constants."""
    error, final = rows["val_error"], rows["phase"] == "final"
    rows = rows.assign(
        suite="made-up",
        epochs=10,
        status="ok",
        device="cpu",
        machine="none",
        code="none",
        versions="none",
        val_nll=3 * error,
    )
    for name in [name for name, it in TABLE_COLUMNS.items() if name.startswith("test_") and it.allowed.type == "float"]:
        rows[name] = rows[name].where(rows[name].notna(), (error * rng.uniform(1, 2)).where(final))
    bins = (Bin(50, 0.6, 0.55), Bin(150, 0.95, 0.9))
    for name, values in {
        "test_reliability": [bins if found else None for found in final],
        "test_error_by_class": [(found, 0.1) if found == found else None for found in error.where(final)],
        "rungs": [()] * len(rows),
        "loaded": [()] * len(rows),
        "train_loss_by_epoch": [None] * len(rows),
        "val_error_by_epoch": [None] * len(rows),
    }.items():
        rows[name] = pd.Series(values, dtype=object, index=rows.index)
    rows["matched_distance"] = (10 / rows["k"] ** 0.5).where(rows["alpha"] > 0)
    rows["perturbation"] = (rows["alpha"] / (1 + 4 * rows["alpha"]) * rows["matched_distance"]).fillna(0.0)
    rows["seconds"], rows["pairing_seconds"] = 1 + rng.random(len(rows)), 0.01 * (rows["k"] > 1)
    rows["outer_split"] = rows["outer_split"].astype("Int64")
    rows["dataset"], rows["architecture"] = rows["task"].str.split("/").str[0], rows["task"].str.split("/").str[1]
    return rows


def measure(rows: int) -> None:
    tasks = [f"task{number:02d}/mlp" for number in range(20)]
    trials = max(2, (rows // 100 - 3 * 20 - 2) // 4)  # 100 splits; two searched methods, two seeds; 20 final runs
    table = made_up(np.random.default_rng(0), tasks=tasks, trials=trials, seeds=20)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        write(Runs(table), Path(folder))
        size = (Path(folder) / "report.html").stat().st_size
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"| {len(table):,} | {seconds:.1f} | {peak:.2f} | {size / 2**20:.1f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--quick", action="store_true", help="the fewest rows only")
    options = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}\n")
    print("| rows | seconds | peak memory so far, GiB | report.html, MiB |\n| --- | --- | --- | --- |")
    for count in [1_000] if options.quick else options.rows:
        measure(count)
