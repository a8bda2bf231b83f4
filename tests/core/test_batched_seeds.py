"""The rule by which seeds are trained together."""

from tune_kmixup.core.batched_seeds import batching_pays


def test_the_arithmetic_of_a_step_decides() -> None:
    mlp_on_a_table, lenet_on_mnist, resnet18_on_cifar = 20_480, 416_520, 555_422_720
    assert batching_pays(mlp_on_a_table, 50, "cpu") and batching_pays(mlp_on_a_table, 400, "cpu")
    assert not batching_pays(lenet_on_mnist, 50, "cpu") and not batching_pays(mlp_on_a_table, 600, "cpu")
    assert batching_pays(lenet_on_mnist, 50, "cuda") and batching_pays(resnet18_on_cifar, 128, "cuda")
    assert not batching_pays(resnet18_on_cifar, 256, "cuda"), "not measured"
