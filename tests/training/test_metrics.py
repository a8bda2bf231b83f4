"""Scores agree with hand calculations and geometry."""

import math
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tune_kmixup.analysis.gains import unpacked
from tune_kmixup.core.config import Recipe, Task
from tune_kmixup.data.prepare import prepare
from tune_kmixup.data.tensors import Part
from tune_kmixup.training.metrics import (
    FGSM,
    MAX_WRONG_ROWS,
    NOISE,
    calibration,
    continuous_mask,
    evaluate_final,
    scores,
    wrong_rows,
)

IRIS = Task("iris", "mlp", Recipe(epochs=1, batch_size=50, lr=0.1), outer_split=0)


def test_scores_computed_by_hand() -> None:
    logits = torch.tensor([[math.log(0.7), math.log(0.3)], [math.log(0.4), math.log(0.6)]])
    values = scores(logits, torch.tensor([0, 0]))
    assert values["error"] == 0.5
    assert values["nll"] == pytest.approx(-(math.log(0.7) + math.log(0.4)) / 2)
    assert values["brier"] == pytest.approx((2 * 0.3**2 + 2 * 0.6**2) / 2)


def test_a_diverged_network_is_wrong_everywhere() -> None:
    logits = torch.full((4, 3), float("nan"))
    expected = {"error": 1.0, "nll": None, "brier": None, "balanced_error": 1.0, "macro_f1": 0.0, "auroc": None}
    assert scores(logits, torch.zeros(4, dtype=torch.long)) == expected
    assert calibration(logits, torch.zeros(4, dtype=torch.long))["ece"] is None


