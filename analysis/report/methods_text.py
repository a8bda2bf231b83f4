"""`methods.md`: how the comparison was made, as text for a paper, from the suites."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from tune_kmixup.core.config import Recipe, Study, Suite
from tune_kmixup.core.coordinates import LOG2_K, shown, symbol
from tune_kmixup.core.selection import SELECTED_BY
from tune_kmixup.core.space import Distribution, Numbers
from tune_kmixup.core.text import plural

from .. import gains
from ..load import study_names
from .formats import escape_markdown, format_range, in_percent, method_label

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

BIBLIOGRAPHY = """\
@inproceedings{ref1, title = {mixup: Beyond Empirical Risk Minimization}, booktitle = {ICLR}, year = {2018},
  author = {Zhang, Hongyi and Cisse, Moustapha and Dauphin, Yann N. and Lopez-Paz, David}, note = {arXiv 1710.09412}}
@misc{ref2, title = {k-Mixup Regularization for Deep Learning via Optimal Transport}, year = {2021},
  author = {Greenewald, Kristjan and Gu, Anming and Yurochkin, Mikhail and Solomon, Justin and Chien, Edward},
  note = {arXiv 2106.02933}}
@inproceedings{ref3, title = {Optuna: A Next-generation Hyperparameter Optimization Framework}, booktitle = {KDD},
  year = {2019}, author = {Akiba, Takuya and Sano, Shotaro and Yanase, Toshihiko and Ohta, Takeru and Koyama, Masanori}}
@misc{ref4, title = {Tune: A Research Platform for Distributed Model Selection and Training}, year = {2018},
  author = {Liaw, Richard and Liang, Eric and Nishihara, Robert and Moritz, Philipp and Gonzalez, Joseph E. and Stoica,
  Ion}, note = {arXiv 1807.05118}}
@inproceedings{ref5, title = {{SGDR}: Stochastic Gradient Descent with Warm Restarts}, booktitle = {ICLR},
  year = {2017}, author = {Loshchilov, Ilya and Hutter, Frank}, note = {arXiv 1608.03983}}
