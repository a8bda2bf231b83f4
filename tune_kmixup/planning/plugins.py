"""Loads a user's own data sets, architectures, tasks and methods: `--load my_tasks.py`."""

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tune_kmixup.core.errors import BadInput


@dataclass(frozen=True)
class Plugins:
    """Modules that add entries to DATASETS, ARCHITECTURES, TASKS or METHODS.

    Their text is sent to the workers, so that every node runs what the launching process read.

    Attributes:
        modules: path and text of each module.
    """

    modules: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, paths: list[Path]) -> "Plugins":
        """Reads Python files. Raises BadInput if one cannot be read as text."""
        try:
            return cls(tuple((str(path), path.read_text()) for path in paths))
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(
                f"load={str(getattr(error, 'filename', paths))!r} cannot be read: name a Python file."
            ) from error

    def load(self) -> None:
        """Runs each module once per process. Modules of the same text count as one."""
        for path, text in self.modules:
            name = f"tune_kmixup_loaded_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
            if name in sys.modules:
                continue
            module = ModuleType(name)
            module.__file__ = path
            sys.modules[name] = module
            try:
                exec(compile(text, path, "exec"), module.__dict__)
            except BaseException:
                del sys.modules[name]
                raise
