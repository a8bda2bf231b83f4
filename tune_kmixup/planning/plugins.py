"""Loads a user's own data sets, architectures, tasks and methods: `--load my_tasks.py`, and files named as tasks."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b, sha256
from modulefinder import ModuleFinder
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import Any, NamedTuple

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

PACKAGE = 5  # what `modulefinder` calls a package


class Neighbour(NamedTuple):
    """A module in the folder of a `--load` file."""

    name: str
    path: str
    text: str


class Module(NamedTuple):
    """A `--load` file.

    Attributes:
        path: absolute.
        text: of the file.
        neighbours: the modules in its folder that it imports, at once or later, directly or not.
    """

    path: str
    text: str
    neighbours: tuple[Neighbour, ...]

    @property
    def texts(self) -> str:
        return "\0".join([self.text, *(neighbour.text for neighbour in self.neighbours)])

    @property
    def name(self) -> str:
        """Its name in `sys.modules`."""
        return f"tune_kmixup_loaded_{sha256(f'{self.path}{chr(0)}{self.texts}'.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Plugins:
    """Modules that add entries to DATASETS, ARCHITECTURES, TASKS, METHODS or SUITES, and files that are data sets.

    The text of modules is sent to the workers, so that every node runs what the launching process read. What they
    import from their own folder is read where they run.

    Attributes:
        modules: the `--load` files.
        sources: files that are data sets. They are read where the processes run.
    """

    modules: tuple[Module, ...] = ()
    sources: tuple[Source, ...] = ()

    @classmethod
    def read(cls, paths: Iterable[Path], sources: tuple[Source, ...] = ()) -> "Plugins":
        """Reads Python files. Raises BadInput if one cannot be read."""
        return cls(tuple(read_module(path) for path in paths), sources)

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(module.path for module in self.modules)

    def fingerprints(self) -> tuple[str, ...]:
        """Hash of the text of each module and of those that it imports from its folder, whatever they are called."""
        return tuple(blake2b(module.texts.encode(), digest_size=8).hexdigest() for module in self.modules)

    def load(self) -> None:
        """Runs each module, and checks what they add. What this process has run last need not run again.

        Raises:
            BadInput: if a module raises an error, ends the process, adds what is no entry, or imports a neighbour of
                which this process has imported another.
        """
        modules = list(dict.fromkeys(self.modules))
        if list(ran) != modules or any(module.name not in sys.modules for module in modules):
            take_back()
            for module in modules:
                run_module(module)
        for source in self.sources:
            register(source)


class Change(NamedTuple):
    """What a module has done to an entry of a dict that users extend; MISSING where there is none."""

    registry: dict[str, Any]
    name: str
    before: Any
    after: Any


MISSING = object()
REGISTRIES: tuple[dict[str, Any], ...] = (METHODS, TASKS, SUITES, DATASETS, ARCHITECTURES)
ran: dict[Module, list[Change]] = {}  # what this process has run last
folders: list[str] = []  # theirs, which are at the end of `sys.path`: no file there hides an installed package
imported: dict[str, str] = {}  # neighbour -> its text when this process imported it, which Python does once


def run_module(module: Module) -> None:
    """Runs a `--load` file, and checks all entries. Raises BadInput as `Plugins.load` does."""
    for neighbour in module.neighbours:
        if neighbour.name not in sys.modules:
            imported[neighbour.name] = neighbour.text  # now or later
        elif imported.get(neighbour.name, neighbour.text) != neighbour.text:
            raise BadInput(
                f"load={module.path!r} imports {neighbour.path}, and this process has imported another "
                f"{neighbour.name} before: rename it, or use a new process for each file."
            )
    folders.append(str(Path(module.path).parent))
    sys.path.append(folders[-1])
    sys.modules[module.name] = found = ModuleType(module.name)
    found.__file__ = module.path
    before = [dict(registry) for registry in REGISTRIES]
    METHODS.update({name: dict(space) for name, space in METHODS.items()})  # a file may change a space in place
    try:
        exec(compile(module.text, module.path, "exec"), found.__dict__)
        check_entries()
    except BaseException as error:
        del sys.modules[module.name]
        if isinstance(error, Exception | SystemExit):
            raise load_error(module.path, error) from error
        raise
    finally:
        METHODS.update({name: space for name, space in before[0].items() if METHODS.get(name) == space})
        ran[module] = [
            Change(registry, name, *entries)
            for registry, old in zip(REGISTRIES, before, strict=True)
            for name in old | registry
            if (entries := (old.get(name, MISSING), registry.get(name, MISSING)))[0] is not entries[1]
        ]


def take_back() -> None:
    """Puts the entries in place that were there before this process ran its last `--load` files."""
    for change in (change for changes in reversed(ran.values()) for change in changes):
        if change.registry.get(change.name, MISSING) is not change.after:
            continue  # somebody has replaced it since
        if change.before is MISSING:
            del change.registry[change.name]
        else:
            change.registry[change.name] = change.before
    for folder in folders:
        if folder in sys.path:
            del sys.path[len(sys.path) - 1 - sys.path[::-1].index(folder)]  # the last: it may be the user's, too
    ran.clear()
    folders.clear()


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


class NeighbourFinder(ModuleFinder):
    """Follows folders without `__init__.py` too, on which ModuleFinder fails."""

    def find_module(self, name: str, path: Any, parent: Any = None) -> Any:
        try:
            return super().find_module(name, path, parent)
        except (AttributeError, TypeError):  # such a folder has no loader
            folder = next(folder for one in path or self.path if (folder := Path(one, name)).is_dir())
            return None, str(folder), ("", "", PACKAGE)

    def load_package(self, fqname: str, pathname: str) -> Any:
        try:
            return super().load_package(fqname, pathname)
        except ImportError:  # it looks for `__init__` in it
            return self.modules[fqname]


def read_module(path: Path) -> Module:
    """Reads a `--load` file, and those in its folder that it imports. Raises BadInput if one cannot be read."""
    text, location = read_text(path), str(path.absolute())
    finder = NeighbourFinder(path=[str(Path(location).parent)], excludes=["tune_kmixup", "search_spaces"])
    try:
        finder.run_script(location)
    except (OSError, SyntaxError, ValueError) as error:
        raise load_error(location, error) from error
    found = {name: getattr(module, "__file__", None) for name, module in finder.modules.items() if name != "__main__"}
    files = {name: Path(file) for name, file in sorted(found.items()) if file and Path(file).is_file()}
    return Module(location, text, tuple(Neighbour(name, str(file), read_text(file)) for name, file in files.items()))


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
