"""A connection to Ray: a private one on this machine, or a cluster's."""

import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
import torch

import search_spaces
import tune_kmixup
from tune_kmixup.core.errors import BadInput
from tune_kmixup.planning.resources import Resources


@contextmanager
def connected(resources: Resources) -> Iterator[int]:
    """A connection to Ray for the time of a launch.

    Yields:
        The number of trials that fit at once, see `Resources.slots`.

    Raises:
        BadInput: where not even one trial fits, or the cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if resources.address is None:
        start_private_ray(resources)
    else:
        join(resources.address)
    try:
        total = ray.cluster_resources()
        yield resources.slots(total.get("CPU", 0), total.get("GPU", 0))
    finally:
        ray.shutdown()


def start_private_ray(resources: Resources) -> None:
    """Starts a Ray of this launch alone. It never attaches to a stale one that was left on the machine."""
    cpus, gpus = os.cpu_count() or 1, torch.cuda.device_count()
    resources.slots(cpus, gpus)  # refuses what does not fit before Ray starts
    # Its ports are open to the network, so it asks for a token. Without one of our own, Ray writes a token to the home
    # directory, which may be read-only, and from then on every `ray start` asks for it.
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    ray.init("local", num_cpus=cpus, num_gpus=gpus, include_dashboard=False, log_to_driver=False, logging_level="error")


def join(address: str) -> None:
    """Joins a Ray cluster. The code travels with the job, so that every node runs the version of the launch."""
    code = [str(Path(package.__path__[0])) for package in (tune_kmixup, search_spaces)]
    try:
        with warnings.catch_warnings(action="ignore"):  # Ray raises what it warns of here
            ray.init(address, runtime_env={"py_modules": code}, log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError) as error:  # whichever it is, Ray's own words say why
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadInput(
            f"address={address!r} gives no connection to a Ray cluster ({why}): start one with `ray start --head`, "
            "name its HOST:PORT, and give its token if it asks for one (RAY_AUTH_MODE=token)."
        ) from error
