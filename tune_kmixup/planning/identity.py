"""What a launch trains on besides its suite: data, `--load` files and the version of the numbers."""

import dataclasses
from itertools import zip_longest
from pathlib import Path

from tune_kmixup.core.config import Identity, Suite
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.numerics import NUMERICS
from tune_kmixup.data.download import cache_dir
from tune_kmixup.data.fingerprint import fingerprint
from tune_kmixup.planning.plugins import Plugins
from tune_kmixup.store.run_dir import RunDir


def identified(suite: Suite, run: RunDir, data_dir: Path, plugins: Plugins) -> Suite:
    """A suite with its identity, which must be that of the results in the run directory. Reads all data once.

    Args:
        suite: the suite to run; its data sets have been fetched.
        run: its run directory.
        data_dir: absolute path of the folder of the data sets.
        plugins: the `--load` files, which have been loaded.

    Raises:
        BadInput: if the run directory holds results of other data, `--load` files or numbers.
    """
    identity = Identity(
        data={name: fingerprint(name, data_dir) for name in sorted({study.task.dataset for study in suite.studies})},
        loaded=plugins.fingerprints(),
        numerics=NUMERICS,
        load=plugins.paths,
        data_dir="" if data_dir == cache_dir() else str(data_dir),
        sources=plugins.sources,
    )
    if run.exists():
        check_same_identity(run, run.suite().identity, identity)
    return dataclasses.replace(suite, identity=identity)


def check_same_identity(run: RunDir, old: Identity, new: Identity) -> None:
    """Raises BadInput if results of `new` do not belong to those of `old`. Nothing is known of one without numerics."""
    out = f"out={str(run.path)!r} holds results of"
    another = "or launch into another --out."
    if old.numerics and old.numerics != new.numerics:
        raise BadInput(
            f"{out} numerics {old.numerics}, and this version of tune-kmixup trains with numerics {new.numerics}: go "
            f"on with the version that began it, {another}"
        )
    for dataset, now in new.data.items():
        before = old.data.get(dataset, now)
        if before != now:
            own = next((source.path for source in new.sources if source.name == dataset), "")
            restore = f"Restore {own}" if own else "Restore the data, name their folder with --data-dir"
            raise BadInput(f"{out} other data: {dataset} (was {before[:8]}, now {now[:8]}). {restore}, {another}")
    files = zip_longest(old.load, old.loaded, new.load, new.loaded)
    changes = [
        f"{now_path or path} (was {before[:8] if before else 'none'}, now {now[:8] if now else 'none'})"
        for path, before, now_path, now in files
        if before != now
    ]
    if old.numerics and changes:
        raise BadInput(
            f"{out} other --load files: {', '.join(changes)}. Restore them, name the same files in the same order, "
            f"{another}"
        )


def remembered_data_dir(suite: Suite) -> Path | None:
    """The folder of the data sets of the launch before, to go on without `--data-dir`; None for the default one.

    Raises:
        BadInput: if it is not there, as on another machine.
    """
    folder = suite.identity.data_dir
    if folder and not Path(folder).is_dir():
        raise BadInput(f"data_dir={folder!r} of the launch before is not there: name the folder with --data-dir.")
    return Path(folder) if folder else None
