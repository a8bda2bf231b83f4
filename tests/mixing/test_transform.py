"""KMixup mixes with independent partners, by the suite's own step, whatever batches, labels and loops it is given."""

import copy
import pickle
from collections import ChainMap, UserDict
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset, default_collate
from torchvision.transforms import v2

from tune_kmixup import KMixup, mix, mixed_cross_entropy, pair, sample_lambda
from tune_kmixup.core.config import Recipe
from tune_kmixup.core.coordinates import Configuration
from tune_kmixup.core.errors import BadInput
from tune_kmixup.mixing.pairing import all_permutations
from tune_kmixup.training.batches import Batches, make_chunk

CLASSES = 5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batches(count: int = 3, rows: int = 16, columns: int = 6) -> list[tuple[Tensor, Tensor]]:
    generator = seeded(1)
    return [
        (torch.randn(rows, columns, generator=generator), torch.randint(CLASSES, (rows,), generator=generator))
        for _ in range(count)
    ]


def partners_of(kmixup: KMixup, x: Tensor) -> Tensor:
    """What each row of the next batch is mixed with, x', from the mixed inputs λ x + (1-λ) x'."""
    lam = sample_lambda(kmixup.alpha, 1, copy.deepcopy(kmixup.generator or torch.default_generator)).float()
    mixed, _ = kmixup(x, torch.zeros(len(x)).long())
    return (mixed - lam * x) / (1 - lam)


def self_matched(x: Tensor, partner: Tensor) -> float:
    return float(torch.isclose(x, partner, atol=1e-2).all(1).double().mean())


@pytest.mark.parametrize("k", [4, 32, 128])
def test_no_row_is_matched_with_itself_where_a_permutation_of_the_batch_would(k: int) -> None:
    """The rates of the docs, of B = 128 rows in D = 30 dimensions: 4 % at k = 4, 26 % at k = 32, all at k = B."""
    data = [x for x, _ in batches(41, 128, 30)]
    rates: dict[str, list[float]] = {"previous": [], "halves": [], "permuted": []}
    kmixups = {name: KMixup(k, 64.0, CLASSES, partner=name, generator=seeded()) for name in ("previous", "halves")}  # type: ignore[arg-type]
    for x in data:
        for name, kmixup in kmixups.items():
            rates[name].append(self_matched(x, partners_of(kmixup, x)))
        permuted = x[torch.randperm(128, generator=seeded(len(rates["permuted"])))]
        rates["permuted"].append(self_matched(x, permuted[pair(x, permuted, k)]))
    means = {name: sum(values) / len(values) for name, values in rates.items()}
    assert means["previous"] == means["halves"] == 0
    assert means["permuted"] == pytest.approx({4: 0.04, 32: 0.26, 128: 1.0}[k], abs=0.02)


@pytest.mark.parametrize("k", [1, 8, 16])
@pytest.mark.parametrize("per", ["batch", "row"])
def test_numbers_are_those_of_the_suite(k: int, per: str) -> None:
    """On the same draws: the batch before as partner, σ by `pair`, λ by `sample_lambda`, the losses of its loop."""
    kmixup, generator = KMixup(k, 0.7, CLASSES, per=per, generator=seeded(3)), seeded(3)  # type: ignore[arg-type]
    model = nn.Linear(6, CLASSES)
    (before, y_before), *rest = batches()
    kmixup(before, y_before)
    sample_lambda(0.7, len(before) if per == "row" else 1, generator)
    for step, (x, y) in enumerate(rest):
        lam = sample_lambda(0.7, len(x) if per == "row" else 1, generator)
        sigma = pair(x, before, k)
        mixed, soft = kmixup(x, y)
        assert torch.equal(mixed, mix(x, before[sigma], lam))
        loss = mixed_cross_entropy(model(mixed), y, y_before[sigma], lam)
        assert torch.allclose(F.cross_entropy(model(mixed), soft), loss)
        if per == "batch":  # the suite has one λ per batch
            rows = torch.arange(len(x))
            x1, y1, rows1, before1, y_before1 = (t[None, None] for t in (x, y, rows, before, y_before))
            drawn = Batches(step, rows1, x1, y1, lam.float()[None], rows1, before1, y_before1)
            chunk = make_chunk(drawn, Configuration(0.7, k, Recipe(1, 16, 0.1)), CLASSES)
            assert torch.equal(mixed, chunk.x[0, 0]) and torch.equal(soft, chunk.y[0, 0])
        before, y_before = x, y


