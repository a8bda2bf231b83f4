"""`--log-to`: what TensorBoard, MLflow and Weights & Biases were sent is read back from their files."""

import struct
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers.launches import results_of, run_cli_in_process
from tests.helpers.suites import made_up_rows, ray_result
from tune_kmixup.core.config import Suite, Trial
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.tuning import loggers

ARGS = ["launch", "iris/mlp@0", "--method", "mixup", "--trials", "2", "--search-seeds", "2", "--final-seeds", "2"]
ARGS += ["--shortlist", "1", "--epochs", "3", "--batch-seeds", "on"]


def scalars(folder: Path) -> dict[str, float]:
    """TensorBoard's scalars of one trial, as tag@step. Its files are records of length, checksum, event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    values = {}
    for path in folder.glob("events.out.tfevents.*"):
        records = path.read_bytes()
        while records:
            (length,) = struct.unpack("<Q", records[:8])
            event = Event.FromString(records[12 : 12 + length])
            values |= {f"{value.tag}@{event.step}": value.simple_value for value in event.summary.value}
            records = records[16 + length :]
    return values


def mean(rows: list[Row], column: str) -> float:
    return float(sum(getattr(row, column) for row in rows) / len(rows))


@pytest.mark.slow
def test_every_logger_is_told_the_means_of_a_trial(
    ray_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow, _ = pytest.importorskip("mlflow"), pytest.importorskip("wandb")
    store = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = RunDir(tmp_path / "iris-run")
    run_cli_in_process(
        *ARGS,
        "--curves",
        "--address",
        ray_address,
        "--log-to",
        "tensorboard",
        "--log-to",
        "mlflow",
        "--log-to",
        "wandb",
        "--out",
        run.path,
    )
    study = run.suite().studies[0].name
    rows = {
        name: [r for r in results_of(run, study).rows if f"{r.phase}-{r.trial}" == name]
        for name in ("search-0", "search-1")
    }
    final = [row for row in results_of(run, study).rows if row.phase == "final"]
    told = scalars(run.path / "tensorboard" / study / "search-0001")
    assert told["ray/tune/val_error@3"] == pytest.approx(mean(rows["search-1"], "val_error"))
    assert told["ray/tune/val_nll@3"] == pytest.approx(mean(rows["search-1"], "val_nll"))
    assert "ray/tune/test_error@3" not in told
    for epoch in (1, 2, 3):
        losses = [row.train_loss_by_epoch[epoch - 1] for row in rows["search-1"] if row.train_loss_by_epoch]
        assert told[f"ray/tune/train_loss@{epoch}"] == pytest.approx(sum(losses) / len(losses))
    (folder,) = (run.path / "tensorboard" / study).glob("final-*")
    assert scalars(folder)["ray/tune/test_error@3"] == pytest.approx(mean(final, "test_error"))

    client = mlflow.MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("iris-run")
    found = {one.info.run_name: one for one in client.search_runs([experiment.experiment_id])}
    assert found.keys() == {f"{study}/{name}" for name in ("search-0000", "search-0001", folder.name)}
    one = found[f"{study}/search-0000"]
    assert one.info.status == "FINISHED"
    assert one.data.metrics["val_error"] == pytest.approx(mean(rows["search-0"], "val_error"))
    assert float(one.data.params["alpha"]) == pytest.approx(rows["search-0"][0].alpha)
    history = client.get_metric_history(one.info.run_id, "val_error")
    assert sorted(point.step for point in history) == [1, 2, 3]
    assert (one.data.params["task"], one.data.params["outer_split"]) == ("iris/mlp", "0")
    assert (one.data.params["method"], one.data.params["run_dir"]) == ("mixup", str(run.path))
    assert (one.data.params["phase"], one.data.params["index"], one.data.params["k"]) == ("search", "0", "1")
    assert found[f"{study}/{folder.name}"].data.metrics["test_error"] == pytest.approx(mean(final, "test_error"))

    kept = {path.parents[2].name: path.read_bytes() for path in (run.path / "wandb").rglob("run-*.wandb")}
    assert kept.keys() == {"search-0000", "search-0001", folder.name}
    assert all(b"val_error" in text and b"alpha" in text for text in kept.values())
    assert b"test_error" in kept[folder.name] and b"test_error" not in kept["search-0000"]
    assert not list(run.path.rglob("*.pkl")), "nothing of Ray's own state"


@pytest.mark.thorough
def test_a_logger_that_fails_does_not_stop_a_launch(ray_address: str, tmp_path: Path) -> None:
    run_cli_in_process(*ARGS, "--address", ray_address, "--out", tmp_path / "run")
    (tmp_path / "run" / "tensorboard").write_text("a file where the logger needs a folder")
    printed = run_cli_in_process(
        "resume", tmp_path / "run", "--address", ray_address, "--trials", "4", "--log-to", "tensorboard"
    )
    assert printed.count("log_to='tensorboard' has failed") == 1 and "Done: every run" in printed


def test_an_unknown_or_missing_logger_is_refused_before_anything_starts(
    suite: Suite, run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="log_to='neptune' is unknown: choose tensorboard, mlflow or wandb"):
        loggers.start_loggers(["neptune"], suite, run_dir)
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="log_to='wandb' needs the package wandb: pip install wandb"):
        loggers.start_loggers(["wandb"], suite, run_dir)
    assert not run_dir.path.exists()


@pytest.mark.slow
def test_an_unreachable_server_is_refused(suite: Suite, run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://at-all")
    with pytest.raises(BadInput, match="log_to='mlflow' cannot start"):
        loggers.start_loggers(["mlflow"], suite, run_dir)


def test_means_leave_out_metrics_that_a_run_does_not_have(suite: Suite) -> None:
    trial = suite.search_trial(suite.studies[1], 0, {"alpha": 0.5})
    rows = made_up_rows(suite, trial)
    means = loggers.mean_metrics(rows)
    assert means["val_error"] == pytest.approx(mean(rows, "val_error")) and means["diverged"] == 0
    assert "test_error" not in means
    rows[0] = replace(rows[0], val_nll=None, status="diverged")
    assert "val_nll" not in loggers.mean_metrics(rows) and loggers.mean_metrics(rows)["diverged"] == 1


class FakeLogger:
    """Records the calls that one of Ray Tune's loggers gets. They wait until it is `reached`; `fails_at` raises."""

    def __init__(self, fails_at: str = ""):
        self.reached, self.fails_at, self.calls = threading.Event(), fails_at, []  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **named: Any) -> None:
            assert self.reached.wait(60)
            self.calls.append((name, *map(str, args[-2:]), *named.values()))
            if name == self.fails_at:
                raise ConnectionError("the server\nis down")

        return call


