"""Connects a launch to Ray: a private one on this machine, or an existing cluster."""

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
def ray_connection(resources: Resources) -> Iterator[int]:
    """Connects to Ray for the duration of a launch.

    Args:
        resources: `address` chooses between a private Ray and a cluster.

    Yields:
        The number of slots, see `Resources.slots`.

    Raises:
        BadInput: if not even one trial fits, or the cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if resources.address is None:
        start_private_ray(resources)
    else:
        join_cluster(resources.address)
    try:
        total = ray.cluster_resources()
        yield resources.slots(total.get("CPU", 0), total.get("GPU", 0))
    finally:
        ray.shutdown()


def start_private_ray(resources: Resources) -> None:
    """Starts a Ray that only this launch uses. It never attaches to one that is already running on the machine."""
    cpus, gpus = os.cpu_count() or 1, torch.cuda.device_count()
    resources.slots(cpus, gpus)  # raises BadInput before Ray starts, if no trial fits
    # Ray's ports are open to the network, so it asks for a token. If we set none, Ray writes one to the home directory,
    # which may be read-only, and from then on every `ray start` on this machine asks for that token.
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    ray.init("local", num_cpus=cpus, num_gpus=gpus, include_dashboard=False, log_to_driver=False, logging_level="error")


def join_cluster(address: str) -> None:
    """Joins a Ray cluster. Our code is uploaded with the job, so that every node runs the version of the launch."""
    packages = [str(Path(package.__path__[0])) for package in (tune_kmixup, search_spaces)]
    try:
        with warnings.catch_warnings(action="ignore"):  # Ray warns here about errors that it then raises
            ray.init(address, runtime_env={"py_modules": packages}, log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadInput(
            f"address={address!r} gives no connection to a Ray cluster ({reason}): start one with `ray start --head`, "
            "name its HOST:PORT, and give its token if it asks for one (RAY_AUTH_MODE=token)."
        ) from error
