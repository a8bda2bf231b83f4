"""Checkpoints of a trial in progress. They hold tensors and plain values; reading one executes no pickled code."""

import dataclasses
import io
import json
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from tune_kmixup.core.config import Task, Trial
from tune_kmixup.core.rows import Row
from tune_kmixup.store import files


def identity(task: Task, trial: Trial) -> str:
    """What a checkpoint belongs to, as JSON: the task and the trial, whichever seeds it has, batched or not.

    The final seeds of a configuration are divided among trials anew when their number grows.
    """
    fields = dataclasses.asdict(trial) | {"seeds": None, "batched": None}
    return json.dumps([dataclasses.asdict(task), fields], sort_keys=True)


def save(path: Path, trial_identity: str, rows: list[Row], training_state: dict[str, Any] | None) -> None:
    """Writes a checkpoint, whole or not at all. If it cannot be written, e.g. on a full disk, training just goes on.

    Args:
        path: file to write.
        trial_identity: see `identity`.
        rows: rows of the seeds that are done.
        training_state: `TrainingState.state_dict` of the seeds in progress; None if there are none.
    """
    content = {
        "identity": trial_identity,
        "rows": json.dumps([row.to_json() for row in rows]),
        "state": training_state,
    }
    with suppress(OSError, RuntimeError), files.atomic_write(path) as file:  # torch turns OSError into RuntimeError
        torch.save(content, file)


def load(path: Path, trial_identity: str) -> tuple[list[Row], dict[str, Any] | None] | None:
    """Reads a checkpoint.

    Args:
        path: file to read.
        trial_identity: identity of the trial to be resumed.

    Returns:
        Rows and training state as given to `save`; None if the file is missing, unreadable, or that of another trial,
        so that training starts anew.

    Raises:
        OSError: if this node cannot reach the object store. Otherwise each trial would try for seconds, and save
            nothing.
    """
    try:
        content = files.read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if not files.is_remote(path):
            return None
        remedy = "give it access in the environment of `ray start` (docs/cluster.md)"
        raise OSError(f"node {platform.node()} cannot read {path} ({error}): {remedy}.") from error
    try:
        saved = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        saved_identity, training_state = saved["identity"], saved["state"]
        rows = [Row.from_json(row) for row in json.loads(saved["rows"])]
    except Exception:  # cut short, corrupt, of another version: torch raises many types here
        return None
    return (rows, training_state) if saved_identity == trial_identity else None
