"""What the figures are computed from, and that no text of a figure lies on another."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from benchmarks.report import made_up
from tune_kmixup.analysis import cross_task, gains, search_budget
from tune_kmixup.analysis.load import read_entries, to_table
from tune_kmixup.analysis.report import figures, style
from tune_kmixup.analysis.report.figures import grid, mean_by_configuration, pool_bins
from tune_kmixup.analysis.stats import Estimate
from tune_kmixup.core.rows import Bin

RESULTS = Path(__file__).parents[3] / "docs" / "results"


def test_reliability_bins_of_several_runs_are_pooled_by_their_rows() -> None:
    separate = pool_bins(pd.Series([(Bin(10, 0.6, 0.5), Bin(30, 0.95, 1.0)), (Bin(30, 0.61, 0.7),)]))
    assert list(separate["rows"]) == [10, 30, 30], "0.6000 is the upper end of its bin"
    (pooled,) = pool_bins(pd.Series([(Bin(10, 0.61, 0.5),), (Bin(30, 0.65, 0.7),)])).to_dict("records")
    assert pooled["rows"] == 40 and pooled["accuracy"] == pytest.approx((5 + 21) / 40)


def test_the_axis_of_the_forest_holds_all_means_and_most_intervals() -> None:
    narrow = [Estimate(1.0, 0.0, 2.0, 5)] * 9
    wide = Estimate(5.0, -95.0, 105.0, 5)
    assert 5 < figures.forest_limit([*narrow, *narrow, wide], {}, 0.95) < 50


def shown_texts(figure: Figure) -> Iterator[tuple[str, Bbox]]:
    """The texts that are drawn, with their boxes in pixels."""
    figure.draw_without_rendering()
    beyond = set()  # ticks outside the view have labels that are not drawn
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim()))):
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high or not axis.get_visible():
                    beyond |= {tick.label1, tick.label2}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_visible() and text.get_text() and text not in beyond:
            yield text.get_text(), text.get_window_extent()


def assert_legible(figure: Figure, name: str) -> None:
    """No text on another, and none beyond the figure."""
    texts = list(shown_texts(figure))
    assert texts
    for (one, box), (other, other_box) in combinations(texts, 2):
        overlap = Bbox.intersection(box, other_box)
        assert overlap is None or min(overlap.width, overlap.height) < 0.5, f"{name}: {one!r} lies on {other!r}"
    for text, box in texts:
        inside = figure.bbox.x0 - 1 <= box.x0 and box.x1 <= figure.bbox.x1 + 1
        assert inside and figure.bbox.y0 - 1 <= box.y0 and box.y1 <= figure.bbox.y1 + 1, f"{name}: {text!r} is cut off"


def assert_all_legible(rows: pd.DataFrame, tasks: int | None = None) -> None:
    final = rows[rows["selected"].astype(bool)]
    over = cross_task.compared_gains(final)
    for narrow in (False, True):
        forest = figures.forest(final, over, narrow=narrow)
        assert forest is not None
        assert_legible(forest, "forest")
    curves = search_budget.budget_curves(rows, random_order=False)
    for task in gains.tasks(rows)[:tasks]:
        drawn = figures.by_task(rows[rows["task"] == task], curves, task, style.looks_of(rows))
        assert len(drawn) >= 5
        for name, figure in drawn.items():
            assert_legible(figure, f"{task}: {name}")


def test_no_text_lies_on_another_with_long_names_and_four_methods() -> None:
    effects = {"erm": 0.0, "mixup": 0.01, "kmixup": 0.012, "placebo": 0.01}
    tasks = ["a/mlp", "fashion_mnist-2000-noise0.4/small_resnet_of_" + 40 * "x"]
    assert_all_legible(made_up(np.random.default_rng(0), effects, tasks=tasks), tasks=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in RESULTS.rglob("results.parquet")), ids=lambda f: f.name
)
def test_no_text_lies_on_another_in_the_figures_of_published_rows(folder: Path) -> None:
    assert_all_legible(to_table(read_entries(folder)))


def test_a_configuration_with_k_above_1_may_mix_nothing() -> None:
    """A space of the user's own may hold α = 0."""
    rows = made_up(np.random.default_rng(0), tasks=["a/mlp"])
    some = (rows["method"] == "kmixup") & (rows["trial"] % 2 == 0)
    for alpha in (rows["alpha"].mask(some, 0.0), rows["alpha"].mask(rows["method"] == "kmixup", 0.0)):
        assert_all_legible(rows.assign(alpha=alpha))


def test_a_single_alpha_lies_inside_its_cell() -> None:
    rows = made_up(np.random.default_rng(0), tasks=["a/mlp"])
    rows = rows.assign(alpha=rows["alpha"].mask(rows["method"] == "kmixup", 2.0))
    rows = rows[rows["method"] == "kmixup"]
    figure = grid(mean_by_configuration(rows), rows[rows["selected"].astype(bool)])
    assert figure is not None
    corners = figure.axes[0].collections[0].get_coordinates()
    assert sorted(set(corners[..., 0].ravel())) == [1.0, 4.0]


def test_a_user_s_method_looks_the_same_on_every_task() -> None:
    effects = {"erm": 0.0, "aaa": 0.0, "bbb": 0.0}
    both = made_up(np.random.default_rng(0), effects, tasks=["a/mlp"])
    one = made_up(np.random.default_rng(0), {"erm": 0.0, "bbb": 0.0}, tasks=["b/mlp"])
    rows = pd.concat([both, one], ignore_index=True)
    looks, curves = style.looks_of(rows), search_budget.budget_curves(rows, random_order=False)
    assert looks["aaa"].colour != looks["bbb"].colour
    for task in ("a/mlp", "b/mlp"):
        drawn = figures.by_task(rows[rows["task"] == task], curves, task, looks)["Reliability"]
        legend = drawn.axes[0].get_legend()
        assert legend is not None
        colours = {
            text.get_text(): to_hex(handle.get_facecolor()[0])
            for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
        }
        assert colours["bbb"] == looks["bbb"].colour.lower()


def test_figures_of_one_page_share_their_styles() -> None:
    """As classes, with the same rules for all."""
    figure, axes = style.panel("x", "y")
    axes.plot([0, 1], [0, 1], color="#0072B2")
    svg = style.svg(figure)
    shared, rules = style.share_styles({"one": svg, "other": svg})
    assert shared["one"] == shared["other"] and " style=" not in shared["one"] and len(shared["one"]) < len(svg)
    assert "stroke:#0072b2" in rules and "stroke:#0072b2" not in shared["one"]


def test_a_small_svg_keeps_the_numbers_that_it_shows() -> None:
    svg = '<svg width="1.2345"><!-- c --><metadata>m</metadata><g id="a"><text x="2.345">0.001</text></g></svg>'
    assert style.compact(svg) == '<svg width="1.2"><text x="2.3">0.001</text></svg>'


def test_a_saturated_task_does_not_hide_the_mean_over_data_sets() -> None:
    """A gain of a task on which ERM makes no error is no share of it."""
    rows = made_up(np.random.default_rng(0), tasks=["a/mlp", "b/mlp", "c/mlp", "d/mlp"])
    rows.loc[(rows["task"] == "a/mlp") & rows["selected"].astype(bool), "test_error"] = 0.0
    forest = figures.forest(rows[rows["selected"].astype(bool)], cross_task.compared_gains(rows))
    assert forest is not None
    names = [label.get_text() for label in forest.axes[0].get_yticklabels()]
    assert names == ["a/mlp", "b/mlp", "c/mlp", "d/mlp", "mean over data sets"] and len(forest.axes[0].patches) == 1
