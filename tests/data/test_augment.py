"""Augmentation on the device: the same distribution as torchvision's transforms, a separate draw for each row."""

from collections import Counter

import pytest
import torch
from scipy.stats import chisquare, kstest
from torch import Tensor
from torchvision.transforms import v2

from tune_kmixup.data.augment import AUGMENTATIONS, GAIN, SHIFT, crop_flip, shift_gain

OUTCOMES = 9 * 9 * 2  # offsets of a crop after padding with 4, with and without a flip
DRAWS = 40 * OUTCOMES


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def image_of_distinct_pixels() -> Tensor:
    """10 x 10. All its crops and flips differ."""
    return (torch.arange(100) + 1).reshape(1, 10, 10).to(torch.uint8)


def test_crop_flip_has_the_distribution_of_torchvisions_transforms() -> None:
    reference = v2.Compose([v2.RandomCrop(10, padding=4), v2.RandomHorizontalFlip()])
    torch.manual_seed(0)
    expected = Counter(reference(image_of_distinct_pixels()).numpy().tobytes() for _ in range(DRAWS))
    augmented = crop_flip(image_of_distinct_pixels().expand(DRAWS, 1, 10, 10), generator())
    actual = Counter(image.numpy().tobytes() for image in augmented)
    assert actual.keys() == expected.keys() and len(actual) == OUTCOMES
    for counts in (actual, expected):  # both uniform over the outcomes
        assert chisquare(list(counts.values())).pvalue > 1e-3


def test_crop_flip_moves_all_channels_of_an_image_together() -> None:
    x = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8, generator=generator()).expand(50, 3, 8, 8)
    augmented = crop_flip(x, generator(1))
    assert augmented.shape == x.shape and augmented.dtype == x.dtype
    assert torch.equal(augmented[:, 0], augmented[:, 1]) and torch.equal(augmented[:, 0], augmented[:, 2])


def test_crop_flip_of_images_that_are_not_square() -> None:
    x = torch.arange(6 * 9).reshape(1, 1, 6, 9).expand(400, 1, 6, 9)
    augmented = crop_flip(x, generator())
    assert augmented.shape == x.shape
    assert any(torch.equal(image, x[0]) for image in augmented)
    assert any(torch.equal(image, x[0].flip(-1)) for image in augmented)


def recordings(n: int = 4000, rate: int = 200) -> Tensor:
    return (100 * (torch.arange(rate) + 1)).to(torch.int16).expand(n, rate)


def test_shift_gain_shifts_uniformly_and_fills_with_silence() -> None:
    x = recordings()
    max_shift = int(SHIFT * x.shape[1])
    augmented = shift_gain(x, generator())
    assert augmented.dtype == torch.int16 and augmented.shape == x.shape
    lead = (augmented != 0).int().argmax(1)  # samples of silence at the start: shifted later
    tail = (augmented.flip(1) != 0).int().argmax(1)
    assert ((lead == 0) | (tail == 0)).all()
    counts = torch.bincount(lead - tail + max_shift, minlength=2 * max_shift + 1)
    assert len(counts) == 2 * max_shift + 1
    assert chisquare(counts.numpy()).pvalue > 1e-3


def test_shift_gain_draws_log_uniform_gains_independent_of_the_shift() -> None:
    x = recordings()
    augmented = shift_gain(x, generator())
    max_shift = int(SHIFT * x.shape[1])
    middle = slice(max_shift, -max_shift)
    slope = (augmented[:, middle].double().diff(dim=1)).mean(1) / 100  # the gain, whatever the shift
    log_gain = slope.log() / torch.tensor(1 + GAIN).log()
    assert kstest(log_gain.numpy(), "uniform", args=(-1, 2)).pvalue > 1e-3
    lead = (augmented != 0).int().argmax(1).double()
    assert torch.corrcoef(torch.stack([lead, slope]))[0, 1].abs() < 0.05


def test_shift_gain_clips() -> None:
    x = torch.full((200, 100), 32767, dtype=torch.int16)
    augmented = shift_gain(x, generator())
    assert augmented.min() >= 0 and augmented.max() == 32767


@pytest.mark.parametrize("name", [name for name, augment in AUGMENTATIONS.items() if augment])
def test_augmentation_depends_on_its_generator_alone(name: str) -> None:
    augment = AUGMENTATIONS[name]
    assert augment is not None
    x = recordings(64) if name == "shift_gain" else image_of_distinct_pixels().expand(64, 1, 10, 10)
    torch.manual_seed(0)
    rng_state, original = torch.get_rng_state(), x.clone()
    first, same, other = (augment(x, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), rng_state) and torch.equal(x, original)
    assert len({row.numpy().tobytes() for row in first}) > 20  # each row has draws of its own
