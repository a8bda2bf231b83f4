"""TASKS: data set + architecture + recipe, each with all its outer splits."""

from dataclasses import replace

from tune_kmixup.study import Recipe, Task

TABLE = Recipe(epochs=100, batch_size=50, lr=2e-3, weight_decay=1e-4, optimizer="adamw", source="ours")
TINY = replace(TABLE, batch_size=40)
SMALL = Recipe(epochs=50, batch_size=50, lr=2e-3, weight_decay=1e-4, optimizer="adamw", source="ours")
TOY = replace(TABLE, epochs=200)


def every(
    splits: int | None, dataset: str, architecture: str, recipe: Recipe, train_size: int | None = None
) -> dict[str, tuple[Task, ...]]:
    """One entry of TASKS: a task per outer split, or a single one where the test set is official (None)."""
    numbers: list[int | None] = [None] if splits is None else list(range(splits))
    tasks = tuple(Task(dataset, architecture, recipe, train_size, number) for number in numbers)
    return {tasks[0].base: tasks}


TASKS: dict[str, tuple[Task, ...]] = {
    **every(25, "one_ring", "mlp", TOY),
    **every(25, "four_bars", "mlp", TOY),
    **every(25, "swiss_roll", "mlp", TOY),
    **every(25, "two_spirals", "mlp", TOY),
    **every(5, "iris", "mlp", TABLE),
    **every(5, "wine", "mlp", TABLE),
    **every(5, "wine", "mlp", TINY, 40),
    **every(5, "breast_cancer", "mlp", TABLE),
    **every(5, "breast_cancer", "mlp", TINY, 40),
    **every(5, "digits", "small_cnn", SMALL, 200),
    **every(5, "digits", "small_cnn", SMALL),
}
