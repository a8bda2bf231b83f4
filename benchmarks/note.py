"""Writes the tables of README.md, the note and docs/results/details.md, and the picture, from the published rows.

    python benchmarks/note.py

Run it when a launch of docs/results/comparison is finished, then bring the sentences around the tables up to date. A
table stands in a page between the comments `<!-- NAME -->` and `<!-- end -->`. NAME is one of `TABLES`: of all finished
launches of the comparison, or with `LAUNCH: ` before it of one launch.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from search_spaces.comparison import COMPARISON
from search_spaces.tasks import TASKS
from tune_kmixup.analysis import claims, cross_task, gains, search_budget
from tune_kmixup.analysis.evidence import LEVEL
from tune_kmixup.analysis.findings import WORDS, findings, over_tasks
from tune_kmixup.analysis.load import Runs, load
from tune_kmixup.analysis.report import conclusions, figures, style, tables
from tune_kmixup.analysis.report.formats import (
    comparison_label,
    format_estimate,
    format_gain,
    format_p,
    format_percent,
    format_value,
)
from tune_kmixup.analysis.report.render import markdown_table
from tune_kmixup.analysis.stats import t_interval
from tune_kmixup.analysis.verdicts import holm
from tune_kmixup.core.config import Claims
from tune_kmixup.training.metrics import FGSM

ROOT = Path(__file__).parent.parent
ROWS = ROOT / "docs" / "results" / "comparison"
WITH_CONCLUSIONS = (ROOT / "README.md", ROOT / "docs" / "results" / "README.md")
PAGES = (*WITH_CONCLUSIONS, ROOT / "docs" / "results" / "details.md")
METHODS = ["mixup", "kmixup"]
NEAR = {"perturbation": 1.25, "lr": 1.5}  # configurations that differ by a larger factor are not compared
BANDS = {"to 1 %": (0, 0.01), "1 to 10 %": (0.01, 0.1), "above 10 %": (0.1, np.inf)}  # of perturbation
SHIFTS = {"noise": "Gaussian noise", "fgsm": "FGSM"}
CLAIMS = {
    "1": "1: k-mixup improves on mixup",
    "2": "2: by at least half of mixup's gain",
    "3": "3: somewhere mixup gains less than 3 % of ERM's error, and k-mixup improves on it",
    "4.1": "4: claim 1 under Gaussian noise and FGSM",
    "4.2": "4: claim 2 under Gaussian noise and FGSM",
}


@cache
def finished() -> Runs:
    """The finished launches: those of one network and data set together, the fewest training rows first."""

    def place(name: str) -> tuple[object, ...]:
        task = TASKS[COMPARISON[name].tasks[0]][0]
        return task.architecture, task.dataset, task.label_noise, task.train_size or 0

    names = [name for name in COMPARISON if (ROWS / name / "results.parquet").exists()]
    return load([ROWS / name for name in sorted(names, key=place)])


def known(runs: Runs) -> pd.DataFrame:
    """The tasks on which each gain is shown, shown to be small, or not known, by network."""
    columns = {}
    for pair in gains.COMPARED[:2]:
        found = conclusions.tasks_in_words(runs.final, *pair, runs.claims)
        columns[comparison_label(*pair)] = [by_network(found.get(words, [])) for words in WORDS]
    table = pd.DataFrame(columns)
    table.insert(0, "gain in test error", [words.replace(", and shown to be", " and") for words in WORDS])
    return table[(table.iloc[:, 1:] != "").any(axis=1)]


def by_network(names: list[str]) -> str:
    """`mlp: mnist-500, mnist-1000; lenet: mnist-500`."""
    by: dict[str, list[str]] = {}
    for name in names:
        data, network = name.rsplit("/", 1)
        by.setdefault(network, []).append(data)
    return "; ".join(f"{network}: {', '.join(data)}" for network, data in by.items())


def headline(runs: Runs) -> pd.DataFrame:
    table = tables.headline(runs.final, runs.claims)
    return table.drop(columns=[column for column in table if "placebo" in column.lower()])


def verdicts(runs: Runs) -> pd.DataFrame:
    """The overall verdict on each claim."""
    (judged,) = claims.judge_runs(runs)
    records = []
    for number, claim in CLAIMS.items():
        for verdict in judged.verdicts:
            if (verdict.claim, verdict.task) == (number, claims.OVERALL):
                decides = {"verdict": verdict.outcome, "the effect that decides": verdict.effect}
                records.append({"claim": claim, **decides})
    return pd.DataFrame(records)


def mean_gains(runs: Runs) -> pd.DataFrame:
    """The report's table of the mean gains over data sets."""
    over = cross_task.compared_gains(runs.final)
    return tables.over_data_sets(runs.final, {pair: over[pair] for pair in gains.COMPARED[:2]}, runs.claims, LEVEL)


