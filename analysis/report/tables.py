"""Tables of the report as text for readers: errors in per cent, gains in points. `rows` are those of `load.Runs`."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tune_kmixup.core.config import Claims, SelectBy
from tune_kmixup.core.coordinates import LOG2_K, shown, symbol

from .. import cross_task, gains, stats
from ..claims import OVERALL, Verdict
from ..cross_task import DataSetGains
from ..evidence import FEWEST_UNITS, LEVEL, gain_of
from ..findings import family_size, findings
from ..variances import VarianceSplit, detectable_gain
from ..verdicts import in_words, p_small
from .formats import (
    Measured,
    comparison_label,
    display_scale,
    format_count,
    format_estimate,
    format_gain,
    format_interval,
    format_p,
    format_percent,
    format_range,
    format_relative,
    format_score,
    format_value,
    in_percent,
    measured,
    measured_gain,
    method_label,
    score_label,
)
from .style import Looks

NEITHER_BETTER = ("test_ece_floor", "test_fgsm_zero_gradient")  # they help to read other metrics; less is not better


def headline(rows: pd.DataFrame, claims: Claims, level: float = LEVEL, metric: str = "test_error") -> pd.DataFrame:
    """One row per task: the metric of each method, and the gain of each over the method that it extends.

    Args:
        rows: runs, as in `load.Runs`.
        claims: δ of the mark ≈, and the tasks for whose number marks are corrected.
        level: confidence level of the intervals and marks, between 0 and 1.
        metric: column of `rows`.

    Returns:
        Column task, one per method and one per gain, as `Measured`; without methods that fewer than half of the tasks
        have.
    """
    unit, points = ("%", "points") if display_scale(metric) == 100 else (metric.replace("_", " "),) * 2
    errors = {
        method: [gains.mean_metric(rows, task, method, level, metric) for task in gains.tasks(rows)]
        for method in gains.methods(rows)
    }
    means = {method: found for method, found in errors.items() if 2 * sum(e.units > 0 for e in found) >= len(found) > 0}
    table = pd.DataFrame({"task": gains.tasks(rows)})
    for method, found in means.items():
        table[f"{method_label(method)}, {unit}"] = [measured(e, metric=metric) for e in found]
    for method, reference in gains.comparisons(rows, list(means)):
        known = findings(rows, method, reference, claims, level, metric)
        cells = {task: measured_gain(finding.gain, metric, finding.mark) for task, finding in known.items()}
        column = f"{comparison_label(method, reference)}, {points}"
        table[column] = [cells.get(task, Measured("")) for task in gains.tasks(rows)]
    return table


def selected_alpha_and_k(final: pd.DataFrame, values: pd.DataFrame, looks: Looks) -> pd.DataFrame:
    """The α and k that the outer splits selected: median, range, and where in the range that was searched.

    Args:
        final: final runs, as in `load.Runs`.
        values: from `search_budget.selected_values`.
        looks: of the methods of the report.

    Returns:
        One row per task and method that selected something; the pictures are `Places`.
    """
    records = []
    for task in gains.tasks(final):
        for method in gains.methods(final):
            of_study = (final["task"] == task) & (final["method"] == method)
            selected = final[of_study & (final["alpha"] > 0)].drop_duplicates(gains.STUDY_KEY)
            if selected.empty:
                continue
            record = {"task": task, "method": method_label(method), "outer splits": len(selected)}
            for column, coordinate, letter in (("alpha", "alpha", "α"), ("k", LOG2_K, "k")):
                found = selected[column].dropna()
                if found.max() > 1 or column == "alpha":
                    record[f"{letter}, median"] = format_value(found.median())
                    record[f"{letter}, range"] = format_range(found.min(), found.max())
                    record[f"{letter} in its range"] = places_of(values, task, method, coordinate, looks)
            records.append(record)
    return pd.DataFrame(records).fillna("")


@dataclass(frozen=True)
class Places:
    """A cell of a table that a page draws as dots on a line: where selected values lie in their range.

    Attributes:
        places: 0 is the low end of the range, 1 the high end.
        colour: of the dots.
    """

    places: tuple[float, ...]
    colour: str

    def __str__(self) -> str:
        """As text: in a CSV file, to a screen reader."""
        return " ".join(f"{place:.2f}" for place in self.places)


def places_of(values: pd.DataFrame, task: str, method: str, coordinate: str, looks: Looks) -> Places | str:
    of = (values["task"] == task) & (values["method"] == method) & (values["coordinate"] == coordinate)
    places = tuple(sorted(values.loc[of, "place"]))
    return Places(places, looks[method].colour) if places else ""


def selected_values(values: pd.DataFrame, looks: Looks) -> pd.DataFrame:
    """Everything that was searched in a range: what the outer splits selected, one row per task, method and value."""
    records = []
    for (task, method, coordinate), found in values.groupby(["task", "method", "coordinate"], sort=False):
        # The range of k follows the training rows, which differ between splits.
        low, high = (end(getattr(one, name) for one in found["range"]) for end, name in ((min, "low"), (max, "high")))
        selected, ends = shown(coordinate, found["value"]), (shown(coordinate, low), shown(coordinate, high))
        records.append(
            {
                "task": task,
                "method": method_label(method),
                "value": symbol(coordinate),
                "median": format_value(selected.median()),
                "selected": format_range(selected.min(), selected.max()),
                "searched": f"{ends[0]:g}–{ends[1]:g}",
                "in that range": places_of(values, task, method, coordinate, looks),
                "outer splits": len(found),
            }
        )
    return pd.DataFrame(records)


def gain_estimates(rows: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Every gain as numbers, for `gains.csv`: fractions of error, one row per task and pair of methods."""
    records, pairs = [], gains.compared(rows)
    for task in gains.tasks(rows):
        for method, reference in pairs:
            estimate = gains.gain(rows, task, method, reference, level)
            if estimate.units:
                records.append(
                    {"task": task, "method": method, "reference": reference, "level": level, **vars(estimate)}
                )
    columns = ["task", "method", "reference", "level", "mean", "low", "high", "units"]
    return pd.DataFrame(records, columns=columns)


