"""SUITES: the named suites, each with the tasks, methods and budgets of one launch."""

from dataclasses import replace

from tune_kmixup.core.config import CLAIM_NUMBERS, Claims, Draft

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
    # The results in docs/results/cpu, which take two cores some hours. `report` merges the parts.
    # Toy data sets are drawn 25 times, so two final runs on each draw give 25 independent units.
    "cpu-toys": Draft(
        "cpu-toys",
        tasks=("one_ring/mlp", "four_bars/mlp", "swiss_roll/mlp", "two_spirals/mlp"),
        methods=("erm", "mixup", "kmixup", "placebo"),
        trials=24,
        shortlist=1,
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
        shortlist=1,
        search_seeds=2,
        final_seeds=20,
    ),
    # One search seed is enough: thousands of validation rows tell configurations apart.
    "cpu-images": Draft(
        "cpu-images",
        tasks=("mnist-2000/lenet", "fashion_mnist-2000/lenet"),
        trials=24,
        shortlist=1,
        search_seeds=1,
        final_seeds=20,
    ),
    "cpu-audio": Draft(
        "cpu-audio",
        tasks=("spoken_digits/lenet",),
        trials=24,
        shortlist=1,
        search_seeds=2,
        final_seeds=20,
    ),
}


def judged_together(drafts: dict[str, Draft]) -> dict[str, Draft]:
    """Launches of one comparison: the tasks of all of them can decide every claim."""
    tasks = tuple(task for draft in drafts.values() for task in draft.tasks)
    claims = Claims(families=dict.fromkeys(CLAIM_NUMBERS, tasks))
    return {name: replace(draft, claims=claims) for name, draft in drafts.items()}


SUITES |= judged_together({name: draft for name, draft in SUITES.items() if name.startswith("cpu-")})

# Does the recipe or the sampler favour a method? These suites repeat the comparison with learning rate and weight decay
# tuned for every method, and on three tasks with random search instead of TPE.
LARGE = ("abalone/mlp", "phishing/mlp", "digits/small_cnn")
TUNED = {
    "cpu-small-tuned": replace(
        SUITES["cpu-tables"], tasks=tuple(t for t in SUITES["cpu-tables"].tasks if t not in LARGE)
    ),
    "cpu-large-tuned": replace(SUITES["cpu-tables"], tasks=LARGE),
    "cpu-images-tuned": SUITES["cpu-images"],
    "cpu-toys-tuned": replace(
        SUITES["cpu-toys"], tasks=("swiss_roll/mlp", "two_spirals/mlp")
    ),  # ERM makes errors on these
    "cpu-audio-tuned": SUITES["cpu-audio"],
}
TUNED = {name: replace(draft, name=name, tune=("lr", "weight_decay")) for name, draft in TUNED.items()}
SUITES |= judged_together(TUNED)
SUITES["cpu-random"] = Draft(
    "cpu-random",
    tasks=("breast_cancer-40/mlp", "digits-200/small_cnn", "two_spirals/mlp"),
    trials=24,
    search_seeds=2,
    final_seeds=20,
    sampler="random",
)
