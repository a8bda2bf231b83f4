"""How often intervals hold the truth and verdicts are wrong: simulations of what the report states.

    python benchmarks/coverage.py             # all tables, 6 minutes on one core
    python benchmarks/coverage.py --quick     # a small part, 5 seconds

Nothing is trained. Gains are shares of ERM's error throughout. As measured in the first pass, the gain of one repeat
varies by 3.3 % with search and split and by 3.3 % with each of five final seeds; test rows that all repeats share add
1.1 %. ERM has no search, as where it is trained with its recipe.
"""

import argparse
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from benchmarks.timing import print_header, print_row
from tune_kmixup.analysis.evidence import MeanGain, TaskErrors, mean_gain, satterthwaite
from tune_kmixup.analysis.meta_analysis import mean_over_data_sets, prediction_interval
from tune_kmixup.analysis.variances import detectable_gain
from tune_kmixup.analysis.verdicts import (
    AT_LEAST_HALF,
    KMIXUP_OVER_MIXUP,
    MIXUP_OVER_ERM,
    Verdicts,
    judge_at_least_half,
    judge_improvement,
    judge_where_mixup_fails,
)

Array = NDArray[np.float64]

DATA_SETS, DFS, UNEQUAL, BETWEEN = (8, 13, 20), (4, 9, 19), (1, 5, 30), (0.0, 0.02, 0.05, 0.1)
SHAPES = ("ladder", "one precise", "one imprecise")  # how unequal precisions are spread over the data sets


@dataclass(frozen=True)
class Noise:
    """Standard deviations, as shares of ERM's error, and what they are averaged over.

    `search`, `seeds` and `test_rows` are those of a gain: each of the two methods has 1/√2 of it. ERM has no search.
    """

    search: float = 0.033  # of one repeat
    seeds: float = 0.033  # of one final seed
    final_seeds: int = 5
    training_rows: float = 0.03  # of one repeat, the same for all methods
    test_rows: float = 0.011  # of the mean over all test rows, for good; 0 for folds
    hard_rows: float = 0.05  # of the mean over all test rows, the same for all methods
    rows: int = 10_000


MEASURED = Noise()
FOLDS = replace(MEASURED, test_rows=0.0)


def simulate(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    units: int,
    mixup: ArrayLike,
    kmixup: ArrayLike,
    noise: Noise = MEASURED,
) -> TaskErrors:
    """Simulated errors of tasks by unit: search, seeds, training rows and shared test rows.

    Args:
        rng: source of all randomness.
        shape: of the tasks, as (studies, data sets).
        units: repeats or folds of each.
        mixup: true gain of mixup over ERM, broadcast to `shape`.
        kmixup: true gain of k-mixup over mixup, broadcast to `shape`.
        noise: how much varies.
    """
    mixup, kmixup = (np.broadcast_to(np.asarray(gain, dtype=float), shape)[..., None] for gain in (mixup, kmixup))
    common = noise.training_rows * rng.normal(size=(*shape, units))
    if noise.test_rows:
        common = common + noise.hard_rows * rng.normal(size=(*shape, 1))
    errors = []
    for truth, searched in ((1.0, False), (1 - mixup, True), (1 - mixup - kmixup, True)):
        unit = np.hypot(noise.search * searched, noise.seeds / np.sqrt(noise.final_seeds)) / np.sqrt(2)
        luck = unit * rng.normal(size=(*shape, units)) + noise.test_rows / np.sqrt(2) * rng.normal(size=(*shape, 1))
        errors.append(truth + common + luck)
    by_method = dict(zip(("erm", "mixup", "kmixup"), errors, strict=True))
    if not noise.test_rows:
        return TaskErrors(by_method)
    shared = noise.test_rows**2 / 2 * np.eye(3) + noise.hard_rows**2  # a row's own luck with each method, and with all
    return TaskErrors(by_method, row_covariance=noise.rows * shared, rows=noise.rows)


def share(hits: ArrayLike) -> float:
    return float(np.asarray(hits).mean())


# ------------------------------------------------------------------------------------------ one task


