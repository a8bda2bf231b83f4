"""SUITES: the named suites, each with the tasks, methods and budgets of one launch."""

from search_spaces.comparison import COMPARISON, SENSITIVITY
from tune_kmixup.core.config import Draft

SUITES: dict[str, Draft] = {
    # Wrong labels are where few runs show what mixup does. The same images with correct labels stand beside them.
    "demo": Draft(
        "demo",
        tasks=("digits-200-noise0.2/mlp", "digits-200/mlp"),
        repeats=4,
        trials=4,
        sampler="qmc",  # spreads so few configurations evenly
        search_seeds=1,
        shortlist=2,
        final_seeds=4,
    ),
    **COMPARISON,
    **SENSITIVITY,
}
