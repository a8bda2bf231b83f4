"""The terms that a reader of the report meets first."""

from tune_kmixup.core.config import Claims

from .formats import in_percent


def terms(claims: Claims, level: float) -> dict[str, str]:
    """Term -> what it means.

    Args:
        claims: margin δ.
        level: confidence level of the intervals, between 0 and 1.
    """
    return {
        "task": "A data set, an architecture and a recipe of training: digits-200/mlp trains an MLP on 200 digits.",
        "outer split": "One independent run of the whole procedure: its own training rows, search, selection and "
        "seeds. A fold, a fresh draw, or a repeat with an official test set. It is the unit of every interval.",
        "configuration": "One choice of α, k and whatever else is tuned, trained once per search seed.",
        "final run": "The selected configuration trained with a fresh seed and scored on test rows.",
        "gain": "The reference's error minus the method's, paired by outer split and seed: above 0 is better.",
        "point": "One per cent of the test rows. A gain from 10 % to 9 % is one point, and 10 % of the error.",
        "interval": f"Values of the expected gain that the outer splits agree with, at {in_percent(level)}.",
        "shown": f"The {in_percent(level)} interval lies above 0 (▲), or below for a loss (▼), also after "
        "Holm's correction for the number of tasks. △ and ▽: before correction only.",
        "shown to be small": f"The {in_percent(2 * level - 1)} interval lies within "
        f"± {in_percent(claims.delta)} of ERM's error (≈), also after correction. ∼: before it only. Not known: "
        "neither shown nor shown to be small.",
        "placebo": "mixup with a coordinate that does nothing: what the pipeline finds where there is nothing to find.",
    }