def interval_coverage(
    rng: np.random.Generator, studies: int, units: int, noise: Noise = MEASURED
) -> tuple[float, float, float]:
    """Share of 95 % intervals that hold a gain of 0: with test rows, without them, and relative to ERM's error."""
    tasks = simulate(rng, (studies,), units, 0.0, 0.0, noise)
    gains = tasks.by_method["mixup"] - tasks.by_method["kmixup"]
    estimate = tasks.mean(KMIXUP_OVER_MIXUP)
    drawn = rng.chisquare(noise.rows - 1, studies) / (noise.rows - 1)  # s²(test rows) is an estimate, too
    if noise.test_rows:
        estimate = mean_gain(gains, drawn * noise.rows * noise.test_rows**2, noise.rows)
    without = mean_gain(gains)
    low, high = tasks.relative_interval(KMIXUP_OVER_MIXUP)
    return (
        share(np.abs(estimate.mean) <= estimate.half_width()),
        share(np.abs(without.mean) <= without.half_width()),
        share((low <= 0) & (high >= 0)),
    )


def right_or_wrong_coverage(
    rng: np.random.Generator, studies: int, units: int, seeds: int, rows: int
) -> tuple[float, float]:
    """Coverage where each run gets each test row right or wrong: of `mean_gain` with test rows, and without.

    On the logit scale a row has a difficulty, one more for each method, and one more for each run; so have the search
    of a unit and a seed. Every study draws its own test rows.
    """
    easy = (-3.0, -3.15)  # the two methods: 14 and 13 % errors
    deviations = {"difficulty": 2.5, "method": 0.7, "search": 0.15, "seed": 0.1, "run": 0.5}
    points, weights = np.polynomial.hermite_e.hermegauss(80)
    spread = np.sqrt(sum(deviation**2 for deviation in deviations.values()))
    expected = [float(weights / weights.sum() @ expit(middle + spread * points)) for middle in easy]
    shapes = {"method": (1, 1, rows), "search": (units, 1, 1), "seed": (units, seeds, 1), "run": (units, seeds, rows)}
    hits: list[bool] = []
    without: list[bool] = []
    for _ in range(0, studies, 50):
        difficulty = deviations["difficulty"] * rng.normal(size=(50, 1, 1, rows))
        wrong = []
        for middle in easy:
            luck = [deviations[name] * rng.normal(size=(50, *shape)) for name, shape in shapes.items()]
            wrong.append(rng.random((50, units, seeds, rows)) < expit(middle + difficulty + sum(luck)))
        difference = wrong[0].astype(float) - wrong[1]
        gains, truth = difference.mean((-1, -2)), expected[0] - expected[1]
        for found, estimate in (
            (hits, mean_gain(gains, difference.mean((1, 2)).var(-1, ddof=1), rows)),
            (without, mean_gain(gains)),
        ):
            found.extend(np.abs(estimate.mean - truth) <= estimate.half_width())
    return share(hits), share(without)


def power_at_detectable_gain(
    rng: np.random.Generator, studies: int, units: int, noise: Noise = MEASURED
) -> tuple[float, float]:
    """The gain that `units` repeats should show with 80 % power, and the share of studies that do show it."""
    unit = noise.search**2 + noise.seeds**2 / noise.final_seeds
    gain = float(detectable_gain(*satterthwaite([unit / units, noise.test_rows**2], [units - 1, noise.rows - 1])))
    tasks = simulate(rng, (studies,), units, 0.0, gain, noise)
    return gain, share(tasks.mean(KMIXUP_OVER_MIXUP).low() > 0)


def small_rate(rng: np.random.Generator, studies: int, units: int, gain: float, noise: Noise = MEASURED) -> float:
    """Share of studies that call this gain of k-mixup over mixup shown to be small."""
    return share(simulate(rng, (studies,), units, 0.0, gain, noise).p_small(KMIXUP_OVER_MIXUP) < 0.05)


# ------------------------------------------------------------------------------------------ over data sets


def precisions(data_sets: int, unequal: float, shape: str) -> Array:
    """Variances within data sets that differ by the factor `unequal`."""
    if shape == "ladder":
        return np.geomspace(unequal**-0.5, unequal**0.5, data_sets)
    variances = np.ones(data_sets)
    variances[0] = unequal if shape == "one imprecise" else 1 / unequal
    return variances


@dataclass(frozen=True)
class MeanCoverage:
    """Shares of studies whose 95 % interval holds the truth; the widths of random effects over plain t."""

    random_effects: float
    plain: float
    deciding: float
    predicted: float
    width: float
    plain_decides: float


