"""What `--help`, `--version` and shell completion print, and that they need neither torch nor Ray."""

import os
import subprocess
import sys

import pytest

import tune_kmixup
from tune_kmixup.cli import commands

COMMANDS = ["tasks", "inspect", "plan", "launch", "resume", "status", "report", "best", "predict", "export", "demo"]
LIGHT = """
import sys
from tune_kmixup.cli.commands import main
sys.argv = ["tune-kmixup", *sys.argv[1:]]
try:
    main()
finally:
    assert not {"torch", "ray", "optuna", "pandas", "numpy"} & sys.modules.keys()
"""


def run_light(*args: str, **env: str) -> str:
    """Runs a command in a process of its own, which fails if it imports a heavy package."""
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *args], env={**os.environ, **env}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def complete(line: str) -> list[str]:
    """The completions of the last word of a line in bash."""
    words = str(len(line.split(" ")) - 1)
    return run_light(_TUNE_KMIXUP_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=words).split()


def test_help_lists_every_command_in_80_columns() -> None:
    lines = run_light("--help", COLUMNS="80").splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[1] for line in lines if line.startswith("│ ") and line.split()[1] in COMMANDS] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_fits_80_columns_and_describes_every_option(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    commands.app([command, "--help"], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    options = [line.strip("│* ").split() for line in lines if "  --" in line or line.startswith("│ --")]
    assert options and all(len(words) > 2 for words in options), "name, type and description"


def test_the_version_is_printed() -> None:
    assert run_light("--version") == f"tune-kmixup {tune_kmixup.__version__}\n"


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("tune-kmixup la", ["launch"]),
        ("tune-kmixup --version la", ["launch"]),
        ("tune-kmixup launch --search", ["--search-seeds"]),
        ("tune-kmixup launch --address ray://host:10001 --max", ["--max-concurrent"]),
    ],
)
def test_shell_completion(line: str, completions: list[str]) -> None:
    assert complete(line) == completions