def test_the_call_and_the_output_are_those_of_torchvision() -> None:
    x, y = torch.rand(8, 3, 4, 4), torch.arange(8) % CLASSES
    for call in (lambda t: t(x, y), lambda t: t((x, y)), lambda t: t([x, y])):
        theirs, ours = (call(transform) for transform in (v2.MixUp(num_classes=CLASSES), KMixup(2, 1.0, CLASSES)))
        assert type(theirs) is type(ours)
        assert [(t.shape, t.dtype) for t in theirs] == [(t.shape, t.dtype) for t in ours]
    named = {"pixel_values": x, "labels": y, "index": torch.arange(8)}
    theirs, ours = (t(named) for t in (v2.MixUp(num_classes=CLASSES), KMixup(2, 1.0, CLASSES)))
    assert theirs.keys() == ours.keys() and torch.equal(ours["index"], named["index"])
    assert all(
        theirs[key].shape == ours[key].shape and not torch.equal(ours[key], named[key].float())
        for key in list(named)[:2]
    )
    assert torch.allclose(ours["labels"].sum(1), torch.ones(8))


def test_halves_mix_each_with_the_other_and_an_odd_row_with_the_first() -> None:
    ((x, _),) = batches(1, 17)
    partner = partners_of(KMixup(4, 64.0, CLASSES, partner="halves", generator=seeded()), x)
    sigma = pair(x[:8], x[8:16], 4)
    assert torch.allclose(partner[:8], x[8:16][sigma], atol=1e-3)
    assert torch.allclose(partner[8:16][sigma], x[:8], atol=1e-3)
    assert torch.allclose(partner[16], x[0], atol=1e-3)


def test_first_batches_and_changed_sizes() -> None:
    """Whatever the batch before cannot serve is mixed by halves; a larger one serves with its first rows."""
    (first, _), (second, _) = batches(2)
    sizes = [
        (first, "halves"),
        (second[:10], first),
        (second, "halves"),
        (torch.randn(16, 2), "halves"),
        (second[:1], None),
    ]
    kmixup = KMixup(4, 64.0, CLASSES, generator=seeded())
    for x, expected in sizes:
        by_halves = copy.deepcopy(kmixup)
        by_halves.partner = "halves"
        partner = partners_of(kmixup, x)
        if expected is None:
            assert torch.allclose(partner, x), "one row, and none before that fits, is left alone"
        elif isinstance(expected, str):
            assert torch.allclose(partner, partners_of(by_halves, x))
        else:
            assert torch.allclose(partner, expected[: len(x)][pair(x, expected[: len(x)], 4)], atol=1e-3)


def test_a_batch_is_kept_as_it_came_and_forgotten_between_epochs() -> None:
    """Loaders fill the same memory again, and callers normalise in place. Nothing flows back into the batch before."""
    (first, y), (second, _) = batches(2)
    buffer = first.clone().requires_grad_()
    kmixup = KMixup(4, 64.0, CLASSES, generator=seeded())
    kmixup(buffer, y)
    buffer.data.copy_(second)
    assert torch.allclose(partners_of(kmixup, buffer), first[pair(second, first, 4)], atol=1e-3)
    assert kmixup.previous is not None and not kmixup.previous[0].requires_grad
    kmixup.set_epoch(1)
    assert kmixup.previous is None and kmixup.state_dict() == {}


