"""Trainings that are carried to their end, or interrupted."""

from tune_kmixup.core.rows import Row
from tune_kmixup.training.loop import Training


def finish(training: Training) -> list[Row]:
    """Trains to the end. Returns the rows of the runs."""
    while not training.done:
        training.step()
    return training.result()


def through_rungs(training: Training) -> tuple[list[Row], list[Row]]:
    """Trains to the end. Returns the rows at the rungs, and the rows of the runs."""
    rung_rows = []
    while not training.done:
        training.step()
        rung_rows += [training.rung] if training.rung else []
    return rung_rows, training.result()


def interrupt(training: Training, steps: int) -> list[Row]:
    """Stops a training after so many steps. Returns the rows at the rungs on the way."""
    rung_rows = []
    for _ in range(steps):
        training.step()
        rung_rows += [training.rung] if training.rung else []
    training.stop()
    return rung_rows
