"""TensorBoard, MLflow and Weights & Biases beside the result files: what they are told is read back."""

import struct
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers.launches import tune
from tests.helpers.suites import made_up_rows
from tune_kmixup.core.config import Suite, Trial
from tune_kmixup.core.errors import BadInput
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.tuning import loggers

ARGS = ["launch", "iris/mlp@0", "--method", "mixup", "--trials", "2", "--search-seeds", "2", "--final-seeds", "2"]
ARGS += ["--epochs", "3", "--batch-seeds", "on"]


def scalars(folder: Path) -> dict[str, float]:
    """TensorBoard's scalars of one trial: its files are records of length, checksum, event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in folder.glob("events.out.tfevents.*"):
        left = path.read_bytes()
        while left:
            (length,) = struct.unpack("<Q", left[:8])
            event = Event.FromString(left[12 : 12 + length])
            found |= {f"{value.tag}@{event.step}": value.simple_value for value in event.summary.value}
            left = left[16 + length :]
    return found


def mean(rows: list[dict[str, Any]], column: str) -> float:
    return float(sum(row[column] for row in rows) / len(rows))


@pytest.mark.slow
def test_every_logger_is_told_the_means_of_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow, _ = pytest.importorskip("mlflow"), pytest.importorskip("wandb")
    store = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = RunDir(tmp_path / "run")
    tune(*ARGS, "--log-to", "tensorboard", "--log-to", "mlflow", "--log-to", "wandb", "--out", run.path)
    study = run.suite().studies[0].name
    rows = {
        name: [r for r in run.rows(study) if f"{r['phase']}-{r['trial']}" == name] for name in ("search-0", "search-1")
    }
    final = [row for row in run.rows(study) if row["phase"] == "final"]
    told = scalars(run.path / "tensorboard" / study / "search-0001")
    assert told["ray/tune/val_error@3"] == pytest.approx(mean(rows["search-1"], "val_error"))
    assert told["ray/tune/val_nll@3"] == pytest.approx(mean(rows["search-1"], "val_nll"))
    assert "ray/tune/test_error@3" not in told
    (folder,) = (run.path / "tensorboard" / study).glob("final-*")
    assert scalars(folder)["ray/tune/test_error@3"] == pytest.approx(mean(final, "test_error"))

    client = mlflow.MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name(run.suite().name)
    found = {one.info.run_name: one for one in client.search_runs([experiment.experiment_id])}
    assert found.keys() == {f"{study}/{name}" for name in ("search-0000", "search-0001", folder.name)}
    one = found[f"{study}/search-0000"]
    assert one.info.status == "FINISHED"
    assert one.data.metrics["val_error"] == pytest.approx(mean(rows["search-0"], "val_error"))
    assert float(one.data.params["alpha"]) == pytest.approx(rows["search-0"][0]["alpha"])
    assert (one.data.params["phase"], one.data.params["index"], one.data.params["k"]) == ("search", "0", "1")
    assert found[f"{study}/{folder.name}"].data.metrics["test_error"] == pytest.approx(mean(final, "test_error"))

    kept = {path.parents[2].name: path.read_bytes() for path in (run.path / "wandb").rglob("run-*.wandb")}
    assert kept.keys() == {"search-0000", "search-0001", folder.name}
    assert all(b"val_error" in text and b"alpha" in text for text in kept.values())
    assert b"test_error" in kept[folder.name] and b"test_error" not in kept["search-0000"]
    assert not list(run.path.rglob("*.pkl")), "nothing of Ray's own state"


@pytest.mark.slow
def test_a_logger_that_fails_does_not_stop_a_launch(tmp_path: Path) -> None:
    tune(*ARGS, "--out", tmp_path / "run")
    (tmp_path / "run" / "tensorboard").write_text("a file where the logger needs a folder")
    printed = tune("resume", tmp_path / "run", "--trials", "4", "--log-to", "tensorboard")
    assert printed.count("log_to='tensorboard' has failed") == 1 and "Done: every run" in printed


def test_what_cannot_log_is_refused_before_anything_starts(
    suite: Suite, run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="log_to='neptune' is unknown: choose tensorboard, mlflow or wandb"):
        loggers.start(["neptune"], suite, run_dir)
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="log_to='wandb' needs the package wandb: pip install wandb"):
        loggers.start(["wandb"], suite, run_dir)
    assert not run_dir.path.exists()


def test_a_server_that_is_not_there_is_refused(suite: Suite, run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://at-all")
    with pytest.raises(BadInput, match="log_to='mlflow' cannot begin"):
        loggers.start(["mlflow"], suite, run_dir)


def test_means_leave_out_what_a_run_has_not(suite: Suite) -> None:
    trial = suite.search_trial(suite.studies[1], 0, {"alpha": 0.5})
    rows = made_up_rows(suite, trial)
    found = loggers.mean_metrics(rows)
    assert found["val_error"] == pytest.approx(mean(rows, "val_error")) and found["diverged"] == 0
    assert "test_error" not in found
    rows[0] |= {"val_nll": None, "status": "diverged"}
    assert "val_nll" not in loggers.mean_metrics(rows) and loggers.mean_metrics(rows)["diverged"] == 1


class StandIn:
    """In place of a logger of Ray Tune's: keeps what it is told; slow, or failing at a call, on demand."""

    def __init__(self, seconds: float = 0.0, fails_at: str = ""):
        self.seconds, self.fails_at, self.told = seconds, fails_at, []  # type: ignore[var-annotated]

    def __getattr__(self, call: str) -> Any:
        def tell(*args: Any, **named: Any) -> None:
            time.sleep(self.seconds)
            self.told.append((call, *map(str, args[-2:]), *named.values()))
            if call == self.fails_at:
                raise ConnectionError("the server\nis away")

        return tell


