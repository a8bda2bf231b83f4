"""What importing does, and what `--load` files and other people's folders may rely on."""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import tune_kmixup
from tests.helpers.reports import filled
from tune_kmixup.core.config import Suite
from tune_kmixup.store.run_dir import RunDir

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for package in ("tune_kmixup", "search_spaces", "analysis") for path in (ROOT / package).rglob("*.py")
)


def python(code: str, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_say_what_they_are_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_the_public_names_are_there_and_none_is_imported_before_it_is_asked_for() -> None:
    for name in tune_kmixup.__all__:
        assert getattr(tune_kmixup, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'launch_rocket'"):
        tune_kmixup.launch_rocket  # noqa: B018
    code = "import sys, tune_kmixup; print({'torch', 'ray', 'optuna', 'numpy', 'pandas'} & sys.modules.keys())"
    assert python(code, ROOT).stdout.strip() == "set()"


# What a user's `--load` file imports, and the dict that it adds to: the same object by its old name and its new one.
@pytest.mark.parametrize(
    "code",
    [
        "from search_spaces.methods import ALPHA, METHODS\nfrom search_spaces import methods as home",
        "from search_spaces.tasks import TASKS\nfrom search_spaces import tasks as home",
        "from tune_kmixup.models import ARCHITECTURES, mlp\nfrom tune_kmixup.models import architectures as home",
        "from tune_kmixup.study import BadInput, Recipe, Task\nfrom tune_kmixup import core as home\n"
        "from tune_kmixup.core import config, errors\nhome = {**vars(config), 'BadInput': errors.BadInput}",
    ],
    ids=["search_spaces.methods", "search_spaces.tasks", "tune_kmixup.models", "tune_kmixup.study"],
)
def test_what_load_files_import_stays(code: str) -> None:
    names: dict[str, object] = {}
    exec(code, names)
    home = names.pop("home")
    there: Mapping[str, object] = home if isinstance(home, dict) else vars(home)
    asked = [
        alias.name for node in ast.parse(code).body[:1] if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    assert asked and all(names[name] is there[name] for name in asked)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A research project with a folder `analysis/` of its own."""
    folder = tmp_path / "project"
    (folder / "analysis").mkdir(parents=True)
    (folder / "analysis" / "__init__.py").write_text("MINE = 42\n")
    (folder / "analysis" / "load.py").write_text("raise RuntimeError('not ours')\n")
    return folder


@pytest.mark.parametrize("how", ["in the working directory", "on PYTHONPATH"])
def test_a_folder_analysis_of_theirs_hides_nothing(theirs: Path, how: str, run_dir: RunDir, suite: Suite) -> None:
    filled(run_dir, suite)
    cwd = theirs if how == "in the working directory" else theirs.parent
    env = {"PYTHONPATH": os.pathsep.join([str(theirs), str(ROOT)])} if how == "on PYTHONPATH" else {}
    code = "import analysis, tune_kmixup.cli.summary\nfrom pathlib import Path\n"
    code += "from tune_kmixup.analysis.load import load\n"
    done = python(f"{code}print(analysis.MINE, len(load([Path({str(run_dir.path)!r})]).rows) > 0)", cwd, **env)
    assert done.stdout.strip() == "42 True", done.stderr


def test_a_folder_search_spaces_of_theirs_is_named_beside_ours(tmp_path: Path) -> None:
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-m", "tune_kmixup", "plan", "iris/mlp"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert str(tmp_path / "search_spaces") in done.stderr and str(ROOT / "search_spaces") in done.stderr
