"""What each file may hold: what does not fit is refused in one line that names file, field, value and rule."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.launches import beat_of, run_cli_in_process
from tests.helpers.reports import filled
from tests.helpers.searchers import make_searcher
from tune_kmixup.analysis.load import load, save_runs
from tune_kmixup.core.checks import shown
from tune_kmixup.core.config import Identity, Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.text import printable
from tune_kmixup.store import schema
from tune_kmixup.store.notes import Heartbeat
from tune_kmixup.store.run_dir import CorruptFile, RunDir
from tune_kmixup.store.status import launch_status

STUDY = "iris/mlp@0/kmixup"
ROWS, FINAL, PROPOSAL = "search-0001.json", "final-0000-*.json", "proposal-0001.json"


def edit(run: RunDir, name: str, change: Callable[[Any], Any]) -> Path:
    """Changes the content of one file of the study."""
    path = sorted(run.folder(STUDY).glob(name))[0]
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content)))
    return path


def refusal(run: RunDir, suite: Suite) -> str:
    """The line with which status, report and launch refuse a run directory: the same one."""
    lines = set()
    for read in (launch_status, lambda run: load([run.path]), lambda run: make_searcher(suite, run)):
        with pytest.raises(BadInput) as error:
            read(run)
        lines.add(str(error.value))
    (line,) = lines
    assert len(line) <= 300 and line.isprintable(), line
    return line


def first(**changes: Any) -> Callable[[Any], Any]:
    return lambda rows: [{**rows[0], **changes}, *rows[1:]]


LONG = "x" * 5000


@pytest.mark.parametrize(
    ("file", "change", "rule"),
    [
        (ROWS, first(val_error=1.5), "val_error=1.5 is not a finite number ≥ "),
        (ROWS, first(val_error="0.1"), "val_error='0.1' is not a finite number"),
        (ROWS, first(val_error=None), "val_error=None is not a finite number"),
        (ROWS, first(val_error=float("nan")), "NaN is not JSON"),
        (ROWS, first(seconds=-1), "seconds=-1 is not a finite number ≥ 0"),
        (ROWS, first(k=True), "k=True is not a whole number ≥ 1"),
        (ROWS, first(seed=10**400), "4,?300 digits|whole number of 401 digits"),
        (ROWS, first(status="fine"), "status='fine' is not one of ok, diverged, stopped"),
        (ROWS, first(status="stopped"), "status='stopped' does not fit: nothing is stopped there"),
        (ROWS, first(phase="test"), "phase='test' is not one of search, shortlist, final"),
        (
            ROWS,
            first(phase="final", test_error=0.1),
            "phase='final' does not fit its place and suite.json, which say 'search'",
        ),
        (ROWS, first(test_error=0.1), "test_error=0.1 does not fit phase=search"),
        (FINAL, first(test_error=None), "test_error=None does not fit phase=final"),
        (FINAL, first(test_rows=4, test_wrong="4:AA=="), "0 of 4 rows are wrong, and test_error is"),
        (FINAL, first(test_error_by_class=[0.1, 2]), "test_error_by_class=2 is not a finite number ≥ 0 ≤ 1"),
        (
            FINAL,
            first(test_reliability="1:0.5"),
            "test_reliability='1:0.5' is not a list of .rows, confidence, accuracy",
        ),
        (ROWS, first(rungs="one"), "rungs='one' is not a list of .epoch, score"),
        (ROWS, first(task="wine/mlp"), "task='wine/mlp' does not fit its place and suite.json, which say 'iris/mlp'"),
        (ROWS, first(method="mixup"), "method='mixup' does not fit its place"),
        (ROWS, first(method="<b>"), "method='<b>' is not a name of lower-case letters"),
        (ROWS, first(outer_split=1), "outer_split=1 does not fit its place and suite.json, which say 0"),
        (ROWS, first(trial=0), "trial=0 does not fit its place and suite.json, which say 1"),
        (ROWS, first(alpha=0.5), "alpha=0.5 does not fit its configuration and suite.json: 1.0"),
        (ROWS, first(epochs=3), "epochs=3 does not fit its configuration and suite.json: 2"),
        (ROWS, first(seed=1), "seed=1 is not a seed of phase=search in suite.json"),
        (ROWS, first(machine="\x1b[31m"), "machine='.x1b.31m' is not text without control characters"),
        (ROWS, first(machine="\ud800"), "surrogates not allowed"),
        (ROWS, first(machine=[LONG]), "machine=.*xxx... is not text"),
        (ROWS, first(mine={}), "mine={} is no text or number"),
        (ROWS, lambda rows: [], "it holds no rows"),
        (ROWS, lambda rows: rows[:1], "it holds 1 rows instead of 2, one per seed of phase=search"),
        (ROWS, lambda rows: [*rows, rows[0]], "seed=[0-9]+ is there twice"),
        (ROWS, lambda rows: {}, "it holds no rows"),
        (ROWS, lambda rows: [[]], r"it holds \[\] instead of named fields"),
        (ROWS, lambda rows: json.loads("[" * 50 + "]" * 50), "it is nested more than 20 deep"),
        (FINAL, lambda rows: rows[1:], "seed=[0-9]+ of its first row is not that of its name"),
        (PROPOSAL, lambda content: {"values": {"alpha": 1.0}}, "are not those of alpha, log2_k"),
        (PROPOSAL, lambda content: {"values": {"alpha": 1.0, "log2_k": 2.5}}, "log2_k=2.5 is not in its range"),
        (PROPOSAL, lambda content: {"values": {"alpha": -1.0, "log2_k": 2}}, "alpha=-1.0 is not in its range"),
        (PROPOSAL, lambda content: [], "it holds no values"),
    ],
)
def test_what_does_not_fit_is_refused_by_every_command_with_its_reason(
    file: str, change: Callable[[Any], Any], rule: str, run_dir: RunDir, suite: Suite
) -> None:
    path = edit(filled(run_dir, suite), file, change)
    line = refusal(run_dir, suite)
    assert f"{path.name} cannot be read (" in line and "delete" in line
    with pytest.raises(BadInput, match=rule):
        launch_status(run_dir)


def test_a_row_without_the_score_that_selects_is_refused(run_dir: RunDir, suite: Suite) -> None:
    by_balanced_error = dataclasses.replace(suite, select_by="balanced_error")
    edit(filled(run_dir, by_balanced_error), ROWS, first(val_balanced_error=None))
    assert "val_balanced_error is missing, by which suite.json selects" in refusal(run_dir, by_balanced_error)


def test_deep_nesting_and_constants_are_no_json() -> None:
    for text in ("[" * 100_000, "[" * 100_000 + "]" * 100_000, "NaN", "[Infinity]", "1e999", "9" * 5000, '"\\ud800"'):
        with pytest.raises(ValueError):
            schema.parse(text.encode())


@pytest.mark.parametrize("name", [f"studies/{STUDY}/{ROWS}", f"studies/{STUDY}/{PROPOSAL}"])
@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_only_regular_files_are_read(name: str, kind: str, run_dir: RunDir, suite: Suite) -> None:
    path = filled(run_dir, suite).path / name
    path.unlink()
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    assert "it is no regular file" in refusal(run_dir, suite)


@pytest.mark.parametrize("name", ["launch.json", "holder.json", "memory.json"])
@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"a": 1}', '{"a": {"b": []}}', '{"pid": "1"}', "[" * 5000, "NaN", "pipe"]
)
def test_what_can_be_made_anew_counts_as_absent_where_it_does_not_fit(
    name: str, content: str, run_dir: RunDir, suite: Suite
) -> None:
    path = filled(run_dir, suite).path / name
    os.mkfifo(path) if content == "pipe" else path.write_text(content)
    assert run_dir.heartbeat() is run_dir.holder() is None and run_dir.memory() == {}
    assert launch_status(run_dir).state == "not launched"


@pytest.mark.parametrize("options", ["--max-concurrent=2", [2], ["--load=mine.py"], ["x"], ["--address=a\x1b"]])
def test_a_heartbeat_with_options_that_no_launch_repeats_counts_as_absent(options: Any, run_dir: RunDir) -> None:
    ended: dict[str, Any] = {"host": "h", "pid": 1, "since": 1.0, "updated": 2.0, "slots": 1, "ended": True}
    path, good = run_dir.path / "launch.json", ("--max-concurrent=2", "--address=münchen:1")
    run_dir.write_heartbeat(Heartbeat(**ended, options=good))
    assert beat_of(run_dir).options == good
    path.write_text(json.dumps(ended))
    assert run_dir.heartbeat() == Heartbeat(**ended), "early ones have none"
    path.write_text(json.dumps(ended | {"options": options}))
    assert run_dir.heartbeat() is None


@pytest.mark.parametrize(
    "name",
    [
        "search-1.json",
        "search-0000-copy.json",
        "final-0000.json",
        "proposal-x.json",
        "proposal-0000.failed.json",
        "a.json",
    ],
)
def test_a_file_of_another_name_is_refused(name: str, run_dir: RunDir, suite: Suite) -> None:
    (filled(run_dir, suite).folder(STUDY) / name).write_text("[]")
    assert "no file of a launch has such a name" in refusal(run_dir, suite)


def test_a_study_that_the_suite_lacks_is_refused(run_dir: RunDir, suite: Suite) -> None:
    filled(run_dir, suite).folder("iris/mlp@7/mixup").mkdir(parents=True)
    assert "suite.json has no such study" in refusal(run_dir, suite)


@pytest.mark.parametrize(
    ("remove", "instead"),
    [
        (ROWS, None),
        (PROPOSAL, None),
        (FINAL, None),
        (ROWS, "[]"),
        (PROPOSAL, "{"),
        (FINAL, "null"),
    ],
)
def test_launch_status_and_report_agree_on_what_is_left(
    remove: str, instead: str | None, run_dir: RunDir, suite: Suite
) -> None:
    path = sorted(filled(run_dir, suite).folder(STUDY).glob(remove))[0]
    path.unlink()
    if instead is not None:
        path.write_text(instead)
    if instead is not None or remove == PROPOSAL:
        assert "delete" in refusal(run_dir, suite)
        for file in run_dir.folder(STUDY).glob(f"*{path.name[path.name.index('-') :][:5]}*.json"):  # its advice
            file.unlink()
    left = sum(queue.runs_left() for queue in make_searcher(suite, run_dir).queues.values())
    assert left > 0 and sum(study.missing for study in launch_status(run_dir).studies) > 0
    assert list(load([run_dir.path]).missing["study"]) == [STUDY]


def test_a_message_is_one_line_of_at_most_300_characters(tmp_path: Path) -> None:
    error = str(CorruptFile(tmp_path / LONG, f"a\n{shown(LONG)}\n{LONG}"))
    assert len(error) <= 300 and "\n" not in error and "delete it and launch again" in error


def test_a_terminal_obeys_no_file(run_dir: RunDir, suite: Suite) -> None:
    filled(run_dir, suite, finals=False)
    trial = suite.search_trial(suite.studies[0], 0, {})
    run_dir.rows_path(trial).unlink()
    run_dir.write_failure(trial, "RuntimeError: \x1b]0;title\x07 \x9b31m red \u202e back")
    shown_text = run_cli_in_process("status", run_dir.path)
    assert r"\x1b]0;title\x07 \x9b31m red \u202e back" in shown_text
    assert printable("α ≥ 1\n") == "α ≥ 1\n"


@pytest.mark.parametrize(
    ("column", "other"), [("data", "f" * 16), ("loaded", ("0" * 16,)), ("loaded", ("a" * 16, "b")), ("numerics", 2)]
)
def test_rows_of_other_data_files_or_numbers_are_refused(
    column: str, other: Any, run_dir: RunDir, suite: Suite, tmp_path: Path
) -> None:
    """As if a file of another run directory had been copied there."""
    identity = Identity({"iris": "0123456789abcdef"}, ("a" * 16,), 1)
    suite = dataclasses.replace(suite, identity=identity)
    filled(run_dir, suite)
    columns = {"data": "0123456789abcdef", "loaded": ("a" * 16,), "numerics": 1}
    edit(run_dir, ROWS, lambda rows: [row | columns for row in rows])
    launch_status(run_dir)  # the other rows are those of an earlier version, which wrote no such columns
    (tmp_path / "report").mkdir()
    save_runs(load([run_dir.path]), tmp_path / "report")
    assert len(load([tmp_path / "report"]).rows) == len(load([run_dir.path]).rows)
    path = edit(run_dir, ROWS, first(**{column: other}))
    expected = f"{column}={other!r} does not fit its place and suite.json, which say {columns[column]!r}"
    line = refusal(run_dir, suite)
    assert path.name in line and expected in line
