"""What `launch` and its relatives refuse, and what `plan` says."""

import io
import shlex
import signal
import socket
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tune_kmixup
from search_spaces.tasks import TASKS
from tests.helpers.disks import full_disk
from tests.helpers.launches import run_cli_in_process
from tests.helpers.suites import small_suite
from tune_kmixup.analysis.report.methods_text import suite_paragraph
from tune_kmixup.cli import commands
from tune_kmixup.cli.launching import make_suite
from tune_kmixup.cli.options import DataOptions, Experiment, RunOptions, SearchOptions, TrialOptions
from tune_kmixup.cli.plan import repeat_lines
from tune_kmixup.core.config import Draft, Identity, Recipe, Suite, Task
from tune_kmixup.core.errors import LaunchError
from tune_kmixup.data import tabular
from tune_kmixup.data.download import default_data_dir
from tune_kmixup.data.registry import DATASETS
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.planning.resources import repeated_options
from tune_kmixup.planning.suite import build_suite
from tune_kmixup.store.files import parse_location
from tune_kmixup.store.lock import run_lock
from tune_kmixup.store.notes import Heartbeat
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.store.status import resume_command
from tune_kmixup.tuning import launch as launch_module

WHOLE = ("trials", "search-seeds", "shortlist", "final-seeds", "epochs", "seed", "max-concurrent")
FORMAT_1 = Path(__file__).parents[1] / "fixtures" / "format1" / "tables"
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
    (["launch", "iris/mlp", "--load", "nowhere.py", "--out", "x"], "nowhere.py' cannot be read"),
    *[(["launch", "iris/mlp", f"--{name}", str(10**30), "--out", "x"], "is too large: choose") for name in WHOLE],
    (["plan", "mnist/lenet", "--repeats", str(10**30)], "repeats=1000000000000000000000000000000 is too large"),
    (["plan", "iris/mlp@" + "9" * 5000], "names an outer split that does not exist"),
    (["plan", "mnist/lenet@" + "9" * 5000], "names no repeat"),
    *[(["plan", "iris/mlp", "--cpus-per-trial", x], "is out of range: choose 0 <") for x in ("1e30", "0")],
    *[(["plan", "iris/mlp", "--cpus-per-trial", x], f"={x} is not allowed: choose a finite") for x in ("nan", "inf")],
    (
        ["launch", "cifar10/vit_tiny", "--epochs", "5", "--out", "x"],
        "epochs=5 does not fit warmup_epochs=10 of",
    ),
    (["plan", "iris/mlp", "--gpus-per-trial", "1e30"], "is not a number ≥ 0"),
    *[(["plan", "iris/mlp", "--gpus-per-trial", x], f"={x} is not allowed: choose a finite") for x in ("nan", "inf")],
    (["launch", "iris/mlp", "--out", "x", "--log-to", "nowhere"], "log_to='nowhere' is unknown"),
    (["launch", "iris/mlp", "--out", "x", "--address", "nonsense"], "address='nonsense' is no address"),
    (["launch", "iris/mlp", "--out", "x", "--address", "h:99999"], "choose auto or HOST:PORT"),
    (["launch", "iris/mlp", "--out", __file__], "cannot be read (Not a directory): choose an empty"),
    (["launch", "iris/mlp", "--out", f"{__file__}/run"], "cannot be written (Not a directory)"),
    (["launch", "mnist/lenet@0", "--out", "x", "--data-dir", __file__], "cannot be downloaded"),
    (["report", str(FORMAT_1), "--out", __file__], f"out='{__file__}' cannot be written"),
    *[
        (["report", str(FORMAT_1), "--out", "y", "--level", x], f"level={float(x)}")
        for x in ("nan", "inf", "0", "1e30")
    ],
    (["plan", "iris/mlp", "--trials", "nan"], "error: trials='nan' is not a whole number: choose one, e.g. 10."),
    (["plan", "iris/mlp", "--seed", "1.5"], "error: seed='1.5' is not a whole number: choose one, e.g. 10."),
    (["plan", "iris/mlp", "--epochs", "9" * 5000], "999... is not a whole number"),
    (["report", str(FORMAT_1), "--out", "y", "--level", "abc"], "error: level='abc' is not a number: choose one"),
    (["plan", "iris/mlp", "--cpus-per-trial", ""], "error: cpus_per_trial='' is not a number: choose one, e.g. 0.5."),
    (["plan", "iris/mlp", "--nope"], "error: No such option: --nope"),
    (["launch", "iris/mlp"], "error: Missing option '--out': see tune-kmixup launch --help."),
    (["report", "--out", "y"], "error: Missing argument 'DIR': see tune-kmixup report --help."),
    (["plan", "iris/mlp", "--trials"], "--trials' requires an argument: see tune-kmixup"),
    (["nope"], "error: No such command 'nope': see tune-kmixup --help."),
    (["status", "xyz://a/b"], "error: run_dir='xyz://a/b' is in a store that cannot be used (Unsupported filesystem"),
    (["resume", __file__], "holds no suite.json"),
    (["export", __file__, "--to", "x.db"], "holds no suite.json"),
    (["resume", "nowhere"], "is not there: name the --out"),
    (["status", "nowhere"], "is not there: name the --out"),
    (["report", "nowhere", "--out", "y"], "nowhere"),
]