def log_one_trial(logger: FakeLogger, suite: Suite, run: RunDir, ends: bool = True) -> None:
    trial = suite.search_trial(suite.studies[1], 3, {"alpha": 0.5})
    last_result = ray_result(made_up_rows(suite, trial))
    ray_trial = SimpleNamespace(trial_id="a1", config={"trial": trial}, last_result=last_result)
    background = loggers.BackgroundLogger("mlflow", logger, suite, run)
    background.on_trial_start(0, [], ray_trial)
    background.on_trial_result(0, [], ray_trial, {"progress": 0.5})
    if ends:
        background.on_trial_result(0, [], ray_trial, last_result)
        background.on_trial_complete(0, [], ray_trial)
    assert not logger.calls, "the launch does not wait for a logger"
    logger.reached.set()
    loggers.finish([background])


def test_a_slow_logger_gets_all_calls_in_order(suite: Suite, run_dir: RunDir) -> None:
    log_one_trial(slow := FakeLogger(), suite, run_dir)
    assert [call[0] for call in slow.calls] == [
        "log_trial_start",
        "log_trial_result",
        "log_trial_end",
        "on_experiment_end",
    ]
    assert slow.calls[0][1] == "iris/mlp@0/mixup/search-0003" and slow.calls[2][-1] is False


def test_an_interrupted_trial_is_logged_as_failed(suite: Suite, run_dir: RunDir) -> None:
    log_one_trial(logger := FakeLogger(), suite, run_dir, ends=False)
    assert logger.calls[1] == ("log_trial_end", "iris/mlp@0/mixup/search-0003", True)


