"""The documentation agrees with the code, the tests and the published results."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from search_spaces import methods, tasks
from tune_kmixup.analysis import claims, cross_task, gains
from tune_kmixup.analysis.load import load
from tune_kmixup.analysis.report import render, tables
from tune_kmixup.core.config import Draft
from tune_kmixup.core.errors import BadInput
from tune_kmixup.models import architectures
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.suite import build_suite

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"


def published(name: str) -> pd.DataFrame:
    """The rows of one of the reports in docs/results."""
    return pd.read_parquet(RESULTS / name / "results.parquet")


@pytest.fixture
def dicts_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TASKS", tasks.TASKS)
    for module, name in ((tasks, "TASKS"), (methods, "METHODS"), (architectures, "ARCHITECTURES")):
        registry = getattr(module, name)
        for key in ("mine/wide", "wide", "kmixup_8"):
            monkeypatch.setitem(registry, key, None)
            monkeypatch.delitem(registry, key)


@pytest.mark.usefixtures("dicts_restored")
def test_the_extension_of_the_documentation_runs(tmp_path: Path) -> None:
    (sample,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), re.DOTALL)
    (tmp_path / "my_tasks.py").write_text(sample)
    Plugins.read([tmp_path / "my_tasks.py"]).load()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 6)).astype(np.float32), rng.integers(0, 3, 200)
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    suite = build_suite(Draft("mine", ("mine/wide",), methods=("erm", "kmixup_8")), tmp_path)
    assert [study.name for study in suite.studies][:2] == ["mine/wide@0/erm", "mine/wide@0/kmixup_8"]


def test_an_extension_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadInput, match=r"load='nowhere\.py' cannot be read"):
        Plugins.read([Path("nowhere.py")])


def test_rules_of_fairness_name_their_tests() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "fairness.md").read_text()))
    tests = set(re.findall(r"^def (test_\w+)", (ROOT / "tests" / "test_fairness.py").read_text(), re.MULTILINE))
    assert named == tests and len(named) == 10


def test_what_is_survived_names_its_tests() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text()))
    tests = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert named <= tests and len(named) > 10


def test_the_architecture_names_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for package in ("tune_kmixup", "search_spaces", "analysis"):
        for path in (ROOT / package).rglob("[!_]*.py"):
            assert f"`{path.stem}`" in text, path


def test_links_of_the_documentation_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_schema_is_that_of_the_rows() -> None:
    assert (ROOT / "docs" / "results-schema.md").read_text().endswith(render.dictionary())


def test_the_published_figures_are_those_of_the_published_rows() -> None:
    """Every line of the table in docs/results, from results.parquet."""
    rows = published("cpu")
    text = (RESULTS / "README.md").read_text()
    for task in gains.tasks(rows):
        shown = [tables.format_estimate(gains.gain(rows, task, *pair), signed=True) for pair in gains.COMPARED[:2]]
        assert f"| {task} | {shown[0]} | {shown[1]} |" in text
    assert f"{len(rows):,} runs" in text and f"{len(rows):,} runs" in (ROOT / "README.md").read_text()
    outcomes = {pair: cross_task.count_outcomes(rows, *pair) for pair in gains.COMPARED[:2]}
    assert outcomes["mixup", "erm"] == {"wins": 6, "losses": 2, "ties": 10}, "what the README says"
    assert outcomes["kmixup", "mixup"] == {"wins": 1, "losses": 0, "ties": 17}


@pytest.mark.parametrize(
    ("beside", "other"),
    [("cpu", "cpu-random"), ("cpu", "cpu-tuned"), ("cpu", "lower-alpha"), ("cpu-tuned", "longer")],
)
def test_the_figures_of_a_further_experiment_are_those_of_its_rows(beside: str, other: str) -> None:
    first, further = published(beside), published(other)
    assert f"{len(further):,} runs" in (RESULTS / "README.md").read_text()
    for task in gains.tasks(further):
        pairs = [(rows, *pair) for pair in gains.COMPARED[:2] for rows in (first, further)]
        shown = [tables.format_estimate(gains.gain(rows, task, a, b), signed=True) for rows, a, b in pairs]
        assert f"| {task} | {' | '.join(shown)} |" in (RESULTS / "README.md").read_text()


@pytest.mark.parametrize("folder", sorted(RESULTS.glob("*/")), ids=lambda folder: folder.name)
def test_what_is_published_can_be_reported_again(folder: Path) -> None:
    """Its rows are those of its launches, and whole."""
    runs = load([folder])
    assert runs.missing.empty and {suite.name for suite in runs.suites} == set(runs.rows["suite"])


def test_the_readme_shows_what_was_found_with_everything_tuned() -> None:
    tuned = published("cpu-tuned")
    text = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    assert f"{len(gains.tasks(tuned))} tasks that two cores" in text and f"{len(tuned):,} runs" in text
    for task in gains.tasks(tuned):
        shown = [tables.format_estimate(gains.gain(tuned, task, *pair), signed=True) for pair in gains.COMPARED[:2]]
        assert (
            f"| {task} | {tables.format_estimate(gains.mean_metric(tuned, task, 'erm'))} | {' | '.join(shown)} |"
            in text
        )
    outcomes = {pair: cross_task.count_outcomes(tuned, *pair) for pair in gains.COMPARED[:2]}
    assert outcomes["mixup", "erm"] == {"wins": 4, "losses": 1, "ties": 11}, "what the README says"
    assert outcomes["kmixup", "mixup"] == {"wins": 0, "losses": 0, "ties": 16}
    longer = published("longer")
    for pair in gains.COMPARED[:2]:
        assert tables.format_estimate(gains.gain(longer, "mnist-2000/lenet", *pair)) in text
    first = next(verdict for verdict in claims.judge(tuned) if (verdict.claim, verdict.task) == (1, claims.ALL_TASKS))
    assert "+0.20 % of ERM [-5.82, +6.23]" in first.reason and "+0.2 % of ERM's error [-5.8, +6.2]" in text
