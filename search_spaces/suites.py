"""Suites that have a name: tasks, methods and budgets of one launch."""

from dataclasses import replace

from tune_kmixup.core.config import Draft

SUITES: dict[str, Draft] = {
    # Real data that ship inside scikit-learn, cut to training sizes at which a regulariser can matter.
    "demo": Draft(
        "demo",
        tasks=("digits-200/small_cnn", "breast_cancer-40/mlp", "wine-40/mlp"),
        trials=6,
        search_seeds=2,
        final_seeds=4,
    ),
    # What two cores can carry in some hours: `docs/results/cpu`. In parts, which `report` merges.
    # Toy sets are drawn afresh 25 times, so two final runs on each make 25 independent units.
    "cpu-toys": Draft(
        "cpu-toys",
        tasks=("one_ring/mlp", "four_bars/mlp", "swiss_roll/mlp", "two_spirals/mlp"),
        methods=("erm", "mixup", "kmixup", "placebo"),
        trials=24,
        search_seeds=1,
        final_seeds=2,
    ),
    "cpu-tables": Draft(
        "cpu-tables",
        tasks=(
            *("iris/mlp", "wine/mlp", "wine-40/mlp", "breast_cancer/mlp", "breast_cancer-40/mlp", "abalone/mlp"),
            *("abalone-300/mlp", "phishing/mlp", "phishing-300/mlp", "digits/small_cnn", "digits-200/small_cnn"),
        ),
        trials=24,
        search_seeds=2,
        final_seeds=20,
    ),
    # One search seed: their thousands of validation rows tell configurations apart.
    "cpu-images": Draft(
        "cpu-images",
        tasks=("mnist-2000/lenet", "fashion_mnist-2000/lenet"),
        trials=24,
        search_seeds=1,
        final_seeds=20,
    ),
    "cpu-audio": Draft(
        "cpu-audio",
        tasks=("spoken_digits/lenet",),
        trials=24,
        search_seeds=2,
        final_seeds=20,
    ),
}

# The same again with learning rate and weight decay tuned for every method, and with random search in place of TPE on
# three tasks: does the recipe, or the engine, tilt the comparison? The smaller tables first.
LARGE = ("abalone/mlp", "phishing/mlp", "digits/small_cnn")
TUNED = {
    "cpu-small-tuned": replace(
        SUITES["cpu-tables"], tasks=tuple(t for t in SUITES["cpu-tables"].tasks if t not in LARGE)
    ),
    "cpu-large-tuned": replace(SUITES["cpu-tables"], tasks=LARGE),
    "cpu-images-tuned": SUITES["cpu-images"],
    "cpu-toys-tuned": replace(SUITES["cpu-toys"], tasks=("swiss_roll/mlp", "two_spirals/mlp")),  # ERM errs on these
    "cpu-audio-tuned": SUITES["cpu-audio"],
}
SUITES |= {name: replace(draft, name=name, tune=("lr", "weight_decay")) for name, draft in TUNED.items()}
SUITES["cpu-random"] = Draft(
    "cpu-random",
    tasks=("breast_cancer-40/mlp", "digits-200/small_cnn", "two_spirals/mlp"),
    trials=24,
    search_seeds=2,
    final_seeds=20,
    sampler="random",
)
