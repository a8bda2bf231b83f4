"""The entries of COSTS in search_spaces/costs.py, from runs that are in this repository. Trains nothing.

    python benchmarks/costs.py

The cost of a task is the median of `seconds` over its runs in one published launch with the recipe of TASKS, or the
seconds of its one run in docs/data.md. Other work on the machine has stretched some launches by a factor of ten or
more, so the smallest of these counts. A table shows how long the published launches took, beside what `plan` says of
them.
"""

import re
from pathlib import Path

import pandas as pd

from benchmarks.timing import print_header, print_row
from search_spaces.tasks import TASKS
from tune_kmixup.analysis.load import read_launches
from tune_kmixup.planning.costs import task_seconds

DOCS = Path(__file__).parent.parent / "docs"
# Of the table of tasks in docs/data.md; the last column is the time, where it was measured.
DATA_ROW = re.compile(r"^\| (\S+) \|.*\| ([\d.]+) \|$", re.MULTILINE)


def published_costs(folder: Path) -> dict[str, float]:
    """Task -> median seconds of a run on a CPU, from the rows of one report."""
    rows = pd.read_parquet(folder / "results.parquet")
    costs = {}
    for name, runs in rows[(rows["device"] == "cpu") & (rows["status"] != "stopped")].groupby("task"):
        recipe = TASKS[str(name)][0].recipe
        runs = runs[(runs["epochs"] == recipe.epochs) & (runs["batch_size"] == recipe.batch_size)]
        if len(runs):
            costs[str(name)] = float(runs["seconds"].median())
    return costs


def costs() -> dict[str, tuple[float, str]]:
    """Task -> seconds, and where they come from, in the order of TASKS."""
    page = {match[1]: float(match[2]) for match in DATA_ROW.finditer((DOCS / "data.md").read_text())}
    best = {name: (seconds, "data.md") for name, seconds in page.items() if name in TASKS}
    for path in sorted((DOCS / "results").rglob("results.parquet")):
        if path.parent.name.startswith("sensitivity-"):
            continue  # another number of validation rows, or another range
        source = path.parent.relative_to(DOCS / "results").as_posix()
        for name, seconds in published_costs(path.parent).items():
            best[name] = min(best.get(name, (seconds, source)), (seconds, source))
    return {name: best[name] for name in TASKS if name in best}


def print_launches() -> None:
    """How long each published launch took, beside what `plan` says of it."""
    print_header("published launch", "runs", "plan says, h", "took, h", "took / plan says")
    for path in sorted((DOCS / "results").rglob("results.parquet")):
        rows = pd.read_parquet(path)
        for suite in (launch.suite for launch in read_launches(path.parent)):
            estimates = task_seconds(suite, DOCS).values()
            estimate = sum(seconds for seconds in estimates if seconds is not None) / 3600
            runs = rows[rows["suite"] == suite.name]
            took = runs["seconds"].sum() / 3600
            if estimate and None not in estimates:
                name = suite.name if suite.name != "custom" else path.parent.name
                print_row(name, len(runs), f"{estimate:.2f}", f"{took:.2f}", f"{took / estimate:.1f}")


if __name__ == "__main__":
    for name, (seconds, source) in costs().items():
        print(f'    "{name}": {float(f"{seconds:.2g}"):g},  # {source}')
    print()
    print_launches()
