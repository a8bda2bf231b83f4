"""What a `--load` file may do, and what it is refused for."""

import importlib
import sys
from pathlib import Path

import pytest

from search_spaces.methods import METHODS
from tests.helpers.launches import registries_restored, run_cli_in_process
from tune_kmixup.core.errors import BadInput
from tune_kmixup.planning.plugins import Plugins

TASK = "from tune_kmixup.study import Draft, Recipe, Task\nrecipe = Recipe(epochs=1, batch_size=10, lr=0.1)\n"
METHOD = "from search_spaces.methods import METHODS\n"
TASKS = TASK + "from search_spaces.tasks import TASKS\n"
FREE = METHOD + "from optuna.distributions import FloatDistribution as F\nMETHODS['mine'] = {'alpha': F(1, 2)}\n"
BAD = {
    "raises": ("\nraise RuntimeError('boom\\nmore')", "fails in line 2: RuntimeError: boom"),
    "does not parse": ("def f(:", "fails in line 1: SyntaxError: invalid syntax"),
    "holds a null byte": ("x = 1\0", "null bytes"),
    "ends the process": ("import sys\nsys.exit(3)", "fails in line 2: SystemExit: 3"),
    "ends it with success": ("import sys\nsys.exit()", "fails in line 2: SystemExit"),
    "lacks a package": ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
    "fails in a function": ("def f():\n    1 / 0\nf()", "fails in line 2: ZeroDivisionError: division by zero"),
    "makes a bad recipe": (TASK + "Recipe(1, 10, 0.1, optimizer='adam')", "optimizer='adam' is unknown: did you mean"),
    "plain value": (METHOD + "METHODS['x'] = {'alpha': 1.0}", "METHODS['x']['alpha'] is 1.0: it takes an Optuna"),
    "plain values": (METHOD + "METHODS['x'] = {'k': (2, 8)}", "METHODS['x']['k'] is (2, 8): it takes an Optuna"),
    "a label": (METHOD + "METHODS['k-mixup'] = {}", "METHODS['k-mixup'] has a name that reports use for something"),
    "a column": (METHOD + "METHODS['dataset'] = {}", "METHODS['dataset'] has a name that reports use for something"),
    "no coordinates": (METHOD + "METHODS['x'] = 'alpha'", "METHODS['x'] is 'alpha': it takes a dict"),
    "one task": (
        TASKS + "TASKS['iris/mlp'] = Task('iris', 'mlp', recipe)",
        "TASKS['iris/mlp'] is a Task: it takes a tup",
    ),
    "no task": (TASKS + "TASKS['iris/mlp'] = ()", "it takes a tuple with a Task per outer split"),
    "another task": (TASKS + "TASKS['iris/x'] = (Task('iris', 'mlp', recipe),)", "TASKS['iris/x'] holds iris/mlp"),
    "no suite": ("from search_spaces.suites import SUITES\nSUITES['x'] = ('iris/mlp',)", "SUITES['x'] is no Draft"),
    "no network": ("from tune_kmixup.models import ARCHITECTURES\nARCHITECTURES['x'] = 3", "ARCHITECTURES['x'] is 3"),
    "no data set": (
        "from tune_kmixup.data.registry import DATASETS\nDATASETS['x'] = 'x.npz'",
        "DATASETS['x'] is 'x.npz'",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_a_file_that_cannot_be_loaded_is_refused_in_a_line(text: str, message: str, tmp_path: Path) -> None:
    path, out = tmp_path / "my file.py", tmp_path / "run"
    path.write_text(text)
    printed = run_cli_in_process("launch", "iris/mlp", "--load", path, "--out", out, code=2)
    assert printed.startswith(f"error: load='{path}' fails") and message in printed
    assert len(printed.splitlines()) == 1 and not out.exists()


def test_a_file_may_import_its_neighbours_and_hides_no_package(tmp_path: Path) -> None:
    (tmp_path / "networks_of_mine.py").write_text("NAME = 'mine'")
    (tmp_path / "json.py").write_text("raise RuntimeError('hides a package')")
    (tmp_path / "mine.py").write_text(
        "import json, networks_of_mine\nfrom search_spaces.methods import METHODS\nMETHODS[networks_of_mine.NAME] = {}"
    )
    args = ["plan", "iris/mlp@0", "--method", "mine", "--load", tmp_path / "mine.py"]
    assert "1 studies, 1 configurations" in run_cli_in_process(*args)


def test_the_entries_of_a_launch_are_those_of_its_own_files(tmp_path: Path) -> None:
    """One process, such as a notebook, loads several. What had run once was skipped, though others had run since."""
    mixup = METHODS["mixup"]
    texts = {"a": FREE, "b": FREE.replace("alpha", "lr") + "METHODS['mixup'] = {}", "c": METHOD}
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    a, b, c = (Plugins.read([tmp_path / f"{name}.py"]) for name in texts)
    with registries_restored():
        for plugins, coordinates, replaced in ((a, ["alpha"], False), (b, ["lr"], True), (a, ["alpha"], False)):
            plugins.load()
            assert list(METHODS["mine"]) == coordinates and (METHODS["mixup"] is not mixup) == replaced
            entry = METHODS["mine"]
            plugins.load()
            assert METHODS["mine"] is entry, "nothing runs twice"
        METHODS["of the notebook"] = {}
        for plugins in (c, b, Plugins()):
            plugins.load()
            assert ("mine" in METHODS) == (plugins is b) and "of the notebook" in METHODS
        assert METHODS["mixup"] is mixup


def test_a_space_that_a_file_changes_in_place_is_put_back(tmp_path: Path) -> None:
    spaces = {name: dict(space) for name, space in METHODS.items()}
    (tmp_path / "mine.py").write_text(METHOD + "METHODS['kmixup'].pop('log2_k')")
    (tmp_path / "other.py").write_text(METHOD)
    with registries_restored():
        Plugins.read([tmp_path / "mine.py"]).load()
        assert "log2_k" not in METHODS["kmixup"]
        Plugins.read([tmp_path / "other.py"]).load()
        assert {name: dict(space) for name, space in METHODS.items()} == spaces


def test_a_file_imports_from_its_own_folder_not_from_that_of_an_earlier_one(tmp_path: Path) -> None:
    """The earlier one need not import the module of that name itself."""
    before = list(sys.path)
    with registries_restored():
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "layers_of_mine.py").write_text(f"NAME = 'of {folder}'")
            imports = "from layers_of_mine import NAME\nMETHODS[NAME] = {}" if folder == "b" else ""
            (tmp_path / folder / "mine.py").write_text(METHOD + imports)
            Plugins.read([tmp_path / folder / "mine.py"]).load()
        assert "of b" in METHODS and "of a" not in METHODS
    assert sys.path == before


def test_a_neighbour_that_failed_may_be_mended(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(METHOD + "from layers_of_mine import NAME\nMETHODS[NAME] = {}")
    with registries_restored():
        (tmp_path / "layers_of_mine.py").write_text("NAM = 'mended'")
        with pytest.raises(BadInput, match="cannot import name 'NAME'"):
            Plugins.read([tmp_path / "mine.py"]).load()
        sys.modules.pop("layers_of_mine", None)
        (tmp_path / "layers_of_mine.py").write_text("NAME = 'mended'")
        importlib.invalidate_caches()
        Plugins.read([tmp_path / "mine.py"]).load()
        assert "mended" in METHODS


def test_equal_files_of_two_folders_are_two(tmp_path: Path) -> None:
    text = METHOD + "from pathlib import Path\nMETHODS[Path(__file__).parent.name] = {}"
    with registries_restored():
        for folder in ("here", "there"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "mine.py").write_text(text)
            Plugins.read([tmp_path / folder / "mine.py"]).load()
            assert [name in METHODS for name in ("here", "there")] == [folder == "here", folder == "there"]


@pytest.mark.parametrize("change", ["another folder", "edited"])
def test_another_neighbour_of_a_name_is_refused_in_one_process(change: str, tmp_path: Path) -> None:
    """Python imports it once, so that the first was used under the second's fingerprint."""
    with registries_restored():
        for folder, name in (("a", "alpha"), ("a" if change == "edited" else "b", "lr")):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / "layers_of_mine.py").write_text(f"NAME = {name!r}")
            text = METHOD + "from layers_of_mine import NAME\nMETHODS[NAME] = {}"
            (tmp_path / folder / f"{name}.py").write_text(text)
            plugins = Plugins.read([tmp_path / folder / f"{name}.py"])
            if name == "alpha":
                plugins.load()
        with pytest.raises(BadInput, match=r"imports .*layers_of_mine\.py, and this process has imported another"):
            plugins.load()


def test_neighbours_in_a_folder_without_init_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "wandb").mkdir()  # W&B writes such a folder
    (tmp_path / "mine.py").write_text(METHOD + "from parts.names import NAME\nimport wandb\nMETHODS[NAME] = {}")
    found = set()
    for name in ("one", "two"):
        (tmp_path / "parts" / "names.py").write_text(f"NAME = {name!r}")
        found.add(Plugins.read([tmp_path / "mine.py"]).fingerprints())
    assert len(found) == 2


def test_a_file_that_failed_is_refused_again(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise KeyError('x')")
    plugins = Plugins.read([tmp_path / "mine.py"])
    with registries_restored():
        for _ in range(2):
            with pytest.raises(BadInput, match="KeyError"):
                plugins.load()
