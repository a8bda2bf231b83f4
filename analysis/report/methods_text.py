"""`methods.md`: how the comparison was made, filled in from the suites, ready for a paper."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tune_kmixup.core.config import Recipe, Suite, Task

from .. import gains
from .tables import method_label

SAMPLERS = {
    "tpe": "the tree-structured Parzen estimator [6]",
    "random": "random search",
    "qmc": "a scrambled Sobol sequence",
    "gp": "a Gaussian process",
    "grid": "a grid of evenly spaced levels",
}

REFERENCES = """\
1. Zhang, Cisse, Dauphin, Lopez-Paz. mixup: Beyond Empirical Risk Minimization. ICLR 2018. arXiv 1710.09412.
2. Greenewald, Gu, Yurochkin, Solomon, Chien. k-Mixup Regularization for Deep Learning via Optimal Transport. 2021.
   arXiv 2106.02933.
3. Akiba, Sano, Yanase, Ohta, Koyama. Optuna: A Next-generation Hyperparameter Optimization Framework. KDD 2019.
4. Liaw, Liang, Nishihara, Moritz, Gonzalez, Stoica. Tune: A Research Platform for Distributed Model Selection and
   Training. 2018. arXiv 1807.05118.
5. Loshchilov, Hutter. SGDR: Stochastic Gradient Descent with Warm Restarts. ICLR 2017. arXiv 1608.03983.
6. Bergstra, Bardenet, Bengio, Kégl. Algorithms for Hyper-Parameter Optimization. NeurIPS 2011.
7. Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht, Talwalkar. A System for Massively Parallel
   Hyperparameter Tuning. MLSys 2020. arXiv 1810.05934.
"""


def text(suites: Sequence[Suite], rows: pd.DataFrame, level: float) -> str:
    """Markdown: how it was made, the recipes, the references."""
    recipes = "\n".join(f"- {line}" for line in training(suites))
    parts = ["# Methods", *paragraphs(suites, rows, level), "## Training", recipes, "## References", REFERENCES]
    return "\n\n".join(parts)


def paragraphs(suites: Sequence[Suite], rows: pd.DataFrame, level: float) -> list[str]:
    """One per suite, and one on the estimates."""
    early = rows.loc[rows["status"] == "stopped", "suite"].value_counts()
    return [
        *(suite_paragraph(suite, int(early.get(suite.name, 0))) for suite in suites),
        estimates_paragraph(rows, level),
    ]


def training(suites: Sequence[Suite]) -> list[str]:
    """One line per task: its recipe."""
    tasks = {study.task.base: study.task for suite in suites for study in suite.studies}
    return [f"{task}: {recipe(found)}" for task, found in tasks.items()]


def suite_paragraph(suite: Suite, early: int = 0) -> str:
    """`early`: configurations that were stopped early."""
    tasks = list(dict.fromkeys(study.task.base for study in suite.studies))
    methods = list(dict.fromkeys(study.method for study in suite.studies))
    spaces = {m: [s.space for s in suite.studies if s.method == m] for m in methods}
    searched = [m for m in methods if spaces[m][0]]
    fixed = ", ".join(method_label(m) for m in methods if not spaces[m][0])
    split = {study.task.base for study in suite.studies if study.task.outer_split is not None}
    parts = [
        f"We compared {', '.join(method_label(m) for m in methods)} (mixup [1], k-mixup [2]) on {plural(len(tasks), 'task')}: "
        f"{', '.join(tasks)}."
    ]
    if split:
        parts.append(f"{plural(len(split), 'task')} had several outer splits, with disjoint or fresh test rows.")
    if searched:
        by = "handed out by" if suite.sampler in ("qmc", "grid") else "as implemented in"  # those are the suite's own
        parts.append(
            f"For each task, method and outer split, {SAMPLERS[suite.sampler]} {by} Optuna [3] and run by "
            f"Ray Tune [4] proposed {suite.trials} configurations of "
            f"{'; '.join(f'{method_label(m)}: {free(spaces[m])}' for m in searched)}. Each was trained with "
            f"{plural(suite.search_seeds, 'seed')}, and the one of least validation error after the last epoch, "
            "averaged over seeds, was selected; ties went to the lower negative log-likelihood, then to the milder "
            "regulariser."
        )
    if searched and suite.scheduler == "asha":
        parts.append(
            f"Asynchronous successive halving [7] stopped {plural(early, 'configuration')} early, which could not be "
            "selected: after a ninth and a third of the epochs, a configuration went on if the validation error of "
            "its first seed was among the best third of those there so far, or tied with them."
        )
    if fixed:
        parts.append(f"{fixed} had nothing to be searched.")
    parts.append(
        f"The selected configuration was then trained afresh with {plural(suite.final_seeds, 'seed')} that no search "
        "had used, the same for every method; equal seeds share initial weights and the order of clean batches, so "
        "gains are paired. Search runs were not given the test rows."
    )
    return " ".join(parts)


def free(spaces: Sequence[Mapping[str, Mapping[str, Any]]]) -> str:
    """The free coordinates of a method and their ranges over its studies, from Optuna's JSON form."""
    return ", ".join(coordinate(key, [space[key]["attributes"] for space in spaces]) for key in spaces[0])


def coordinate(key: str, ranges: Sequence[Mapping[str, Any]]) -> str:
    if "choices" in ranges[0]:
        return f"{key} in {{{', '.join(map(str, ranges[0]['choices']))}}}"
    low, high = min(found["low"] for found in ranges), max(found["high"] for found in ranges)
    if key == "log2_k":
        least = min(found["high"] for found in ranges)
        upper = f"{2**high}" if least == high else f"{2**least} to {2**high}, by task"
        return f"k in powers of two from {2**low} to {upper}"
    symbol = {"alpha": "α"}.get(key, key.replace("_", " "))
    return f"{symbol} {'log-' if ranges[0].get('log') else ''}uniform on [{low:g}, {high:g}]"


def estimates_paragraph(rows: pd.DataFrame, level: float) -> str:
    splits = {task: rows.loc[rows["task"] == task, "outer_split"].nunique() for task in gains.tasks(rows)}
    several = [task for task, count in splits.items() if count > 1]
    unit = "over the means of its outer splits" if several else "over seeds on its one split"
    if several and len(several) < len(splits):
        unit += " where it has several, else over seeds on its one split (the estimand is then that split's)"
    return (
        f"Gains are differences of test error, paired by outer split and seed. For each task we report the mean with "
        f"Student's t interval at {level:.0%} {unit}. Intervals are per task and not corrected for their number. "
        "Errors count every prediction that is not finite as wrong."
    )


def recipe(task: Task) -> str:
    r: Recipe = task.recipe
    parts = [r.optimizer + (f" with momentum {r.momentum:g}" if r.optimizer == "sgd" else "")]
    parts.append(f"learning rate {r.lr:g} falling to zero along a cosine [5]")
    if r.warmup_epochs:
        parts.append(f"{plural(r.warmup_epochs, 'epoch')} of warm-up")
    parts.append(f"weight decay {r.weight_decay:g}")
    parts.append(f"{plural(r.epochs, 'epoch')} of batches of {r.batch_size}")
    if r.augment != "none":
        parts.append(f"augmentation {r.augment.replace('_', ' and ')}")
    if r.precision != "float32":
        parts.append(r.precision)
    return ", ".join(parts) + f" (source: {r.source or 'not given'})"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
