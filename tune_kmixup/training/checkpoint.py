"""Checkpoints of a trial that is running: tensors and plain values, no pickle is ever executed."""

import dataclasses
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from tune_kmixup.core.config import Task, Trial
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row
from tune_kmixup.store import files


def identity(task: Task, trial: Trial) -> str:
    """What a checkpoint belongs to: it is continued for the same task, values and seeds only, batched or not."""
    found = dataclasses.asdict(trial) | {"batched": None}
    if not trial.rungs:  # so that a checkpoint from before there were any is still continued
        del found["rungs"]
    return json.dumps([dataclasses.asdict(task), found], sort_keys=True)


def save(path: Path, belongs_to: str, rows: list[Row], bundle: dict[str, Any] | None) -> None:
    """Rows of the seeds that are done and the state of the bundle in progress; whole or not at all.

    One that cannot be written, on a full disk for instance, is left out: it may cost time later, never the trial.
    """
    with suppress(OSError, RuntimeError), files.atomic_write(path) as file:  # torch makes a RuntimeError of an OSError
        torch.save({"identity": belongs_to, "rows": json.dumps(rows), "bundle": bundle}, file)


def load(path: Path, belongs_to: str) -> dict[str, Any] | None:
    """What `save` wrote; None where there is nothing, or nothing that can be read: training starts anew then.

    Raises BadInput where the checkpoint belongs to something else.
    """
    try:
        read = torch.load(io.BytesIO(files.read(path)), weights_only=True, map_location="cpu")
        found, state = read["identity"], {"rows": json.loads(read["rows"]), "bundle": read["bundle"]}
    except Exception:  # not there, cut short, garbled, of another version: torch raises many types here
        return None
    if found != belongs_to:
        raise BadInput(f"{path} is the checkpoint of another trial: delete it, or launch into a new --out.")
    return state
