"""Where and with what trials run."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from tune_kmixup.core.errors import BadInput

BatchSeeds = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class Resources:
    """Where and with what the trials run. It changes no result beyond rounding (`batch_seeds`)."""

    address: str | None = None  # of a Ray cluster; None: a Ray of one's own on this machine
    cpus_per_trial: float = 1.0
    gpus_per_trial: float | Literal["auto"] = 0.0  # auto: by the memory that a trial of its task is measured to need
    max_concurrent: int | None = None
    batch_seeds: BatchSeeds = "auto"  # train the seeds of a trial together: where measured to pay, always, never

    def __post_init__(self) -> None:
        if self.cpus_per_trial <= 0:
            raise BadInput(f"cpus_per_trial={self.cpus_per_trial} is not positive: choose cpus_per_trial > 0.")
        if self.gpus_per_trial != "auto" and not 0 <= self.gpus_per_trial < float("inf"):
            raise BadInput(f"gpus_per_trial={self.gpus_per_trial} is not a number ≥ 0: choose 0 to train on CPUs.")
        if self.address and self.address.startswith("ray://"):
            raise BadInput(
                f"address={self.address!r} is Ray's client, through which a launch would write its results elsewhere: "
                "run it on the cluster with `ray job submit`, and use address='auto' there."
            )
        if self.batch_seeds not in get_args(BatchSeeds):
            raise BadInput(f"batch_seeds={self.batch_seeds!r} is unknown: choose auto, on or off.")
        if self.max_concurrent is not None and self.max_concurrent < 1:
            raise BadInput(f"max_concurrent={self.max_concurrent} is too small: choose max_concurrent ≥ 1.")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Resources":
        """From what was typed, other options among it; `gpus_per_trial` as text. Raises BadInput."""
        given = {field.name: options[field.name] for field in fields(cls) if field.name in options}
        text = given.get("gpus_per_trial", "0")
        try:
            gpus = text if text == "auto" else float(text)
        except ValueError:
            raise BadInput(f"gpus_per_trial={text!r} is neither a number nor auto: choose 0.5, or auto.") from None
        return cls(**given | {"gpus_per_trial": gpus})

    @property
    def each(self) -> str:
        """What a trial gets, in words."""
        if self.gpus_per_trial == "auto":
            return f"{self.cpus_per_trial:g} CPU, a share of a GPU as measured"
        return f"{self.cpus_per_trial:g} CPU" + (f" {self.gpus_per_trial:g} GPU" if self.gpus_per_trial else "")

    @property
    def threads(self) -> int:
        """Threads of a trial: its share of the CPUs, so that trials side by side do not crowd each other."""
        return max(1, int(self.cpus_per_trial))

    @property
    def device(self) -> str:
        return "cuda" if self.gpus_per_trial else "cpu"

    def slots(self, cpus: float, gpus: float) -> int:
        """How many trials run at once on so many CPUs and GPUs; of `auto`, on how many GPUs one or more can.

        Raises BadInput where not even one fits.
        """
        auto = self.gpus_per_trial == "auto"
        if auto and gpus < 1:
            raise BadInput(
                f"gpus_per_trial='auto' measures on a GPU, and there are {gpus:g}: "
                "choose gpus_per_trial=0 to train on CPUs, or --address of a cluster with GPUs."
            )
        gpus_per_trial = 1.0 if self.gpus_per_trial == "auto" else self.gpus_per_trial
        for name, needed, there in (("cpus", self.cpus_per_trial, cpus), ("gpus", gpus_per_trial, gpus)):
            if needed > there:
                raise BadInput(
                    f"{name}_per_trial={needed:g} does not fit: there are {there:g} {name.upper()[:-1]}s. "
                    f"Choose {name}_per_trial ≤ {there:g}, or --address of a larger cluster."
                )
        fit = int(cpus / self.cpus_per_trial + 1e-9)
        if gpus_per_trial:
            fit = min(fit, int(gpus / gpus_per_trial + 1e-9))
        return fit if auto else min(fit, self.max_concurrent or fit)
