"""The wheel installs and works outside the repository."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_folder(tmp_path: Path) -> None:
    """From the source archive, into a fresh environment that borrows the dependencies: nothing is downloaded."""
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True, timeout=300)
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    run = [str(python), "-I", "-c", "import tune_kmixup.cli.commands as c; print(c.__file__); c.main()"]
    for args, expected in ((["--help"], "launch"), (["tasks"], "digits-200/small_cnn"), (["plan", "demo"], "runs")):
        done = subprocess.run([*run, *args], cwd=empty, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert str(site) in done.stdout and expected in done.stdout
    for name in ("template.html.j2", "page.css", "page.js"):
        assert (site / "tune_kmixup" / "analysis" / "report" / name).exists()
    assert not (site / "analysis").exists(), "a name that many projects use"
    assert list(empty.iterdir()) == []
