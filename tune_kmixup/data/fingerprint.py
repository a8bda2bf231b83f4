"""Fingerprints of data sets."""

from hashlib import blake2b
from pathlib import Path

import numpy as np

from tune_kmixup.data.download import load_arrays
from tune_kmixup.data.npz import iter_chunks
from tune_kmixup.data.registry import DATASETS
from tune_kmixup.data.validation import check_numbers

READ = (
    "categorical",
    "group",
    "part",
    "rate",
    "x",
    "x_test",
    "x_train",
    "y",
    "y_test",
    "y_train",
)  # arrays that training reads
GENERATED = "generated"


def fingerprint(name: str, data_dir: Path) -> str:
    """Hash of the arrays of a data set that training reads. Reads all of them once, and checks all inputs.

    So no split finds a wrong number in the middle of a launch.

    Args:
        name: name of the data set, which must have been fetched.
        data_dir: folder of the data sets.

    Returns:
        16 hexadecimal digits of names, types, shapes and bytes, whatever the file is called and however it is
        compressed. `GENERATED` for a toy set, whose rows follow from the code.

    Raises:
        BadInput: if the data set has not been fetched, or does not pass the checks.
    """
    if name in DATASETS and DATASETS[name].generate:
        return GENERATED
    digest, arrays = blake2b(digest_size=8), load_arrays(name, data_dir)
    if {"group", "x_test"} <= arrays.keys():
        digest.update(b"repeats validate on different groups;")  # they did not before, so these are other repeats
    for key in READ:
        if key in arrays:
            digest.update(f"{key} {arrays[key].dtype.str} {arrays[key].shape};".encode())
            start = 0
            for chunk in iter_chunks(arrays[key]):
                if key[0] == "x":
                    rows = np.arange(start, start + len(chunk))
                    check_numbers(f"{name}: {key}", chunk, rows, arrays.get("categorical"))
                    start += len(chunk)
                digest.update(chunk.tobytes())
    return digest.hexdigest()
