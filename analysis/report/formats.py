"""How the report spells methods, metrics and numbers: errors in per cent, gains in points."""

import math
from dataclasses import dataclass, replace

from tune_kmixup.core.config import SelectBy
from tune_kmixup.core.methods import KNOWN
from tune_kmixup.core.selection import SELECTED_BY
from tune_kmixup.core.text import one_line

from ..evidence import FEWEST_UNITS
from ..gains import searches
from ..stats import Estimate


def method_label(method: str) -> str:
    """How the report spells a method: `ERM`, `k-mixup`; a user's own method by its name."""
    return KNOWN[method].label if method in KNOWN else method


def comparison_label(method: str, reference: str) -> str:
    return f"{method_label(method)} over {method_label(reference)}"


def display_scale(metric: str) -> float:
    """The factor from a metric's values to those shown: errors are fractions in rows and per cent in tables."""
    return 100 if any(name in metric for name in ("error", "ece", "f1", "auroc")) else 1


def display_unit(metric: str) -> str:
    return f"points of {metric.replace('_', ' ')}" if display_scale(metric) == 100 else metric.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Measured:
    """An error or a gain as readers see it: `12.3 ± 0.4`, `▲ +0.50 ± 0.20` or `+0.50, one search`.

    Attributes:
        mean: the number; empty where nothing was measured.
        half_width: of its interval; empty where there is none.
        reason: why a gain has no interval; else empty.
        mark: what is known of a gain, see `findings.Finding`.
    """

    mean: str
    half_width: str = ""
    reason: str = ""
    mark: str = ""

    def __str__(self) -> str:
        interval = f" ± {self.half_width}" if self.half_width else f", {self.reason}" if self.reason else ""
        return f"{self.mark} {self.mean}{interval}".strip()


def measured(estimate: Estimate, signed: bool = False, metric: str = "test_error") -> Measured:
    """A mean and the half width of its interval.

    Args:
        estimate: in the metric's own units.
        signed: whether a positive mean has a plus sign.
        metric: column of the rows; errors become per cent.
    """
    if math.isnan(estimate.mean):
        return Measured("")
    scale, digits = display_scale(metric), 2 if display_scale(metric) == 100 else 3
    mean = f"{scale * estimate.mean:{'+' if signed else ''}.{digits}f}"
    half_width = "" if math.isnan(estimate.half_width) else f"{scale * estimate.half_width:.{digits}f}"
    return Measured(mean, half_width)


def measured_gain(gain: Estimate, metric: str = "test_error", mark: str = "") -> Measured:
    """Like `measured`, with the reason where there is no interval, and with a mark."""
    found = measured(gain, signed=True, metric=metric)
    reason = searches(gain.units) if gain.units < FEWEST_UNITS else "no spread"
    reason = reason if found.mean and not found.half_width else ""
    return replace(found, reason=reason, mark=mark)


def format_estimate(estimate: Estimate, signed: bool = False, metric: str = "test_error") -> str:
    """See `measured`."""
    return str(measured(estimate, signed, metric))


def format_gain(gain: Estimate, metric: str = "test_error") -> str:
    """See `measured_gain`."""
    return str(measured_gain(gain, metric))


def format_interval(estimate: Estimate, signed: bool = True) -> str:
    sign = "+" if signed else ""
    return "" if math.isnan(estimate.low) else f"[{100 * estimate.low:{sign}.2f}, {100 * estimate.high:{sign}.2f}]"


def format_percent(fraction: float, digits: int = 2) -> str:
    return "" if math.isnan(fraction) else f"{100 * fraction:.{digits}f}"


def in_percent(fraction: float) -> str:
    """A level or margin: 95%, 99.95%."""
    return f"{100 * fraction:.6g}%"


def format_p(p: float) -> str:
    return "" if math.isnan(p) else f"{p:.2g}"


def score_label(by: SelectBy) -> str:
    """The score by which configurations were selected, with its unit, as the head of a column."""
    return SELECTED_BY[by].replace("validation", "val.") + (" %" if by != "nll" else "")


def format_score(score: float, by: SelectBy) -> str:
    """A score on validation rows: errors in per cent, the NLL in nats; empty where it is not known."""
    return format_percent(score) if by != "nll" else "" if math.isnan(score) else f"{score:.3f}"


def format_value(value: float) -> str:
    """A number in two digits, and whole above a hundred: 0.053, 24, 128."""
    return f"{value:.2g}" if abs(value) < 99.5 else f"{value:.0f}"


def format_range(low: float, high: float) -> str:
    return format_value(low) if low == high else f"{format_value(low)}–{format_value(high)}"


def format_relative(estimate: Estimate) -> str:
    """A share of ERM's error and its interval, in per cent; empty where there is neither."""
    if math.isnan(estimate.low):
        return "" if math.isnan(estimate.mean) else f"{100 * estimate.mean:+.1f}"
    return f"{100 * estimate.mean:+.1f} [{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"


def format_count(count: float) -> str:
    return "" if math.isnan(count) else "no number" if math.isinf(count) else f"{count:,.0f}"


def escape_markdown(text: str) -> str:
    """Text on one line without HTML, without the end of a cell, and without the start of a link."""
    escaped = "".join(f"\\{c}" if c in "<>|" else c for c in one_line(text))
    return escaped.replace("](", "]\\(")
