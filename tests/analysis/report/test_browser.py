"""The report in headless Chromium; skipped where Chromium is not installed."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.report import made_up
from tune_kmixup.analysis.load import Runs
from tune_kmixup.analysis.report import render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]

# Sorts the first table by its third column, up and down, and writes what it sees into the page.
PROBE = """<script>
addEventListener("load", () => {
  const rows = [...document.querySelectorAll("table")[0].tBodies[0].rows].map(row => row.cells[2].textContent);
  const button = document.querySelectorAll("th button")[2], sorted = [];
  for (const click of [1, 2]) {
    button.click();
    const body = document.querySelectorAll("table")[0].tBodies[0];
    sorted.push([...body.rows].map(row => parseFloat(row.cells[2].textContent)));
  }
  document.body.insertAdjacentHTML("beforeend", "<pre id=seen>" + JSON.stringify({
    rows, sorted,
    width: document.documentElement.scrollWidth, window: innerWidth,
    figures: [...document.querySelectorAll("figure svg")].map(svg => svg.getBoundingClientRect().width),
    requests: performance.getEntriesByType("resource").map(entry => entry.name),
    background: getComputedStyle(document.documentElement).colorScheme,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    ink: getComputedStyle(document.body).color,
  }) + "</pre>");
});
</script></body>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    rows = made_up(np.random.default_rng(0), tasks=["a/mlp", "b/mlp", "spoken_digits_speakers/lenet"])
    render.write(Runs(rows), out, ("html",))
    text = (out / "report.html").read_text()
    probe = PROBE.removeprefix("<script>").removesuffix("</script></body>")
    allowed = f"script-src 'sha256-{base64.b64encode(hashlib.sha256(probe.encode()).digest()).decode()}' "
    assert "script-src " in text, "the page has a policy, which would stop the probe"
    (out / "probed.html").write_text(text.replace("script-src ", allowed).replace("</body>", PROBE))
    return out / "probed.html"


def open_page(page: Path, *options: str) -> tuple[dict[str, object], str]:
    """What the probe saw, and the text of the console."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command += [f"--user-data-dir={page.parent / 'profile'}", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    probe_output = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert probe_output, done.stderr[-2000:]
    return json.loads(probe_output[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")), done.stderr


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_loads_nothing_else_sorts_its_tables_and_fits_the_window(page: Path, width: int) -> None:
    seen, console = open_page(page, f"--window-size={width},1000")
    assert "CONSOLE" not in console, "errors and warnings"
    assert seen["requests"] == []
    up, down = seen["sorted"]  # type: ignore[misc]
    assert up == sorted(up) and down == sorted(down, reverse=True) and len(up) == len(seen["rows"])  # type: ignore[arg-type]
    assert seen["width"] <= seen["window"], "wide tables scroll, the page does not"  # type: ignore[operator]
    figures = seen["figures"]
    assert len(figures) >= 7 and all(200 < shown <= seen["window"] for shown in figures)  # type: ignore[arg-type, operator, union-attr]


def test_dark_mode(page: Path) -> None:
    light, dark = (
        open_page(page, *options)[0]
        for options in ((), ("--force-dark-mode", "--blink-settings=preferredColorScheme=0"))
    )
    assert not light["dark"] and dark["dark"]
    assert light["ink"] != dark["ink"]
