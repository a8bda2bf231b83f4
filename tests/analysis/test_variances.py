"""Variances taken apart, and what gain they allow to detect: by hand, against statsmodels, and by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower

from benchmarks import coverage
from benchmarks.coverage import FOLDS, MEASURED
from tune_kmixup.analysis import variances
from tune_kmixup.analysis.evidence import MeanGain, mean_gain


def test_variances_are_split_as_they_were_put_together() -> None:
    rng = np.random.default_rng(0)
    gains = 2 * rng.normal(size=(4000, 1)) + 3 * rng.normal(size=(4000, 5))
    split = variances.split_variances(gains, 7.0, 100)
    assert (split.search, split.seeds) == (pytest.approx(4, rel=0.1), pytest.approx(9, rel=0.05))
    assert sum(split.terms().values()) == pytest.approx(split.expected()[0])
    estimate = mean_gain(gains.mean(1), 7.0, 100)
    assert split.expected() == (pytest.approx(estimate.variance), pytest.approx(estimate.df))


def test_missing_runs_and_units_of_one_seed() -> None:
    gains = np.random.default_rng(1).normal(size=(6, 4))
    gains[0, 1:] = gains[5] = np.nan
    split = variances.split_variances(gains)
    assert split.units == 5 and split.seeds_per_unit == pytest.approx(1 / np.mean([1, 0.25, 0.25, 0.25, 0.25]))
    alone = variances.split_variances(gains[:, :1])
    assert np.isnan(alone.seeds) and alone.search == pytest.approx(np.var(gains[:5, 0], ddof=1))
    assert np.isnan(alone.to_halve()["seeds"]) and np.isnan(alone.to_halve()["rows"])
    assert all(np.isnan(number) for number in variances.split_variances(gains[:2]).to_halve().values())


@given(
    st.floats(0, 2), st.floats(0, 2), st.floats(0, 200), st.integers(3, 20), st.integers(2, 8), st.integers(50, 5000)
)
def test_what_halves_the_interval_is_the_smallest_number_that_does(
    search: float, seeds: float, test_rows: float, units: int, per_unit: int, rows: int
) -> None:
    split = variances.VarianceSplit(search + 0.01, seeds, test_rows, units, per_unit, rows)

    def width(**numbers: float) -> float:
        variance, df = split.expected(**numbers)
        return float(MeanGain(np.array(0.0), np.array(variance), np.array(df)).half_width())

    for name, number in split.to_halve().items():
        if np.isinf(number):
            assert width(**{name: 1e12}) > width() / 2 or width(**{name: np.inf}) > width() / 2
        else:
            assert width(**{name: number}) <= width() / 2 < width(**{name: number - 1})


def test_more_repeats_do_not_help_where_the_test_rows_prevail() -> None:
    split = variances.VarianceSplit(0.001, 0.001, 100.0, 10, 5, 1000)
    assert split.to_halve() == {"units": np.inf, "seeds": np.inf, "rows": pytest.approx(4000, rel=0.02)}


@pytest.mark.parametrize(("units", "power"), [(3, 0.8), (10, 0.8), (20, 0.5), (10, 0.95)])
def test_the_detectable_gain_is_that_of_statsmodels(units: int, power: float) -> None:
    gain = variances.detectable_gain(4.0 / units, units - 1, power=power) / 2
    assert gain == pytest.approx(TTestPower().solve_power(nobs=units, alpha=0.05, power=power), rel=1e-3)


@pytest.mark.parametrize(("units", "noise"), [(5, MEASURED), (10, MEASURED), (7, FOLDS), (20, FOLDS)])
def test_the_detectable_gain_is_shown_in_80_percent_of_studies(units: int, noise: coverage.Noise) -> None:
    _, shown = coverage.power_at_detectable_gain(np.random.default_rng(units), 4_000, units, noise)
    assert shown == pytest.approx(0.8, abs=0.03)