def mean_coverage(
    rng: np.random.Generator,
    studies: int,
    data_sets: int,
    df: ArrayLike,
    unequal: float,
    between: float,
    shape: str = "ladder",
    true_gains: str = "normal",
    predicted: int = 0,
) -> MeanCoverage:
    """Means over data sets and the prediction interval, where the true mean gain is 0.

    Args:
        rng: source of all randomness.
        studies: number of them.
        data_sets: K.
        df: degrees of freedom of the variances within data sets; they have df + 1 repeats.
        unequal: largest variance of a repeat over the smallest.
        between: standard deviation of the true gains.
        shape: one of `SHAPES`.
        true_gains: "normal", "skewed" (exponential), or "related" to the log variance with correlation 0.7.
        predicted: number of studies that make a prediction interval too.
    """
    df = np.broadcast_to(np.asarray(df, dtype=float), (data_sets,))
    repeat = 0.042**2 * precisions(data_sets, unequal, shape)
    variances, truth = repeat / (df + 1), rng.normal(size=(studies, data_sets))
    new = rng.normal(size=predicted)
    if true_gains == "skewed":
        truth = rng.exponential(size=truth.shape) - 1
    elif true_gains == "related" and unequal > 1:
        logs = np.log(repeat)
        truth = 0.7 * (logs - logs.mean()) / logs.std() + np.sqrt(1 - 0.7**2) * truth
    effects = between * truth + np.sqrt(variances) * rng.normal(size=truth.shape)
    estimated = variances * rng.chisquare(df, size=truth.shape) / df
    over = mean_over_data_sets(effects, estimated, df)
    low, high = prediction_interval(effects[:predicted], estimated[:predicted], df, strata=50)

    def covered(estimate: MeanGain) -> float:
        return share((estimate.low() <= 0) & (estimate.high() >= 0))

    return MeanCoverage(
        random_effects=covered(over.random_effects),
        plain=covered(over.plain),
        deciding=covered(over.deciding),
        predicted=share((low <= between * new) & (between * new <= high)) if predicted else float("nan"),
        width=share(over.random_effects.half_width()) / share(over.plain.half_width()),
        plain_decides=share(over.plain_decides),
    )


# ------------------------------------------------------------------------------------------ claims


@dataclass(frozen=True)
class Rates:
    """Shares of studies, or of tasks of studies, in which a claim comes out supported and contradicted."""

    supported: float
    contradicted: float

    def __str__(self) -> str:
        return f"{100 * self.supported:.1f} / {100 * self.contradicted:.1f}"


def rates(verdicts: Verdicts) -> Rates:
    return Rates(share(verdicts.outcome == "supported"), share(verdicts.outcome == "contradicted"))


def any_of_family(verdicts: Verdicts) -> Rates:
    """Of studies: whether any task of the family has the outcome after Holm's correction."""
    outcome = verdicts.after_holm().outcome
    return Rates(share((outcome == "supported").any(-1)), share((outcome == "contradicted").any(-1)))


def claim_rates(
    rng: np.random.Generator,
    studies: int,
    mixup: float,
    kmixup: float,
    data_sets: int = 12,
    units: int = 10,
    between: Sequence[float] = (0.0, 0.0),
    noise: Noise = MEASURED,
) -> dict[str, Rates]:
    """How often each claim comes out supported and contradicted: of a task, of any task of the family, and overall.

    Args:
        rng: source of all randomness.
        studies: number of them; each has a family of `data_sets` tasks.
        mixup: mean true gain of mixup over ERM.
        kmixup: mean true gain of k-mixup over mixup.
        data_sets: number of tasks, each of a data set of its own.
        units: repeats of each.
        between: standard deviations over data sets of the two true gains.
        noise: how much varies.
    """
    shape = (studies, data_sets)
    first, second = (
        gain + spread * rng.normal(size=shape) for gain, spread in zip((mixup, kmixup), between, strict=True)
    )
    tasks = simulate(rng, shape, units, first, second, noise)

    def overall(weights: Mapping[str, float]) -> MeanGain:
        gain = tasks.relative(weights)
        return mean_over_data_sets(gain.mean, gain.variance, gain.df).deciding

    one = judge_improvement(tasks.mean(KMIXUP_OVER_MIXUP))
    two = judge_at_least_half(tasks.mean(MIXUP_OVER_ERM), tasks.mean(KMIXUP_OVER_MIXUP), tasks.mean(AT_LEAST_HALF))
    three = judge_where_mixup_fails(tasks)
    mixup_over_erm, kmixup_over_mixup = overall(MIXUP_OVER_ERM), overall(KMIXUP_OVER_MIXUP)
    two_overall = judge_at_least_half(mixup_over_erm, kmixup_over_mixup, overall(AT_LEAST_HALF))
    return {
        "1 task": rates(one),
        "1 family": any_of_family(one),
        "1 overall": rates(judge_improvement(kmixup_over_mixup)),
        "2 task": rates(two),
        "2 family": any_of_family(two),
        "2 overall": rates(two_overall),
        "3 task": rates(three),
        "3 overall": any_of_family(three),
    }