def with_perturbation(runs: Runs) -> pd.DataFrame:
    """The rows, with steps per run, and perturbations as a share of the mean squared distance of two batches' rows.

    mixup's random pairs have that distance. If λ were 1/2 throughout, mixup's perturbation would be 25 %.
    """
    rows = runs.rows.copy()
    apart = rows[rows["method"] == "mixup"].groupby("task")["matched_distance"].median()
    rows["perturbation"] = rows["perturbation"] / rows["task"].map(apart)
    rows["steps"] = rows["train_rows"] // rows["batch_size"] * rows["epochs"]  # the last batch is dropped if incomplete
    return rows


def selected_means(runs: Runs, columns: list[str]) -> pd.DataFrame:
    """Means over final seeds: (task, outer split) x (column, method)."""
    rows = with_perturbation(runs)
    return rows[rows["selected"]].groupby(gains.STUDY_KEY, sort=False)[columns].mean().unstack()


def medians(runs: Runs, columns: Mapping[str, tuple[str, str, float]]) -> pd.DataFrame:
    """Medians over repeats of what the selected configurations have.

    Args:
        runs: the rows.
        columns: name -> column of the rows, method, and the factor from its values to those shown.
    """
    means = selected_means(runs, list(dict.fromkeys(column for column, *_ in columns.values())))
    records = []
    for task in gains.tasks(runs.final):
        values = means.loc[task].median()
        cells = {
            name: format_value(factor * values[column, method]) for name, (column, method, factor) in columns.items()
        }
        records.append({"task": task, **cells})
    return pd.DataFrame(records)


def selected(runs: Runs) -> pd.DataFrame:
    """What the searches selected, and the repeats in which k-mixup perturbs more."""
    table = medians(
        runs,
        {
            "α, mixup": ("alpha", "mixup", 1),
            "α, k-mixup": ("alpha", "kmixup", 1),
            "k": ("k", "kmixup", 1),
            "perturbation, mixup, %": ("perturbation", "mixup", 100),
            "k-mixup, %": ("perturbation", "kmixup", 100),
        },
    )
    means = selected_means(runs, ["perturbation"])["perturbation"]
    larger = (means["kmixup"] > means["mixup"]).groupby("task").agg(["sum", "size"])
    table["k-mixup's is larger in"] = [f"{larger['sum'][task]} of {larger['size'][task]}" for task in table["task"]]
    return table


def trained_on(runs: Runs) -> pd.DataFrame:
    """Steps, pairs of two classes, the loss of the last epoch on mixed rows, and seconds of all runs."""
    table = medians(
        runs,
        {
            "steps": ("steps", "erm", 1),
            "pairs of two classes, mixup, %": ("cross_class_share", "mixup", 100),
            "k-mixup, %": ("cross_class_share", "kmixup", 100),
            "loss, ERM": ("train_loss", "erm", 1),
            "mixup": ("train_loss", "mixup", 1),
            "k-mixup": ("train_loss", "kmixup", 1),
        },
    )
    seconds = runs.rows.groupby(["task", "method"])["seconds"].median().unstack()
    table["time of a run, k-mixup over ERM"] = [
        f"{value:.1f}" for value in (seconds["kmixup"] / seconds["erm"])[table["task"]]
    ]
    return table