def told_a_trial(logger: StandIn, suite: Suite, run: RunDir, ends: bool = True) -> None:
    trial = suite.search_trial(suite.studies[1], 3, {"alpha": 0.5})
    ray_trial = SimpleNamespace(trial_id="a1", config={**vars(trial), "seeds": [*trial.seeds]})
    aside = loggers.BackgroundLogger("mlflow", logger, suite, run)
    begun = time.monotonic()
    aside.on_trial_start(0, [], ray_trial)
    aside.on_trial_result(0, [], ray_trial, {"share": 0.5})
    if ends:
        aside.on_trial_result(0, [], ray_trial, {"rows": made_up_rows(suite, trial)})
        aside.on_trial_complete(0, [], ray_trial)
    assert time.monotonic() - begun < 0.2, "the launch does not wait for a logger"
    aside.finish()


def test_a_slow_logger_is_told_everything_in_turn(suite: Suite, run_dir: RunDir) -> None:
    told_a_trial(slow := StandIn(seconds=0.1), suite, run_dir)
    assert [call[0] for call in slow.told] == [
        "log_trial_start",
        "log_trial_result",
        "log_trial_end",
        "on_experiment_end",
    ]
    assert slow.told[0][1] == "iris/mlp@0/mixup/search-0003" and slow.told[2][-1] is False


def test_a_trial_that_was_interrupted_ends_as_failed(suite: Suite, run_dir: RunDir) -> None:
    told_a_trial(logger := StandIn(), suite, run_dir, ends=False)
    assert logger.told[1] == ("log_trial_end", "iris/mlp@0/mixup/search-0003", True)


def test_a_logger_that_fails_is_left_out_and_that_is_said_once(
    suite: Suite, run_dir: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    told_a_trial(failing := StandIn(fails_at="log_trial_result"), suite, run_dir)
    assert failing.told[-1][0] == "log_trial_result"
    printed = capsys.readouterr().err
    assert printed.count("log_to='mlflow' has failed (the server) and is left out") == 1


def test_a_configuration_is_flat_and_whole(suite: Suite) -> None:
    found = loggers.flat_config(suite, Trial("iris/mlp@0/kmixup", 2, "final", {"alpha": 0.5, "log2_k": 3}, (7, 8)))
    assert found["alpha"] == 0.5 and found["k"] == 8 and found["seeds"] == "7 8" and found["phase"] == "final"
    assert all(isinstance(value, int | float | str) for value in found.values())
