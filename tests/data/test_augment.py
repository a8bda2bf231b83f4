"""Augmentation on the device: the same distribution as torchvision's transforms, one draw per row."""

from collections import Counter

import pytest
import torch
from scipy.stats import chisquare, kstest
from torch import Tensor
from torchvision.transforms import v2

from tune_kmixup.data.augment import AUGMENTATIONS, GAIN, SHIFT, crop_flip, shift_gain

OUTCOMES = 9 * 9 * 2  # offsets of a crop after padding with 4, flipped or not
DRAWS = 40 * OUTCOMES


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def marked(side: int = 10) -> Tensor:
    """An image all of whose pixels differ, so that every crop and flip of it differs."""
    return (torch.arange(side * side) + 1).reshape(1, side, side).to(torch.uint8)


def test_crop_flip_has_the_distribution_of_torchvisions_transforms() -> None:
    theirs = v2.Compose([v2.RandomCrop(10, padding=4), v2.RandomHorizontalFlip()])
    torch.manual_seed(0)
    expected = Counter(theirs(marked()).numpy().tobytes() for _ in range(DRAWS))
    found = Counter(row.numpy().tobytes() for row in crop_flip(marked().expand(DRAWS, 1, 10, 10), generator()))
    assert found.keys() == expected.keys() and len(found) == OUTCOMES
    for counts in (found, expected):  # both uniform over the outcomes
        assert chisquare(list(counts.values())).pvalue > 1e-3


def test_crop_flip_moves_all_channels_of_an_image_together() -> None:
    x = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8, generator=generator()).expand(50, 3, 8, 8)
    found = crop_flip(x, generator(1))
    assert found.shape == x.shape and found.dtype == x.dtype
    assert torch.equal(found[:, 0], found[:, 1]) and torch.equal(found[:, 0], found[:, 2])


def test_crop_flip_of_images_that_are_not_square() -> None:
    x = torch.arange(6 * 9).reshape(1, 1, 6, 9).expand(400, 1, 6, 9)
    found = crop_flip(x, generator())
    assert found.shape == x.shape
    assert any(torch.equal(row, x[0]) for row in found) and any(torch.equal(row, x[0].flip(-1)) for row in found)


def recordings(n: int = 4000, rate: int = 200) -> Tensor:
    return (100 * (torch.arange(rate) + 1)).to(torch.int16).expand(n, rate)


def test_shift_gain_shifts_uniformly_and_fills_with_silence() -> None:
    x = recordings()
    reach = int(SHIFT * x.shape[1])
    found = shift_gain(x, generator())
    assert found.dtype == torch.int16 and found.shape == x.shape
    lead = (found != 0).int().argmax(1)  # samples of silence at the start: shifted later
    tail = (found.flip(1) != 0).int().argmax(1)
    assert ((lead == 0) | (tail == 0)).all()
    counts = torch.bincount(lead - tail + reach, minlength=2 * reach + 1)
    assert len(counts) == 2 * reach + 1
    assert chisquare(counts.numpy()).pvalue > 1e-3


def test_shift_gain_draws_log_uniform_gains_apart_from_the_shift() -> None:
    x = recordings()
    found = shift_gain(x, generator())
    reach = int(SHIFT * x.shape[1])
    middle = slice(reach, -reach)
    slope = (found[:, middle].double().diff(dim=1)).mean(1) / 100  # the gain, whatever the shift
    log_gain = slope.log() / torch.tensor(1 + GAIN).log()
    assert kstest(log_gain.numpy(), "uniform", args=(-1, 2)).pvalue > 1e-3
    lead = (found != 0).int().argmax(1).double()
    assert torch.corrcoef(torch.stack([lead, slope]))[0, 1].abs() < 0.05


def test_shift_gain_clips() -> None:
    x = torch.full((200, 100), 32767, dtype=torch.int16)
    found = shift_gain(x, generator())
    assert found.min() >= 0 and found.max() == 32767


@pytest.mark.parametrize("name", [name for name, augment in AUGMENTATIONS.items() if augment])
def test_only_the_generator_decides(name: str) -> None:
    augment = AUGMENTATIONS[name]
    assert augment is not None
    x = recordings(64) if name == "shift_gain" else marked().expand(64, 1, 10, 10)
    torch.manual_seed(0)
    before, kept = torch.get_rng_state(), x.clone()
    once, again, other = (augment(x, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again) and not torch.equal(once, other)
    assert torch.equal(torch.get_rng_state(), before) and torch.equal(x, kept)
    assert len({row.numpy().tobytes() for row in once}) > 20  # rows draw for themselves
