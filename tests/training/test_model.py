"""The networks of final runs on disk: they classify as when their runs were scored, and nothing is unpickled."""

import dataclasses
import io
import json
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.launches import registries_restored, results_of
from tests.helpers.models import RECIPE, customers_task, final_trials, run_with_models, suite_of, train_with_models
from tests.helpers.suites import dropout_network, without_clock
from tests.helpers.trainings import interrupt
from tune_kmixup.core.config import Task
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row
from tune_kmixup.data import npz
from tune_kmixup.data.inputs import NewRows, from_json
from tune_kmixup.data.prepare import Data, prepare
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.store.run_dir import CorruptFile, RunDir
from tune_kmixup.training.loop import Training, train_to_end
from tune_kmixup.training.model import Model, load_networks, read_network

TASKS = {
    "array": Task("iris", "mlp", RECIPE, outer_split=0),
    "images": Task("digits", "small_cnn", dataclasses.replace(RECIPE, batch_size=32), outer_split=0, train_size=64),
    "toy": Task("two_spirals", "mlp", RECIPE, outer_split=0),
}


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    with registries_restored():
        yield


def made_task(name: str, folder: Path) -> Task:
    """A task of the kind, whose files are in the folder."""
    if name == "table":
        return customers_task(folder)
    if name == "recordings":
        rng = np.random.default_rng(0)
        x, y = rng.integers(-999, 999, (60, 200)).astype(np.int16), np.arange(60) % 2
        npz.write_npz(folder / "clicks.npz", {"x": x, "y": y, "rate": np.asarray(200)})
        return Task("clicks", "mlp", RECIPE, outer_split=0)
    return TASKS[name]


def error_of(model: Model, data: Data) -> float:
    """Of rows in reverse order, which NumPy keeps as a view with negative strides."""
    assert data.test is not None
    x, y = (tensor.numpy()[::-1] for tensor in data.test)
    return 1 - float(np.mean(model.probabilities(NewRows(x, ())).argmax(1) == y))


def loaded(run: RunDir, study: str, row: Row) -> Model:
    return load_networks([run.model(study, row.trial, row.seed)], [row])


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("kind", ["table", "recordings", *TASKS])
def test_a_model_has_the_test_error_of_its_row(kind: str, batched: bool, run_dir: RunDir, tmp_path: Path) -> None:
    task = made_task(kind, tmp_path)
    suite, data = suite_of(task, methods=("mixup",)), prepare(task, tmp_path, test=True)
    run_with_models(run_dir, suite, tmp_path, batched)
    (study,) = suite.studies
    rows = [row for row in results_of(run_dir, study.name).rows if row.phase == "final"]
    assert len(rows) == 3 and {row.batched for row in rows} == {3 if batched else 1}
    for row in rows:
        assert error_of(loaded(run_dir, study.name, row), data) == row.test_error
    together = load_networks([run_dir.model(study.name, row.trial, row.seed) for row in rows], rows)
    assert len(together.networks) == 3 and together.preprocessing == data.preprocessing
    assert data.test is not None
    new = NewRows(data.test.x.numpy(), ())
    alone = [loaded(run_dir, study.name, row).probabilities(new) for row in rows]
    assert together.probabilities(new) == pytest.approx(np.mean(alone, axis=0))
    assert not np.allclose(alone[0], alone[-1]), "the networks differ"
    assert from_json(json.loads(json.dumps(dataclasses.asdict(data.preprocessing)))) == data.preprocessing


class Drawing(torch.nn.Module):
    """Draws where it is built, into an attribute that no state dict holds, and where it is applied."""

    def __init__(self, shape: tuple[int, ...], classes: int, always: bool = False) -> None:
        super().__init__()
        self.layers, self.fixed, self.always = dropout_network(shape, classes).bfloat16(), torch.randn(4), always

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = torch.rand(1) if self.training or self.always else 0
        return self.layers((x + self.fixed + noise).bfloat16()).float()


@pytest.mark.parametrize("always", [False, True])
def test_what_a_network_draws_is_drawn_again(
    always: bool, run_dir: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "drawing", partial(Drawing, always=always))
    task = dataclasses.replace(TASKS["array"], architecture="drawing")
    suite, data = suite_of(task, methods=("erm",)), prepare(task, tmp_path, test=True)
    run_with_models(run_dir, suite, tmp_path)
    for row in (row for row in results_of(run_dir, suite.studies[0].name).rows if row.phase == "final"):
        errors = {error_of(loaded(run_dir, suite.studies[0].name, row), data) for _ in range(2)}
        assert len(errors) == 1 if always else errors == {row.test_error}


