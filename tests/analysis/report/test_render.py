"""The written report: its formats, its options, and which runs it needs."""

import base64
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from optuna.distributions import CategoricalDistribution, distribution_to_json

from benchmarks.report import made_up
from search_spaces.methods import make_study
from tests.helpers.disks import full_disk
from tests.helpers.reports import filled
from tests.helpers.suites import small_suite
from tune_kmixup.analysis.findings import MARKS
from tune_kmixup.analysis.load import Launch, Runs, load
from tune_kmixup.analysis.report import conclusions, latex, methods_text, render, style, tables
from tune_kmixup.analysis.report.formats import Measured
from tune_kmixup.analysis.report.sections import Report, Section, Table, make_report
from tune_kmixup.core.config import Claims, Recipe, SelectBy, Suite
from tune_kmixup.core.errors import BadInput, LaunchError
from tune_kmixup.core.selection import SELECTED_BY
from tune_kmixup.store.run_dir import RunDir


def three_tasks() -> pd.DataFrame:
    return made_up(np.random.default_rng(0)).assign(machine="<script>alert(1)</script>")


def one_task(seed: int = 0) -> pd.DataFrame:
    return made_up(np.random.default_rng(seed), tasks=["a/mlp"])


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of `three_tasks`, written once: path by format."""
    return render.write(Runs(three_tasks()), tmp_path_factory.mktemp("report")).paths


def markdown(runs: Runs, level: float = 0.95, metric: str = "test_error") -> str:
    """The Markdown report without drawing its figures, which takes most of the time."""
    return render.markdown(make_report(runs, level, metric))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and not drawn, for tests of what is written beside them."""
    monkeypatch.setattr(style, "svg", lambda figure: "<svg></svg>")
    monkeypatch.setattr(style, "png", lambda figure: b"")
    monkeypatch.setattr(style, "pdf", lambda figure: b"")


def write_html(runs: Runs, out: Path) -> str:
    return render.write(runs, out, ("html",)).paths["html"].read_text()


@pytest.mark.usefixtures("undrawn")
def test_a_report_can_be_written_again_from_its_own_files(tmp_path: Path, suite: Suite) -> None:
    """From one report or several it equals the report of the run directories."""
    suites = [
        dataclasses.replace(suite, name=name, studies=suite.studies[start : start + 3])
        for name, start in (("a", 0), ("b", 3))
    ]
    runs = [filled(RunDir(tmp_path / "runs" / part.name), part).path for part in suites]
    for run in runs:
        render.write(load([run]), tmp_path / run.name, ("md",))
    render.write(load(runs), tmp_path / "from-runs")
    render.write(load([tmp_path / "a", tmp_path / "b"]), tmp_path / "from-reports")
    render.write(load([tmp_path / "from-reports"]), tmp_path / "from-report")
    for name in ("report.html", "report.md", "report.tex", "gains.csv", "methods.md", "launches.json"):
        expected = (tmp_path / "from-runs" / name).read_text()
        assert (tmp_path / "from-reports" / name).read_text() == expected, name
        assert (tmp_path / "from-report" / name).read_text() == expected, name


@pytest.mark.usefixtures("undrawn")
def test_a_report_that_cannot_be_written_is_refused(run_dir: RunDir, tmp_path: Path) -> None:
    """A path that is a file is bad input, a full disk is not."""
    runs = load([filled(run_dir, small_suite()).path])
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"file' cannot be written \(File exists\): choose another --out"):
        render.write(runs, tmp_path / "file", ("md",))
    with full_disk(), pytest.raises(LaunchError, match=r"out' cannot be written \(File too large\): free some space"):
        render.write(runs, tmp_path / "out", ("md",))


@pytest.mark.usefixtures("undrawn")
def test_sections_without_measurements_are_left_out(run_dir: RunDir, tmp_path: Path) -> None:
    """`filled` writes neither calibration nor robustness, as an earlier version did."""
    page = write_html(load([filled(run_dir, small_suite()).path]), tmp_path / "out")
    assert "<h2>Claims</h2>" in page
    assert "error, FGSM" not in page and "Test error under Gaussian noise" not in page