@pytest.mark.parametrize("labels", ["soft", "multi-label", "one number", "one-hot integers"])
def test_other_labels_are_mixed_as_they_are(labels: str) -> None:
    x = torch.randn(8, 3)
    y = {
        "soft": torch.rand(8, 4).softmax(1),
        "multi-label": torch.randint(2, (8, 4)).double(),
        "one number": torch.randn(8),
        "one-hot integers": torch.eye(8, 4).long(),
    }[labels]
    kmixup = KMixup(2, 1.0, partner="halves", generator=seeded())
    _, mixed = kmixup(x, y)
    order = kmixup.halves(x)
    expected = mix(
        y.float() if labels == "one-hot integers" else y, y.to(mixed.dtype)[order], sample_lambda(1.0, 1, seeded())
    )
    assert torch.equal(mixed, expected) and mixed.is_floating_point()


def test_label_smoothing_is_that_of_cross_entropy() -> None:
    (x, y), logits = batches(1)[0], torch.randn(16, CLASSES)
    (_, plain), (_, smooth) = (KMixup(4, 1.0, CLASSES, label_smoothing=s, generator=seeded())(x, y) for s in (0.0, 0.1))
    assert torch.allclose(F.cross_entropy(logits, plain, label_smoothing=0.1), F.cross_entropy(logits, smooth))


def test_probability_and_the_epoch_after_which_it_is_off() -> None:
    x, y = torch.randn(2000, 3), torch.zeros(2000).long()
    rows = KMixup(2, 1.0, CLASSES, per="row", p=0.3, generator=seeded())(x, y)[0]
    assert 0.25 < float((rows != x).any(1).double().mean()) < 0.35
    kmixup = KMixup(2, 1.0, CLASSES, partner="halves", p=0.3, generator=seeded())
    mixed = [not torch.equal(kmixup(x[:4], y[:4])[0], x[:4]) for _ in range(300)]
    assert 0.2 < sum(mixed) / 300 < 0.4
    until = KMixup(2, 1.0, CLASSES, off_epoch=2, generator=seeded())
    changed = []
    for epoch in range(4):
        until.set_epoch(epoch)
        changed.append(not torch.equal(until(x, y)[0], x))
    assert changed == [True, True, False, False]
    assert until(x, y)[1].shape == (2000, CLASSES), "the loss sees labels of one kind"
    with pytest.raises(BadInput, match=r"off_epoch=2 needs the epoch: call set_epoch\(epoch\)"):
        KMixup(2, 1.0, CLASSES, off_epoch=2)(x, y)


def test_evaluation_leaves_batches_alone_and_keeps_the_one_before() -> None:
    (x, y), _ = batches(2)
    kmixup = KMixup(4, 1.0, CLASSES)
    kmixup(x, y)
    kept = kmixup.previous
    kmixup.eval()
    assert all(ours is given for ours, given in zip(kmixup(x, y), (x, y), strict=True)) and kmixup.previous is kept


def test_alpha_zero_changes_no_input() -> None:
    x, y = batches(1)[0]
    mixed, soft = KMixup(4, 0.0, CLASSES)(x, y)
    assert torch.equal(mixed, x) and torch.equal(soft, F.one_hot(y, CLASSES).float())


@pytest.mark.parametrize("partner", ["previous", "halves"])
def test_bfloat16_and_channels_last_stay(partner: str) -> None:
    kmixup = KMixup(4, 1.0, CLASSES, partner=partner)  # type: ignore[arg-type]
    for _ in range(2):
        x = torch.rand(8, 3, 4, 4).to(torch.bfloat16, memory_format=torch.channels_last)
        mixed, soft = kmixup(x, torch.arange(8) % CLASSES)
        assert mixed.dtype == torch.bfloat16 and mixed.is_contiguous(memory_format=torch.channels_last)
        assert soft.dtype == torch.float32
    assert kmixup(x.float(), torch.arange(8) % CLASSES)[0].dtype == torch.float32