@pytest.fixture
def kept(run_dir: RunDir, tmp_path: Path) -> tuple[Path, Row]:
    """The file of a model, and its row."""
    suite = suite_of(TASKS["array"], methods=("erm",))
    run_with_models(run_dir, suite, tmp_path)
    row = results_of(run_dir, suite.studies[0].name).rows[-1]
    return run_dir.model(suite.studies[0].name, row.trial, row.seed), row


def test_a_damaged_file_is_refused_in_a_line(kept: tuple[Path, Row]) -> None:
    path, row = kept
    content = path.read_bytes()
    read_network(path, row)
    rng = np.random.default_rng(0)
    flipped = [bytearray(content) for _ in range(8)]
    for damaged in flipped:
        damaged[rng.integers(len(content))] ^= 255
    cut = [content[:length] for length in (0, 10, len(content) // 2, len(content) - 1)]
    refused = 0
    for damaged in (*flipped, *cut, b"{}"):
        path.write_bytes(damaged)
        try:
            network, _ = read_network(path, row)
        except CorruptFile as error:
            refused += 1
            assert str(path.name) in str(error) and "\n" not in str(error) and "launch again" in str(error)
        else:  # a byte of the archive that nothing depends on, such as a date
            original = np.load(io.BytesIO(content))
            assert all(np.array_equal(original[f"weights/{key}"], v) for key, v in network.state_dict().items())
    assert refused >= 8
    path.unlink()
    with pytest.raises(CorruptFile, match="No such file"):
        read_network(path, row)


def test_a_file_of_another_run_is_refused(kept: tuple[Path, Row]) -> None:
    path, row = kept
    for other in (dataclasses.replace(row, seed=row.seed + 1), dataclasses.replace(row, started=1.0)):
        with pytest.raises(CorruptFile, match="it is of another run than its name says"):
            read_network(path, other)


def test_nothing_is_unpickled(kept: tuple[Path, Row]) -> None:
    path, row = kept
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert all(name.endswith(".npy") for name in names)
    with np.load(path, allow_pickle=False) as content:
        arrays = {name: content[name] for name in content.files}
    np.savez(path, allow_pickle=True, **{**arrays, "about": np.asarray([{"run": 1}], dtype=object)})
    with pytest.raises(CorruptFile, match="allow_pickle=False"):
        read_network(path, row)


@pytest.mark.parametrize("batched", [False, True])
def test_models_change_nothing_of_a_training_and_survive_its_interruption(
    batched: bool, run_dir: RunDir, tmp_path: Path
) -> None:
    task, suite = TASKS["array"], suite_of(TASKS["array"], methods=("mixup",))
    data = prepare(task, tmp_path, test=True)
    run_dir.write_suite(suite)
    ((_, trial),) = final_trials(suite)
    trial = dataclasses.replace(trial, batched=batched)
    expected = without_clock(train_to_end(task, trial, data))
    path, models = run_dir.checkpoint(trial), partial(run_dir.ended_model, trial)
    for stop in (5, 9 if batched else 40):  # of 27 steps, for each seed where they train one after another
        training = Training(task, trial, data, checkpoint_path=path, model_path=models, save_every=0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tune_kmixup.training.loop.REPORT_SECONDS", 0)
            interrupt(training, stop)
        assert path.exists()
    if not batched:
        assert models(trial.seeds[0]).exists(), "the first seed has ended"
        models(trial.seeds[0]).unlink()  # as after a launch that died when it had moved it
    rows = train_with_models(run_dir, task, trial, data)
    assert without_clock(rows) == expected and not list(path.parent.glob("*.npz"))
    assert error_of(loaded(run_dir, suite.studies[0].name, rows[0]), data) == rows[0].test_error


def test_a_folder_that_is_not_there_is_named(run_dir: RunDir, tmp_path: Path) -> None:
    """As on a node that does not share the disk of the run directory."""
    suite = suite_of(TASKS["array"], methods=("erm",))
    ((task, trial),) = final_trials(suite)
    with pytest.raises(BadInput, match=r"with save_models, all nodes write to --out\. Share it"):
        train_with_models(run_dir, task, trial, prepare(task, tmp_path, test=True))
