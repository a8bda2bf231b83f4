"""Connects a launch to Ray: a private one on this machine, or an existing cluster."""

import os
import secrets
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import joblib
import ray
import torch

import search_spaces
import tune_kmixup
from tune_kmixup.core.checks import MOST
from tune_kmixup.core.errors import BadInput, LaunchError
from tune_kmixup.core.text import first_line
from tune_kmixup.planning.resources import Resources
from tune_kmixup.tuning.capacity import misfit
from tune_kmixup.tuning.signals import hangups_blocked
from tune_kmixup.tuning.slots import Node

ANSWER_SECONDS = 30.0  # for the address of a cluster to answer
# Ray speaks gRPC, so HTTP/2: each side begins with a frame of settings (RFC 9113, section 3.4). This one is empty.
HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
WATCH_SECONDS = 0.2  # between two looks at Ray's processes: before Ray prints pages about one that died
CALL_SECONDS = 2.0  # between two calls to the server of a cluster
# A cluster's server may come back within the time that Ray waits for it. Then Ray ends this process without a word.
LOST_SECONDS = float(os.environ.get("RAY_gcs_rpc_server_reconnect_timeout_s", "60")) - 10  # noqa: SIM112


@contextmanager
def ray_connection(resources: Resources, on_death: Callable[[LaunchError], None] | None = None) -> Iterator[None]:
    """Connects to Ray for the duration of a launch.

    Args:
        resources: `address` chooses between a private Ray and a cluster.
        on_death: called from another thread if a process of a private Ray dies, or a cluster is lost. It should end
            this process: Ray ends it seconds later without a word, or waits for minutes.

    Raises:
        BadInput: if no trial fits on this machine, or the cluster refuses the connection.
        LaunchError: if Ray does not start, or the cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if resources.address is None:
        start_private_ray(resources)
    else:
        join_cluster(resources.address)
    ended = Event()
    if on_death:
        private = resources.address is None
        watched = ray._private.worker._global_node if private else ray.get_runtime_context().gcs_address
        watch: Callable[..., None] = watch_ray if private else watch_cluster
        Thread(target=watch, args=(watched, ended, on_death), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        ray.shutdown()


def watch_ray(node: Any, ended: Event, on_death: Callable[[LaunchError], None]) -> None:
    """Waits until the launch has ended, or a process has died that this Ray cannot do without."""
    while not ended.wait(WATCH_SECONDS):
        dead = [kind for kind, process in node.dead_processes() if kind in ("raylet", "gcs_server")]
        if dead and not ended.is_set():
            on_death(LaunchError(f"Ray's process {dead[0]} has died: check the free memory and the system's log."))
            return


def watch_cluster(address: str, ended: Event, on_death: Callable[[LaunchError], None]) -> None:
    """Waits until the launch has ended, or the server of a cluster (its GCS) has not answered for `LOST_SECONDS`."""
    answered = time.monotonic()
    while not ended.wait(CALL_SECONDS):
        try:
            call(address, CALL_SECONDS)
            answered = time.monotonic()
        except OSError as error:
            silent = time.monotonic() - answered
            if silent > LOST_SECONDS and not ended.is_set():
                lost = f"the Ray cluster at {address} has not answered for {silent:.0f} s ({first_line(error)})"
                on_death(LaunchError(f"{lost}: check that its head node runs."))
                return


def this_machine() -> Node:
    """What a Ray that we start may use: the CPUs that this process may (affinity, container, Slurm), and all GPUs."""
    cpus = min(joblib.cpu_count(), int(os.environ.get("SLURM_CPUS_ON_NODE") or MOST))
    return Node("this machine", cpus, torch.cuda.device_count())


def start_private_ray(resources: Resources) -> None:
    """Starts a Ray that only this launch uses. It never attaches to one that is already running on the machine."""
    machine = this_machine()
    if not machine.carries(resources.cpus_per_trial, resources.gpus_to_start):
        raise BadInput(misfit(resources, [machine]))
    # Ray's ports are open to the network, so it asks for a token. If we set none, Ray writes one to the home directory,
    # which may be read-only, and from then on every `ray start` on this machine asks for that token.
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
    try:
        with hangups_blocked():
            ray.init("local", num_cpus=int(machine.cpus), num_gpus=int(machine.gpus), **options)
    except Exception as error:  # its processes die, or its files cannot be written: it raises errors of many types
        folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
        raise LaunchError(
            f"Ray does not start ({first_line(error)}): check that its temporary folder {folder!r} can be "
            "written, has free space and a short path, or set RAY_TMPDIR to a folder like that."
        ) from error


def check_answers(address: str) -> None:
    """Raises LaunchError unless HOST:PORT answers as Ray's server does. Ray itself would try for minutes."""
    _, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise BadInput(f"address={address!r} is no address: choose auto or HOST:PORT, e.g. 10.0.0.1:6379.")
    try:
        call(address, ANSWER_SECONDS)
    except (OSError, UnicodeError) as error:
        raise LaunchError(
            f"address={address!r} does not answer ({first_line(error)}): check that a Ray cluster runs there "
            "(`ray start --head`) and that a firewall lets this machine through."
        ) from error


def call(address: str, seconds: float) -> None:
    """Exchanges greetings with Ray's server. Raises OSError if there is none, or it says nothing for so long."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=seconds) as connection:
        if os.environ.get("RAY_USE_TLS", "0") not in ("0", "false"):
            return  # only Ray has the keys for a greeting
        connection.sendall(HTTP2_GREETING)
        with connection.makefile("rb") as answer:
            frame = answer.read(9)  # the head of its settings: length, type 4, no flags, stream 0
    if frame[3:] != bytes((4, 0, 0, 0, 0, 0)):
        raise ConnectionError("something else than Ray listens there")


def join_cluster(address: str) -> None:
    """Joins a Ray cluster. Our code is uploaded with the job, so that every node runs the version of the launch."""
    if address != "auto":
        check_answers(address)
    packages = [str(Path(package.__path__[0])) for package in (tune_kmixup, search_spaces)]
    try:
        with warnings.catch_warnings(action="ignore"):  # Ray warns here about errors that it then raises
            ray.init(address, runtime_env={"py_modules": packages}, log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise BadInput(
            f"address={address!r} gives no connection to a Ray cluster ({first_line(error)}): start one with "
            "`ray start --head`, name its HOST:PORT, and give its token if it asks for one (RAY_AUTH_MODE=token)."
        ) from error
