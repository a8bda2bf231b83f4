"""Where and with what trials run."""

from dataclasses import dataclass
from typing import Literal, get_args

from tune_kmixup.study import BadInput

Fuse = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class Resources:
    """Where and with what the trials run. Nothing here changes what they compute, up to the rounding of `fuse`."""

    address: str | None = None  # of a Ray cluster; None: a Ray of one's own on this machine
    cpus_per_trial: float = 1.0
    gpus_per_trial: float = 0.0
    max_concurrent: int | None = None
    fuse: Fuse = "auto"  # seeds of a trial trained together: where that is measured to pay, wherever it can be, never

    def __post_init__(self) -> None:
        if self.cpus_per_trial <= 0:
            raise BadInput(f"cpus_per_trial={self.cpus_per_trial} is not positive: choose cpus_per_trial > 0.")
        if self.gpus_per_trial < 0:
            raise BadInput(f"gpus_per_trial={self.gpus_per_trial} is negative: choose 0 to train on CPUs.")
        if self.address and self.address.startswith("ray://"):
            raise BadInput(
                f"address={self.address!r} is Ray's client, through which a launch would write its results elsewhere: "
                "use the command line, which runs itself on the cluster, or --address auto there."
            )
        if self.fuse not in get_args(Fuse):
            raise BadInput(f"fuse={self.fuse!r} is unknown: choose auto, on or off.")
        if self.max_concurrent is not None and self.max_concurrent < 1:
            raise BadInput(f"max_concurrent={self.max_concurrent} is too small: choose max_concurrent ≥ 1.")

    @property
    def threads(self) -> int:
        """Threads of a trial: its share of the CPUs, so that trials side by side do not crowd each other."""
        return max(1, int(self.cpus_per_trial))

    @property
    def device(self) -> str:
        return "cuda" if self.gpus_per_trial else "cpu"

    def slots(self, cpus: float, gpus: float) -> int:
        """How many trials run at once on so many CPUs and GPUs. Raises BadInput where not even one fits."""
        for name, needed, there in (("cpus", self.cpus_per_trial, cpus), ("gpus", self.gpus_per_trial, gpus)):
            if needed > there:
                raise BadInput(
                    f"{name}_per_trial={needed:g} does not fit: there are {there:g} {name.upper()[:-1]}s. "
                    f"Choose {name}_per_trial ≤ {there:g}, or --address of a larger cluster."
                )
        fit = int(cpus / self.cpus_per_trial + 1e-9)
        if self.gpus_per_trial:
            fit = min(fit, int(gpus / self.gpus_per_trial + 1e-9))
        return min(fit, self.max_concurrent or fit)
