"""Networks are built from a seed alone, and refused before training if they are not usable."""

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.networks import NETWORKS, WIDTH, applied
from tune_kmixup.core.errors import BadInput
from tune_kmixup.models.architectures import ARCHITECTURES, Builder
from tune_kmixup.models.networks import build_network, checked_network, multiply_adds
from tune_kmixup.models.randomness import random_states, seed_all, seeded


def initialised_by_numpy_and_python(shape: tuple[int, ...], classes: int) -> nn.Module:
    network = nn.Linear(*shape, classes)
    nn.init.constant_(network.weight, random.random())
    nn.init.constant_(network.bias, np.random.random())
    return network


def test_generators_are_restored_where_they_were_seeded() -> None:
    def draw() -> tuple[float, float, float]:
        return torch.rand(()).item(), np.random.random(), random.random()

    seed_all(7)
    first, second = draw(), draw()
    seed_all(7)
    states = random_states()
    with pytest.raises(KeyError), seeded(7):
        assert draw() == first and random_states() != states
        raise KeyError
    assert random_states() == states and (draw(), draw()) == (first, second)
    assert not set(first) & set(second)


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("name", [*NETWORKS, "numpy_and_python_weights"])
def test_initial_weights_depend_on_the_seed_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, name, NETWORKS.get(name, initialised_by_numpy_and_python))

    def weights(seed: int) -> list[Tensor]:
        network = build_network(name, (4,), 3, seed)
        assert network.training
        return [*network.state_dict().values()]

    first = weights(5)
    seed_all(1)
    states = random_states()
    again = weights(5)
    assert random_states() == states and all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, weights(6)))


def test_lazy_layers_are_there_with_clean_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "lazy", NETWORKS["lazy"])
    network = build_network("lazy", (4,), 3, 0)
    assert type(network[0]) is nn.Linear and type(network[1]) is nn.BatchNorm1d  # type: ignore[index]
    assert network.get_buffer("1.num_batches_tracked") == 0 and not network.get_buffer("1.running_mean").any()


LARGE = {name: pytest.mark.thorough for name in ("wide_resnet28_10", "wide_resnet101_2", "densenet_bc_190", "vgg11")}


@pytest.mark.parametrize("name", [pytest.param(name, marks=LARGE.get(name, ())) for name in ARCHITECTURES])
def test_every_architecture_of_the_suite_passes(name: str) -> None:
    checked_network(name, (4,) if name == "mlp" else (3, 32, 32), 3, rows=2)


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_every_kind_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, name, NETWORKS[name])
    states = random_states()
    checked_network(name, (4,), 3, rows=2)
    assert random_states() == states


def raising(self: nn.Module, x: Tensor) -> Tensor:
    raise KeyError("no\nsuch layer")


def in_evaluation(change: object) -> Builder:
    return applied(lambda self, x: x if self.training else change(x))  # type: ignore[operator]


def unseeded(shape: tuple[int, ...], classes: int) -> nn.Module:
    network = nn.Linear(*shape, classes)
    nn.init.constant_(network.bias, np.random.default_rng().random())
    return network


KEPT = nn.Linear(4, 3)

REFUSED: dict[str, tuple[Builder, str]] = {
    "broken": (applied(raising), r"fails on inputs of shape=\(4,\) with classes=3 \(KeyError: 'no\\nsuch layer'\)"),
    "absent": (lambda shape, classes: None, "fails on inputs"),  # type: ignore[arg-type, return-value]
    "too_small": (ARCHITECTURES["lenet"], r"cannot be trained: shape=\(4,\) does not fit"),
    "pair": (lambda *form: nn.Sequential(nn.Linear(4, 3), nn.Identity(), Pair()), "returns a tuple in training"),
    "wide": (lambda *form: nn.Linear(4, 5), r"returns a tensor of shape \(2, 5\) where \(2, 3\) is needed in training"),
    "squeezed": (in_evaluation(lambda x: x[:, 0]), "fails on inputs"),
    "whole": (lambda *form: nn.Sequential(nn.Linear(4, 3), Round()), "returns a tensor of torch.int64 in training"),
    "nan": (in_evaluation(lambda x: x.sqrt() - x.sqrt().sqrt() - 1 / (0 * x)), "returns NaN or infinity in evaluation"),
    "softmax": (
        lambda *form: nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)),
        "returns probabilities, to which the loss",
    ),
    "frozen": (lambda *form: nn.Linear(4, 3).requires_grad_(False), "has no weight to train"),
    "unseeded": (unseeded, "has other initial weights when it is built again from one seed"),
    "kept": (lambda *form: KEPT, "shares weights to train between networks"),
}


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Round(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.long()


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_cannot_be_trained_is_refused_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build, reason = REFUSED[name]
    monkeypatch.setitem(ARCHITECTURES, name, build)
    with pytest.raises(BadInput, match=f"^architecture='{name}' {reason}.*: .*\\.$") as refusal:
        checked_network(name, (4,), 3, rows=2)
    assert "\n" not in str(refusal.value)


def test_multiply_adds_of_small_networks() -> None:
    """By hand: an MLP has as many as weights, a convolution as many as weights times positions."""
    assert multiply_adds(ARCHITECTURES["mlp"]((30,), 2), (30,)) == 30 * 128 + 128 * 128 + 128 * 2
    expected = 9 * 16 * 64 + 9 * 16 * 32 * 16 + 128 * 64 + 64 * 10
    network = ARCHITECTURES["small_cnn"]((1, 8, 8), 10)
    assert multiply_adds(network, (1, 8, 8)) == multiply_adds(network, (1, 8, 8)) == expected
    assert multiply_adds(NETWORKS["batchnorm_without_statistics"]((4,), 3), (4,)) == 4 * WIDTH + WIDTH * 3