def test_draws_follow_the_generator_or_the_global_seed() -> None:
    x, y = batches(1)[0]
    for generator in (None, seeded()):
        outputs = []
        for _ in range(2):
            torch.manual_seed(0)
            outputs.append(KMixup(4, 1.0, CLASSES, generator=copy.deepcopy(generator))(x, y)[0])
        assert torch.equal(*outputs)
    assert torch.equal(pickle.loads(pickle.dumps(KMixup(4, 1.0, CLASSES, generator=seeded())))(x, y)[0], outputs[0])


class Collate:
    """For the workers of a DataLoader. A refusal is the batch: an error would keep the worker alive for seconds."""

    def __init__(self, kmixup: KMixup) -> None:
        self.kmixup = kmixup

    def __call__(self, rows: list[object]) -> object:
        try:
            return self.kmixup(*default_collate(rows))
        except BadInput as error:
            return str(error)


def test_every_worker_keeps_a_batch_of_its_own() -> None:
    """Rows of batch b hold b. Two workers take turns, so batch b is mixed with b - 2, and the first two by halves."""
    rows = TensorDataset(torch.arange(6.0).repeat_interleave(4)[:, None], torch.zeros(24).long())
    loader = DataLoader(rows, 4, num_workers=2, collate_fn=Collate(KMixup(2, 64.0, CLASSES)))
    torch.manual_seed(0)
    offsets = [float((x - batch).abs().max()) for batch, (x, _) in enumerate(loader)]
    assert offsets[:2] == [0, 0] and all(0.5 < offset < 1.5 for offset in offsets[2:])
    assert len(set(offsets[2:])) == 4, "each worker draws its own λ"
    given = DataLoader(rows, 24, num_workers=1, collate_fn=Collate(KMixup(2, 1.0, CLASSES, generator=seeded())))
    assert "generator is copied into every worker, so that all draw the same λ: leave it out" in next(iter(given))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k=0 is not a whole number ≥ 1"),
        ({"k": 2.5}, "k=2.5 is not a whole number ≥ 1"),
        ({"k": None}, "k=None is not a whole number ≥ 1"),
        ({"alpha": -1}, "alpha=-1 is not a finite number ≥ 0"),
        ({"num_classes": 0}, "num_classes=0 is not a whole number ≥ 1"),
        ({"partner": "self"}, "partner='self' is unknown: choose among previous, halves"),
        ({"per": "pixel"}, "per='pixel' is unknown: choose among batch, row"),
        ({"cost": "cosine"}, "cost='cosine' is unknown"),
        ({"p": 1.5}, "p=1.5 is no probability: choose 0 ≤ p ≤ 1"),
        ({"off_epoch": -1}, "off_epoch=-1 is not a whole number ≥ 0"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0 is out of range"),
        ({"label_smoothing": 0.1, "num_classes": None}, "label_smoothing=0.1 needs num_classes"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message) as error:
        KMixup(**{"k": 2, "alpha": 1.0, "num_classes": 3, **arguments})  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((torch.zeros(4, 3).byte(), torch.zeros(4).long()), r"x holds torch\.uint8: convert it"),
        ((torch.zeros(4, 3).numpy(), torch.zeros(4).long()), "x is a ndarray"),
        ((torch.zeros(4, 3), [0, 1, 2, 0]), "y is a list"),
        ((torch.zeros(4, 3), torch.zeros(3).long()), r"inputs have shape \(4, 3\) and labels \(3,\)"),
        ((torch.zeros(4, 3), torch.arange(4)), "labels of 0 to 3 do not fit num_classes=3"),
        ((torch.zeros(4, 3), torch.arange(4), torch.arange(4)), "a tuple is no batch"),
        (({"x": torch.zeros(4, 3)},), "the batch has the keys x: give one of `labels` and `label`"),
        (
            ({"a": torch.zeros(4), "b": torch.zeros(4), "labels": torch.arange(4)},),
            "the batch has the keys a, b, labels",
        ),
    ],
)
def test_bad_batches(batch: tuple[object, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        KMixup(2, 1.0, 3)(*batch)


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_out_of_range_are_refused_before_they_are_used(label: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU the error of `one_hot` ends the process's use of the device."""
    monkeypatch.setattr(F, "one_hot", lambda *given: pytest.fail("labels were used"))
    with pytest.raises(BadInput, match=rf"labels of {min(label, 0)} to {max(label, 0)} do not fit num_classes=3"):
        KMixup(2, 1.0, 3)(torch.zeros(2, 3), torch.tensor([0, label]))


class Named(NamedTuple):
    x: Tensor
    y: Tensor


def test_a_batch_keeps_its_structure() -> None:
    """Named tuples and the batches of Hugging Face, which are mappings with methods, have attributes that loops use."""
    x, y = batches(1)[0]
    expected = KMixup(4, 1.0, CLASSES, generator=seeded())(x, y)
    for given in (Named(x, y), [x, y], (x, y)):
        mixed = KMixup(4, 1.0, CLASSES, generator=seeded())(given)
        assert type(mixed) is type(given) and all(map(torch.equal, mixed, expected))
    for mapping in (UserDict(x=x, labels=y, ids=y), {"x": x, "labels": y, "ids": y}):
        mixed = KMixup(4, 1.0, CLASSES, generator=seeded())(mapping)
        assert type(mixed) is type(mapping) and torch.equal(mixed["x"], expected[0]) and mixed["ids"] is y
        assert mapping["x"] is x and mapping["labels"] is y, "the batch that was given stays as it is"
    for other in (MappingProxyType({"x": x, "labels": y}), ChainMap({"x": x, "labels": y})):
        mixed = KMixup(4, 1.0, CLASSES, generator=seeded())(other)
        assert type(mixed) is dict and torch.equal(mixed["labels"], expected[1]) and other["labels"] is y


@pytest.mark.parametrize("partner", ["previous", "halves"])
def test_a_default_device_changes_nothing(partner: str) -> None:
    """`torch.set_default_device("cuda")`: what is made on the way is on the CPU, as λ, or where the batch is."""
    data = batches(2)

    def mixed() -> list[Tensor]:
        all_permutations.cache_clear()
        kmixup = KMixup(4, 0.5, CLASSES, partner=partner, per="row", p=0.5, generator=seeded())  # type: ignore[arg-type]
        return [tensor for x, y in data for tensor in kmixup(x, y)]

    expected = mixed()
    try:
        with torch.device("meta"):
            found = mixed()
    finally:
        all_permutations.cache_clear()
    assert all(map(torch.equal, found, expected))


def test_class_indices_need_their_number() -> None:
    with pytest.raises(BadInput, match="num_classes is missing"):
        KMixup(2, 1.0)(*batches(1)[0])


def train_one_of_two(rank: int, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    torch.manual_seed(0)
    plain = nn.Linear(6, CLASSES)
    model, kmixup = DistributedDataParallel(copy.deepcopy(plain)), KMixup(4, 1.0, CLASSES, generator=seeded(rank))
    mixed = [kmixup(x[rank::2], y[rank::2]) for x, y in batches()]
    for x, y in mixed:
        F.cross_entropy(model(x), y).backward()
        F.cross_entropy(plain(x), y).backward()
    own, shared = plain.weight.grad, model.module.weight.grad
    torch.save((own, shared), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    """DistributedDataParallel over gloo: each mixes its own rows, and both get the mean of their gradients."""
    torch.multiprocessing.start_processes(train_one_of_two, (tmp_path,), nprocs=2, start_method="fork")
    (own, shared), (other, same) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert torch.equal(shared, same) and not torch.allclose(own, other)
    assert torch.allclose(shared, (own + other) / 2, atol=1e-6)
