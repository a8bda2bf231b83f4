"""What launches have found, for Python: rows, gains, selected configurations, figures and the report."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from .best import Best, best
from .best_script import script
from .cross_task import compared_gains
from .load import Runs, load
from .report import conclusions, figures, render, style, tables


class Results:
    """The results of one or several launches. In a notebook it shows its table and figure of gains.

    Args:
        runs: what was run.

    Attributes:
        runs: what was run.
    """

    def __init__(self, runs: Runs):
        self.runs = runs

    @classmethod
    def read(cls, sources: Iterable[Path]) -> "Results":
        """Reads run directories and folders of reports, see `load.load`."""
        return cls(load(sources))

    @property
    def rows(self) -> pd.DataFrame:
        """One row per run; docs/results-schema.md describes the columns."""
        return self.runs.rows

    def gains(self, level: float | None = None) -> pd.DataFrame:
        """Every gain in test error, as numbers.

        Args:
            level: confidence level of the intervals, between 0.5 and 1; None takes that of the claims.

        Returns:
            Columns task, method, reference, level, mean, low, high, units. Fractions: 0.01 is one point of error.
            Intervals are NaN with fewer than three outer splits.
        """
        return tables.gain_estimates(self.runs.final, self.level(level))

    def best(self, task: str | None = None, method: str | None = None) -> list[Best]:
        """The selected configuration of each task and method, see `best.best`."""
        return best(self.runs, task, method)

    def script(self, task: str | None = None, method: str | None = None) -> str:
        """A training script to start from, with the selected configuration of one task and method."""
        return script(self.best(task, method))

    def conclusions(self) -> list[str]:
        """What is shown, shown to be small, or not known, in sentences."""
        return [*conclusions.answer(self.runs), *conclusions.caveats(self.runs, self.level())]

    def figure(self) -> Figure | None:
        """The gains of all tasks with their intervals; None if there is no gain yet."""
        return figures.forest(self.runs.final, compared_gains(self.runs.final), self.level())

    def report(self, out: str | Path, formats: Iterable[str] = ()) -> Path:
        """Writes the report.

        Args:
            out: its folder.
            formats: any of html, md, tex, csv, or one of them; empty: all.

        Returns:
            Path of the HTML file, or else of the folder.
        """
        names = [formats] if isinstance(formats, str) else [*formats]
        return render.write(self.runs, Path(out), names).paths.get("html", Path(out))

    def level(self, level: float | None = None) -> float:
        return self.runs.claims.level if level is None else level

    def _repr_html_(self) -> str:
        headline = tables.headline(self.runs.final, self.runs.claims, self.level())
        table: str = headline.to_html(index=False, border=0)
        figure = self.figure()
        return table if figure is None else table + style.in_text_colour(style.svg(figure))