# ------------------------------------------------------------------------------------------ tables


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f}"


def intervals(rng: np.random.Generator, quick: bool) -> None:
    print("\n## The interval of one task\n")
    print("Coverage of 95 % intervals, by the luck of the shared test rows in % of ERM's error.\n")
    print_header("repeats", "test rows, %", "interval", "relative (Fieller)", "without test rows")
    for units, test_rows in itertools.product((3, 10) if quick else (3, 4, 5, 7, 10, 20), (0, 0.005, 0.011, 0.03)):
        noise = replace(MEASURED, test_rows=test_rows)
        both, without, relative = interval_coverage(rng, 2_000 if quick else 20_000, units, noise)
        print_row(units, percent(test_rows, 1), f"{both:.3f}", f"{relative:.3f}", f"{without:.3f}")
    print("\nThe same with n test rows that each run gets right or wrong, two seeds a repeat.\n")
    print_header("repeats", "n", "interval", "without test rows")
    for units, rows in ((3, 200),) if quick else itertools.product((3, 5, 10), (200, 1000)):
        both, without = right_or_wrong_coverage(rng, 300 if quick else 2_000, units, 2, rows)
        print_row(units, rows, f"{both:.3f}", f"{without:.3f}")


def power(rng: np.random.Generator, quick: bool) -> None:
    print("\n## What it could have shown\n")
    print(
        "The detectable gain, in % of ERM's error, and how many % of studies show it; % of studies that call a gain of"
    )
    print("0, 1, 3 % shown to be small (δ = 3 %).\n")
    print_header("repeats", "detectable", "shown", "folds: detectable", "shown", "small: 0", "small: 1", "small: 3")
    studies = 2_000 if quick else 20_000
    for units in (5, 10) if quick else (3, 5, 7, 10, 20, 30):
        cells: list[str] = []
        for noise in (MEASURED, FOLDS):
            gain, shown = power_at_detectable_gain(rng, studies, units, noise)
            cells += [percent(gain, 1), percent(shown)]
        cells += [percent(small_rate(rng, studies, units, gain), 1) for gain in (0.0, 0.01, 0.03)]
        print_row(units, *cells)


def means(rng: np.random.Generator, quick: bool) -> None:
    print("\n## The mean over data sets\n")
    print(
        "Coverage of 95 % intervals where variances differ by 1, 5, 30 (a ladder, one precise, one imprecise data set)"
    )
    print("and true gains spread by 0, 2, 5, 10 %: the lowest of these cells, and which it is.\n")
    studies, predicted = (1_000, 200) if quick else (10_000, 4_000)
    cells: dict[Cell, MeanCoverage] = {}
    for key in itertools.product((8,) if quick else DATA_SETS, (4,) if quick else DFS, UNEQUAL, BETWEEN, SHAPES):
        ladder = key[4] == "ladder"
        if key[2] > 1 or ladder:
            cells[key] = mean_coverage(rng, studies, *key, predicted=predicted if ladder else 0)
    names = ("random_effects", "plain", "deciding", "predicted")
    print_header("data sets", "df", "random effects", "plain t", "deciding", "prediction interval")
    for size in sorted({key[:2] for key in cells}):
        chosen = {key: cell for key, cell in cells.items() if key[:2] == size}
        print_row(*size, *("{:.3f} ({}, {:.0%}, {})".format(*lowest(chosen, name)) for name in names))
    print("\nThe same by precision and spread: the lowest over data sets, degrees of freedom and arrangements. For a")
    print("ladder, the mean width of random effects over plain t. How often the plain t decides, at most.\n")
    columns = ("random effects", "plain t", "deciding", "prediction", "width", "plain decides, %")
    print_header("unequal", "spread, %", *columns)
    for unequal, between in itertools.product(UNEQUAL, BETWEEN):
        chosen = {key: cell for key, cell in cells.items() if key[2:4] == (unequal, between)}
        widths = [cell.width for key, cell in chosen.items() if key[4] == "ladder"]
        print_row(
            unequal,
            percent(between),
            *(f"{lowest(chosen, name)[0]:.3f}" for name in names),
            f"{min(widths):.2f} to {max(widths):.2f}",
            percent(max(cell.plain_decides for cell in chosen.values())),
        )


Cell = tuple[int, int, int, float, str]  # data sets, df, unequal, between, shape
Case = tuple[int, int, int, float, str, str]  # the same, and true gains


