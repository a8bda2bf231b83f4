"""The documentation agrees with the code, the tests and the published results."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import gpu, note
from search_spaces import methods, tasks
from search_spaces.comparison import COMPARISON
from tune_kmixup.analysis import claims, gains, search_budget
from tune_kmixup.analysis.load import Runs, load, read_launches
from tune_kmixup.analysis.report import conclusions, render
from tune_kmixup.analysis.report.formats import format_gain
from tune_kmixup.core.config import Claims, Draft
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import COLUMNS
from tune_kmixup.models import architectures
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.suite import build_suite

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"


@cache
def loaded(folder: Path) -> Runs:
    """A report of docs/results, read and checked once."""
    return load([folder])


@cache
def published(name: str) -> pd.DataFrame:
    """The rows of one of the reports in docs/results."""
    return pd.read_parquet(RESULTS / name / "results.parquet")


def prose(page: Path) -> str:
    """A page without its line breaks."""
    return re.sub(r"\s+", " ", page.read_text())


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


def test_tests_that_are_named_are_there() -> None:
    tests = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    named = {page.name: set(re.findall(r"`(test_\w+)`", page.read_text())) for page in (ROOT / "docs").rglob("*.md")}
    assert set.union(*named.values()) - {*COLUMNS} <= tests and len(named["reliability.md"]) > 10


def test_the_architecture_names_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for package in ("tune_kmixup", "search_spaces", "analysis"):
        for path in (ROOT / package).rglob("[!_]*.py"):
            assert f"`{path.stem}`" in text, path


def samples_of(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("sample", ["README", "loop", "DataLoader"])
def test_the_loops_of_the_documentation_train(sample: str) -> None:
    """They stand on the first block of docs/kmixup.md: data, a network and an optimizer."""
    shared, loop, collated, *_ = samples_of("docs/kmixup.md")
    (readme,) = samples_of("README.md")
    assert len([line for line in readme.splitlines() if line]) == 5
    names: dict[str, Any] = {}
    exec(shared + {"README": readme, "loop": loop, "DataLoader": collated}[sample], names)
    assert names["y"].shape == (47, 10), "the last batch of 1797 rows"
    assert names["loss"].requires_grad and names["loss"].item() < (1.5 if sample == "loop" else 3)


CHECKS = {
    "Lightning": """
assert trainer.callback_metrics["val_error"] < 0.5 and trainer.lightning_module.kmixup.epoch == 2
""",
    "Hugging Face": """
x, y = digits.tensors
expected = cross_entropy(trainer.model(x.view(-1, 1, 8, 8)).logits, y)
assert abs(trainer.evaluate()["eval_loss"] - float(expected)) < 1e-4 and kmixup.previous is not None and kmixup.training
assert float(expected) < 2
""",
    "timm": """
from timm.loss import SoftTargetCrossEntropy
x, y = KMixup(8, 1.0, num_classes=10)(*next(iter(loader)))
assert torch.allclose(SoftTargetCrossEntropy()(model(x), y), cross_entropy(model(x), y))
""",
}


@pytest.fixture(scope="session")
def frameworks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what these frameworks need beside the packages that are here."""
    folder = tmp_path_factory.mktemp("frameworks")
    install = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
    wanted = [*install, "--dry-run", "lightning", "transformers[torch]", "timm"]
    plan = subprocess.run(wanted, capture_output=True, text=True, check=True, timeout=300).stderr
    missing = re.findall(r"^ \+ (\S+)$", plan, re.MULTILINE)
    subprocess.run([*install, "--quiet", "--no-deps", "--target", str(folder), *missing], check=True, timeout=600)
    return folder


@pytest.mark.thorough
@pytest.mark.parametrize("framework", CHECKS)
def test_the_example_of_a_framework_trains(framework: str, frameworks: Path, tmp_path: Path) -> None:
    shared, _, _, lightning, hugging_face = samples_of("docs/kmixup.md")
    sample = {"Lightning": lightning, "Hugging Face": hugging_face, "timm": ""}[framework]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(frameworks), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", shared + sample + CHECKS[framework]]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def test_links_of_the_documentation_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_schema_is_that_of_the_rows() -> None:
    assert (ROOT / "docs" / "results-schema.md").read_text().endswith(render.dictionary())


