"""Every architecture can be built and trained, and has the published number of parameters."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from tune_kmixup.core.errors import BadInput
from tune_kmixup.models.architectures import ARCHITECTURES, preact_resnet18

# The smallest input that every layer of an architecture can use, so that tests are quick.
SHAPES = {"mlp": (30,), "small_cnn": (1, 8, 8), "lenet": (1, 28, 28), "vgg11": (1, 32, 32), "vit_tiny": (3, 16, 16)}


def parameter_count(name: str, shape: tuple[int, ...], classes: int) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in ARCHITECTURES[name](shape, classes).parameters())


LARGE = {"wide_resnet28_10", "wide_resnet101_2", "densenet_bc_190", "vgg11"}  # seconds to initialise
BY_SPEED = [pytest.param(name, marks=pytest.mark.thorough if name in LARGE else ()) for name in ARCHITECTURES]


def train_step(model: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Takes one gradient step on a batch of 4. Returns the logits and leaves the gradients in the parameters."""
    model.zero_grad()
    logits: Tensor = model(torch.randn(4, *shape))
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 6])).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for p in model.parameters():
            p.sub_(p.grad if p.grad is not None else 0, alpha=1e-3)
    return logits


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits_have_one_column_per_class_and_every_parameter_gets_a_gradient(name: str) -> None:
    shape = SHAPES.get(name, (3, 8, 8))
    with torch.device("meta"):  # computes shapes and the graph, but no numbers
        model = ARCHITECTURES[name](shape, 7)
        assert train_step(model, shape).shape == (4, 7)
    assert [key for key, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", BY_SPEED)
def test_a_step_is_finite_and_reaches_every_layer(name: str) -> None:
    torch.manual_seed(0)
    shape = SHAPES.get(name, (3, 8, 8))
    model = ARCHITECTURES[name](shape, 7)
    for _ in range(2):  # a last layer that starts at zero passes no gradient back in the first step
        assert train_step(model, shape).isfinite().all()
    gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None and p.ndim > 1}
    assert [key for key, gradient in gradients.items() if not 0 < gradient.norm() < float("inf")] == []


@pytest.mark.parametrize(
    "name", ["mlp", "small_cnn", "lenet", "preact_resnet18", "small_resnet", "resnet18", "vit_tiny"]
)
def test_initial_weights_come_from_the_global_generator_alone(name: str) -> None:
    shape = SHAPES.get(name, (3, 8, 8))
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(nn.utils.parameters_to_vector(ARCHITECTURES[name](shape, 3).parameters()))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def published_count(weights: models.WeightsEnum) -> int:
    return int(weights.meta["num_params"])


def test_parameter_counts_equal_those_of_torchvision() -> None:
    small_stem = 3 * 64 * (3 * 3 - 7 * 7)  # a 3x3 first convolution in place of a 7x7 one
    resnet18, wide = models.ResNet18_Weights.IMAGENET1K_V1, models.Wide_ResNet101_2_Weights.IMAGENET1K_V1
    assert parameter_count("resnet18", (3, 32, 32), 1000) == published_count(resnet18) + small_stem
    assert parameter_count("wide_resnet101_2", (3, 32, 32), 1000) == published_count(wide) + small_stem
    assert parameter_count("vgg11", (3, 224, 224), 1000) == published_count(models.VGG11_Weights.IMAGENET1K_V1)


def test_parameter_counts_equal_those_of_the_papers() -> None:
    assert round(parameter_count("wide_resnet28_10", (3, 32, 32), 10) / 1e6, 1) == 36.5  # WRN paper, table 4
    assert round(parameter_count("densenet_bc_190", (3, 32, 32), 10) / 1e6, 1) == 25.6  # DenseNet paper, table 2
    deit_tiny = 5_717_416  # timm's deit_tiny_patch16_224: 14x14 patches of 16x16 pixels; here 8x8 of 28x28
    patches = 3 * 192 * (28 * 28 - 16 * 16) + 192 * (8 * 8 - 14 * 14)
    assert parameter_count("vit_tiny", (3, 224, 224), 1000) == deit_tiny + patches


def test_preact_resnet18_is_the_variant_of_the_mixup_authors() -> None:
    he_et_al_without_last_norm = 11_171_146  # kuangliu/pytorch-cifar, from which the authors' code was adapted
    assert parameter_count("preact_resnet18", (3, 32, 32), 10) == he_et_al_without_last_norm + 2 * 64
    layers = list(preact_resnet18((3, 8, 8), 10).children())
    assert isinstance(layers[1], nn.BatchNorm2d)  # after the first convolution
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers[3:])  # none at the end


@pytest.mark.parametrize("name", ["preact_resnet18", "small_resnet", "wide_resnet28_10"])
def test_blocks_add_what_their_sources_add(name: str) -> None:
    """The mixup authors' blocks add the activated input; those of wide residual networks the input as it is."""
    network = ARCHITECTURES[name]((3, 8, 8), 10)
    x = torch.randn(4, 3, 8, 8)
    layers = list(network.children())
    place = next(place for place, layer in enumerate(layers) if isinstance(layer, nn.Sequential))
    out = nn.Sequential(*layers[:place])(x)
    for block in layers[place].children():
        activated = block.norm1(out).relu()
        if block.shortcut is not None:
            added = block.shortcut(activated)
        else:
            added = out if name.startswith("wide") else activated
        out = block.conv2(block.norm2(block.conv1(activated)).relu()) + added
    assert torch.allclose(nn.Sequential(*layers[place + 1 :])(out), network(x), atol=1e-5)


def test_small_resnet_has_the_depth_and_widths_of_resnet_20() -> None:
    resnet20 = 269_722  # by hand from He et al. 2016, section 4.2, with shortcuts without weights (table 6: 0.27 M)
    shortcuts = 16 * 32 + 32 * 64  # 1x1 convolutions
    norms_before_widening = 2 * 16 + 2 * 32  # the first BatchNorm of a stage is of the narrower input
    expected = resnet20 + shortcuts - norms_before_widening
    assert parameter_count("small_resnet", (3, 32, 32), 10) == expected


@pytest.mark.parametrize("name", sorted(ARCHITECTURES.keys() - {"mlp"}))
def test_image_networks_refuse_tables(name: str) -> None:
    with pytest.raises(BadInput, match="mlp for tables"):
        ARCHITECTURES[name]((30,), 2)


def test_lenet_refuses_images_that_would_shrink_to_nothing() -> None:
    with pytest.raises(BadInput, match="small_cnn for small images"):
        ARCHITECTURES["lenet"]((1, 8, 8), 10)
    assert ARCHITECTURES["lenet"]((1, 12, 12), 10)(torch.zeros(1, 1, 12, 12)).shape == (1, 10)


def test_vit_refuses_images_that_do_not_divide_into_patches() -> None:
    with pytest.raises(BadInput, match="multiple of 8"):
        ARCHITECTURES["vit_tiny"]((3, 28, 28), 10)