@pytest.mark.parametrize(("args", "message"), BAD, ids=[" ".join(args)[:80] for args, _ in BAD])
def test_bad_input_is_refused_with_exit_code_2(
    args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["tune-kmixup", *args])
    with pytest.raises(SystemExit) as exit_info:
        commands.main()
    assert exit_info.value.code == 2
    printed = capsys.readouterr().err
    assert message in printed and len(printed.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [], "nothing was written"


@pytest.mark.parametrize("name", ["launch", "resume", "demo"])
def test_sharing_gpus_is_refused_on_a_machine_without_gpus(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    run = RunDir(tmp_path / "x")
    args = {"launch": ["iris/mlp", "--out"], "resume": [], "demo": ["--out"]}[name]
    if name == "resume":
        run.write_suite(small_suite())
    monkeypatch.setattr(sys, "argv", ["tune-kmixup", name, *args, str(run.path), "--gpus-per-trial", "auto"])
    with pytest.raises(SystemExit) as exit_info:
        commands.main()
    assert exit_info.value.code == 2
    expected = "gpus_per_trial='auto' does not fit: no node has more than 0 GPUs. Choose gpus_per_trial=0 to train on"
    assert expected in capsys.readouterr().err
    assert run.exists() == (name == "resume"), "nothing was started"


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        ("0", "each trial: 1 CPU"),
        ("0.5", "each trial: 1 CPU 0.5 GPU"),
        ("auto", "each trial: 1 CPU, a share of a GPU as measured"),
    ],
)
def test_plan_says_what_a_trial_gets(gpus: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    commands.app(["plan", "iris/mlp", "--gpus-per-trial", gpus], standalone_mode=False)
    assert f"{expected}\n" in "\n".join(map(str.strip, capsys.readouterr().out.splitlines())) + "\n"


def test_plan_says_which_methods_try_fewer_configurations(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from optuna.distributions import IntDistribution\n"
        "from search_spaces.methods import METHODS\n"
        "METHODS['few'] = {'log2_k': IntDistribution(1, 5)}\n"
    )
    args = ["plan", "iris/mlp@0", "--method", "few", "--method", "mixup", "--load", tmp_path / "mine.py"]
    printed = run_cli_in_process(*args, "--trials", "24")
    assert "iris/mlp/few: its search space has 5 configurations, so it tries 5 instead of 24." in printed
    assert "2 studies, 29 configurations" in printed
    assert "instead of" not in run_cli_in_process(*args, "--trials", "5")


def test_one_repeat_shares_nothing_with_another(tmp_path: Path) -> None:
    for count, shared in ((1, False), (2, True)):
        suite = build_suite(Draft("repeated", ("mnist-500/mlp",), repeats=count), tmp_path)
        for text in (*repeat_lines(suite), suite_paragraph(suite)):
            assert "6,000 validation rows" in text and ("two repeats share" in text) == shared


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a launch gets from the command line, which then runs nothing."""
    given: dict[str, Any] = {}

    def take(suite: Suite, plugins: Plugins, out: Path, options: RunOptions, data_dir: Path) -> None:
        given.update(out=out, load=plugins.paths, options=options, data_dir=data_dir)

    monkeypatch.setattr("tune_kmixup.cli.commands.run_command", take)
    return given


def test_paths_are_absolute_where_they_are_typed(
    taken: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers have other working directories."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").touch()
    args = ["launch", "iris/mlp@0", "--out", "run", "--data-dir", "data", "--load"]
    run_cli_in_process(*args, "mine.py")
    typed = {"out": "run", "data_dir": "data"}
    assert {name: taken[name] for name in typed} == {name: tmp_path / path for name, path in typed.items()}
    assert taken["load"] == (str(tmp_path / "mine.py"),)
    monkeypatch.setenv("TUNE_KMIXUP_DATA", "elsewhere")
    assert default_data_dir() == tmp_path / "elsewhere"
    assert str(parse_location("memory://bucket/run")) == "memory://bucket/run"


def test_the_command_to_go_on_can_be_pasted(taken: dict[str, Any], tmp_path: Path) -> None:
    """It has the options of the last launch. Those that suite.json does not hold, the heartbeat does."""
    run = RunDir(tmp_path / "it's my run")
    assert shlex.split(resume_command(run.path, ())) == ["tune-kmixup", "resume", str(run.path)]
    data, loaded, other = tmp_path / "my data", tmp_path / "my $file.py", tmp_path / "other.py"
    data.mkdir()
    loaded.touch()
    other.touch()
    run.write_suite(small_suite(identity=Identity(load=(str(loaded),), data_dir=str(data))))
    assert shlex.split(last_line(run)) == ["To", "go", "on:", "tune-kmixup", "resume", str(run.path)]
    options = RunOptions("[::1]:1", TrialOptions(0.1, "auto"), 3, batch_seeds="on", log_to=["mlflow", "wandb"])
    repeated = repeated_options(options.resources(), options.log_to or ())
    run.write_heartbeat(Heartbeat("h", 1, since=1.0, updated=2.0, ended=True, slots=1, options=repeated))
    run_cli_in_process(*shlex.split(last_line(run))[4:])
    assert (taken["out"], taken["options"]) == (run.path, options)
    assert (taken["data_dir"], taken["load"]) == (data, (str(loaded),)), "the suite remembers them"
    run_cli_in_process("resume", run.path, "--data-dir", tmp_path, "--load", other)
    assert (taken["data_dir"], taken["load"]) == (tmp_path, (str(other),)), "an option wins"
    data.rmdir()
    refused = run_cli_in_process("resume", run.path, code=2)
    assert f"data_dir='{data}' of the launch before is not there: name the folder with --data-dir." in refused


def last_line(run: RunDir) -> str:
    """What `status` says of how to go on."""
    return run_cli_in_process("status", run.path).splitlines()[-1]


@pytest.fixture
def flowers(monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task whose data are to be fetched, and are fewer rows than the registry says."""
    iris = dict(tabular.sklearn_loader("iris")())
    dataset = replace(DATASETS["iris"], rows=160, bundled=None, load=lambda folder, download: iris)
    monkeypatch.setitem(DATASETS, "flowers", dataset)
    task = Task("flowers", "mlp", Recipe(1, 10, 0.1), train_size=50, outer_split=None, holdout=True)
    monkeypatch.setitem(TASKS, task.base, (task,))
    return task


def test_a_launch_is_the_same_suite_before_and_after_its_data_are_fetched(flowers: Task, tmp_path: Path) -> None:
    """The registry's figures are off by the rows that equal rows pull into one part. They must not be frozen."""
    typed = Experiment([flowers.base], search=SearchOptions(repeats=2), data=DataOptions(tmp_path))
    (planned, _), (launched, _) = make_suite(typed), make_suite(typed, fetch=True)
    assert planned != launched
    assert make_suite(typed, fetch=True)[0] == make_suite(typed)[0] == launched


def test_more_repeats_are_counted_in_the_data_not_in_the_registry(
    flowers: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`resume --repeats` on a machine without the data, after which `launch --repeats` was refused as another suite."""
    run, resumed, data = RunDir(tmp_path / "run"), [], DataOptions(tmp_path)
    launched, larger = (
        make_suite(Experiment([flowers.base], search=SearchOptions(repeats=count), data=data), fetch=True)
        for count in (2, 4)
    )
    run.write_suite(launched[0])
    monkeypatch.setattr(commands, "run_command", lambda suite, *_: resumed.append(suite))
    run_cli_in_process("resume", run.path, "--repeats", "4", "--data-dir", tmp_path / "another machine")
    assert resumed == [larger[0]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_data_are_read_ends_a_launch_in_a_line(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading them and trying the networks takes minutes. SIGTERM killed the process there, and its lease stayed."""

    def reading(*_: object) -> None:
        signal.raise_signal(number)
        time.sleep(10)

    monkeypatch.setattr(launch_module, "launch", reading)
    run = RunDir(tmp_path / "run")
    printed = run_cli_in_process("launch", "iris/mlp@0", "--out", run.path, code=128 + number)
    assert "Stopped before the first trial." in printed and "To go on: tune-kmixup launch" in printed
    assert not run.holder()


def test_what_another_launch_has_done_meanwhile_is_not_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launch reads its data for minutes before it holds the run directory."""
    run, options = RunDir(tmp_path / "run"), ["--method", "erm", "--data-dir", tmp_path]
    run.write_suite(suite_of := make_suite(Experiment(["iris/mlp@0"], search=SearchOptions(method=["erm"])))[0])

    def lock(run: RunDir) -> AbstractContextManager[None]:
        run.write_suite(replace(suite_of, final_seeds=20))
        return run_lock(run)

    monkeypatch.setattr("tune_kmixup.store.lock.run_lock", lock)
    refused = run_cli_in_process("launch", "iris/mlp@0", *options, "--out", run.path, code=2)
    assert "final_seeds (was 20, now 5)" in refused and run.suite().final_seeds == 20


def test_a_cluster_that_does_not_answer_ends_a_launch_in_a_line_with_the_command_to_go_on(tmp_path: Path) -> None:
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        args = ["launch", "iris/mlp@0", "--address", address, "--out", str(tmp_path / "my run")]
        *_, error, again = run_cli_in_process(*args, code=1).splitlines()
    assert f"address='{address}' does not answer" in error and "ray start --head" in error
    assert shlex.split(again.removeprefix("To go on: ")) == ["tune-kmixup", *args]
    assert list(tmp_path.iterdir()) == [], "nothing was written"


def test_a_disk_that_is_full_before_the_first_trial_ends_a_launch_in_a_line(tmp_path: Path) -> None:
    """It was taken for bad input. The lock is taken first, then data are written."""
    args = ["launch", "iris/mlp@0", "--out", str(tmp_path / "a" / "my run")]
    with full_disk():
        *_, error, again = run_cli_in_process(*args, code=1).splitlines()
    assert error == f"error: out='{args[-1]}' cannot be written (File too large): " + (
        "free some space, check the disk, or choose another --out."
    )
    assert shlex.split(again.removeprefix("To go on: ")) == ["tune-kmixup", *args]
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


@pytest.mark.parametrize("args", [["status"], ["export", "--to", "my file.db"], ["report", "--out", "r"], ["resume"]])
def test_a_disk_that_fails_ends_a_command_in_a_line(
    args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the one of temporary files, which run directories of an object store are copied to."""

    def fail(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device", "/tmp/x")

    run = RunDir("memory://bucket/my run")
    run.write_suite(small_suite())
    monkeypatch.setattr("tempfile.TemporaryDirectory", fail)
    monkeypatch.chdir(tmp_path)
    *_, error, again = run_cli_in_process(args[0], str(run.path), *args[1:], code=1).splitlines()
    assert error.startswith("error: [Errno 28] No space left on device: '/tmp/x': check the disks")
    assert shlex.split(again.removeprefix("To go on: ")) == ["tune-kmixup", args[0], str(run.path), *args[1:]]


def test_a_terminal_that_cannot_show_a_character_gets_it_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(printed, encoding="ascii"))
    monkeypatch.setattr(sys, "argv", ["tune-kmixup", "plan", "iris/mlp@0", "--gpus-per-trial", "-1"])
    with pytest.raises(SystemExit, match="2"):
        commands.main()
    sys.stderr.flush()
    assert printed.getvalue().count(b"\n") == 1 and b"is not a number >= 0" in printed.getvalue()


ENDS = {  # Ray Tune stops on SIGUSR1 too, of which we hear nothing
    "SIGUSR1": (launch_module.Outcome({}, False, None, None), 130, KeyboardInterrupt),
    "SIGTERM": (launch_module.Outcome({}, False, None, 15), 143, LaunchError),
    "Ctrl-C": (launch_module.Outcome({}, False, None, 2), 130, KeyboardInterrupt),
    "a trial failed": (
        launch_module.Outcome({"iris/mlp@0/erm/final-0000-1": "a"}, True, None, None),
        1,
        LaunchError,
    ),
    "full disk": (launch_module.Outcome({}, False, OSError(28, "No space left"), None), 1, LaunchError),
}


@pytest.mark.parametrize(("outcome", "code", "error"), ENDS.values(), ids=ENDS)
def test_a_launch_that_ended_early_is_never_called_done(
    outcome: launch_module.Outcome,
    code: int,
    error: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a terminal, and in Python."""
    monkeypatch.setattr(launch_module, "launch", lambda *args: outcome)
    printed = run_cli_in_process("launch", "iris/mlp@0", "--out", tmp_path / "run", code=code)
    assert "Done" not in printed
    with pytest.raises(error):
        tune_kmixup.launch("iris/mlp@0", out=tmp_path / "run")
