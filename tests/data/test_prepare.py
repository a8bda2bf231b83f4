"""A task's rows: the same on every machine, none in two parts, none of the test rows before they may be seen."""

import dataclasses
import tracemalloc
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from tests.helpers import datafiles
from tune_kmixup.core.config import Recipe, Task
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data import npz
from tune_kmixup.data.prepare import TOY_SETS, Data, Part, channel_statistics, duplicate_shares, outer_splits, prepare
from tune_kmixup.data.prepare import train_rows as count_train_rows
from tune_kmixup.data.registry import DATASETS
from tune_kmixup.models.architectures import ARCHITECTURES

RECIPE = Recipe(epochs=1, batch_size=8, lr=0.1)
SMALL = ["one_ring", "swiss_roll", "iris", "wine", "breast_cancer", "digits"]  # at hand everywhere


def task(dataset: str, split: int | None = 0, train_size: int | None = None, **recipe: Any) -> Task:
    known = DATASETS.get(dataset)
    official = known is not None and known.test_rows is not None and known.generate is None
    changed = dataclasses.replace(RECIPE, **recipe)
    return Task(dataset, "mlp", changed, train_size=train_size, outer_split=None if official else split)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a small stand-in for each data set that has to be fetched."""
    data_dir = tmp_path_factory.mktemp("data")
    for name, found in DATASETS.items():
        if found.load:
            datafiles.stand_in(name, data_dir)
    return data_dir


def keys(part: Part) -> list[bytes]:
    return [blake2b(row.numpy().tobytes()).digest() for row in part.x]


def parts(data: Data) -> list[Part]:
    return [data.train, data.val] + ([data.test] if data.test else [])


@pytest.mark.parametrize("dataset", DATASETS)
def test_contract_of_every_data_set(dataset: str, everything: Path) -> None:
    found = DATASETS[dataset]
    data = prepare(task(dataset), everything, test=True)
    assert data.test is not None
    assert data.shape == found.shape
    for part in parts(data):
        assert part.y.dtype == torch.int64 and len(part.x) == len(part.y)
        assert part.y.min() >= 0 and part.y.max() < data.classes
        inputs = data.inputs(part.x[:3])
        assert inputs.shape == (3, *found.shape) and inputs.dtype == torch.float32 and inputs.isfinite().all()
    assert data.train.x.dtype == {"image": torch.uint8, "audio": torch.int16}.get(found.kind, torch.float32)
    rows = [set(keys(part)) for part in parts(data)]
    if not (found.test_rows and found.kind != "toy"):  # of official parts only the validation rows are ours to choose
        assert rows[0].isdisjoint(rows[2]) and rows[1].isdisjoint(rows[2])
    assert found.val_rows or rows[0].isdisjoint(rows[1])


@pytest.mark.parametrize("dataset", DATASETS)
def test_same_task_same_rows(dataset: str, everything: Path) -> None:
    once, again = (prepare(task(dataset), everything, test=True) for _ in range(2))
    for left, right in zip(parts(once), parts(again), strict=True):
        assert torch.equal(left.x, right.x) and torch.equal(left.y, right.y)


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("architecture", ["mlp", "small_cnn", "lenet"])
def test_every_data_set_trains_every_small_architecture_that_fits(
    dataset: str, architecture: str, everything: Path
) -> None:
    data = prepare(task(dataset), everything, test=False)
    if architecture != "mlp" and (len(data.shape) != 3 or (architecture == "lenet" and data.shape[1] < 12)):
        with pytest.raises(BadInput):
            ARCHITECTURES[architecture](data.shape, data.classes)
        return
    model = ARCHITECTURES[architecture](data.shape, data.classes)
    F.cross_entropy(model(data.inputs(data.train.x[:4])), data.train.y[:4]).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("dataset", DATASETS)
def test_search_holds_no_test_rows_and_else_the_same_rows(dataset: str, everything: Path) -> None:
    search, final = (prepare(task(dataset), everything, test=test) for test in (False, True))
    assert search.test is None and final.test is not None
    assert torch.equal(search.train.x, final.train.x) and torch.equal(search.val.x, final.val.x)


def test_search_reads_no_test_rows(tmp_path: Path) -> None:
    """Test rows that cannot be read are no obstacle to search, and are one to final runs."""
    x, y = np.random.default_rng(0).standard_normal((60, 4)), np.arange(60) % 3
    x_test = np.full((9, 4), np.nan)
    npz.write(tmp_path / "mine.npz", {"x_train": x, "y_train": y, "x_test": x_test, "y_test": np.arange(9) % 3})
    prepare(task("mine", split=None), tmp_path, test=False)
    with pytest.raises(BadInput, match="mine: x_test row 0: column 0 is nan"):
        prepare(task("mine", split=None), tmp_path, test=True)


@pytest.mark.parametrize("dataset", [name for name in DATASETS if not DATASETS[name].test_rows])
def test_every_row_is_tested_on_in_one_split(dataset: str, everything: Path) -> None:
    found = [prepare(task(dataset, split), everything, test=True).test for split in outer_splits(False, False)]
    tested = [part for part in found if part is not None]
    rows = DATASETS[dataset].rows if DATASETS[dataset].bundled else datafiles.ROWS
    assert sum(len(part.y) for part in tested) == rows
    if DATASETS[dataset].kind == "image":  # tables are standardised anew for each split
        assert len({key for part in tested for key in keys(part)}) == rows


@pytest.mark.parametrize("dataset", SMALL)
def test_parts_are_stratified(dataset: str, everything: Path) -> None:
    data = prepare(task(dataset), everything, test=True)
    share = torch.cat([part.y for part in parts(data)]).bincount() / sum(len(part.y) for part in parts(data))
    for part in parts(data):
        assert (part.y.bincount(minlength=data.classes) - share * len(part.y)).abs().max() <= 2


@pytest.mark.parametrize("dataset", SMALL)
def test_a_smaller_training_part_is_nested_and_leaves_the_others_alone(dataset: str, everything: Path) -> None:
    """Labels tell rows apart well enough for tables, whose values are standardised anew."""
    full = prepare(task(dataset), everything, test=True)
    sixty, thirty = (prepare(task(dataset, train_size=size), everything, test=True) for size in (60, 30))
    assert (len(sixty.train.y), len(thirty.train.y)) == (60, 30)
    for smaller, larger in ((sixty, full), (thirty, sixty)):
        assert torch.equal(smaller.val.y, larger.val.y)
        assert smaller.test is not None and larger.test is not None and torch.equal(smaller.test.y, larger.test.y)
        if DATASETS[dataset].kind == "image":
            assert set(keys(smaller.train)) < set(keys(larger.train))
            assert keys(smaller.test) == keys(larger.test)
    assert (sixty.train.y.bincount() - 60 * full.train.y.bincount() / len(full.train.y)).abs().max() <= 1


@pytest.mark.parametrize("dataset", SMALL)
def test_tables_are_standardised_by_the_training_part_alone(dataset: str, everything: Path) -> None:
    data = prepare(task(dataset, train_size=60), everything, test=True)
    u = data.decode(data.train.x)
    x = data.normalise(u)
    dims = (0, 2, 3) if x.ndim == 4 else 0
    spread = x.std(dims, correction=0)
    assert x.mean(dims).abs().max() < 1e-5
    assert (spread - 1).abs().max() < 1e-5
    assert DATASETS[dataset].kind != "image" or (u.min() >= 0 and u.max() <= 1)


def test_test_rows_do_not_move_training_inputs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.standard_normal((60, 4)), "y_train": np.arange(60) % 3, "y_test": np.arange(9) % 3}
    found = []
    for scale in (1, 1000):
        npz.write(tmp_path / "mine.npz", arrays | {"x_test": scale * rng.standard_normal((9, 4))})
        found.append(prepare(task("mine", split=None), tmp_path, test=True))
    assert torch.equal(found[0].train.x, found[1].train.x)


def test_constant_columns_become_zero(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    x[:, 1] = 1e6
    npz.write(tmp_path / "mine.npz", {"x": x, "y": np.arange(60) % 2})
    data = prepare(task("mine"), tmp_path, test=True)
    assert all((part.x[:, 1] == 0).all() for part in parts(data))


def test_toy_sets_are_fresh_for_each_split(everything: Path) -> None:
    first = [prepare(task("two_spirals", split), everything, test=True) for split in range(TOY_SETS)]
    assert len({keys(data.train)[0] for data in first}) == TOY_SETS
    sizes = {tuple(len(part.y) for part in parts(data)) for data in first}
    assert sizes == {(200, 200, 2000)}


def test_speakers_are_held_out(everything: Path) -> None:
    arrays = npz.open_npz(everything / "spoken_digits.npz")
    recordings = torch.from_numpy(arrays["x"][np.arange(datafiles.ROWS)])
    said = keys(Part(recordings, torch.zeros(datafiles.ROWS)))
    speaker = dict(zip(said, np.asarray(arrays["group"]).tolist(), strict=True))
    for split in range(5):
        data = prepare(task("spoken_digits_speakers", split), everything, test=True)
        said_by = [{speaker[key] for key in keys(part)} for part in parts(data)]
        assert all(said_by) and not (said_by[0] & said_by[1] or said_by[0] & said_by[2] or said_by[1] & said_by[2])


def test_official_lists_of_recordings_are_kept(everything: Path) -> None:
    data = prepare(task("speech_commands_v2"), everything, test=True)
    arrays = npz.open_npz(everything / "speech_commands_v2.npz")
    x = arrays["x"][np.arange(datafiles.ROWS)]
    for number, part in enumerate(parts(data)):
        np.testing.assert_array_equal(part.x, x[np.asarray(arrays["part"]) == number])


@pytest.mark.parametrize("dataset", SMALL)
@pytest.mark.parametrize("train_size", [None, 40])
def test_train_rows_are_counted_as_prepared(dataset: str, train_size: int | None, everything: Path) -> None:
    chosen = task(dataset, train_size=train_size)
    assert count_train_rows(chosen, everything) == len(prepare(chosen, everything, test=False).train.y)


def test_train_rows_are_known_before_a_download(tmp_path: Path) -> None:
    counts = {name: count_train_rows(task(name), tmp_path) for name in DATASETS}
    assert counts["cifar10"] == counts["cifar100"] == 45000
    assert counts["mnist"] == counts["fashion_mnist"] == 54000
    assert counts["spoken_digits"] == 2400  # 3,000 less two lists of 300
    assert counts["speech_commands_v2"] == 84843  # 105,829 less the two lists of Warden 2018
    assert abs(counts["phishing"] - 0.64 * 11055) < 2
    assert list(tmp_path.iterdir()) == []


BAD_TASKS = [
    (task("iris", split=5), "outer_split=5 does not fit dataset='iris': choose 0 to 4"),
    (task("one_ring", split=25), "choose 0 to 24"),
    (dataclasses.replace(task("iris"), outer_split=None), "outer_split=None"),
    (dataclasses.replace(task("mnist"), outer_split=0), "choose None, for its test set is official"),
    (task("iris", train_size=97), "train_size=97 does not fit 'iris': choose 1 to 96"),
    (task("iris", train_size=0), "train_size=0"),
    (task("one_ring", train_size=201), "train_size=201"),
    (task("mnist", train_size=54001), "choose 1 to 54000"),
    (task("iris", batch_size=97), "batch_size=97 does not fit task='iris/mlp@0' with 96 training rows"),
    (task("wine", train_size=40, batch_size=50), "batch_size ≤ 40"),
    (task("nowhere"), "dataset='nowhere' is unknown, and there is no nowhere.npz, nowhere.csv or folder nowhere"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_TASKS)
def test_what_does_not_fit_is_refused_before_training(bad: Task, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        count_train_rows(bad, tmp_path)
    assert message in str(error.value)


@pytest.mark.parametrize("piece", [1, 5000, 2**26])
def test_channel_statistics(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_kmixup.data.prepare.PIECE", piece)
    images = torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[:, 1] //= 3
    images[:, 2] = 7
    mean, std = channel_statistics(images)
    u = images.double() / 255
    assert (mean - u.mean((0, 2, 3))).abs().max() < 1e-6
    assert (std - u.std((0, 2, 3), correction=0))[:2].abs().max() < 1e-6
    assert std[2] == 1


def own_npz(data_dir: Path) -> None:
    npz.write(data_dir / "mine.npz", {"x": np.random.default_rng(0).standard_normal((60, 2)), "y": np.arange(60) % 2})


def own_csv(data_dir: Path) -> None:
    lines = ["size,colour,label", *(f"{i},{'red' if i % 3 else 'blue'},{'ab'[i % 2]}" for i in range(60))]
    (data_dir / "mine.csv").write_text("\n".join(lines))


def own_folder(data_dir: Path) -> None:
    for i in range(60):
        path = data_dir / "mine" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i, 0, 0)).save(path)


@pytest.mark.parametrize(("make", "shape"), [(own_npz, (2,)), (own_csv, (3,)), (own_folder, (3, 8, 8))])
def test_own_data_need_a_file_and_a_task(make: Callable[[Path], None], shape: tuple[int, ...], tmp_path: Path) -> None:
    make(tmp_path)
    data = prepare(task("mine"), tmp_path, test=True)
    assert data.shape == shape and data.classes == 2
    assert [len(part.y) for part in parts(data)] == [39, 9, 12] or sum(len(p.y) for p in parts(data)) == 60
    assert count_train_rows(task("mine"), tmp_path) == len(data.train.y)


def test_repeated_rows_are_counted(tmp_path: Path) -> None:
    x = np.asarray([[1.0], [1.0], [1.0], [2.0], [3.0], [-0.0], [0.0], [4.0]])
    npz.write(tmp_path / "mine.npz", {"x": x, "y": np.asarray([0, 0, 1, 1, 0, 1, 1, 0])})
    assert duplicate_shares("mine", tmp_path) == {"rows": 5 / 8, "irreducible": 1 / 8}
    official = {"x_train": x[:4], "y_train": np.asarray([0, 0, 0, 1]), "x_test": x[3:], "y_test": np.ones(5, int)}
    npz.write(tmp_path / "mine.npz", official)
    assert duplicate_shares("mine", tmp_path) == {"rows": 7 / 9, "irreducible": 0, "test in train": 1 / 5}
    assert duplicate_shares("one_ring", tmp_path) == {}


def test_large_data_are_never_held_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny ImageNet, 1.35 GB of pixels with its test images, must fit in 2 GB."""
    monkeypatch.setattr("tune_kmixup.data.npz.PIECE", 2**20)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (2000, 3, 64, 64), dtype=np.uint8)
    y = np.arange(2000) % 10
    npz.write(tmp_path / "mine.npz", {"x_train": x, "y_train": y, "x_test": x[:200], "y_test": y[:200]})
    stored = x.nbytes + x[:200].nbytes
    del x
    tracemalloc.start()
    data = prepare(task("mine", split=None), tmp_path, test=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(part.x.nbytes for part in parts(data)) == stored
    assert peak < 1.2 * stored


def test_inputs_are_differentiable_from_natural_units(everything: Path) -> None:
    """Adversarial noise is added before the normalisation."""
    for dataset in ("iris", "digits", "spoken_digits"):
        data = prepare(task(dataset), everything, test=False)
        u: Tensor = data.decode(data.train.x[:4]).clone().requires_grad_()
        data.normalise(u).square().sum().backward()  # type: ignore[no-untyped-call]
        assert u.grad is not None and u.grad.isfinite().all() and u.grad.abs().sum() > 0