@pytest.mark.parametrize(
    "page",
    [
        *note.WITH_CONCLUSIONS,
        pytest.param(RESULTS / "details.md", marks=pytest.mark.slow),  # leaves out one repeat after another
    ],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_tables_of_the_comparison_are_those_of_its_rows(page: Path) -> None:
    text = page.read_text()
    assert text == note.with_tables(text), "python benchmarks/note.py"


def test_the_note_has_every_table() -> None:
    text = "".join(page.read_text() for page in note.PAGES)
    assert set(note.TABLES) == {name.rpartition(": ")[2] for name in re.findall(r"<!-- (.+) -->\n\n\|", text)}


def test_tables_about_a_gpu_are_those_of_its_results(capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("gpu", "gpu/before_correction"):
        gpu.main(["report", str(ROOT / "docs" / "results" / folder)])
    measured = capsys.readouterr().out.splitlines()
    section = (ROOT / "docs" / "performance.md").read_text().partition("\n## On a GPU\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert len(rows) > 30 and set(rows) <= set(measured)


def test_sentences_about_the_comparison_are_those_of_its_rows() -> None:
    """The number of tasks, the mean gains, p-values, and what was expected of each task."""
    compared = note.finished()
    tasks, answers = gains.tasks(compared.final), conclusions.answer(compared)[:2]
    for page in note.WITH_CONCLUSIONS:
        text = prose(page)
        assert len(tasks) == len(COMPARISON) and f"All {len(tasks)} tasks are finished" in text
        for sentence in answers:
            (mean,) = re.findall(r"(\S+ \[\S+, \S+\]) % of ERM's error", sentence)
            assert mean.replace(" [", " % of ERM's error [") in text, page
    (judged,) = claims.judge_runs(compared)
    known = {f"{verdict.p:.{digits}f}" for verdict in judged.verdicts for digits in (2, 3)}
    known |= {*re.findall(r"\| (?:up to )?(0\.\d+) (?=\|)", (RESULTS / "details.md").read_text())}
    said = {*re.findall(r"(?:p =|p is|up to) (0\.\d+)", prose(RESULTS / "README.md"))}
    assert said and said <= known
    expected = (RESULTS / "README.md").read_text().partition("## What was expected")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| (\S+/\S+) \|", expected, re.MULTILINE)) == sorted(tasks)


def test_earlier_results_are_those_of_the_first_pass() -> None:
    """And what is withdrawn, from the rows that are kept."""
    text = prose(RESULTS / "earlier.md")
    tuned = published("cpu-tuned")
    assert f"({len(published('cpu')):,} runs)" in text and f"({len(tuned):,} runs)" in text
    counts = [
        {words: len(names) for words, names in conclusions.tasks_in_words(tuned, *pair, Claims()).items()}
        for pair in gains.COMPARED[:2]
    ]
    before = {"shown before correction only": 1}
    assert counts[0] == before | {"shown": 1, "loss shown": 1, "shown to be small": 2, "not known": 8, "one search": 3}
    assert counts[1] == {"shown to be small": 2, "not known": 11, "one search": 3}
    first = next(verdict for verdict in claims.judge(tuned, Claims()) if verdict.task == claims.OVERALL)
    assert "+0.90 % of ERM's error [-4.60, +6.40] over 8 data sets" in first.reason
    assert "+0.90 % of ERM's error [-4.60, +6.40] over 8 data sets" in text
    for folder, task, pair in (
        ("cpu", "two_spirals/mlp", ("kmixup", "mixup")),
        ("lower-alpha", "two_spirals/mlp", ("kmixup", "mixup")),
        ("cpu", "two_spirals/mlp", ("mixup", "erm")),
        ("lower-alpha", "two_spirals/mlp", ("mixup", "erm")),
        ("cpu", "phishing/mlp", ("mixup", "erm")),
        ("cpu-tuned", "phishing/mlp", ("mixup", "erm")),
    ):
        assert format_gain(gains.gain(published(folder), task, *pair)) in text
    longer = [gains.gain(published("longer"), "mnist-2000/lenet", *pair) for pair in gains.COMPARED[:2]]
    assert [format_gain(gain) for gain in longer] == ["+0.19, one search", "+0.16, one search"]


def is_whole(runs: Runs) -> bool:
    """Whether rows are those of their launches, and none is missing."""
    return runs.missing.empty and {suite.name for suite in runs.suites} == set(runs.rows["suite"])


def test_the_published_comparison_can_be_reported_again() -> None:
    assert is_whole(note.finished()) and len(note.finished().suites) == len(list(note.ROWS.glob("comparison-*")))


OTHERS = sorted({rows.parent for rows in RESULTS.rglob("results.parquet")} - {*note.ROWS.glob("comparison-*")})


@pytest.mark.slow
@pytest.mark.parametrize("folder", OTHERS, ids=lambda f: f.name)
def test_what_is_published_besides_can_be_reported_again(folder: Path) -> None:
    assert is_whole(loaded(folder))


def test_what_is_said_of_the_ends_of_ranges_is_in_the_rows() -> None:
    text = prose(RESULTS / "earlier.md")
    shares = {}
    for name in ("cpu", "cpu-tuned"):
        suites = [launch.suite for launch in read_launches(RESULTS / name)]
        ends = search_budget.range_ends(search_budget.selected_values(published(name), suites))
        alpha = ends[ends["coordinate"] == "alpha"].set_index("method")["at low"]
        shares[name] = [f"{100 * alpha[method]:.0f}" for method in ("mixup", "kmixup")]
    assert f"in {shares['cpu'][0]} % of the studies with fixed recipes, k-mixup in {shares['cpu'][1]} %" in text
    assert f"with everything tuned in {shares['cpu-tuned'][0]} and {shares['cpu-tuned'][1]} %" in text


def test_published_results_are_small() -> None:
    assert sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()) < 15e6