def at_equal_perturbation(runs: Runs) -> pd.DataFrame:
    """k-mixup's gain over mixup in validation error at equal perturbation, by how large that is.

    Each searched configuration of k-mixup is compared with that of mixup in the same repeat whose perturbation is
    nearest, among those that are `NEAR`; then the median of a repeat.
    """
    rows = with_perturbation(runs)
    search = rows[(rows["phase"] == "search") & rows["method"].isin(METHODS) & (rows["perturbation"] > 0)]
    records = []
    for task in gains.tasks(runs.final):
        repeats = search[search["task"] == task].groupby("outer_split")
        pairs = pd.concat({split: matched(repeat) for split, repeat in repeats}, names=["outer_split"])
        record = {"task": task}
        for band, (low, high) in BANDS.items():
            inside = pairs[(pairs["perturbation"] > low) & (pairs["perturbation"] <= high)]
            by_repeat = inside.groupby("outer_split")["gain"].median()
            record[band] = format_estimate(t_interval(by_repeat), signed=True)
        records.append(record)
    return pd.DataFrame(records)


def matched(repeat: pd.DataFrame) -> pd.DataFrame:
    """Perturbation and gain of each configuration of k-mixup that has one of mixup near enough."""
    mixup, kmixup = (repeat[repeat["method"] == method] for method in METHODS)
    apart = {
        name: np.abs(np.subtract.outer(*(np.log(part[name].to_numpy()) for part in (kmixup, mixup)))) for name in NEAR
    }
    near = np.all([apart[name] <= np.log(factor) for name, factor in NEAR.items()], axis=0)
    nearest = np.where(near, apart["perturbation"], np.inf).argmin(1)
    gain = mixup["val_error"].to_numpy()[nearest] - kmixup["val_error"].to_numpy()
    pairs = pd.DataFrame({"perturbation": kmixup["perturbation"].to_numpy(), "gain": gain})
    return pairs[near.any(1)]


def without_any_repeat(runs: Runs) -> pd.DataFrame:
    """What is shown of each gain, and what would be left of it without any one of its repeats."""
    records = []
    for pair in gains.COMPARED[:2]:
        known = findings(runs.final, *pair, runs.claims, LEVEL)
        gain_p = {task: finding.p for task, finding in known.items()}
        small_p = {task: finding.p_small for task, finding in known.items()}
        for task, finding in known.items():
            if not (finding.p_holm < 1 - LEVEL or finding.p_small_holm < 1 - LEVEL):
                continue
            others = [findings(rows, *pair, runs.claims, LEVEL)[task] for rows in leaving_one_out(runs.final, task)]
            shown = "gain" if finding.gain.mean > 0 else "loss"
            for what, p, of_all, without in (
                (shown, finding.p_holm, gain_p, max(other.p for other in others)),
                ("small", finding.p_small_holm, small_p, max(other.p_small for other in others)),
            ):
                if not p < 1 - LEVEL:
                    continue
                largest = over_tasks(of_all | {task: without}, runs.claims)[task]
                left = [100 * other.gain.mean for other in others]
                records.append(
                    {
                        "task": task,
                        "gain of": comparison_label(*pair),
                        "points": f"{100 * finding.gain.mean:+.2f}",
                        "without any one repeat": f"{min(left):+.2f} to {max(left):+.2f}",
                        "shown": what,
                        "p, all": format_p(p),
                        "p, without any one repeat": f"up to {format_p(largest)}",
                    }
                )
    return pd.DataFrame(records)


def leaving_one_out(final: pd.DataFrame, task: str) -> Iterator[pd.DataFrame]:
    """The rows of a task without its first repeat, without its second, and so on."""
    rows = final[final["task"] == task]
    for split in sorted(rows["outer_split"].unique()):
        yield rows[rows["outer_split"] != split]


