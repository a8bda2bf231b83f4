"""Why do the gains come out as they do? Reads rows of results.parquet with pandas, and prints three Markdown tables.

python examples/read_results.py [results.parquet ...]     # without: the published comparison in docs/results/comparison

A perturbation is the expected squared displacement of a training row, here as a share of the mean squared distance of
two rows of two batches, which mixup's random pairs have. At λ = 1/2 throughout it would be 25 % for mixup.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from tune_kmixup.analysis.report.formats import format_estimate
from tune_kmixup.analysis.stats import t_interval

COMPARISON = Path(__file__).parent.parent / "docs" / "results" / "comparison"
METHODS = ["mixup", "kmixup"]
REPEAT = ["task", "outer_split", "method"]
BANDS = {"to 1 %": (0, 0.01), "1 to 10 %": (0.01, 0.1), "above 10 %": (0.1, np.inf)}


def print_table(*columns: str) -> None:
    print("| " + " | ".join(columns) + " |\n|" + len(columns) * " --- |")


rows = pd.concat([pd.read_parquet(path) for path in sys.argv[1:] or sorted(COMPARISON.glob("*/results.parquet"))])
apart = rows[rows["method"] == "mixup"].groupby("task")["matched_distance"].median()
rows["perturbation"] = rows["perturbation"] / rows["task"].map(apart)
rows["steps"] = np.ceil(rows["train_rows"] / rows["batch_size"]) * rows["epochs"]
columns = ["alpha", "k", "perturbation", "cross_class_share", "train_loss", "steps"]
selected = rows[rows["selected"]].groupby(REPEAT)[columns].mean().unstack()  # means over final seeds
medians = selected.groupby("task").median()

print("What was selected: medians over repeats, and the repeats in which k-mixup perturbs more.\n")
print_table("task", "α, mixup", "α, k-mixup", "k", "perturbation, mixup, %", "k-mixup, %", "k-mixup's is larger in")
for task, value in medians.iterrows():
    alpha, strength = ([value[column, method] for method in METHODS] for column in ("alpha", "perturbation"))
    repeats = selected.loc[task, "perturbation"]
    larger = f"{sum(repeats['kmixup'] > repeats['mixup'])} of {len(repeats)}"
    cells = [f"{alpha[0]:.2g}", f"{alpha[1]:.2g}", f"{value['k', 'kmixup']:g}", *(f"{100 * s:.2g}" for s in strength)]
    print("| " + " | ".join([str(task), *cells, larger]) + " |")

print("\nWhat it trained on: pairs of two classes, and the loss of the last epoch on mixed rows, in nats.\n")
print_table("task", "steps", "pairs of two classes, mixup, %", "k-mixup, %", "loss, ERM", "mixup", "k-mixup")
for task, value in medians.iterrows():
    pairs = [f"{100 * value['cross_class_share', method]:.0f}" for method in METHODS]
    losses = [f"{value['train_loss', method]:.2g}" for method in ("erm", *METHODS)]
    print("| " + " | ".join([str(task), f"{value['steps', 'erm']:.0f}", *pairs, *losses]) + " |")

print("\nAt equal perturbation: k-mixup's gain over mixup in validation error, between the medians of a repeat's")
print("searched configurations in a band of perturbation; points, mean over repeats.\n")
print_table("task", *BANDS)
search = rows[(rows["phase"] == "search") & rows["method"].isin(METHODS)]
for task in medians.index:
    cells = []
    for low, high in BANDS.values():
        inside = search[(search["task"] == task) & (search["perturbation"] > low) & (search["perturbation"] <= high)]
        errors = inside.groupby(REPEAT)["val_error"].median().unstack()
        cells.append(format_estimate(t_interval((errors["mixup"] - errors["kmixup"]).dropna()), signed=True))
    print("| " + " | ".join([task, *cells]) + " |")
