"""Answers two questions that the report leaves open, from the published rows in docs/results/cpu/results.parquet.

python examples/read_results.py [results.parquet]
"""

import sys

import pandas as pd

rows = pd.read_parquet(sys.argv[1] if len(sys.argv) > 1 else "docs/results/cpu/results.parquet")
final = rows[rows["selected"]]

print(
    "Does k-mixup use its shorter distances to mix more, or does it perturb less? Selected configurations, medians:\n"
)
mixing = final[final["method"].isin(["mixup", "kmixup"])]
table = mixing.pivot_table(
    index="task", columns="method", values=["alpha", "perturbation"], aggfunc="median", sort=False
)
print(table.round(3).to_string())

print("\nWould any fixed α have done as well as tuning it? Validation error, %, of mixup's searched configurations:\n")
search = rows[(rows["phase"] == "search") & (rows["method"] == "mixup")]
band = pd.cut(search["alpha"], [0, 0.1, 1, 10, 100], labels=["α ≤ 0.1", "0.1 to 1", "1 to 10", "above 10"])
means = 100 * search.pivot_table(index="task", columns=band, values="val_error", observed=True, sort=False)
means = means[band.cat.categories]
means["tuned, fresh seeds"] = 100 * final[final["method"] == "mixup"].groupby("task")["val_error"].mean()
print(means.round(2).to_string())
