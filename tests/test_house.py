"""The rules of the house: who imports whom, how long a file is, what a commit may not name."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("tune_kmixup", "search_spaces", "analysis")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).glob("**/*.py"))

FORBIDDEN = {
    # (modules, what importing them may not bring in), held in a fresh interpreter
    "tune_kmixup.study tune_kmixup.results tune_kmixup.status tune_kmixup.packing": "torch ray optuna numpy pandas",
    "search_spaces.methods search_spaces.tasks search_spaces.suites": "torch ray pandas sklearn tune_kmixup.data",
    "analysis.load analysis.gains analysis.tables analysis.figures analysis.report": "torch ray optuna search_spaces",
    "tune_kmixup.mixing tune_kmixup.lookahead tune_kmixup.data tune_kmixup.models": "ray optuna analysis",
    "tune_kmixup.batches tune_kmixup.training tune_kmixup.evaluation": "ray optuna analysis search_spaces",
    "tune_kmixup.fusing tune_kmixup.footprint": "ray optuna analysis search_spaces",
    "tune_kmixup.planning tune_kmixup.display": "ray analysis",
}


@pytest.mark.parametrize("modules", FORBIDDEN)
def test_imports_go_one_way(modules: str) -> None:
    code = f"import sys, {', '.join(modules.split())}\n"
    code += f"found = {{*{FORBIDDEN[modules].split()}}} & sys.modules.keys()\nassert not found, found"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 250
    assert path.parent.parent == ROOT, "no folder two deep"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_say_what_they_are_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert path.name == "__init__.py" or ast.get_docstring(tree)


def test_nothing_names_a_registry_or_a_machine() -> None:
    names = ["py" + r"pi\.org", "python" + r"hosted\.org", r"registry\.npm" + "js", r"deb\.deb" + "ian", "/wo" + "rk/"]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    found = []
    for name in tracked.stdout.splitlines():
        try:
            text = (ROOT / name).read_text()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
        found += [f"{name}: {match.group()}" for match in re.finditer("|".join(names), text)]
    assert not found
