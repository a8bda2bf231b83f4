"""Suites that have a name: tasks, methods and budgets of one launch."""

from tune_kmixup.study import Draft

SUITES: dict[str, Draft] = {
    # Real data that ship inside scikit-learn, cut to training sizes at which a regulariser can matter.
    "demo": Draft(
        "demo",
        tasks=("digits-200/small_cnn", "breast_cancer-40/mlp", "wine-40/mlp"),
        trials=8,
        search_seeds=2,
        final_seeds=4,
    ),
}