def verdicts_without_any_repeat(runs: Runs) -> pd.DataFrame:
    """The same of claims 2 to 4, on tasks where they are not undecided. Claim 1 is about k-mixup's gain over mixup."""
    (judged,) = claims.judge_runs(runs)
    final, records = claims.with_shifted(runs.final), []
    for verdict in judged.verdicts:
        decided = verdict.outcome in ("supported", "contradicted")
        if verdict.claim == "1" or verdict.task == claims.OVERALL or not decided:
            continue
        family = judged.claims.families[verdict.claim[0]]
        p = {task: p_alone(final[final["task"] == task], task, verdict.claim) for task in family}
        others = leaving_one_out(final, verdict.task)
        largest = max(p_alone(rows, verdict.task, verdict.claim) for rows in others)
        without = dict(zip(p, holm([*(p | {verdict.task: largest}).values()]), strict=True))
        records.append(
            {
                "claim": CLAIMS[verdict.claim],
                "task": verdict.task,
                "verdict": verdict.outcome,
                "p, all": f"{verdict.p:.2g}",
                "p, without any one repeat": f"up to {without[verdict.task]:.2g}",
            }
        )
    return pd.DataFrame(records)


def p_alone(rows: pd.DataFrame, task: str, claim: str) -> float:
    """The p-value of a claim on one task, not corrected; NaN without a verdict."""
    alone = Claims(families={claim[0]: (task,)})
    metric = claims.SHIFTED if claim.startswith("4") else alone.endpoint
    judged = claims.judge_claims(rows, alone, metric, (claim,))
    return next((verdict.p for verdict in judged if verdict.task == task), math.nan)


def near_ends(runs: Runs) -> pd.DataFrame:
    """How often a selected value lies within 5 % of its range from an end."""
    return tables.range_ends(search_budget.range_ends(search_budget.selected_values(runs.rows, runs.suites)))


def by_learning_rate(runs: Runs) -> pd.DataFrame:
    """Validation errors and gains of a repeat's searched configurations with wrong labels, by their learning rate.

    Of mixup and k-mixup they are those that mix: with a perturbation above 1 %. A method's value in a repeat is the
    median of its configurations in a band. Their least would not do: ERM has more of them, and the least of more is
    smaller.
    """
    rows = with_perturbation(runs)
    search = rows[(rows["phase"] == "search") & ((rows["method"] == "erm") | (rows["perturbation"] > 0.01))]
    records = []
    for task in [task for task in gains.tasks(runs.final) if TASKS[task][0].label_noise]:
        for low, high in pairwise(TASKS[task][0].recipe.lr * 10 ** np.linspace(-1, 1, 5)):
            inside = search[(search["task"] == task) & search["lr"].between(low, high)]
            errors = inside.groupby(gains.STUDY_KEY)["val_error"].median().unstack()
            record = {"task": task, "learning rate": f"{low:.2g} to {high:.2g}"}
            record["ERM, %"] = format_percent(float(errors["erm"].mean()))
            for pair in gains.COMPARED[:2]:
                gain = (errors[pair[1]] - errors[pair[0]]).dropna()
                record[comparison_label(*pair)] = format_estimate(t_interval(gain), signed=True)
                record[f"repeats, {comparison_label(*pair)}"] = str(len(gain))
            records.append(record)
    return pd.DataFrame(records)


def under_shift(runs: Runs) -> pd.DataFrame:
    """Gains under Gaussian noise and after a step of FGSM, and k-mixup's in the mean of both, which decides claim 4."""
    columns = {kind: [name for name in runs.final if name.startswith(f"test_error_{kind}_")] for kind in SHIFTS}
    means = {f"test_error_{kind}": runs.final[names].mean(axis=1, skipna=False) for kind, names in columns.items()}
    final, records = claims.with_shifted(runs.final).assign(**means), []
    for task in gains.tasks(final):
        record = {"task": task}
        for kind, name in SHIFTS.items():
            for pair in gains.COMPARED[:2]:
                gain = gains.gain(final, task, *pair, metric=f"test_error_{kind}")
                record[f"{name}: {comparison_label(*pair)}"] = format_gain(gain)
        record["all: k-mixup over mixup"] = format_gain(
            gains.gain(final, task, "kmixup", "mixup", metric=claims.SHIFTED)
        )
        records.append(record)
    return pd.DataFrame([record for record in records if any(list(record.values())[1:])])


