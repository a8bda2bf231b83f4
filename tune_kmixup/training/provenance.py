"""Which code, versions and machine made a row."""

import os
import platform
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from tune_kmixup.core.numerics import NUMERICS


@cache
def fingerprint() -> str:
    """Version of this package and a hash of the source that a run executes."""
    package = Path(__file__).parents[1]
    digest = blake2b(digest_size=4)
    for path in sorted(package.rglob("*.py")):
        if "analysis" not in path.relative_to(package).parts:  # it only reads results
            digest.update(path.read_bytes())
    return f"{package_version('tune-kmixup')}+{digest.hexdigest()}"


def package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


@cache
def versions() -> str:
    return " ".join(f"{name}={package_version(name)}" for name in ("torch", "ray", "optuna", "numpy", "scipy"))


def provenance(device: torch.device) -> dict[str, Any]:
    """The columns `numerics`, `device`, `machine`, `code` and `versions` of a row that was made on this device."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    machine = f"{platform.machine()} {os.cpu_count()} cores python {platform.python_version()}"
    columns = {"device": name, "machine": machine, "code": fingerprint(), "versions": versions()}
    return {"numerics": NUMERICS, **columns}
