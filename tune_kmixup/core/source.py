"""A user's own file of data, and how it is to be read."""

import re
from dataclasses import dataclass
from pathlib import Path

from tune_kmixup.core.checks import check_fields


@dataclass(frozen=True)
class Source:
    """A file or folder that is trained on where it lies, and what the command line said about it.

    Attributes:
        path: absolute path of a table, an .npz, or a folder of images or recordings.
        label: column of the classes; empty for a column called `label`.
        drop: columns to leave out.
        group: column whose rows with equal values stay together in every split; empty for none.
        categorical: columns to take as categories, whatever they look like.
        split: column that names the part of each row: train, validation or test; empty for none.
        resize: side of the squares that images are resized to, in pixels; 0 leaves them as they are.

    Raises:
        BadInput: if a value is of another type.
    """

    path: str
    label: str = ""
    drop: tuple[str, ...] = ()
    group: str = ""
    categorical: tuple[str, ...] = ()
    split: str = ""
    resize: int = 0

    def __post_init__(self) -> None:
        check_fields(self, resize=(0, 4096))

    @property
    def name(self) -> str:
        """The name of the data set: that of the file without suffixes, in characters that a path may hold."""
        stem = re.sub(
            r"(\.(csv|tsv|txt|data|dat|tab|parquet|pq|npz|gz|bz2|xz|zip|zst))+$", "", Path(self.path).name.lower()
        )
        return re.sub("[^a-z0-9_.-]+", "_", stem).lstrip("_.-") or "data"