class PageParser(HTMLParser):
    """Collects the addresses that a page loads, and its identifiers."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("src", "href", "xlink:href") and value and not value.startswith(("#", "data:")):
                self.loaded.append(value)


def test_the_page_loads_nothing_and_its_figures_share_no_identifiers(report: dict[str, Path]) -> None:
    parser = PageParser()
    parser.feed(report["html"].read_text())
    assert parser.loaded == []
    assert len(parser.ids) == len(set(parser.ids)) > 100


def test_names_of_users_are_escaped(report: dict[str, Path]) -> None:
    page = report["html"].read_text()
    assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page


def test_every_format_holds_the_same_headline(report: dict[str, Path]) -> None:
    error, gain = re.findall(
        r"\| a/mlp \| [^|]+ \| ([\d.]+) ± [^|]+\| [^|]+ \|[▲△▼▽≈∼ ]*([-+][\d.]+) ± ", report["md"].read_text()
    )[0]
    assert error in report["html"].read_text() and gain.replace("-", "−") in report["html"].read_text()
    gains_table = (report["tex"].parent / "tables" / "gains.tex").read_text()
    assert error in gains_table and gain in gains_table
    gains = pd.read_csv(report["csv"]).set_index(["task", "method", "reference"])
    assert f"{100 * gains.loc[('a/mlp', 'mixup', 'erm'), 'mean']:+.2f}" == gain


def test_the_rows_and_the_figure_are_written_beside_the_report(report: dict[str, Path]) -> None:
    folder = report["html"].parent
    assert pd.read_parquet(folder / "results.parquet")["test_error"].equals(three_tasks()["test_error"])
    figures = folder / "figures"
    assert {path.name for path in figures.iterdir()} == {"gains.svg", "gains.png", "gains.pdf"}
    assert (figures / "gains.pdf").read_bytes().startswith(b"%PDF")
    assert "prefers-color-scheme:dark" in (figures / "gains.svg").read_text()


def test_markdown_has_one_table_and_one_picture(report: dict[str, Path]) -> None:
    text = report["md"].read_text()
    assert text.count("| --- | --- | --- | --- | --- | --- |") == 1 and text.count("![") == 1
    assert "mean over 3 data sets" in text


def test_mean_ranks_and_friedmans_p_are_in_the_notes(report: dict[str, Path]) -> None:
    (ranks,) = re.findall(
        r"Mean ranks \(1 is best\): (.*)\. Friedman&#39;s test .*: p = [\d.]+", report["html"].read_text()
    )
    assert re.findall(r"(\S+) \d\.\d\d", ranks) == ["k-mixup", "mixup", "ERM"]
    assert sum(map(float, re.findall(r"\d\.\d\d", ranks))) == pytest.approx(6, abs=0.02)


def test_a_task_has_a_section_of_its_own(report: dict[str, Path]) -> None:
    page = report["html"].read_text()
    sections = re.findall(r'<details class="task" id="task\d+" data-task="([^"]+)" data-set="([^"]+)">', page)
    assert sections == [("a/mlp", "a"), ("b/mlp", "b"), ("c/lenet", "c")]
    assert page.count("Validation error against α</figcaption>") == page.count("Reliability</figcaption>") == 3


def test_metric_and_level_can_be_chosen() -> None:
    wide, narrow = (markdown(Runs(one_task()), level, "test_nll") for level in (0.99, 0.5))
    assert "| task | ERM, test nll |" in wide
    widths = [float(re.findall(r"\| a/mlp \| [\d.]+ ± ([\d.]+) \|", page)[0]) for page in (wide, narrow)]
    assert widths[0] > widths[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ("pdf",)}, "format=pdf is unknown: choose among html, md, tex, csv"),
        ({"level": 95}, "level=95 is no confidence level"),
        ({"level": 0.4}, "level=0.4 is no confidence level: choose one between 0.5 and 1"),
        ({"metric": "accuracy"}, "metric='accuracy' is unknown: choose among test_error"),
        ({"compare": Path("nowhere")}, r"compare='nowhere' holds no results\.parquet"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        render.write(Runs(one_task()), tmp_path, **options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("undrawn")
def test_gains_are_compared_with_an_earlier_report(report: dict[str, Path], tmp_path: Path) -> None:
    earlier = report["html"].parent
    page = render.write(Runs(one_task(seed=1)), tmp_path, ("html",), compare=earlier).paths["html"].read_text()
    changes = re.sub(r"<[^>]*>", "|", page.partition("What changed</h2>")[2])
    assert re.search(r"a/mlp[|●■ ]+mixup over ERM\|+\S+ ± [\d.]+\|+\S+ ± [\d.]+\|+[−+]", changes)
    assert re.search(r"b/mlp[|●■ ]+mixup over ERM\|+\S+ ± [\d.]+\|+20\|+0\|", changes)


def test_gains_that_are_no_step_of_the_three_methods_are_shown_in_all_metrics_and_compared() -> None:
    effects = {"erm": 0.0, "kmixup": 0.1, "mine": 0.2}
    before, now = (made_up(np.random.default_rng(seed), effects, tasks=["a/mlp"]) for seed in (0, 1))
    pairs = {"k-mixup over ERM", "mine over ERM"}
    assert set(tables.changes(before, now)["gain of"]) == pairs
    assert pairs <= {*tables.metric_means(now.assign(test_nll=0.5), {"test_nll": "NLL"})}
    all_three = made_up(np.random.default_rng(0), tasks=["a/mlp"])
    assert set(tables.changes(all_three, all_three)["gain of"]) == {"mixup over ERM", "k-mixup over mixup"}


def test_it_says_why_no_claim_is_judged(tmp_path: Path) -> None:
    """Methods that were launched apart can be compared, but no launch fixed which tasks decide."""
    whole = small_suite(claims=Claims(families=dict.fromkeys("1234", ("iris/mlp",))))
    apart = []
    for method in ("erm", "mixup", "kmixup"):
        studies = tuple(study for study in whole.studies if study.method == method)
        suite = small_suite(studies=studies, claims=Claims(families=dict.fromkeys("1234", ())))
        apart.append(filled(RunDir(tmp_path / method), suite).path)
    said = "No claim of the paper is judged, because no launch had all three methods of a task"
    assert said in " ".join(conclusions.caveats(load(apart)))
    assert said not in " ".join(conclusions.caveats(load(apart[:2])) + conclusions.caveats(Runs(one_task())))
    assert said not in " ".join(conclusions.caveats(load([filled(RunDir(tmp_path / "whole"), whole).path])))


ERM, MIXUP, KMIXUP = {"erm": 0.0}, {"mixup": 0.0}, {"kmixup": 0.0}
ALL_METHODS = ERM | MIXUP | KMIXUP


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("effects", "splits", "seeds", "compared"),
    [
        (ERM, 1, 3, False),
        (MIXUP, 3, 0, False),
        (KMIXUP, 1, 0, False),
        (MIXUP | KMIXUP, 3, 2, True),
        (ALL_METHODS, 1, 0, False),
        (ALL_METHODS, 1, 1, True),
        (ALL_METHODS, 2, 1, True),
        (ERM | MIXUP | {"mine": 0.1}, 3, 1, True),
    ],
)
def test_a_report_needs_no_particular_methods_splits_or_seeds(
    effects: dict[str, float], splits: int, seeds: int, compared: bool, tmp_path: Path
) -> None:
    rows = made_up(np.random.default_rng(0), effects, tasks=["a/mlp"], splits=splits, seeds=seeds)
    page = write_html(Runs(rows), tmp_path)
    assert ("nothing can be compared" in page) == (not compared)
    assert "Best validation error so far" in page


@pytest.mark.parametrize(("effects", "splits", "seeds"), [(ERM, 1, 3), (ALL_METHODS, 1, 0), (ALL_METHODS, 2, 1)])
def test_figures_of_few_runs_can_be_drawn(effects: dict[str, float], splits: int, seeds: int) -> None:
    rows = made_up(np.random.default_rng(0), effects, tasks=["a/mlp"], splits=splits, seeds=seeds)
    figures = render.named_figures(make_report(Runs(rows), 0.95, "test_error"))
    assert figures
    for figure in figures.values():
        assert style.svg(figure).startswith("<svg")


def test_diverged_runs_are_counted() -> None:
    rows = one_task().assign(status="diverged", val_nll=np.nan, test_nll=np.nan)
    for column in ("val_error", "test_error"):
        rows.loc[rows[column].notna(), column] = 1.0
    assert f"{len(rows)} runs diverged" in markdown(Runs(rows))


@pytest.mark.usefixtures("undrawn")
def test_scores_of_classes_are_reported_in_per_cent_with_their_direction(tmp_path: Path) -> None:
    rows = one_task().assign(test_auroc=lambda rows: 1 - rows["test_error"], test_balanced_error=0.5)
    auroc, error = (markdown(Runs(rows), metric=metric) for metric in ("test_auroc", "test_error"))
    gain, same = (re.search(r"\| a/mlp \| [^|]+\| [^|]+\| [^|]+\| \W*([-+][^|]+)", text) for text in (auroc, error))
    assert gain and same and gain[1] == same[1], "of the same size and sign"
    assert "Test auroc and gains in points of test auroc" in auroc
    assert "More test auroc is better: a gain is the method's minus the" in auroc
    assert "More test" not in error
    render.write(Runs(rows), tmp_path, ("md",), metric="test_balanced_error")


@pytest.mark.parametrize("metric", render.CLASS_METRICS)
def test_scores_that_an_earlier_version_did_not_record_are_refused(metric: str, tmp_path: Path) -> None:
    published = load([Path(__file__).parents[3] / "docs" / "results" / "longer"])
    rule = f"metric='{metric}' is not in 60 of the 60 final runs, which an earlier version trained: leave out"
    with pytest.raises(BadInput, match=rule):
        render.write(published, tmp_path / "report", metric=metric)
    assert not (tmp_path / "report").exists()


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("by", "value"), [("nll", "0.312"), ("balanced_error", "31.20")])
def test_the_report_says_by_what_configurations_were_selected(by: SelectBy, value: str) -> None:
    suite = small_suite(select_by=by, scheduler="asha")
    rows = one_task().assign(**{f"val_{by}": 0.312})
    runs = Runs(rows, launches=[Launch("run", suite, None)])
    text = render.html(runs, make_report(runs, 0.95, "test_error"))
    assert f"Configurations were selected by {SELECTED_BY[by]}; claims are about test error." in text
    assert f"Best {SELECTED_BY[by]} so far" in text and f"{SELECTED_BY[by]} of the best configuration so far" in text
    head = SELECTED_BY[by].replace("validation", "val.") + ("" if by == "nll" else " %")
    assert f"at selection, {head}<" in text and f"{head} at equal seconds" in text and f">{value}<" in text
    paragraph = methods_text.suite_paragraph(suite)
    assert paragraph.count(SELECTED_BY[by]) == 2
    assert "Configurations were selected by" not in markdown(Runs(rows))


def test_the_methods_paragraph_counts_splits_and_configurations_that_there_are() -> None:
    """A method may have fewer configurations than the suite has trials, and a suite one split of a task."""
    suite = small_suite(shortlist=5, trials=16)
    two = {"alpha": json.loads(distribution_to_json(CategoricalDistribution((0.2, 0.4))))}
    studies = tuple(dataclasses.replace(s, space=two) if s.method == "mixup" else s for s in suite.studies)
    paragraph = methods_text.suite_paragraph(dataclasses.replace(suite, studies=studies[:3]))
    assert "outer splits" not in paragraph
    assert "proposed 2 configurations of mixup: alpha in {0.2, 0.4}; 16 configurations of k-mixup: " in paragraph
    assert ", the best 2–5 of them with 4 more seeds" in paragraph
    both = methods_text.suite_paragraph(dataclasses.replace(suite, studies=studies))
    assert "1 task had several outer splits" in both


def test_what_was_tuned_has_no_value_in_a_recipe() -> None:
    """A range from the lowest end of all tasks to the highest is one that no task had."""
    studies = small_suite().studies
    tuned = [make_study(study.task, study.method, 90, ("lr", "weight_decay")) for study in studies]
    said = [methods_text.recipes([small_suite(studies=tuple(found))])["iris/mlp"] for found in (studies, tuned)]
    assert ", learning rate 0.1 falling" in said[0] and "weight decay 0," in said[0]
    assert ", tuned learning rate falling" in said[1] and ", tuned weight decay," in said[1]
    larger = dataclasses.replace(studies[0].task, dataset="wine", recipe=Recipe(epochs=2, batch_size=50, lr=1.0))
    both = small_suite(studies=(tuned[0], make_study(larger, "erm", 90, ("lr", "weight_decay"))))
    assert "learning rate log-uniform on [0.01, 1] to [0.1, 10], by task" in methods_text.suite_paragraph(both)


def test_unequal_seeds_are_compared_where_both_ran() -> None:
    rows = made_up(np.random.default_rng(0), tasks=["a/mlp"], splits=6, seeds=6)
    unequal = rows[~((rows["method"] == "kmixup") & (rows["seed"] >= 1_000_004))]
    unequal = unequal[~((unequal["method"] == "kmixup") & (unequal["outer_split"] >= 4))]
    gains = tables.gain_estimates(unequal).set_index(["method", "reference"])
    assert gains.loc[("kmixup", "mixup"), "units"] == 4 and gains.loc[("mixup", "erm"), "units"] == 6
    both = rows[(rows["seed"] < 1_000_004) & (rows["outer_split"] < 4)]
    expected = tables.gain_estimates(both).set_index(["method", "reference"])
    assert gains.loc[("kmixup", "mixup"), "mean"] == pytest.approx(expected.loc[("kmixup", "mixup"), "mean"])


def test_the_report_is_written_without_torch_ray_and_optuna(run_dir: RunDir, suite: Suite, tmp_path: Path) -> None:
    """In an interpreter that cannot import them."""
    filled(run_dir, suite)
    code = (
        "import sys\nclass Absent:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'ray', 'optuna'): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from pathlib import Path\nfrom tune_kmixup.analysis.load import load\n"
        "from tune_kmixup.analysis.report.render import write\n"
        f"write(load([Path({str(run_dir.path)!r})]), Path({str(tmp_path / 'out')!r}))\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").exists()


EVIL = '</td><img src=x onerror=alert(1)>|"\x1b[31m\n=1+1](x)'


@pytest.mark.parametrize("column", ["task", "method", "machine", "code", "versions", "device"])
def test_no_format_obeys_what_a_row_says(column: str) -> None:
    """Rows of others pass a schema; this is the second line of defence, so the text goes past the first."""
    rows = one_task()
    rows.loc[(rows["method"] == "mixup") if column in ("task", "method") else slice(None), column] = EVIL
    table = Table(EVIL, pd.DataFrame({EVIL: [EVIL]}))
    section = Section(EVIL, [EVIL], [table], {EVIL: Figure()}, str(rows["task"].iloc[-1]))
    headline = Table(EVIL, pd.DataFrame({"task": [EVIL], EVIL: [Measured("1", reason=EVIL)]}))
    evil = Report(
        EVIL, [EVIL], Figure(), Figure(), headline, [EVIL], [section], [section], {EVIL: EVIL}, 0.95, "test_error"
    )
    page = render.html(Runs(rows), evil)
    assert "<img" not in page and "alert(1)" in page
    markdown = render.markdown(evil)
    assert not re.search(r"(?<!\\)<img", markdown) and "\x1b" not in markdown and "\n=1" not in markdown
    assert not re.search(r"(?<!\\)\|\"", markdown) and "](x" not in markdown
    assert "\x1b" not in latex.document(evil, [EVIL]) + "".join(latex.tables(evil).values())


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_cell_of_the_csv_is_a_formula(start: str) -> None:
    text = render.csv(pd.DataFrame({"task": [f"{start}cmd()"], "mean": [-0.5]}))
    assert text == f"task,mean\n'{start}cmd(),-0.5\n"


def test_a_page_may_run_its_own_script_alone_and_load_nothing(report: dict[str, Path]) -> None:
    page = report["html"].read_text()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in unescape(policy).split(";"))
    assert rules["default-src"] == "'none'" and rules["script-src"] == f"'sha256-{digest}'"
    assert rules["img-src"] == "data:" and rules["style-src"] == "'unsafe-inline'"
    assert not re.search(r"\son\w+=", page.partition("<script>")[0]), "an inline handler would not run"


def test_identifiers_of_figures_are_not_made_of_names(report: dict[str, Path]) -> None:
    svg = render.with_prefixed_ids('<svg><g id="a"/><use href="#a"/></svg>', "f0")
    assert svg == '<svg><g id="f0-a"/><use href="#f0-a"/></svg>'
    assert re.findall(r'class="save" value="svg" name="([^"]*)"', report["html"].read_text())[:3] == [
        *("gains", "gains-narrow", "task2-figure1")
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-0.20 ± 0.93", "−0.20 ± 0.93"),
        ("[-1.2, +3]", "[−1.2,\u00a0+3]"),
        ("digits-200/mlp", "digits-200/mlp"),
        ("1e-06", "1e-06"),
    ],
)
def test_numbers_have_minus_signs_and_names_keep_their_hyphens(text: str, shown: str) -> None:
    assert render.with_minus_signs(text) == shown


def test_numbers_are_aligned_to_the_right() -> None:
    frame = pd.DataFrame(
        {
            "gain": ["▲ +0.41 ± 0.25", "∼ -0.15 ± 0.21", "+0.50, one search", ""],
            "interval": ["+1.4 [-1.9, +4.6]", "2", "1e-06", "1,000"],
            "claim": ["? undecided\n+0.1", "", "", ""],
            "task": ["digits-200/mlp"] * 4,
        }
    )
    assert render.kinds_of(frame) == {"gain": "n", "interval": "n", "claim": "lines", "task": ""}
    assert f"/^[{MARKS} ]+/" in Path(render.__file__).with_name("page.js").read_text(), "the page sorts by the number"
