"""Loads a user's own data sets, architectures, tasks and methods: `--load my_tasks.py`, and files named as tasks."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b, sha256
from modulefinder import ModuleFinder
from pathlib import Path
from traceback import walk_tb
from types import ModuleType

from optuna.distributions import BaseDistribution

from search_spaces.methods import METHODS
from search_spaces.suites import SUITES
from search_spaces.tasks import TASKS
from tune_kmixup.core.config import Draft, Task
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.methods import KNOWN
from tune_kmixup.core.source import Source
from tune_kmixup.core.text import first_line
from tune_kmixup.data.registry import DATASETS, Dataset
from tune_kmixup.models.architectures import ARCHITECTURES


@dataclass(frozen=True)
class Plugins:
    """Modules that add entries to DATASETS, ARCHITECTURES, TASKS, METHODS or SUITES, and files that are data sets.

    The text of modules is sent to the workers, so that every node runs what the launching process read. What they
    import from their own folder is read where they run.

    Attributes:
        modules: absolute path and text of each module.
        sources: files that are data sets. They are read where the processes run.
    """

    modules: tuple[tuple[str, str], ...] = ()
    sources: tuple[Source, ...] = ()

    @classmethod
    def read(cls, paths: Iterable[Path], sources: tuple[Source, ...] = ()) -> "Plugins":
        """Reads Python files. Raises BadInput if one cannot be read as text."""
        return cls(tuple((str(path.absolute()), read_text(path)) for path in paths), sources)

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(path for path, _ in self.modules)

    def fingerprints(self) -> tuple[str, ...]:
        """Hash of the text of each module and of those that it imports from its folder, whatever they are called."""
        return tuple(
            blake2b("\0".join([text, *neighbour_texts(path)]).encode(), digest_size=8).hexdigest()
            for path, text in self.modules
        )

    def load(self) -> None:
        """Runs each module once per process, and checks what they add. Modules of the same text count as one.

        Raises:
            BadInput: if a module raises an error, ends the process, or adds what is no entry.
        """
        for path, text in self.modules:
            name = f"tune_kmixup_loaded_{sha256(text.encode()).hexdigest()[:12]}"
            if name in sys.modules:
                continue
            module = ModuleType(name)
            module.__file__ = path
            sys.modules[name] = module
            if (folder := str(Path(path).parent)) not in sys.path:
                sys.path.append(folder)  # last: no file there hides an installed package
            try:
                exec(compile(text, path, "exec"), module.__dict__)
                check_entries()
            except (Exception, SystemExit) as error:
                del sys.modules[name]
                raise load_error(path, error) from error
            except BaseException:
                del sys.modules[name]
                raise
        for source in self.sources:
            register(source)


def register(source: Source) -> None:
    """Adds a file to DATASETS under its name, in place of one that an earlier launch of this process added.

    Raises:
        BadInput: if another data set is called so.
    """
    entry, before = own_dataset(source), DATASETS.get(source.name)
    taken = {task.dataset for tasks in TASKS.values() for task in tasks} | DATASETS.keys()
    taken |= {base.partition("/")[0] for base in TASKS}  # mnist-500 is a task of mnist
    if source.name in taken and not (before and before.file):
        raise BadInput(f"path={source.path!r} is called like the data set {source.name!r}: rename the file.")
    DATASETS[source.name] = entry


def own_dataset(source: Source) -> Dataset:
    """The entry of a file, without published figures: its rows and classes are those of its arrays."""
    return Dataset("table", 0, None, 0, (), "your own file", "your own", file=source)


def neighbour_texts(path: str) -> list[str]:
    """The texts of the modules in the folder of a `--load` file that it imports, at once or later, directly or not."""
    finder = ModuleFinder(path=[str(Path(path).parent)], excludes=["tune_kmixup", "search_spaces"])
    try:
        finder.run_script(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise load_error(path, error) from error
    found = {name: getattr(module, "__file__", None) for name, module in finder.modules.items() if name != "__main__"}
    return [read_text(Path(file)) for _, file in sorted(found.items()) if file]


def read_text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"load={str(path)!r} cannot be read: name a Python file.") from error


def load_error(path: str, error: BaseException) -> BadInput:
    """What is wrong with a module, and in which of its lines."""
    lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_code.co_filename == path]
    if isinstance(error, SyntaxError) and error.filename == path and error.lineno:
        lines.append(error.lineno)
    kind = type(error).__name__
    reason = first_line(error)
    if not isinstance(error, BadInput) and reason != kind:
        reason = f"{kind}: {reason}"
    return BadInput(f"load={path!r} fails{f' in line {lines[-1]}' if lines else ''}: {reason}")


# Heads of columns in reports, and how these spell the suite's own methods.
TAKEN = {"task", "metric", "dataset"} | {method.label for name, method in KNOWN.items() if method.label != name}


def check_entries() -> None:
    """Raises BadInput if a dict that users extend holds what is no entry of it."""
    for name, space in METHODS.items():
        if name in TAKEN:
            raise BadInput(f"METHODS[{name!r}] has a name that reports use for something else: rename it")
        if not isinstance(space, Mapping):
            raise BadInput(f"METHODS[{name!r}] is {space!r}: it takes a dict of coordinate -> Optuna distribution")
        for key, coordinate in space.items():
            if not isinstance(coordinate, BaseDistribution) and not callable(coordinate):
                raise BadInput(
                    f"METHODS[{name!r}][{key!r}] is {coordinate!r}: it takes an Optuna distribution; "
                    f"CategoricalDistribution(({coordinate!r},)) fixes a value"
                )
    for name, tasks in TASKS.items():
        if not isinstance(tasks, tuple) or not tasks or not all(isinstance(task, Task) for task in tasks):
            raise BadInput(f"TASKS[{name!r}] is a {type(tasks).__name__}: it takes a tuple with a Task per outer split")
        if others := sorted({task.base for task in tasks} - {name}):
            raise BadInput(f"TASKS[{name!r}] holds {others[0]}: the name is data set, train size and architecture")
    for name, draft in SUITES.items():
        if not isinstance(draft, Draft) or draft.name != name:
            raise BadInput(f"SUITES[{name!r}] is no Draft of this name: write Draft({name!r}, ...)")
    for name, build in ARCHITECTURES.items():
        if not callable(build):
            raise BadInput(f"ARCHITECTURES[{name!r}] is {build!r}: it takes a function of input shape and classes")
    for name, dataset in DATASETS.items():
        if not isinstance(dataset, Dataset):
            raise BadInput(f"DATASETS[{name!r}] is {dataset!r}: it takes a Dataset")
