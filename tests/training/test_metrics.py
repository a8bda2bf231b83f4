import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tune_kmixup.core.config import Recipe, Task
from tune_kmixup.data.prepare import Part, prepare
from tune_kmixup.training.metrics import FGSM, NOISE, calibration, evaluate_final, movable, scores

IRIS = Task("iris", "mlp", Recipe(epochs=1, batch_size=50, lr=0.1), outer_split=0)


def test_scores_by_hand() -> None:
    logits = torch.tensor([[math.log(0.7), math.log(0.3)], [math.log(0.4), math.log(0.6)]])
    found = scores(logits, torch.tensor([0, 0]))
    assert found["error"] == 0.5
    assert found["nll"] == pytest.approx(-(math.log(0.7) + math.log(0.4)) / 2)
    assert found["brier"] == pytest.approx((2 * 0.3**2 + 2 * 0.6**2) / 2)


def test_a_diverged_network_is_wrong_everywhere() -> None:
    logits = torch.full((4, 3), float("nan"))
    assert scores(logits, torch.zeros(4, dtype=torch.long)) == {"error": 1.0, "nll": None, "brier": None}
    assert calibration(logits, torch.zeros(4, dtype=torch.long))["ece"] is None


def test_calibration_error_by_hand() -> None:
    """Ten rows of confidence 0.8, six of them right: the gap is 0.2 in any binning."""
    logits = torch.tensor([[math.log(0.8), math.log(0.2)]]).repeat(10, 1)
    found = calibration(logits, torch.tensor([0] * 6 + [1] * 4))
    assert found["ece"] == pytest.approx(0.2)
    assert found["reliability"] == "10:0.8000:0.6000"


def test_the_floor_of_calibration_is_what_a_calibrated_network_shows() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(300, 2, generator=generator)
    y = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    found = calibration(logits, y)
    assert 0.01 < found["ece_floor"] < 0.1  # type: ignore[operator]
    assert abs(found["ece"] - found["ece_floor"]) < 0.04  # type: ignore[operator]
    overconfident = calibration(logits * 10, y)
    assert overconfident["ece"] > 3 * overconfident["ece_floor"]  # type: ignore[operator]


def test_robustness_of_a_linear_network_is_what_geometry_says() -> None:
    """|gradient step| moves a logit difference w·x by ε·|w|₁: rows with a smaller margin become wrong, no others."""
    prepared = prepare(IRIS, Path("nowhere"), test=True)
    torch.manual_seed(0)
    model = nn.Linear(4, prepared.classes)
    assert prepared.test is not None
    x = prepared.test.x
    two = nn.Linear(4, 2)
    logits = two(x)
    y = logits.argmax(1)
    margins = (logits[:, 0] - logits[:, 1]).abs()
    reach = (two.weight[0] - two.weight[1]).abs().sum()
    found = evaluate_final(two, Part(x, y), prepared)
    for size in FGSM:
        assert found[f"error_fgsm_{size:g}"] == pytest.approx(float((margins < size * reach).double().mean()))
    assert found["error"] == 0 and found["fgsm_zero_gradient"] == 0
    assert found == evaluate_final(two, Part(x, y), prepared), "the noise is the same each time"
    assert evaluate_final(model, prepared.test, prepared).keys() == found.keys()


def test_noise_grows_the_error_of_a_sharp_network() -> None:
    prepared = prepare(IRIS, Path("nowhere"), test=True)
    torch.manual_seed(1)
    model = nn.Linear(4, 3)
    assert prepared.test is not None
    part = Part(prepared.test.x, model(prepared.test.x).argmax(1))
    found = evaluate_final(model, part, prepared)
    assert 0 == found["error"] <= found[f"error_noise_{NOISE[0]:g}"] <= found[f"error_noise_{NOISE[1]:g}"]  # type: ignore[operator]
    by_class = [float(value) for value in str(found["error_by_class"]).split()]
    assert len(by_class) == 3


def test_categories_do_not_move(tmp_path: Path) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    x = np.stack([rng.integers(0, 2, 300), rng.normal(size=300)], 1).astype(np.float32)
    np.savez(tmp_path / "own.npz", x=x, y=rng.integers(0, 2, 300))
    prepared = prepare(Task("own", "mlp", IRIS.recipe, outer_split=0), tmp_path, test=True)
    assert movable(prepared).tolist() == [0.0, 1.0]
    np.savez(tmp_path / "categories.npz", x=np.sign(x), y=rng.integers(0, 2, 300))
    only = prepare(Task("categories", "mlp", IRIS.recipe, outer_split=0), tmp_path, test=True)
    assert only.test is not None
    assert evaluate_final(nn.Linear(2, 2), only.test, only)["error_fgsm_0.1"] is None


def test_images_are_clipped(tmp_path: Path) -> None:
    task = Task("digits", "small_cnn", Recipe(epochs=1, batch_size=50, lr=0.1), outer_split=0)
    prepared = prepare(task, tmp_path, test=True)
    seen: list[float] = []

    class Watch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.extend([float(x.detach().min()), float(x.detach().max())])
            return F.pad(x.flatten(1).sum(1, keepdim=True), (0, 9))

    assert prepared.test is not None
    low, high = (float(prepared.normalise(torch.full((1, 1, 8, 8), v)).mean()) for v in (0.0, 1.0))
    evaluate_final(Watch(), prepared.test, prepared)
    assert low - 1e-5 <= min(seen) and max(seen) <= high + 1e-5
