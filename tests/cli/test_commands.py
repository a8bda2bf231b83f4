"""What `launch` and its relatives refuse, and what `plan` says."""

import sys
from pathlib import Path

import pytest

from tests.helpers.suites import small_suite
from tune_kmixup.store.run_dir import RunDir

BAD = [
    (["launch", "irsi/mlp", "--out", "x"], "did you mean iris/mlp"),
    (["launch", "../../elsewhere", "--out", "x"], "task='../../elsewhere' is unknown"),
    (["launch", "iris/mlp@../../elsewhere", "--out", "x"], "names an outer split that does not exist"),
    (["launch", "iris/mlp", "--method", "../elsewhere", "--out", "x"], "method='../elsewhere' is unknown"),
    (["launch", "iris/mlp", "--trials", "0", "--out", "x"], "trials=0 is too small"),
    (["launch", "iris/mlp", "--out", "x", "--gpus-per-trial", "99"], "gpus_per_trial=99 does not fit"),
    (["launch", "iris/mlp", "--out", "x", "--gpus-per-trial", "half"], "gpus_per_trial='half' is neither"),
    (["plan", "iris/mlp", "--gpus-per-trial", "-1"], "gpus_per_trial=-1.0 is not a number ≥ 0"),
    (["launch", "iris/mlp", "--out", "x", "--cpus-per-trial", "9999"], "cpus_per_trial=9999 does not fit"),
    (["launch", "iris/mlp", "--out", "/proc/nowhere/run"], "cannot be written"),
    (
        ["launch", "iris/mlp", "--out", "x", "--address", "ray://h:10001"],
        "ray job submit --address http://h:8265 -- tune-kmixup launch iris/mlp --out x --address auto",
    ),
    (["launch", "iris/mlp", "--out", "x", "--batch-seeds", "yes"], "batch_seeds='yes' is unknown"),
    (["launch", "iris/mlp", "--out", "x", "--fuse", "off"], "use --batch-seeds off"),
    (["launch", "iris/mlp", "--load", "nowhere.py", "--out", "x"], "load='nowhere.py' cannot be read"),
    (["resume", "nowhere"], "holds no suite.json"),
    (["status", "nowhere"], "holds no suite.json"),
    (["report", "nowhere", "--out", "y"], "nowhere"),
]


@pytest.mark.parametrize(("args", "message"), BAD, ids=[" ".join(args) for args, _ in BAD])
def test_bad_input_is_refused_with_exit_code_2(
    args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tune_kmixup.cli import commands

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tune-kmixup", *args])
    with pytest.raises(SystemExit) as exit_info:
        commands.main()
    assert exit_info.value.code == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.rglob("suite.json")) == [], "nothing was started"


@pytest.mark.parametrize("command", ["launch", "resume", "demo"])
def test_sharing_gpus_is_refused_on_a_machine_without_gpus(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tune_kmixup.cli import commands

    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    run = RunDir(tmp_path / "x")
    args = {"launch": ["iris/mlp", "--out"], "resume": [], "demo": ["--out"]}[command]
    if command == "resume":
        run.write_suite(small_suite())
    monkeypatch.setattr(sys, "argv", ["tune-kmixup", command, *args, str(run.path), "--gpus-per-trial", "auto"])
    with pytest.raises(SystemExit) as exit_info:
        commands.main()
    assert exit_info.value.code == 2
    expected = "gpus_per_trial='auto' measures on a GPU, and there are 0: choose gpus_per_trial=0 to train on CPUs, or"
    assert expected in capsys.readouterr().err
    assert run.exists() == (command == "resume"), "nothing was started"


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        ("0", "each trial: 1 CPU"),
        ("0.5", "each trial: 1 CPU 0.5 GPU"),
        ("auto", "each trial: 1 CPU, a share of a GPU as measured"),
    ],
)
def test_plan_says_what_a_trial_gets(gpus: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    from tune_kmixup.cli import commands

    commands.app(["plan", "iris/mlp", "--gpus-per-trial", gpus], standalone_mode=False)
    assert f"{expected}\n" in "\n".join(map(str.strip, capsys.readouterr().out.splitlines())) + "\n"
