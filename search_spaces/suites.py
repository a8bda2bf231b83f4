"""SUITES: the named suites, each with the tasks, methods and budgets of one launch."""

from search_spaces.comparison import COMPARISON, SENSITIVITY
from tune_kmixup.core.config import Draft

SUITES: dict[str, Draft] = {
    # Real data sets of scikit-learn, cut to training sizes at which a regulariser can matter.
    "demo": Draft(
        "demo",
        tasks=("digits-200/small_cnn", "breast_cancer-40/mlp", "wine-40/mlp"),
        trials=6,
        search_seeds=1,
        shortlist=2,
        final_seeds=4,
    ),
    **COMPARISON,
    **SENSITIVITY,
}
