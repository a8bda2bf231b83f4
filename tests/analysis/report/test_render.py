"""From run directories to a report: what is merged, what is refused, what is shown."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.report import made_up
from tests.helpers.reports import filled
from tests.helpers.suites import made_up_rows, small_suite
from tune_kmixup.analysis.load import Runs, load
from tune_kmixup.analysis.report import render
from tune_kmixup.core.config import Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.store.run_dir import RunDir


def text(runs: Runs, out: Path) -> str:
    return render.write(runs, out)["html"].read_text()


def test_rows_are_loaded_with_their_columns_and_those_that_count_marked(run_dir: RunDir, suite: Suite) -> None:
    runs = load([filled(run_dir, suite).path])
    assert set(runs.rows["suite"]) == {"small"} and runs.missing.empty
    assert runs.rows.groupby("phase")["selected"].agg(list).map(any).to_dict() == {"final": True, "search": False}
    assert len(runs.rows[runs.rows["selected"]]) == 6 * 3


def test_what_is_missing_is_named_with_the_command_that_completes_it(run_dir: RunDir, suite: Suite) -> None:
    filled(run_dir, suite, finals=False)
    (run_dir.folder("iris/mlp@1/mixup") / "search-0003.json").unlink()
    missing = load([run_dir.path]).missing.set_index("study")
    assert missing.loc["iris/mlp@1/mixup", "missing"] == "2 search runs, 3 final runs"
    assert missing.loc["iris/mlp@0/erm", "command"] == f"tune-kmixup resume {run_dir.path}"


def test_copies_are_merged_and_contradictions_refused(tmp_path: Path, suite: Suite) -> None:
    one = filled(RunDir(tmp_path / "one"), suite)
    shutil.copytree(one.path, tmp_path / "two")
    assert len(load([one.path, tmp_path / "two"]).rows) == len(load([one.path]).rows)
    path = next((tmp_path / "two").rglob("final-*.json"))
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([{**rows[0], "val_error": 0.9}, *rows[1:]]))
    with pytest.raises(BadInput, match="contradict each other"):
        load([one.path, tmp_path / "two"])


def test_a_report_is_made_anew_from_what_it_keeps(tmp_path: Path, suite: Suite) -> None:
    """Alone, and merged with another: what the run directories give."""
    parts = [
        dataclasses.replace(suite, name=name, studies=suite.studies[at : at + 3]) for name, at in (("a", 0), ("b", 3))
    ]
    runs = [filled(RunDir(tmp_path / "runs" / part.name), part).path for part in parts]
    for run in runs:
        render.write(load([run]), tmp_path / run.name, ("md",))
    render.write(load(runs), tmp_path / "of-runs")
    render.write(load([tmp_path / "a", tmp_path / "b"]), tmp_path / "of-reports")
    render.write(load([tmp_path / "of-reports"]), tmp_path / "again")
    for name in ("report.html", "report.md", "report.tex", "gains.csv", "methods.md", "launches.json"):
        first, *others = ((tmp_path / folder / name).read_text() for folder in ("of-runs", "of-reports", "again"))
        assert others == [first] * 2, name


def test_a_report_keeps_what_is_missing(tmp_path: Path, suite: Suite) -> None:
    run = filled(RunDir(tmp_path / "run"), suite)
    (run.folder("iris/mlp@1/mixup") / "search-0003.json").unlink()
    render.write(load([run.path]), tmp_path / "report", ("md",))
    (line,) = load([tmp_path / "report"]).missing.to_dict("records")
    assert line == {"study": "iris/mlp@1/mixup", "missing": "2 search runs", "command": "tune-kmixup resume .../run"}


def test_two_states_of_one_launch_are_refused(tmp_path: Path, suite: Suite) -> None:
    """With a larger budget another configuration was selected: the runs of both would count."""
    run = filled(RunDir(tmp_path / "run"), suite)
    render.write(load([run.path]), tmp_path / "earlier", ("md",))
    study = suite.studies[1]
    better = suite.search_trial(study, 4, {"alpha": 1.0})
    run.write_rows(better, [row | {"val_error": 0.0} for row in made_up_rows(suite, better)])
    for trial in suite.final_trials(study, 4, {"alpha": 1.0}, (), 2):
        run.write_rows(trial, made_up_rows(suite, trial))
    with pytest.raises(BadInput, match=r"hold iris/mlp@0/mixup in two states.*leave out the earlier"):
        load([tmp_path / "earlier", run.path])


@pytest.mark.parametrize("broken", ["launches.json", "results.parquet"])
def test_a_report_that_is_not_whole_is_refused(broken: str, tmp_path: Path, suite: Suite) -> None:
    render.write(load([filled(RunDir(tmp_path / "run"), suite).path]), tmp_path / "out", ("md",))
    (tmp_path / "out" / broken).write_text("{")
    with pytest.raises(BadInput, match="out' is no whole report"):
        load([tmp_path / "out"])
    (tmp_path / "out" / broken).unlink()
    with pytest.raises(BadInput, match=r"no whole report|holds no suite\.json"):
        load([tmp_path / "out"])


def test_directories_without_results_are_refused(run_dir: RunDir, suite: Suite, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no suite\.json"):
        load([tmp_path])
    run_dir.write_suite(suite)
    with pytest.raises(BadInput, match="hold no result yet"):
        load([run_dir.path])


def test_rows_of_an_earlier_version_lack_columns_and_are_reported_all_the_same(run_dir: RunDir, tmp_path: Path) -> None:
    """`made_up_rows` hold neither calibration nor robustness: those sections are left out, not filled in."""
    page = text(load([filled(run_dir, small_suite()).path]), tmp_path / "out")
    assert "<h2>Claims</h2>" in page and "<h2>Robustness</h2>" not in page


class Page(HTMLParser):
    """Tags that load something, and the identifiers of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"]] if found.get("id") else []
        self.loads += [
            v for k, v in attrs if k in ("src", "href", "xlink:href") and v and not v.startswith(("#", "data:"))
        ]


