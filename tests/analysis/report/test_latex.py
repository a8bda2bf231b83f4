"""The LaTeX report: by its structure, and compiled where a LaTeX is installed."""

import math
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.report import made_up
from tune_kmixup.analysis.load import Runs
from tune_kmixup.analysis.report import latex, methods_text, render
from tune_kmixup.analysis.report.formats import Measured
from tune_kmixup.analysis.report.sections import Table, make_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("latex")
    render.write(Runs(made_up(np.random.default_rng(0))), out, ("tex",))
    return out


def test_the_document_reads_only_what_lies_beside_it(folder: Path) -> None:
    text = (folder / "report.tex").read_text()
    read = re.findall(r"\\(?:input|includegraphics(?:\[[^]]*\])?)\{([^}]*)\}", text)
    assert len(read) > 4 and all((folder / name).exists() or (folder / f"{name}.tex").exists() for name in read)
    keys = set(re.findall(r"^@\w+\{(\w+),", (folder / "report.bib").read_text(), re.MULTILINE))
    assert set(re.findall(r"\\cite\{(\w+)\}", text)) <= keys == {f"ref{n}" for n in range(1, 8)}


def test_each_table_has_a_caption_a_label_and_whole_lines(folder: Path) -> None:
    for path in (folder / "tables").iterdir():
        text = path.read_text()
        assert text.count(r"\caption{") == text.count(r"\footnotesize") == text.count(r"\begin{table}") >= 1
        assert text.count(rf"\label{{tab:{path.stem}}}") == text.count(r"\label{") == 1
        rows = [line.removesuffix(r" \\") for line in text.splitlines() if line.endswith(r" \\")]
        columns = {len(re.split(r"(?<!\\)&", row)) for row in rows}
        assert len(columns) == 1 and "resizebox" not in text
        for opened in re.findall(r"\\begin\{(\w+)\}", text):
            assert text.count(rf"\begin{{{opened}}}") == text.count(rf"\end{{{opened}}}")
        plain = re.sub(r"\\[{}]", "", text)
        assert plain.count("{") == plain.count("}")


def test_numbers_are_in_columns_of_siunitx_and_the_least_error_is_bold() -> None:
    frame = pd.DataFrame(
        {
            "task": ["a_b/mlp", "c/mlp"],
            "ERM, %": [Measured("9.28", "0.47"), Measured("16.28", "1.65")],
            "mixup, %": [Measured("8.87", "0.55"), Measured("16.44")],
            "mixup over ERM, points": [
                Measured("+0.41", "0.25", mark="▲"),
                Measured("-0.15", reason="one search"),
            ],
        }
    )
    text = latex.measured_table(Table("Errors.", frame), "gains", "test_error")
    assert "S[table-format=2.2(3)] S[table-format=2.2(2)] S[table-format=+1.2(2), table-space-text-post={$" in text
    assert r"a\_b/mlp & 9.28 \pm 0.47 & \bfseries 8.87 \pm 0.55 & +0.41 \pm 0.25 {$\blacktriangle$} \\" in text
    assert r"c/mlp & \bfseries 16.28 \pm 1.65 & 16.44 & {$-$0.15, one search} \\" in text


@pytest.mark.parametrize(("metric", "best"), [("test_error", "mixup"), ("test_auroc", "erm")])
def test_the_best_is_bold_where_more_is_better_too(metric: str, best: str) -> None:
    rows = made_up(np.random.default_rng(0), {"erm": 0.0, "mixup": 0.05}, tasks=["a/mlp"]).assign(
        test_auroc=lambda table: table["test_error"]
    )
    text = latex.tables(make_report(Runs(rows), 0.95, metric))["gains"]
    (line,) = [line for line in text.splitlines() if line.startswith("a/mlp")]
    assert [name for name, cell in zip(("erm", "mixup"), line.split("&")[1:], strict=False) if "bfseries" in cell] == [
        best
    ]


@pytest.mark.skipif(shutil.which("latexmk") is None, reason="LaTeX is not installed")
def test_the_document_compiles(folder: Path) -> None:
    command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def long_table(rows: int) -> Table:
    words = "the quick brown fox jumps over the lazy dog " * 3
    return Table("Many rows.", pd.DataFrame([{"task": f"task-{n}/mlp", "b": words, "c": "0.1"} for n in range(rows)]))


@pytest.mark.parametrize("rows", [0, 1, 13, 60])
def test_a_table_longer_than_a_page_becomes_several_with_one_label(rows: int) -> None:
    text = latex.text_table(long_table(rows), "many")
    floats = text.count(r"\begin{table}")
    assert floats == max(1, math.ceil(rows / 16)), "three lines a row, fifty a page"
    assert text.count(r"\label{tab:many}") == 1 and text.count("task-") == rows
    assert ("Many rows. (1 of 4)" in text) == (rows == 60)


@pytest.mark.skipif(shutil.which("latexmk") is None, reason="LaTeX is not installed")
def test_long_tables_and_marks_fit_on_their_pages(tmp_path: Path) -> None:
    numbers = {"task": "a/mlp", "mixup over ERM, points": Measured("+10.41", "0.25", mark="▲≈")}
    text = latex.measured_table(Table("Gains.", pd.DataFrame([numbers] * 3)), "gains", "test_error")
    body = text + latex.text_table(long_table(60), "many")
    (tmp_path / "report.tex").write_text(rf"{latex.PREAMBLE}\begin{{document}}{body}\end{{document}}")
    command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Overfull" not in done.stdout and "Float too large" not in done.stdout


def test_the_bibliography_has_the_references_of_the_methods() -> None:
    titles = re.findall(r"(?<!book)title = \{(.*?)\}, ", methods_text.BIBLIOGRAPHY.replace("{SGDR}", "SGDR"))
    plain = " ".join(methods_text.REFERENCES.split())
    assert len(titles) == 7 and all(title in plain for title in titles)
