"""COSTS: measured seconds of one run of a task on one CPU core. `plan` estimates hours from them.

`benchmarks/costs.py` takes them from docs/results and docs/data.md; the comment of a line says from where. All were
measured on x86_64 with two cores, with the recipes of TASKS. A task that is not listed has not been measured. On a GPU
none has.
"""

COSTS: dict[str, float] = {
    "one_ring/mlp": 0.34,  # cpu
    "four_bars/mlp": 0.32,  # cpu
    "swiss_roll/mlp": 0.33,  # cpu
    "two_spirals/mlp": 0.27,  # cpu-random
    "iris/mlp": 0.036,  # cpu-tuned
    "wine/mlp": 0.065,  # cpu-tuned
    "wine-40/mlp": 0.065,  # cpu-tuned
    "breast_cancer/mlp": 0.2,  # cpu-tuned
    "breast_cancer-40/mlp": 0.065,  # cpu-tuned
    "abalone/mlp": 0.4,  # data.md
    "abalone-300/mlp": 0.17,  # cpu-tuned
    "phishing/mlp": 1.1,  # cpu-tuned
    "phishing-300/mlp": 0.17,  # cpu-tuned
    "texture-500/mlp": 0.7,  # data.md
    "penbased-500/mlp": 0.6,  # data.md
    "satimage-500/mlp": 0.6,  # data.md
    "letter-1000/mlp": 1.3,  # comparison/comparison-letter-1000-mlp
    "digits/small_cnn": 1.3,  # cpu-tuned
    "digits-200/mlp": 0.2,  # data.md
    "digits-200-noise0.2/mlp": 0.2,  # data.md
    "digits-100/small_cnn": 0.3,  # data.md
    "digits-200/small_cnn": 0.25,  # cpu-tuned
    "mnist-250/mlp": 0.5,  # data.md
    "mnist-500/mlp": 0.7,  # data.md
    "mnist-500-noise0.2/mlp": 0.58,  # comparison/comparison-mnist-500-noise0.2-mlp
    "mnist-500-noise0.4/mlp": 0.66,  # comparison/comparison-mnist-500-noise0.4-mlp
    "mnist-1000/mlp": 0.9,  # data.md
    "mnist-2000/mlp": 1.4,  # data.md
    "mnist-4000/mlp": 2.4,  # data.md
    "mnist-8000/mlp": 4.2,  # data.md
    "mnist/lenet": 9.3,  # data.md
    "mnist-500/lenet": 2.2,  # comparison/comparison-mnist-500-lenet
    "mnist-2000/lenet": 4.2,  # cpu-tuned
    "fashion_mnist-500/mlp": 0.7,  # data.md
    "fashion_mnist/lenet": 57,  # data.md
    "fashion_mnist-2000/lenet": 4.5,  # cpu-tuned
    "cifar10-2000/lenet": 18,  # comparison/comparison-cifar10-2000-lenet
    "cifar10-2000/small_resnet": 44,  # comparison/comparison-cifar10-2000-small-resnet
    "spoken_digits/lenet": 19,  # data.md
    "spoken_digits_speakers/lenet": 22,  # data.md
}
