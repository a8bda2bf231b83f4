"""Is mixup with a vanishing α the same training as ERM?  python examples/limit_of_mixup.py [data sets]

As α falls to zero, λ ~ Beta(α, α) becomes a coin toss between the batch and the partner batch. Nothing is mixed then,
but the partner batch comes from an order of its own. So an epoch sees a row twice, once or not at all. If λ is folded
to at least one half, the batch stays as it is, and an epoch sees every row once, as in ERM. Nothing here is tuned.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tune_kmixup.analysis.report.tables import format_estimate
from tune_kmixup.analysis.stats import t_interval
from tune_kmixup.core.config import Trial
from tune_kmixup.data.prepare import prepare
from tune_kmixup.mixing.step import sample_lambda
from tune_kmixup.planning.suite import resolve_tasks
from tune_kmixup.training import batches
from tune_kmixup.training.loop import train_to_end


def sample_folded_lambda(alpha, size, generator):
    lam = sample_lambda(alpha, size, generator)
    return lam.maximum(1 - lam)


torch.set_num_threads(1)
errors = {}
for task in resolve_tasks("two_spirals/mlp")[: int(sys.argv[1]) if len(sys.argv) > 1 else None]:  # 25, two seeds each
    data = prepare(task, Path(), test=True)
    for label, alpha, draw in (
        ("ERM", 0.0, sample_lambda),
        ("mixup, α = 0.0001", 1e-4, sample_lambda),
        ("mixup, α = 0.0001, λ ≥ 1/2", 1e-4, sample_folded_lambda),
        ("mixup, α = 0.1", 0.1, sample_lambda),
        ("mixup, α = 0.1, λ ≥ 1/2", 0.1, sample_folded_lambda),
    ):
        batches.sample_lambda = draw
        rows = train_to_end(task, Trial("limit", 0, "final", {"alpha": alpha}, (1_000_000, 1_000_001), True), data)
        errors.setdefault(label, []).append(np.mean([row.test_error for row in rows]))
table = pd.DataFrame(errors)
for label, test_errors in table.items():
    gain = format_estimate(t_interval(table["ERM"] - test_errors), signed=True)
    print(f"{label:28} test error {100 * test_errors.mean():.2f} %, gain over ERM {gain}")
