"""Checkpoints of a trial that is running: tensors and plain values, no pickle is ever executed."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import torch

from tune_kmixup.results import Row
from tune_kmixup.study import BadInput, Task, Trial


def identity(task: Task, trial: Trial) -> str:
    """What a checkpoint belongs to: it is continued for the same task, values and seeds only, fused or not."""
    found = dataclasses.asdict(trial) | {"fused": None}
    if not trial.rungs:  # so that a checkpoint from before there were any is still continued
        del found["rungs"]
    return json.dumps([dataclasses.asdict(task), found], sort_keys=True)


def save(path: Path, belongs_to: str, rows: list[Row], bundle: dict[str, Any] | None) -> None:
    """Rows of the seeds that are done and the state of the bundle in progress; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        torch.save({"identity": belongs_to, "rows": json.dumps(rows), "bundle": bundle}, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load(path: Path, belongs_to: str) -> dict[str, Any] | None:
    """What `save` wrote; None where there is nothing, or nothing that can be read: training starts anew then.

    Raises BadInput where the checkpoint belongs to something else.
    """
    try:
        read = torch.load(path, weights_only=True, map_location="cpu")
        found, state = read["identity"], {"rows": json.loads(read["rows"]), "bundle": read["bundle"]}
    except Exception:  # not there, cut short, garbled, of another version: torch raises many types here
        return None
    if found != belongs_to:
        raise BadInput(f"{path} is the checkpoint of another trial: delete it, or launch into a new --out.")
    return state
