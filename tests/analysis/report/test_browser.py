"""The report in headless Chromium; skipped where Chromium is not installed."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.report import made_up
from tune_kmixup.analysis.load import Runs
from tune_kmixup.analysis.report import render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]

TASKS = ["a/mlp", "b/mlp", "spoken_digits_speakers/lenet"]

# A window of Chromium is at least 500 pixels wide, a frame in it need not be.
FRAME = """<iframe src="probed.html" style="width:{width}px; height:1000px; border:0"></iframe><pre id="seen"></pre>
<script>onmessage = message => { document.getElementById("seen").textContent = message.data; };</script>"""

# Does what a reader would, and tells the page around it what it sees.
PROBE = """
addEventListener("load", async () => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const seen = { sorted: [], saved: [] };
  const table = document.querySelector("table"), column = 4;
  for (const click of [1, 2]) {
    table.querySelectorAll("th button")[column].click();
    seen.sorted.push([...table.tBodies[0].rows].map(row => row.cells[column].textContent));
  }
  const beyond = () => all("main *, nav *").filter(e => !e.closest("svg") && !e.parentElement.closest(".wide")
    && e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1);
  seen.width = document.documentElement.scrollWidth;
  location.hash = "#" + all("details.task")[1].id;
  await new Promise(done => setTimeout(done, 300));
  seen.opened = all("details.task").filter(block => block.open).map(block => block.dataset.task);
  seen.current = all("nav a[aria-current]").map(link => link.textContent);
  for (const block of all("details")) block.open = true;
  seen.beyond = beyond().map(e => e.outerHTML.slice(0, 80));
  seen.widthOpen = document.documentElement.scrollWidth;
  seen.figures = all("figure > svg").map(svg => svg.getBoundingClientRect().width).filter(width => width);
  seen.cards = getComputedStyle(document.querySelector("table.cards tr:last-child")).display === "grid";
  HTMLAnchorElement.prototype.click = function () {
    seen.saved.push([this.download, this.href.slice(0, 22), this.href.length]);
  };
  for (const kind of ["csv", "svg", "png"]) document.querySelector(".save[value=" + kind + "]").click();
  await new Promise(done => setTimeout(done, 300));
  const form = document.querySelector("nav form");
  const rows = () => [...table.tBodies[0].rows].filter(row => !row.hidden).length;
  const set = (name, value) => { form.elements[name].value = value; form.dispatchEvent(new Event("input")); };
  seen.filtered = {};
  set("task", "speakers");
  const shown = all("details.task[data-task]").filter(block => !block.hidden);
  seen.filtered.task = [rows(), shown.length, all("tbody tr", shown[0]).filter(row => row.hidden).length];
  set("task", ""); set("dataset", "a");
  seen.filtered.dataset = [rows(), all("nav li[data-task]").filter(item => !item.hidden).length];
  set("dataset", ""); set("method", "k-mixup");
  seen.filtered.method = [...table.rows[0].cells].filter(cell => !cell.hidden).map(cell => cell.textContent);
  set("method", "");
  seen.filtered.none = rows();
  Object.assign(seen, {
    window: innerWidth,
    requests: performance.getEntriesByType("resource").map(entry => entry.name).filter(name => !/^data:/.test(name)),
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    ink: getComputedStyle(document.body).color,
    paper: getComputedStyle(document.body).backgroundColor,
    figureInk: getComputedStyle(document.querySelector("figure svg text")).fill,
  });
  parent.postMessage(JSON.stringify(seen), "*");
});
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    render.write(Runs(made_up(np.random.default_rng(0), tasks=TASKS)), out, ("html",))
    text = (out / "report.html").read_text()
    allowed = f"script-src 'sha256-{base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()}' "
    assert "script-src " in text, "the page has a policy, which would stop the probe"
    probed = text.replace("script-src ", allowed).replace("</body>", f"<script>{PROBE}</script></body>")
    (out / "probed.html").write_text(probed)
    return out / "probed.html"


def run_chromium(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += [f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=10000", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@cache
def open_page(page: Path, width: int, *options: str) -> dict[str, Any]:
    """What the probe saw in a frame of this width; nothing was written to the console."""
    frame = page.parent / f"frame{width}.html"
    frame.write_text(FRAME.replace("{width}", str(width)))
    done = run_chromium(frame, "--dump-dom", "--window-size=1400,1100", *options)
    found = re.search(r'<pre id="seen">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr, "errors and warnings"
    seen: dict[str, Any] = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    return seen


@pytest.mark.parametrize("width", [1280, 390])
def test_a_reader_sorts_filters_saves_and_follows_the_contents(page: Path, width: int) -> None:
    seen = open_page(page, width)
    assert seen["requests"] == []
    numbers = [
        [float(re.sub(r"^\W*?([−+][\d.]+).*", r"\1", cell).replace("−", "-")) for cell in s] for s in seen["sorted"]
    ]
    assert numbers[0] == sorted(numbers[0]) and numbers[1] == sorted(numbers[0], reverse=True) and len(numbers[0]) == 3
    assert seen["opened"] == ["a/mlp"], "a link of the contents opens its task"
    assert len(seen["current"]) == 1
    assert seen["filtered"] == {
        "task": [1, 1, 0],
        "dataset": [1, 1],
        "method": ["task", "■ k-mixup, %", "■ k-mixup over mixup, points"],
        "none": 3,
    }
    saved = {name.partition(".")[2]: (start, length) for name, start, length in seen["saved"]}
    assert saved["csv"][0].startswith("data:text/csv") and saved["svg"][0].startswith("data:image/svg+xml")
    assert saved["png"][0] == "data:image/png;base64," and all(length > 200 for _, length in saved.values())


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows(page: Path, width: int) -> None:
    """Wide tables scroll, the page does not."""
    seen = open_page(page, width)
    assert seen["beyond"] == [] and max(seen["width"], seen["widthOpen"]) <= seen["window"] == width
    assert len(seen["figures"]) == 1 + 7 * len(TASKS) and all(250 < shown <= width for shown in seen["figures"])
    assert seen["cards"] == (width == 390)


def test_dark_mode(page: Path) -> None:
    light, dark = (
        open_page(page, 1280, *options)
        for options in ((), ("--force-dark-mode", "--blink-settings=preferredColorScheme=0"))
    )
    assert not light["dark"] and dark["dark"]
    assert light["ink"] != dark["ink"] == dark["figureInk"] and light["paper"] != dark["paper"]


def test_paper_has_everything_open(page: Path) -> None:
    pdf = page.parent / "report.pdf"
    done = run_chromium(page.parent / "report.html", f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
    assert pdf.exists(), done.stderr[-2000:]
    assert len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())) >= 5