def by_fgsm_step(runs: Runs) -> pd.DataFrame:
    """mixup's error after a step of FGSM of each size, and k-mixup's gain over it."""
    records = []
    for task in gains.tasks(runs.final):
        record = {"task": task}
        for size in FGSM:
            metric = f"test_error_fgsm_{size:g}"
            error = gains.mean_metric(runs.final, task, "mixup", metric=metric).mean
            gain = gains.gain(runs.final, task, "kmixup", "mixup", metric=metric)
            record[f"{size:g}: mixup, %"] = format_percent(error, 1)
            record[f"{size:g}: k-mixup over mixup"] = format_gain(gain)
        records.append(record)
    return pd.DataFrame([record for record in records if any(list(record.values())[1:])])


def without_largest_step(runs: Runs) -> pd.DataFrame:
    """The verdicts on claim 4 that the largest step of FGSM changes, and those over all data sets."""
    without = replace(runs, rows=runs.rows.drop(columns=f"test_error_fgsm_{max(FGSM):g}"))
    (judged,), (others,) = claims.judge_runs(runs), claims.judge_runs(without)
    other = {(verdict.claim, verdict.task): verdict for verdict in others.verdicts}
    records = []
    for verdict in judged.verdicts:
        if not verdict.claim.startswith("4"):
            continue
        left = other[verdict.claim, verdict.task]
        decided = {verdict.outcome, left.outcome} & {"supported", "contradicted"}
        if verdict.task == claims.OVERALL or (decided and verdict.outcome != left.outcome):
            records.append(
                {
                    "claim": CLAIMS[verdict.claim],
                    "task": verdict.task,
                    "all five shifts": verdict.outcome,
                    "p": format_p(verdict.p),
                    "without the largest step": left.outcome,
                    "p, without": format_p(left.p),
                }
            )
    return pd.DataFrame(records)


def could_have_shown(runs: Runs) -> pd.DataFrame:
    """The gain that each task shows with 80 % power, after correction."""
    found = tables.detectable_gains(runs.final, runs.claims).set_index(["gain of", "task"])
    table = pd.DataFrame({"task": gains.tasks(runs.final)})
    for label in (comparison_label(*pair) for pair in gains.COMPARED[:2]):
        of_pair = found.loc[label].reindex(table["task"])
        table[f"{label}, points"] = of_pair["detectable, points"].tolist()
        table[f"{label}, % of ERM's error"] = of_pair["% of ERM's error"].tolist()
    return table


TABLES: dict[str, Callable[[Runs], pd.DataFrame]] = {
    "known": known,
    "headline": headline,
    "means": mean_gains,
    "verdicts": verdicts,
    "selected": selected,
    "trained on": trained_on,
    "without any one repeat": without_any_repeat,
    "verdicts without any one repeat": verdicts_without_any_repeat,
    "at equal perturbation": at_equal_perturbation,
    "near the ends of ranges": near_ends,
    "by learning rate": by_learning_rate,
    "under shift": under_shift,
    "by FGSM step": by_fgsm_step,
    "without the largest FGSM step": without_largest_step,
    "could have been shown": could_have_shown,
}


def with_tables(page: str) -> str:
    """A page with its tables made anew."""

    def made_anew(found: re.Match[str]) -> str:
        launch, _, name = found[1].rpartition(": ")
        table = TABLES[name](load([ROWS / launch]) if launch else finished())
        return f"<!-- {found[1]} -->\n\n{markdown_table(table)}\n\n<!-- end -->"

    return re.sub(r"<!-- (.+?) -->\n.*?<!-- end -->", made_anew, page, flags=re.DOTALL)


def main() -> None:
    runs = finished()
    for page in PAGES:
        page.write_text(with_tables(page.read_text()))
    if figure := figures.forest(runs.final, cross_task.compared_gains(runs.final)):
        (ROWS / "gains.svg").write_text(style.standing_alone(style.svg(figure)))
    print("\n".join(conclusions.answer(runs)))


if __name__ == "__main__":
    main()
