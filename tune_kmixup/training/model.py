"""Trained networks on disk and as one classifier.

The file of a network is an .npz: its weights, and as JSON how rows become its inputs and which run it is of. Reading it
unpickles nothing.
"""

import dataclasses
import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tune_kmixup.core.config import derived_seed
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import Row
from tune_kmixup.data.inputs import NewRows, Preprocessing, from_json, read_rows
from tune_kmixup.models.architectures import ARCHITECTURES
from tune_kmixup.models.networks import build_network
from tune_kmixup.models.randomness import seeded
from tune_kmixup.store import files
from tune_kmixup.store.run_dir import CorruptFile
from tune_kmixup.training.metrics import chunks
from tune_kmixup.training.state import CONV_LAYOUT

WEIGHTS = "weights/"  # before the name of a weight, so that it can have any
RUN = ("task", "outer_split", "method", "trial", "seed", "architecture", "started")  # columns that tell a run
REMEDY = "delete it and the files final-*.json of its study, and launch again to train them anew."


def save_model(path: Path, network: nn.Module, preprocessing: Preprocessing, row: Row) -> None:
    """Writes a trained network, whole or not at all.

    Args:
        path: file to write; its folder must exist.
        network: the network, on any device.
        preprocessing: how rows become its inputs.
        row: the row of its run.

    Raises:
        BadInput: if the folder is not there.
        OSError: if the file cannot be written.
    """
    about = {"run": run_of(row), "preprocessing": dataclasses.asdict(preprocessing)}
    arrays = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
    for name, value in network.state_dict().items():
        value = value.float() if value.dtype == torch.bfloat16 else value  # which NumPy does not have
        arrays[f"{WEIGHTS}{name}"] = value.detach().cpu().numpy()
    try:
        with files.atomic_write(path) as file:
            np.savez(file, allow_pickle=False, **arrays)
    except FileNotFoundError as error:
        raise BadInput(
            f"{path} cannot be written ({error.strerror}): with save_models, all nodes write to --out. Share it."
        ) from error


def run_of(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in RUN}


def read_network(path: Path, row: Row) -> tuple[nn.Module, Preprocessing]:
    """Reads what `save_model` wrote.

    Args:
        path: file to read.
        row: the row of its run.

    Returns:
        The network in evaluation mode, on the CPU, and how rows become its inputs.

    Raises:
        CorruptFile: if the file cannot be read, is of another run, or its architecture has changed.
    """
    try:
        with np.load(io.BytesIO(files.read(path)), allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        about = json.loads(arrays.pop("about").tobytes())
        preprocessing = from_json(about["preprocessing"])
        if about["run"] != run_of(row):
            raise ValueError("it is of another run than its name says")
        # The seed of its training, for what the network may have drawn into attributes.
        seed = derived_seed(row.seed, "init")
        network = build_network(row.architecture, preprocessing.input_shape, len(preprocessing.classes), seed)
        network.load_state_dict({name.removeprefix(WEIGHTS): torch.from_numpy(arrays[name]) for name in arrays})
    except Exception as error:  # a damaged zip, JSON or array raises errors of many types, and so does a user's network
        raise CorruptFile(path, error, REMEDY) from error
    return network.to(memory_format=CONV_LAYOUT).eval(), preprocessing


@dataclass(frozen=True)
class Model:
    """Networks of several seeds as one classifier: the mean of their probabilities.

    Attributes:
        networks: one per seed, in evaluation mode, on the CPU.
        seeds: seeds of their runs.
        preprocessing: how rows become their inputs.
    """

    networks: tuple[nn.Module, ...]
    seeds: tuple[int, ...]
    preprocessing: Preprocessing

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.preprocessing.classes

    def predict(self, given: Any) -> NDArray[np.str_]:
        """The most probable class of each row.

        Args:
            given: see `predict_proba`.

        Returns:
            N names of classes.
        """
        return self.names(self.predict_proba(given))

    def predict_proba(self, given: Any) -> NDArray[np.float64]:
        """The probabilities of the classes of each row.

        Args:
            given: rows of the kind that the model was trained on: a path, a DataFrame or an array, see
                `data.inputs.read_rows`.

        Returns:
            N x classes. It warns of values that are new to the model.

        Raises:
            BadInput: if they do not fit.
        """
        rows = read_rows(self.preprocessing, given)
        for line in rows.warnings:
            warnings.warn(line, stacklevel=2)
        return self.probabilities(rows)

    def names(self, probabilities: NDArray[np.float64]) -> NDArray[np.str_]:
        """The name of the most probable class of each row."""
        names: NDArray[np.str_] = np.asarray(self.classes)[probabilities.argmax(1)]
        return names

    @torch.no_grad()
    def probabilities(self, rows: NewRows) -> NDArray[np.float64]:
        """`predict_proba` of rows that have been read."""
        x = torch.from_numpy(np.ascontiguousarray(rows.x))  # torch takes no negative strides
        decode, normalise = self.preprocessing.transforms()
        mean = torch.zeros(len(x), len(self.classes), dtype=torch.float64)
        for network, seed in zip(self.networks, self.seeds, strict=True):
            with seeded(derived_seed(seed, "evaluation")):  # for networks that draw: the same each time
                logits = torch.cat([network(normalise(decode(part))) for part in chunks(x)])
            mean += logits.double().softmax(1) / len(self.networks)
        return mean.numpy()


def load_networks(paths: Sequence[Path], rows: Sequence[Row]) -> Model:
    """The networks of several runs of one configuration and outer split as one classifier.

    Args:
        paths: file of each run, at least one.
        rows: the row of each.

    Raises:
        CorruptFile: see `read_network`.
        BadInput: if their architecture is unknown.
    """
    if (architecture := rows[0].architecture) not in ARCHITECTURES:
        raise BadInput(f"architecture={architecture!r} is unknown: name the file that defines it with --load.")
    networks, preprocessings = zip(*map(read_network, paths, rows), strict=True)
    return Model(networks, tuple(row.seed for row in rows), preprocessings[0])
