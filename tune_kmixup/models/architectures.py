"""ARCHITECTURES: name -> function that builds a network.

Every builder takes the shape of one input (channels, height, width; for tables (columns,)) and the number of classes,
and returns a network from B x ... inputs to B x classes logits. It raises BadInput if it cannot use inputs of that
shape. Initial weights come from torch's global generator alone.

Networks that torchvision has are taken from there. Those made for photographs get a first layer for small images: a 3x3
convolution of stride 1, without pooling. torchvision is imported only where it is used, because the import takes
seconds and most runs need none of it.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_kmixup.core.errors import BadInput

Shape = tuple[int, ...]
Builder = Callable[[Shape, int], nn.Module]


def image_shape(shape: Shape, min_side: int = 4) -> Shape:
    """Returns channels, height and width. Raises BadInput if inputs are not images of at least this side."""
    if len(shape) != 3 or min(shape[1:]) < min_side:
        raise BadInput(
            f"shape={shape} does not fit this architecture: it needs images of {min_side}x{min_side} pixels or more. "
            "Choose small_cnn for small images, --resize for a folder of smaller ones, mlp for tables."
        )
    return shape


def conv3x3(channels: int, width: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)


# Small networks


def mlp(shape: Shape, classes: int) -> nn.Module:
    """Two hidden layers of 128 units with ReLU; no normalisation, no dropout."""
    inputs = torch.Size(shape).numel()
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, classes)
    )


def small_cnn(shape: Shape, classes: int) -> nn.Module:
    """Two 3x3 convolutions (16, 32 channels) with ReLU and 2x2 max-pooling, then 64 hidden units. Fits 8x8 images."""
    channels, height, width = image_shape(shape)
    return nn.Sequential(
        *(nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * (height // 4) * (width // 4), 64), nn.ReLU(), nn.Linear(64, classes)),
    )


def lenet(shape: Shape, classes: int) -> nn.Module:
    """LeNet-5 (LeCun et al. 1998) with ReLU and max-pooling. Its first layer pads 28x28 images to 32x32."""
    channels, height, width = image_shape(shape, min_side=12)
    features = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
    return nn.Sequential(
        *(nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(features, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes)),
    )


# Residual networks with pre-activation, which torchvision does not have


class PreActBlock(nn.Module):
    """BatchNorm-ReLU-conv twice, plus the input.

    Where the shape changes, the activated input (after the first BatchNorm and ReLU) is added, through a 1x1
    convolution. Where it stays, there are two variants. He et al. 2016, Identity Mappings in Deep Residual Networks,
    figure 1 (b), add the input before BatchNorm and ReLU. Values then grow from block to block, so the network has to
    end with BatchNorm. The mixup authors' code (facebookresearch/mixup-cifar10, models/resnet.py) adds the activated
    input there too.

    Args:
        channels: channels of the input.
        width: channels of the output.
        stride: of the first convolution.
        add_activated: whether the activated input is added where the shape stays.
    """

    def __init__(self, channels: int, width: int, stride: int, add_activated: bool):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(channels), conv3x3(channels, width, stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(width), conv3x3(width, width)
        same = channels == width and stride == 1
        self.shortcut = None if same else nn.Conv2d(channels, width, 1, stride, bias=False)
        self.add_activated = add_activated

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.norm1(x))
        same_shape = activated if self.add_activated else x
        added = same_shape if self.shortcut is None else self.shortcut(activated)
        out: Tensor = self.conv2(F.relu(self.norm2(self.conv1(activated)))) + added
        return out


def stages(channels: int, widths: tuple[int, ...], blocks: int, *, add_activated: bool) -> nn.Sequential:
    """One stage of `blocks` blocks per width. Every stage except the first halves the image."""
    layers = []
    for stage, width in enumerate(widths):
        for block in range(blocks):
            layers.append(PreActBlock(channels, width, 2 if stage and not block else 1, add_activated))
            channels = width
    return nn.Sequential(*layers)


def head(width: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def preact_resnet18(shape: Shape, classes: int) -> nn.Module:
    """PreAct ResNet-18 as in the code behind the mixup paper's CIFAR tables (facebookresearch/mixup-cifar10).

    There are two published variants. He et al. 2016 end the network with BatchNorm-ReLU before the pooling. The mixup
    authors' code, on which the k-mixup authors' code builds, has BatchNorm-ReLU after the first convolution instead and
    none at the end, and adds the activated input in every block. We use the latter, because we compare with their
    results.
    """
    channels, _, _ = image_shape(shape)
    return nn.Sequential(
        *(conv3x3(channels, 64), nn.BatchNorm2d(64), nn.ReLU()),
        stages(64, (64, 128, 256, 512), blocks=2, add_activated=True),
        head(512, classes),
    )


def small_resnet(shape: Shape, classes: int) -> nn.Module:
    """A narrow PreAct ResNet for CPUs, in the variant of `preact_resnet18`: nine blocks of 16, 32 and 64 channels.

    Depth and widths are those of ResNet-20 (He et al. 2016, Deep Residual Learning, section 4.2). The first convolution
    halves the image, which saves three quarters of the work. It has 272,186 parameters for 3 x 32 x 32 inputs and 10
    classes.
    """
    channels, _, _ = image_shape(shape)
    return nn.Sequential(
        *(conv3x3(channels, 16, stride=2), nn.BatchNorm2d(16), nn.ReLU()),
        stages(16, (16, 32, 64), blocks=3, add_activated=True),
        head(64, classes),
    )


def wide_resnet28_10(shape: Shape, classes: int) -> nn.Module:
    """WRN-28-10 without dropout, with He initialisation (Zagoruyko and Komodakis 2016)."""
    channels, _, _ = image_shape(shape)
    widths = (160, 320, 640)
    network = nn.Sequential(
        conv3x3(channels, 16),
        stages(16, widths, blocks=4, add_activated=False),
        nn.BatchNorm2d(640),
        nn.ReLU(),
        head(640, classes),
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


# Networks of torchvision


def first_convolution(channels: int, width: int, bias: bool = False) -> nn.Conv2d:
    """A 3x3 convolution of stride 1, initialised as torchvision initialises its first layers."""
    layer = nn.Conv2d(channels, width, 3, padding=1, bias=bias)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def resnet(name: str, shape: Shape, classes: int) -> nn.Module:
    """The torchvision ResNet called `name`, with a first layer for small images."""
    from torchvision import models

    channels, _, _ = image_shape(shape)
    network: nn.Module = getattr(models, name)(num_classes=classes)
    network.conv1 = first_convolution(channels, 64)
    network.maxpool = nn.Identity()
    return network


def densenet_bc_190(shape: Shape, classes: int) -> nn.Module:
    """DenseNet-BC with 190 layers and growth rate 40 (Huang et al. 2017): three blocks of 31 layer pairs."""
    from torchvision import models

    channels, _, _ = image_shape(shape)
    network: nn.Module = models.DenseNet(40, (31, 31, 31), num_init_features=80, num_classes=classes)
    layers = network.get_submodule("features")
    layers.conv0 = first_convolution(channels, 80)
    # These belong to the first layers for photographs.
    layers.norm0, layers.relu0, layers.pool0 = nn.Identity(), nn.Identity(), nn.Identity()
    return network


def vgg11(shape: Shape, classes: int) -> nn.Module:
    """VGG-11 (Simonyan and Zisserman 2015) with its two dropout layers, for any number of channels."""
    from torchvision import models

    channels, _, _ = image_shape(shape, min_side=32)
    network: nn.Module = models.vgg11(num_classes=classes)
    network.get_submodule("features").register_module("0", first_convolution(channels, 64, bias=True))
    return network


def vit_tiny(shape: Shape, classes: int) -> nn.Module:
    """Vision transformer with the width, heads and depth of DeiT-Tiny (Touvron et al. 2021), on 8 x 8 patches."""
    from torchvision import models

    channels, height, width = image_shape(shape, min_side=8)
    if height != width or height % 8:
        raise BadInput(
            f"shape={shape} does not fit vit_tiny: it needs square images whose side is a multiple of 8. "
            "Choose another architecture."
        )
    patch = height // 8
    network: nn.Module = models.VisionTransformer(height, patch, 12, 3, 192, 768, num_classes=classes)
    if channels != 3:
        network.conv_proj = nn.Conv2d(channels, 192, patch, stride=patch)
    return network


ARCHITECTURES: dict[str, Builder] = {
    "mlp": mlp,
    "small_cnn": small_cnn,
    "lenet": lenet,
    "preact_resnet18": preact_resnet18,
    "small_resnet": small_resnet,
    "wide_resnet28_10": wide_resnet28_10,
    "wide_resnet101_2": partial(resnet, "wide_resnet101_2"),
    "resnet18": partial(resnet, "resnet18"),
    "densenet_bc_190": densenet_bc_190,
    "vgg11": vgg11,
    "vit_tiny": vit_tiny,
}