def lowest(cells: dict[Cell, MeanCoverage], name: str) -> tuple[float, int, float, str]:
    """The lowest coverage of that name, and unequal, between and shape of its cell."""
    values = {key: getattr(cell, name) for key, cell in cells.items()}
    key = min((key for key in values if not np.isnan(values[key])), key=values.__getitem__)
    return values[key], *key[2:]


def beyond(rng: np.random.Generator, quick: bool) -> None:
    print("\n## The mean over data sets beyond that grid\n")
    cases: list[Case] = [
        (3, 9, 30, 0.05, "ladder", "normal"),
        (4, 9, 30, 0.05, "ladder", "normal"),
        (5, 9, 30, 0.02, "one precise", "normal"),
        (3, 19, 900, 0.02, "one precise", "normal"),
        (4, 19, 900, 0.02, "ladder", "normal"),
        (4, 19, 900, 0.1, "one imprecise", "normal"),
        (8, 9, 900, 0.02, "ladder", "normal"),
        (13, 19, 5, 0.02, "ladder", "related"),
        (20, 19, 30, 0.01, "ladder", "related"),
        (13, 19, 30, 0.02, "one imprecise", "related"),
        (20, 19, 900, 0.02, "ladder", "related"),
        (8, 9, 5, 0.05, "ladder", "skewed"),
        (20, 9, 5, 0.05, "ladder", "skewed"),
    ]
    print_means(rng, cases[::4] if quick else cases, quick)


def as_published(rng: np.random.Generator, quick: bool) -> None:
    print("\n## The mean over data sets as unequal as the published ones\n")
    print_means(rng, [(12, 9, 2000, 0.1, "ladder", gains) for gains in ("normal", "skewed")], quick)


def print_means(rng: np.random.Generator, cases: Sequence[Case], quick: bool) -> None:
    names = ("data sets", "df", "unequal", "spread, %", "arrangement", "true gains")
    print_header(*names, "random effects", "plain t", "deciding", "plain decides, %")
    for case in cases:
        cell = mean_coverage(rng, 1_000 if quick else 20_000, *case)
        figures = (f"{value:.3f}" for value in (cell.random_effects, cell.plain, cell.deciding))
        print_row(*case[:3], percent(case[3]), *case[4:], *figures, percent(cell.plain_decides))


def claims(rng: np.random.Generator, quick: bool) -> None:
    print("\n## Verdicts\n")
    print("Supported / contradicted, in % of tasks or of studies of 12 data sets, 10 repeats each. Family: any task")
    print("after Holm's correction. Gains and their spread over data sets in % of ERM's error.\n")
    columns = ("1 task", "1 family", "1 overall", "2 task", "2 family", "2 overall", "3 task", "3 overall")
    print_header("mixup over ERM", "k-mixup over mixup", "spread of both", *columns)
    studies = 500 if quick else 5_000
    cases = [(gain, 0.0, 0.0, 0.0) for gain in (0.0, 0.02, 0.04, 0.09, -0.1)]  # k-mixup is mixup
    if not quick:
        cases += [
            (0.0, 0.0, 0.05, 0.05),  # both gain nothing on average
            (0.04, 0.02, 0.0, 0.0),  # exactly half
            (0.09, 0.045, 0.05, 0.025),  # exactly half
            (0.03, 0.15, 0.0, 0.0),  # mixup gains exactly δ
            (0.0, 0.05, 0.0, 0.0),
            (0.05, 0.08, 0.0, 0.0),
            (0.05, 0.08, 0.02, 0.02),
            (0.04, -0.05, 0.0, 0.0),
        ]
    for mixup, kmixup, *between in cases:
        outcomes = claim_rates(rng, studies, mixup, kmixup, between=between)
        spread = ", ".join(percent(value, 1) for value in between)
        print_row(percent(mixup), percent(kmixup, 1), spread, *(outcomes[column] for column in columns))
    print(
        "\nClaim 3 supported, % of studies. Mixup gains nothing, k-mixup 5 % on every task or on one of the family.\n"
    )
    print_header("tasks", "repeats", "on every task", "on one")
    for tasks, units in ((3, 20),) if quick else itertools.product((3, 4, 12), (5, 10, 20, 30)):
        every = claim_rates(rng, studies, 0.0, 0.05, tasks, units)["3 overall"].supported
        gains = np.where(np.arange(tasks) == 0, 0.05, 0.0)
        one = any_of_family(judge_where_mixup_fails(simulate(rng, (studies, tasks), units, 0.0, gains))).supported
        print_row(tasks, units, percent(every), percent(one))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few studies, a few sizes alone")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    for table in (intervals, power, means, beyond, claims, as_published):
        table(rng, options.quick)