def metric_means(rows: pd.DataFrame, metrics: dict[str, str], level: float = LEVEL) -> pd.DataFrame:
    """One row per task and metric: each method's mean, and its gain over the method that it extends.

    Args:
        rows: runs, as in `load.Runs`.
        metrics: name to show by column of `rows`.
        level: confidence level of the intervals, between 0 and 1.

    Returns:
        Text; without the metrics of a task that no method has.
    """
    records, pairs = [], gains.compared_at_once(rows)
    for task in gains.tasks(rows):
        for metric, metric_name in metrics.items():
            means = {
                method_label(method): format_estimate(
                    gains.mean_metric(rows, task, method, level, metric), metric=metric
                )
                for method in gains.methods(rows)
            }
            if not any(means.values()):
                continue
            paired = {
                comparison_label(method, reference): ""
                if metric in NEITHER_BETTER
                else format_gain(gains.gain(rows, task, method, reference, level, metric), metric)
                for method, reference in pairs
            }
            records.append({"task": task, "metric": metric_name, **means, **paired})
    return pd.DataFrame(records)


def error_means(rows: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """The final test error of every method: mean and interval over outer splits, spread over seeds, median of runs."""
    records = []
    for task in gains.tasks(rows):
        for method in gains.methods(rows):
            errors = gains.final_test_errors(rows, task, method).dropna()
            if errors.empty:
                continue
            estimate = gains.mean_metric(rows, task, method, level)
            within = math.sqrt(errors.groupby(level=0).var().mean())  # of the seeds of one outer split
            records.append(
                {
                    "task": task,
                    "method": method_label(method),
                    "mean %": format_percent(estimate.mean),
                    f"{in_percent(level)} interval": format_interval(estimate, signed=False),
                    "deviation of seeds": format_percent(within),
                    "median of runs %": format_percent(errors.median()),
                    "outer splits": estimate.units,
                    "runs": len(errors),
                }
            )
    return pd.DataFrame(records)


def gain_details(rows: pd.DataFrame, claims: Claims, level: float = LEVEL) -> pd.DataFrame:
    """All gains of every task, with a median, a second interval, a share of pairs and a permutation test."""
    rng = np.random.default_rng(0)
    known = {pair: findings(rows, *pair, claims, claims.level) for pair in gains.compared(rows)}
    records = []
    for task, method, reference in compared_tasks(rows):
        finding = known[method, reference][task]
        pairs = gains.paired_differences(rows, task, method, reference)
        units = pairs.groupby(level=0).mean().to_numpy()
        bootstrap, (flip_p, smallest_p) = stats.bootstrap_t(units, rng, level), stats.sign_flip(units, rng)
        relative = gains.relative_gain(rows, task, method, reference, level)
        # These two know nothing of the luck of shared test rows, and nothing can be said of too few outer splits.
        checked = not gains.share_test_rows(rows, task) and len(units) >= FEWEST_UNITS
        records.append(
            {
                "task": task,
                "gain of": comparison_label(method, reference),
                "points": format_gain(gains.gain(rows, task, method, reference, level)),
                "median of pairs": f"{100 * pairs.median():+.2f}",
                "% of ERM's error": "" if math.isnan(relative.low) else format_relative(relative),
                "in words": finding.words,
                "p": format_p(finding.p),
                "p, Holm": format_p(finding.p_holm),
                "p, small": format_p(finding.p_small),
                "p, small, Holm": format_p(finding.p_small_holm),
                "share of pairs better": f"{gains.share_better(rows, task, method, reference):.2f}",
                "bootstrap-t": format_interval(bootstrap) if checked else "",
                "sign-flip p": f"{flip_p:.3g}" if checked else "",
                "smallest possible p": f"{smallest_p:.2g}" if checked else "",
                "outer splits": len(units),
            }
        )
    return pd.DataFrame(records)


def compared_tasks(rows: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Task, method and reference of every gain that was measured."""
    pairs = gains.compared(rows)
    for task in gains.tasks(rows):
        for method, reference in pairs:
            if len(gains.paired_differences(rows, task, method, reference)):
                yield task, method, reference


def detectable_gains(rows: pd.DataFrame, claims: Claims, level: float = LEVEL) -> pd.DataFrame:
    """What each task could have shown: the true gain that is shown with 80 % power, after correction.

    Args:
        rows: runs, as in `load.Runs`.
        claims: the tasks for whose number p-values are corrected.
        level: confidence level of the intervals, between 0 and 1.

    Returns:
        Text; tasks without an interval are left out. The correction is that of a task that is the only one to gain;
        where others do, Holm's is milder. In the last column the detectable gain is divided by mixup's gain over ERM,
        where its interval lies above 0.
    """
    records = []
    compared = list(compared_tasks(rows))
    for task, method, reference in compared:
        mean = gains.final_errors(rows, task, [reference, method]).task_errors().mean(gain_of(method, reference))
        measured = [other for other, *pair in compared if pair == [method, reference]]
        corrected = 1 - (1 - level) / family_size(measured, claims)
        detectable = float(detectable_gain(mean.variance, mean.df, corrected))
        if not mean.variance > 0 or gains.is_saturated(rows, task, (method, reference)):
            continue
        erm, mixup = gains.mean_metric(rows, task, "erm"), gains.gain(rows, task, "mixup", "erm", level)
        records.append(
            {
                "task": task,
                "gain of": comparison_label(method, reference),
                "gain, points": format_gain(gains.gain(rows, task, method, reference, level)),
                "detectable, points": format_percent(detectable),
                "% of ERM's error": f"{100 * detectable / erm.mean:.1f}" if erm.mean > 0 else "",
                "times mixup's gain": f"{detectable / mixup.mean:.1f}" if mixup.low > 0 else "",
            }
        )
    return pd.DataFrame(records)


def variances(rows: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Where the uncertainty of each gain comes from, and what would halve its interval.

    Args:
        rows: runs, as in `load.Runs`.
        level: confidence level of the intervals, between 0 and 1.

    Returns:
        Text: the standard error, in points, that the search and split, the seeds, and the shared test rows cause, and
        how many repeats, final seeds or test rows would halve the interval, each with the others as they are;
        `no number` where none would, empty where it is not known.
    """
    records = []
    for task, method, reference in compared_tasks(rows):
        gain = gains.gain(rows, task, method, reference, level)
        no_spread = gain.units >= FEWEST_UNITS and math.isnan(gain.low)
        if no_spread or gains.is_saturated(rows, task, (method, reference)):
            continue
        split = gains.variance_split(rows, task, method, reference)
        halving = split.to_halve(level)
        records.append(
            {
                "task": task,
                "gain of": comparison_label(method, reference),
                **{f"{name}, points": text for name, text in standard_errors(split).items()},
                "outer splits": split.units,
                "to halve: repeats": "" if split.rows is None else format_count(halving["units"]),
                "or final seeds": format_count(halving["seeds"]),
                "or test rows": format_count(halving["rows"]),
            }
        )
    return pd.DataFrame(records)


def standard_errors(split: VarianceSplit) -> dict[str, str]:
    """The parts of the standard error of a gain; empty where they are not known."""
    terms = split.terms()
    own_rows = "in search and split" if split.rows is None else format_percent(math.sqrt(terms["test_rows"]))
    return {
        "search and split": format_percent(math.sqrt(terms["search"])),
        "seeds": "" if math.isnan(split.seeds) else format_percent(math.sqrt(terms["seeds"])),
        "test rows": own_rows if split.units > 1 else "",
    }


def over_data_sets(
    rows: pd.DataFrame, gains_of: Mapping[tuple[str, str], DataSetGains], claims: Claims, level: float
) -> pd.DataFrame:
    """Each gain over data sets: the mean that decides, the other one, and what to expect of a new data set.

    Args:
        rows: runs, as in `load.Runs`.
        gains_of: from `cross_task.compared_gains`.
        claims: δ and level of the words.
        level: confidence level of the intervals, between 0 and 1.

    Returns:
        Text, in per cent of ERM's error.
    """
    records = []
    for (method, reference), found in gains_of.items():
        counts = cross_task.count_outcomes(rows, method, reference, level)
        mean, (low, high) = found.over.deciding, found.prediction(level)
        measured = found.gains.mean[found.over.weights > 0]
        other = found.weighted_mean(level) if found.over.plain_decides else found.plain_mean(level)
        records.append(
            {
                "gain of": comparison_label(method, reference),
                "data sets": found.count,
                "mean": format_relative(found.mean(level)),
                "in words": str(in_words(mean.mean, mean.p(), p_small(mean, claims.delta), claims.level)),
                "median": f"{100 * float(np.median(measured)):+.1f}" if len(measured) else "",
                "decided by": "plain mean" if found.over.plain_decides else "random effects",
                "the other mean": format_relative(other),
                "a new data set": "" if math.isnan(low) else f"[{100 * low:+.1f}, {100 * high:+.1f}]",
                "won, lost, neither": f"{counts['wins']}, {counts['losses']}, {counts['ties']}",
            }
        )
    return pd.DataFrame(records)


def signed_ranks(tests: pd.DataFrame) -> pd.DataFrame:
    """The numbers of `cross_task.signed_ranks`, rounded."""
    pairs = zip(tests["method"], tests["reference"], strict=True)
    return pd.DataFrame(
        {
            "gain of": [comparison_label(method, reference) for method, reference in pairs],
            "better on": tests["better"],
            "worse on": tests["worse"],
            "p": tests["p"].map("{:.3g}".format),
            "p, Holm": tests["p_holm"].map("{:.3g}".format),
            "smallest possible p": tests["smallest_p"].map("{:.2g}".format),
        }
    )


def range_ends(ends: pd.DataFrame) -> pd.DataFrame:
    """The numbers of `search_budget.range_ends` in per cent; k instead of its logarithm."""
    table = pd.DataFrame({"method": ends["method"].map(method_label)})
    table["value"] = ends["coordinate"].map(symbol)
    for column in ("low", "high"):
        values = zip(ends["coordinate"], ends[column], strict=True)
        table[column] = [f"{shown(coordinate, value):g}" for coordinate, value in values]
    table["studies"] = ends["studies"]
    for column, name in (("at low", "near low, %"), ("at high", "near high, %"), ("chance", "by chance, %")):
        table[name] = ends[column].map(lambda share: format_percent(share, 0))
    return table


OUTCOMES = {"supported": "✓ supported", "contradicted": "✗ contradicted", "undecided": "? undecided", "void": "– void"}
CLAIM_TITLES = {
    "1": "1: k-mixup gains",
    "2": "2: at least half",
    "3": "3: where mixup does not",
    "4.1": "4.1: gains, shifted",
    "4.2": "4.2: half, shifted",
}


def claim_matrix(found: Sequence[Verdict], tasks: Sequence[str]) -> pd.DataFrame:
    """Tasks x claims, overall first: outcome, the effect that decides most, and p after Holm's correction."""
    cells = {(verdict.task, verdict.claim): verdict_cell(verdict) for verdict in found}
    claims = sorted({verdict.claim for verdict in found})
    judged = [task for task in (OVERALL, *tasks) if any((task, claim) in cells for claim in claims)]
    return pd.DataFrame(
        [{"task": task} | {CLAIM_TITLES[claim]: cells.get((task, claim), "") for claim in claims} for task in judged]
    )


def verdict_cell(verdict: Verdict) -> str:
    changed = verdict.uncorrected not in ("", verdict.outcome)
    before = f"{OUTCOMES[verdict.uncorrected][0]} before Holm" if changed else ""
    p = "" if math.isnan(verdict.p) else f"p = {verdict.p:.2g}"
    return "\n".join(filter(None, (OUTCOMES[verdict.outcome], verdict.effect, ", ".join(filter(None, (p, before))))))


def verdicts(found: Sequence[Verdict]) -> pd.DataFrame:
    """One row per verdict."""
    return pd.DataFrame(
        {
            "claim": [verdict.claim for verdict in found],
            "task": [verdict.task for verdict in found],
            "outcome": [verdict.outcome for verdict in found],
            "before Holm": [verdict.uncorrected for verdict in found],
            "p": ["" if math.isnan(verdict.p) else f"{verdict.p:.3g}" for verdict in found],
            "reason": [verdict.reason for verdict in found],
        }
    )


def selection_bias(bias: pd.DataFrame, by: SelectBy) -> pd.DataFrame:
    """The numbers of `search_budget.selection_bias` of a score, errors in per cent."""
    table = pd.DataFrame({"task": bias["task"], "method": bias["method"].map(method_label)})
    for column in ("at selection", "final", "optimism"):
        table[f"{column}, {score_label(by)}"] = bias[column].map(lambda score: format_score(score, by))
    return table.assign(**{"ties in search, % of studies": bias["ties"].map(lambda share: format_percent(share, 0))})


def run_costs(costs: pd.DataFrame) -> pd.DataFrame:
    """The numbers of `costs.run_costs`, rounded."""
    pairing = costs["pairing"].map(lambda share: f"{share:.1%}")
    table = costs.assign(method=costs["method"].map(method_label), pairing=pairing)
    for column, spell in (("hours", format_value), ("seconds per run", format_value), ("over ERM", "{:.2f}".format)):
        table[column] = costs[column].map(lambda v, spell=spell: "" if math.isnan(v) else spell(v))
    return table.assign(**{"runs per hour": costs["runs per hour"].map(format_count)})


def equal_seconds(best: pd.DataFrame, by: SelectBy) -> pd.DataFrame:
    """The numbers of `costs.equal_seconds` of a score, errors in per cent."""
    return pd.DataFrame(
        {
            "task": best["task"],
            "method": best["method"].map(method_label),
            f"{score_label(by)} at equal seconds": best[f"val_{by}"].map(lambda score: format_score(score, by)),
            "same selection, % of splits": best["same"].map(lambda share: format_percent(share, 0)),
        }
    )


def changes(old_rows: pd.DataFrame, new_rows: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Gains of two reports side by side, with their numbers of pairs."""
    records = []
    found = dict.fromkeys([*gains.compared_at_once(old_rows), *gains.compared_at_once(new_rows)])
    for task in dict.fromkeys([*gains.tasks(old_rows), *gains.tasks(new_rows)]):
        for method, reference in found:
            old, new = (gains.gain(rows, task, method, reference, level) for rows in (old_rows, new_rows))
            if not old.units and not new.units:
                continue
            change = 100 * (new.mean - old.mean)
            pairs = [len(gains.paired_differences(rows, task, method, reference)) for rows in (old_rows, new_rows)]
            records.append(
                {
                    "task": task,
                    "gain of": comparison_label(method, reference),
                    "before": format_gain(old),
                    "now": format_gain(new),
                    "change": "" if math.isnan(change) else f"{change:+.2f}",
                    "pairs before": pairs[0],
                    "pairs now": pairs[1],
                }
            )
    return pd.DataFrame(records)