@st.composite
def predictions(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Logits with ties, and labels that may leave out classes, or be of one class."""
    classes, rows = draw(st.integers(2, 5)), draw(st.integers(1, 30))
    labels = st.integers(0, draw(st.integers(0, classes - 1)))
    y = draw(st.lists(labels, min_size=rows, max_size=rows))
    values = st.lists(st.integers(-3, 3), min_size=rows * classes, max_size=rows * classes)
    return torch.tensor(draw(values)).reshape(rows, classes).float(), torch.tensor(y)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of classes without rows
@settings(max_examples=40)
@given(predictions())
def test_class_scores_agree_with_scikit_learn(drawn: tuple[Tensor, Tensor]) -> None:
    logits, y = drawn
    values, predicted = scores(logits, y), logits.argmax(1)
    assert values["balanced_error"] == pytest.approx(1 - sklearn.metrics.balanced_accuracy_score(y, predicted))
    f1 = sklearn.metrics.f1_score(y, predicted, average="macro", zero_division=0.0)
    assert values["macro_f1"] == pytest.approx(f1)


@settings(max_examples=40)
@given(predictions())
def test_the_auroc_agrees_with_scikit_learn_on_the_classes_present(drawn: tuple[Tensor, Tensor]) -> None:
    logits, y = drawn
    probabilities, present = logits.double().softmax(1), sorted(set(y.tolist()))
    area = sklearn.metrics.roc_auc_score
    if len(present) == 1:
        assert scores(logits, y)["auroc"] is None
    elif logits.shape[1] == 2:
        assert scores(logits, y)["auroc"] == pytest.approx(area(y, probabilities[:, 1]))
    else:
        against_rest = [area(y == label, probabilities[:, label]) for label in present]
        assert scores(logits, y)["auroc"] == pytest.approx(np.mean(against_rest))
    if logits.shape[1] == len(present) > 2:
        assert scores(logits, y)["auroc"] == pytest.approx(area(y, probabilities, multi_class="ovr"))


def test_scores_of_a_class_that_is_never_predicted_or_has_no_rows_or_a_prediction_that_is_not_finite() -> None:
    """Class 1 has rows and no predictions, 2 a prediction and no rows, 3 neither. The last row predicts nothing."""
    logits = torch.eye(4)[[0, 0, 2, 0, 0]]
    logits[4, 3] = float("inf")
    values = scores(logits, torch.tensor([0, 0, 0, 1, 0]))
    assert values["balanced_error"] == pytest.approx(1 - (2 / 4 + 0) / 2)
    assert values["macro_f1"] == pytest.approx((2 * 2 / (4 + 3) + 0 + 0) / 3)
    assert values["auroc"] is None


def test_calibration_error_computed_by_hand() -> None:
    """Ten rows of confidence 0.8, six of them correct: the error is 0.2 in any binning."""
    logits = torch.tensor([[math.log(0.8), math.log(0.2)]]).repeat(10, 1)
    values = calibration(logits, torch.tensor([0] * 6 + [1] * 4))
    assert values["ece"] == pytest.approx(0.2)
    assert values["reliability"] == ((10, 0.8, 0.6),)


def test_a_calibrated_network_reaches_the_floor_of_the_calibration_error() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(300, 2, generator=generator)
    y = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    calibrated = calibration(logits, y)
    assert 0.01 < calibrated["ece_floor"] < 0.1  # type: ignore[operator]
    assert abs(calibrated["ece"] - calibrated["ece_floor"]) < 0.04  # type: ignore[operator]
    overconfident = calibration(logits * 10, y)
    assert overconfident["ece"] > 3 * overconfident["ece_floor"]  # type: ignore[operator]


def test_the_wrong_rows_are_told_row_by_row() -> None:
    y = torch.randint(0, 3, (50,), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    assert unpacked(wrong_rows(logits, y)).tolist() == (logits.argmax(1) != y).int().tolist()


def test_of_many_rows_every_run_tells_of_the_same() -> None:
    """So that the errors of two runs are paired by row: where one run is wrong and the other is right."""
    y = torch.zeros(MAX_WRONG_ROWS + 500, dtype=torch.int64)
    logits = torch.randn(len(y), 2, generator=torch.Generator().manual_seed(0))
    one, other = (unpacked(wrong_rows(outputs, y)) for outputs in (logits, -logits))
    assert len(one) == MAX_WRONG_ROWS and (one + other == 1).all() and 0.4 < one.mean() < 0.6


def test_robustness_of_a_linear_network_agrees_with_geometry() -> None:
    """A signed step of size ε moves the logit difference w·x by ε·|w|₁. Only rows with smaller margins become wrong."""
    data = prepare(IRIS, Path("nowhere"), test=True)
    torch.manual_seed(0)
    three_classes = nn.Linear(4, data.classes)
    assert data.test is not None
    x = data.test.x
    two_classes = nn.Linear(4, 2)
    logits = two_classes(x)
    y = logits.argmax(1)
    margins = (logits[:, 0] - logits[:, 1]).abs()
    l1_norm = (two_classes.weight[0] - two_classes.weight[1]).abs().sum()
    values = evaluate_final(two_classes, Part(x, y), data)
    for size in FGSM:
        assert values[f"error_fgsm_{size:g}".replace(".", "_")] == pytest.approx(
            float((margins < size * l1_norm).double().mean())
        )
    assert values["error"] == 0 and values["fgsm_zero_gradient"] == 0
    assert values == evaluate_final(two_classes, Part(x, y), data), "the noise is the same each time"
    assert evaluate_final(three_classes, data.test, data).keys() == values.keys()


def test_the_error_grows_with_the_noise() -> None:
    data = prepare(IRIS, Path("nowhere"), test=True)
    torch.manual_seed(1)
    model = nn.Linear(4, 3)
    assert data.test is not None
    part = Part(data.test.x, model(data.test.x).argmax(1))
    values = evaluate_final(model, part, data)
    assert 0 == values["error"] <= values["error_noise_0_1"] < values["error_noise_0_3"] and NOISE == (0.1, 0.3)
    assert len(values["error_by_class"]) == 3


def test_categories_are_not_perturbed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.stack([rng.integers(0, 2, 300), rng.normal(size=300)], 1).astype(np.float32)
    np.savez(tmp_path / "own.npz", x=x, y=rng.integers(0, 2, 300))
    data = prepare(Task("own", "mlp", IRIS.recipe, outer_split=0), tmp_path, test=True)
    assert continuous_mask(data).tolist() == [0.0, 1.0]
    seen: list[torch.Tensor] = []

    class Recorder(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.detach())
            return super().forward(x)

    assert data.test is not None
    evaluate_final(Recorder(2, 2), data.test, data)
    clean, *perturbed = seen[:1], *seen[2:]
    assert len(perturbed) == len(NOISE) + len(FGSM)
    assert all(torch.equal(x[:, 0], clean[0][:, 0]) and not torch.equal(x[:, 1], clean[0][:, 1]) for x in perturbed)
    np.savez(tmp_path / "categories.npz", x=rng.integers(0, 2, (300, 4)), y=rng.integers(0, 2, 300))
    categories = prepare(Task("categories", "mlp", IRIS.recipe, outer_split=0), tmp_path, test=True)
    assert categories.test is not None
    assert evaluate_final(nn.Linear(4, 2), categories.test, categories)["error_fgsm_0_1"] is None


def test_images_are_clipped(tmp_path: Path) -> None:
    task = Task("digits", "small_cnn", Recipe(epochs=1, batch_size=50, lr=0.1), outer_split=0)
    data = prepare(task, tmp_path, test=True)
    extremes: list[float] = []

    class Recorder(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            extremes.extend([float(x.detach().min()), float(x.detach().max())])
            return F.pad(x.flatten(1).sum(1, keepdim=True), (0, 9))

    assert data.test is not None
    low, high = (float(data.normalise(torch.full((1, 1, 8, 8), v)).mean()) for v in (0.0, 1.0))
    evaluate_final(Recorder(), data.test, data)
    assert low - 1e-5 <= min(extremes) and max(extremes) <= high + 1e-5