def test_the_page_needs_nothing_else_and_its_figures_do_not_share_identifiers(tmp_path: Path) -> None:
    page = Page()
    page.feed(text(Runs(made_up(np.random.default_rng(0))), tmp_path))
    assert page.loads == []
    assert len(page.ids) == len(set(page.ids)) > 100


def test_names_of_users_are_escaped(tmp_path: Path) -> None:
    rows = made_up(np.random.default_rng(0)).assign(machine="<script>alert(1)</script>")
    assert "<script>alert" not in text(Runs(rows), tmp_path)


def test_every_format_holds_the_same_headline(tmp_path: Path) -> None:
    rows = made_up(np.random.default_rng(0))
    paths = render.write(Runs(rows), tmp_path)
    shown = re.findall(r"\| a/mlp \| mixup \| ([^|]+) \| ERM \| ([^|]+) \|", paths["md"].read_text())[0]
    for value in shown:
        number = value.split(" ± ")[0]
        assert number in paths["html"].read_text() and number in paths["tex"].read_text()
    gains = pd.read_csv(paths["csv"]).set_index(["task", "method", "reference"])
    assert f"{100 * gains.loc[('a/mlp', 'mixup', 'erm'), 'mean']:+.2f}" == shown[1].split(" ± ")[0]
    again = pd.read_parquet(tmp_path / "results.parquet")
    assert again["test_error"].equals(rows["test_error"])
    figures = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"gains.svg", "gains.png", "budget.svg", "ranks.svg", "sensitivity-a-mlp.png"} <= figures


def test_a_metric_and_a_level_of_ones_own(tmp_path: Path) -> None:
    rows = made_up(np.random.default_rng(0))
    wide, narrow = (
        render.write(Runs(rows), tmp_path / str(v), ("md",), v, "test_nll")["md"].read_text() for v in (0.99, 0.5)
    )
    assert "| task | method | test nll |" in wide and wide != narrow


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ("pdf",)}, "format=pdf is unknown: choose among html, md, tex, csv"),
        ({"level": 95}, "level=95 is no confidence level"),
        ({"metric": "accuracy"}, "metric='accuracy' is unknown: choose among test_error"),
        ({"compare": Path("nowhere")}, r"compare='nowhere' holds no results\.parquet"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        render.write(Runs(made_up(np.random.default_rng(0))), tmp_path, **options)  # type: ignore[arg-type]


def test_what_changed_since_an_earlier_report(tmp_path: Path) -> None:
    old, new = (made_up(np.random.default_rng(seed)) for seed in (0, 1))
    render.write(Runs(old), tmp_path / "old", ("md",))
    page = render.write(Runs(new), tmp_path / "new", ("md",), compare=tmp_path / "old")["md"].read_text()
    assert "## What changed" in page and "| a/mlp | mixup over ERM |" in page


ERM, MIXUP, BLOCK = {"erm": 0.0}, {"mixup": 0.0}, {"kmixup": 0.0}


@pytest.mark.parametrize(
    ("effects", "splits", "seeds"),
    [
        *((ERM, 1, 3), (MIXUP, 3, 0), (MIXUP | BLOCK, 3, 2), (ERM | MIXUP | BLOCK, 1, 0), (ERM | MIXUP | BLOCK, 1, 1)),
        *((ERM | MIXUP | BLOCK, 2, 1), (ERM | MIXUP | {"mine": 0.1}, 3, 1), (BLOCK, 1, 0)),
    ],
)
def test_whatever_there_is_gives_a_report(effects: dict[str, float], splits: int, seeds: int, tmp_path: Path) -> None:
    rows = made_up(np.random.default_rng(0), effects, tasks=["a/mlp"], splits=splits, seeds=seeds)
    page = text(Runs(rows), tmp_path)
    compared = seeds and len(effects) > 1 and effects.keys() & {"erm", "kmixup"} and "mixup" in effects
    assert ("there is nothing to be compared" in page) == (not compared)
    assert "Was the budget enough" in page


def test_runs_that_all_diverged_are_said_to_have(tmp_path: Path) -> None:
    rows = made_up(np.random.default_rng(0), tasks=["a/mlp"]).assign(status="diverged", val_nll=np.nan, test_nll=np.nan)
    rows[["val_error", "test_error"]] = rows[["val_error", "test_error"]].where(
        rows[["val_error", "test_error"]].isna(), 1.0
    )
    assert f"{len(rows)} runs diverged" in text(Runs(rows), tmp_path)


def test_unequal_seeds_are_compared_where_both_ran(tmp_path: Path) -> None:
    rows = made_up(np.random.default_rng(0), tasks=["a/mlp"], splits=1, seeds=6)
    short = rows[~((rows["method"] == "kmixup") & (rows["seed"] >= 1_000_004))]
    text(Runs(short), tmp_path)
    gains = pd.read_csv(tmp_path / "gains.csv").set_index(["method", "reference"])
    assert gains.loc[("kmixup", "mixup"), "units"] == 4 and gains.loc[("mixup", "erm"), "units"] == 6


def test_the_report_is_written_without_torch_ray_and_optuna(run_dir: RunDir, suite: Suite, tmp_path: Path) -> None:
    """In an interpreter that has none of them."""
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


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX here")
def test_the_tables_compile(tmp_path: Path) -> None:
    render.write(Runs(made_up(np.random.default_rng(0))), tmp_path)
    document = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}\input{report.tex}\end{document}"
    (tmp_path / "paper.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
