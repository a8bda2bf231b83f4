"""The resources that trials run on."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal

from tune_kmixup.core.checks import MOST, check_range, check_type
from tune_kmixup.core.config import Device
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.text import plural

LEAST_AMOUNT = 0.0001  # of a resource: Ray counts CPUs and GPUs in these units
BatchSeeds = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class Resources:
    """The resources that trials run on.

    No field changes a result beyond rounding, except `gpus_per_trial`: recipes in bfloat16 use it on a GPU alone.
    `batch_seeds`, and on `auto` the device, change the rounding.

    Attributes:
        address: address of a Ray cluster; None starts Ray on this machine.
        cpus_per_trial: CPUs of one trial, > 0.
        gpus_per_trial: GPUs of one trial, ≥ 0; `auto` chooses a share of a GPU for each task by its measured memory.
        max_concurrent: largest number of trials at once, ≥ 1; None sets no limit.
        wait: seconds for which a cluster without a node for a trial is waited for, ≥ 0; None: 15 minutes where an
            autoscaler adds nodes, else one.
        batch_seeds: whether the seeds of a trial are trained together: `on`, `off`, or `auto` for tasks where it is
            faster (`core.batched_seeds`).

    Raises:
        BadInput: if a value is of another type or out of range.
    """

    address: str | None = None
    cpus_per_trial: float = 1.0
    gpus_per_trial: float | Literal["auto"] = 0.0
    max_concurrent: int | None = None
    wait: float | None = None
    batch_seeds: BatchSeeds = "auto"

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "gpus_per_trial":
                check_type(field.name, getattr(self, field.name), field.type)
        if self.gpus_per_trial != "auto":
            check_type("gpus_per_trial", self.gpus_per_trial, float)
        if not 0 < self.cpus_per_trial <= MOST:
            raise BadInput(f"cpus_per_trial={self.cpus_per_trial} is out of range: choose 0 < cpus_per_trial ≤ {MOST}.")
        if self.gpus_per_trial != "auto" and not 0 <= self.gpus_per_trial <= MOST:
            raise BadInput(f"gpus_per_trial={self.gpus_per_trial} is not a number ≥ 0: choose 0 to train on CPUs.")
        for name, value in (("cpus_per_trial", self.cpus_per_trial), ("gpus_per_trial", self.gpus_per_trial)):
            if value != "auto" and 0 < value < LEAST_AMOUNT:
                raise BadInput(f"{name}={value} is less than Ray counts: choose {LEAST_AMOUNT} or more.")
        if self.gpus_per_trial != "auto" and self.gpus_per_trial > 1 and self.gpus_per_trial % 1:
            raise BadInput(f"gpus_per_trial={self.gpus_per_trial} is not whole: above one, choose a whole number.")
        if self.address and self.address.startswith("ray://"):
            raise BadInput(
                f"address={self.address!r} is the address of Ray Client, which is not supported: "
                "run the launch on the cluster with `ray job submit`, and use address='auto' there."
            )
        if self.max_concurrent is not None:
            check_range("max_concurrent", self.max_concurrent, 1, MOST)
        if self.wait is not None:
            check_range("wait", self.wait, 0, MOST)

    @property
    def per_trial(self) -> str:
        """The resources of one trial in words, e.g. `1 CPU 0.5 GPU`."""
        if self.gpus_per_trial == "auto":
            return f"{self.cpus_per_trial:g} CPU, a share of a GPU as measured"
        return f"{self.cpus_per_trial:g} CPU" + (f" {self.gpus_per_trial:g} GPU" if self.gpus_per_trial else "")

    @property
    def threads(self) -> int:
        """Threads of a trial: its CPUs, rounded down, at least 1. More would compete with those of other trials."""
        return max(1, int(self.cpus_per_trial))

    @property
    def device(self) -> Device:
        """`cuda` if a trial uses a GPU, else `cpu`."""
        return "cuda" if self.gpus_per_trial else "cpu"

    @property
    def gpus_to_start(self) -> float:
        """GPUs that a node must have for a trial: a whole one where the share has to be measured first."""
        return 1.0 if self.gpus_per_trial == "auto" else self.gpus_per_trial

    @property
    def to_start(self) -> str:
        """What a node must have for a trial in words: `1 CPU`, `2 CPUs and 0.5 GPUs`."""
        needs = [(self.cpus_per_trial, "CPU"), (self.gpus_to_start, "GPU")]
        return " and ".join(plural(need, name) for need, name in needs if need)


def repeated_options(resources: Resources, log_to: Iterable[str] = ()) -> list[str]:
    """The options of a launch that suite.json does not hold, since they change no result: `resume` needs them again.

    Args:
        resources: resources of the launch; an option is left out where they have its default.
        log_to: names of the loggers of the launch.

    Returns:
        Words of a command, e.g. `--gpus-per-trial=0.5`.
    """
    given = [
        (field.name, value) for field in fields(resources) if (value := getattr(resources, field.name)) != field.default
    ]
    words = [(name.replace("_", "-"), in_option(name, value)) for name, value in given]
    return [f"--{name}={value}" for name, value in [*words, *(("log-to", name) for name in log_to)]]


def in_option(name: str, value: object) -> str:
    """The value of a resource as its option takes it: numbers without an exponent, and `wait` with its unit."""
    if not isinstance(value, int | float):
        return str(value)
    number = f"{value:.15f}".rstrip("0").rstrip(".")
    return f"{number}s" if name == "wait" else number