@inproceedings{ref6, title = {Algorithms for Hyper-Parameter Optimization}, booktitle = {NeurIPS}, year = {2011},
  author = {Bergstra, James and Bardenet, R{\\'e}mi and Bengio, Yoshua and K{\\'e}gl, Bal{\\'a}zs}}
@inproceedings{ref7, title = {A System for Massively Parallel Hyperparameter Tuning}, booktitle = {MLSys},
  year = {2020}, author = {Li, Liam and Jamieson, Kevin and Rostamizadeh, Afshin and Gonina, Ekaterina and Ben-tzur,
  Jonathan and Hardt, Moritz and Recht, Benjamin and Talwalkar, Ameet}, note = {arXiv 1810.05934}}
"""


def markdown(suites: Sequence[Suite], rows: pd.DataFrame, level: float) -> str:
    """The content of `methods.md`.

    Args:
        suites: what was run.
        rows: runs, as in `load.Runs`.
        level: confidence level of the intervals, between 0 and 1.
    """
    lines = (f"{name}: {recipe}" for name, recipe in recipes(suites).items())
    parts = [
        "# Methods",
        *map(escape_markdown, paragraphs(suites, rows, level)),
        "## Training",
        "\n".join(f"- {escape_markdown(line)}" for line in lines),
        "## References",
        REFERENCES,
    ]
    return "\n\n".join(parts)


def paragraphs(suites: Sequence[Suite], rows: pd.DataFrame, level: float) -> list[str]:
    """One paragraph per suite, and one on the estimates."""
    names = study_names(rows[rows["status"] == "stopped"])
    studies = [{study.name for study in suite.studies} for suite in suites]
    counts = [sum(name in own for name in names) for own in studies]
    return [*map(suite_paragraph, suites, counts), estimates_paragraph(rows, level)]


def recipes(suites: Sequence[Suite]) -> dict[str, str]:
    """Task -> its recipe in words."""
    by_task = {task: studies for suite in suites for task, studies in suite.studies_by_task().items()}
    return {name: recipe_text(studies) for name, studies in by_task.items()}


def suite_paragraph(suite: Suite, stopped: int = 0) -> str:
    """How a suite was run.

    Args:
        suite: what was run.
        stopped: number of configurations that were stopped early.
    """
    final = (
        f"The selected configuration was then trained again with {plural(suite.final_seeds, 'seed')} that no search "
        "had used, the same for every method. Equal seeds share initial weights and the order of clean batches, so "
        "gains are paired. Search runs did not receive the test rows."
    )
    return " ".join((*split_sentences(suite), *search_sentences(suite, stopped), final))


def split_sentences(suite: Suite) -> Iterator[str]:
    """What was compared, and on which outer splits."""
    tasks = suite.studies_by_task()
    methods = dict.fromkeys(study.method for study in suite.studies)
    yield (
        f"We compared {', '.join(map(method_label, methods))} (mixup [1], k-mixup [2]) on "
        f"{plural(len(tasks), 'task')}: {', '.join(tasks)}."
    )
    splits = {base: len({study.task for study in of_task}) for base, of_task in tasks.items()}
    repeated = {base: of_task[0].task for base, of_task in tasks.items() if of_task[0].task.overlap is not None}
    if several := sum(count > 1 for base, count in splits.items() if base not in repeated):
        yield f"{plural(several, 'task')} had several outer splits, with disjoint or fresh test rows."
    for base, task in repeated.items():
        test_set = "half of the rows held out as test data" if task.holdout else "an official test set"
        if splits[base] == 1:
            yield f"On {base}, with {test_set}, the procedure ran once, with {task.val_rows:,} validation rows."
        else:
            yield (
                f"On {base}, with {test_set}, the whole procedure was repeated {plural(splits[base], 'time')}, each "
                f"with its own training rows, {task.val_rows:,} validation rows, search and seeds; two repeats shared "
                f"{task.overlap:.1%} of their training rows, and all repeats the test rows."
            )


def search_sentences(suite: Suite, stopped: int) -> Iterator[str]:
    """What was searched, and how a configuration was selected."""
    studies: dict[str, list[Study]] = {}
    for study in suite.studies:
        studies.setdefault(study.method, []).append(study)
    searched = [of_method for of_method in studies.values() if of_method[0].space]
    if searched:
        # Optuna hands out the points of a Sobol sequence and of a grid, but this package computes them.
        by = "handed out by" if suite.sampler in ("qmc", "grid") else "as implemented in"
        ties = "" if suite.select_by == "nll" else "to the lower negative log-likelihood, then "
        yield (
            f"For each task, method and outer split, {SAMPLERS[suite.sampler]} {by} Optuna [3] and run by "
            f"Ray Tune [4] proposed {'; '.join(search_text(suite, of_method) for of_method in searched)}. Each was "
            f"trained with {plural(suite.search_seeds, 'seed')}{shortlist_text(suite)}, and the one with the smallest "
            f"{SELECTED_BY[suite.select_by]} after the last epoch, averaged over seeds, was selected; ties went {ties}"
            "to the milder regulariser."
        )
    if searched and suite.scheduler == "asha":
        yield (
            f"Asynchronous successive halving [7] stopped {plural(stopped, 'configuration')} early, which could not be "
            f"selected: after a ninth and a third of the epochs, a configuration continued if the "
            f"{SELECTED_BY[suite.select_by]} of its first seed was among the best third of those recorded so far, or "
            "tied with them."
        )
    if fixed := [method_label(method) for method, of_method in studies.items() if not of_method[0].space]:
        yield f"{', '.join(fixed)} had nothing to search."


def shortlist_text(suite: Suite) -> str:
    """What happened between the search and the selection."""
    counts = [count for study in suite.studies if (count := suite.shortlist_count(study))]
    if not counts:
        return ""
    best = format_range(min(counts), max(counts))
    return f", the best {best} of them with {plural(suite.shortlist_seeds, 'more seed')}"


def search_text(suite: Suite, studies: Sequence[Study]) -> str:
    """How many configurations of a method were proposed, and in which space."""
    counts = list(map(suite.trial_count, studies))
    noun = "configuration" if max(counts) == 1 else "configurations"
    space = space_text([study.distributions for study in studies])
    return f"{format_range(min(counts), max(counts))} {noun} of {method_label(studies[0].method)}: {space}"


def space_text(spaces: Sequence[Mapping[str, Distribution]]) -> str:
    """The searched parameters of a method and their ranges over its studies."""
    return ", ".join(parameter_text(name, [space[name] for space in spaces]) for name in spaces[0])


def parameter_text(name: str, distributions: Sequence[Distribution]) -> str:
    ranges = [distribution for distribution in distributions if isinstance(distribution, Numbers)]
    if not ranges:
        return f"{name} in {{{distributions[0]}}}"
    low, high = min(one.low for one in ranges), max(one.high for one in ranges)
    if name == LOG2_K:
        smallest_high = min(one.high for one in ranges)
        least, most = shown(name, smallest_high), shown(name, high)
        upper = f"{most}" if least == most else f"{least} to {most}, by task"
        return f"k in powers of two from {shown(name, low)} to {upper}"
    spans = sorted({(one.low, one.high) for one in ranges})
    if len(spans) > 1:
        ends = f"[{spans[0][0]:g}, {spans[0][1]:g}] to [{spans[-1][0]:g}, {spans[-1][1]:g}], by task"
    else:
        ends = f"[{low:g}, {high:g}]"
    return f"{symbol(name)} {'log-' if ranges[0].log else ''}uniform on {ends}"


def estimates_paragraph(rows: pd.DataFrame, level: float) -> str:
    """How gains and their intervals were estimated."""
    shared = any(gains.share_test_rows(rows, task) for task in gains.tasks(rows))
    sentences = [
        "Gains are differences of test error, paired by outer split and seed. For each task we report the mean with "
        f"Student's t interval at {in_percent(level)} over the means of its outer splits"
        + (", which has a term for the luck of the test rows that all repeats share." if shared else ".")
    ]
    single = [task for task in gains.tasks(rows) if gains.one_search(rows, task)]
    if single:
        sentences.append(f"We report no interval for tasks with too few searches for one ({', '.join(single)}).")
    sentences.append(
        "Intervals are per task and not corrected for their number. A gain is called shown, or shown to be small by "
        "two one-sided tests, if that holds after Holm's correction over the tasks. Errors count every prediction that "
        "is not finite as wrong."
    )
    return " ".join(sentences)


def recipe_text(studies: Sequence[Study]) -> str:
    """The recipe of a task; what all its methods search is named without a value."""
    task = studies[0].task
    recipe: Recipe = task.recipe
    tuned = set.intersection(*(set(study.space) for study in studies))
    lr = "tuned learning rate" if "lr" in tuned else f"learning rate {recipe.lr:g}"
    parts = [recipe.optimizer + (f" with momentum {recipe.momentum:g}" if recipe.optimizer == "sgd" else "")]
    parts.append(f"{lr} falling to zero along a cosine [5]")
    if recipe.warmup_epochs:
        parts.append(f"{plural(recipe.warmup_epochs, 'epoch')} of warm-up")
    parts.append("tuned weight decay" if "weight_decay" in tuned else f"weight decay {recipe.weight_decay:g}")
    parts.append(f"{plural(recipe.epochs, 'epoch')} of batches of {recipe.batch_size}")
    if recipe.augment != "none":
        parts.append(f"augmentation {recipe.augment.replace('_', ' and ')}")
    if recipe.precision != "float32":
        parts.append(recipe.precision)
    if task.label_noise:
        parts.append(f"{task.label_noise:.0%} of the training labels replaced by a random other class")
    return ", ".join(parts) + f" (source: {recipe.source or 'not given'})"
