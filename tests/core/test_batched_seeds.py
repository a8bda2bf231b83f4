"""The rule by which seeds are trained together."""

from tune_kmixup.core.batched_seeds import batching_pays


def test_the_arithmetic_of_a_step_decides() -> None:
    mlp_on_a_table, lenet_on_mnist = 20_480, 416_520
    assert batching_pays(mlp_on_a_table, 50) and batching_pays(mlp_on_a_table, 400)
    assert not batching_pays(lenet_on_mnist, 50) and not batching_pays(mlp_on_a_table, 600)