def test_a_logger_that_fails_gets_no_further_calls_and_is_reported_once(
    suite: Suite, run_dir: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    log_one_trial(failing := FakeLogger(fails_at="log_trial_result"), suite, run_dir)
    assert failing.calls[-1][0] == "log_trial_result"
    printed = capsys.readouterr().err
    assert printed.count("log_to='mlflow' has failed (the server) and gets no further trials") == 1


def test_a_logged_configuration_is_flat_and_complete(suite: Suite, run_dir: RunDir) -> None:
    trial = Trial("iris/mlp@0/kmixup", 2, "final", {"alpha": 0.5, "log2_k": 3}, (7, 8))
    config = loggers.flat_config(suite, run_dir, trial)
    names = ("task", "method", "architecture", "outer_split", "run_dir")
    assert [config[name] for name in names] == ["iris/mlp", "kmixup", "mlp", 0, str(run_dir.path)]
    assert config["alpha"] == 0.5 and config["k"] == 8 and config["seeds"] == "7 8" and config["phase"] == "final"
    assert all(isinstance(value, int | float | str) for value in config.values())


@pytest.mark.parametrize(
    ("out", "name"),
    [("demo", "demo"), ("/runs/demo/", "demo"), ("s3://bucket/tables/iris", "iris"), ("s3://bucket", "bucket")],
)
def test_an_experiment_has_the_name_of_its_run_directory(out: str, name: str) -> None:
    assert loggers.experiment_name(RunDir(out)) == name


def test_a_curve_is_logged_once_by_epoch(suite: Suite, run_dir: RunDir) -> None:
    """Not at rungs, where a trial has reported a part of it, and with the other metrics at the last epoch."""
    suite = replace(suite, curves=True)
    log_one_trial(logger := FakeLogger(), suite, run_dir)
    assert [call[0] for call in logger.calls].count("log_trial_result") == 1
    curves = [((1.0, 0.5), (0.75, 0.5)), ((0.5, None), (0.25, 1.0))]
    trial = suite.search_trial(suite.studies[1], 0, {"alpha": 0.5})
    rows = [
        replace(row, train_loss_by_epoch=losses, val_error_by_epoch=errors)
        for row, (losses, errors) in zip(made_up_rows(suite, trial), curves, strict=True)
    ]
    first, last = loggers.epoch_metrics(rows)
    assert first == {"training_iteration": 1, "train_loss": 0.75, "val_error": 0.5}
    assert last == loggers.mean_metrics(rows) | {"training_iteration": 2}


def test_a_trial_that_is_stopped_early_logs_the_curve_up_to_its_rung(suite: Suite, run_dir: RunDir) -> None:
    suite = replace(suite, curves=True)
    trial = suite.search_trial(suite.studies[1], 3, {"alpha": 0.5})
    curves = {"train_loss_by_epoch": (1.0,), "val_error_by_epoch": (0.75,)}
    row = replace(made_up_rows(suite, trial)[0], status="stopped", epochs=1, **curves)
    result = {"rung": [row.to_json()]}
    ray_trial = SimpleNamespace(trial_id="a1", config={"trial": trial}, last_result=result)
    background = loggers.BackgroundLogger("mlflow", logger := FakeLogger(), suite, run_dir)
    logger.reached.set()
    background.on_trial_start(0, [], ray_trial)
    background.on_trial_result(0, [], ray_trial, result)
    background.on_trial_complete(0, [], ray_trial)
    loggers.finish([background])
    names = [call[0] for call in logger.calls]
    assert names == ["log_trial_start", "log_trial_result", "log_trial_end", "on_experiment_end"]


def test_a_server_that_is_down_holds_up_the_end_no_longer_than_said(
    suite: Suite, run_dir: RunDir, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = threading.Event()
    logger = SimpleNamespace(on_experiment_end=lambda trials: hanging.wait(30))
    background = [loggers.BackgroundLogger(name, logger, suite, run_dir) for name in ("mlflow", "wandb")]
    clock, waited = [100.0], []

    def join(seconds: float) -> None:
        waited.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(loggers, "monotonic", lambda: clock[0])
    for one in background:
        monkeypatch.setattr(one.thread, "join", join)
    loggers.finish(background, 1)
    hanging.set()
    assert waited == [1, 0], "both are waited for at the same time"
    printed = capsys.readouterr().err
    for name in ("mlflow", "wandb"):
        assert f"log_to={name!r} has not sent everything within 1 s and is abandoned" in printed
