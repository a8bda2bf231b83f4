"""Run directories, and the folders of earlier reports, -> one tidy table, and what is missing of it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tune_kmixup.core.config import Suite, from_json
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import COLUMNS, RENAMED, Row
from tune_kmixup.core.selection import final_rows
from tune_kmixup.store.files import is_remote
from tune_kmixup.store.run_dir import RunDir
from tune_kmixup.store.status import busy_share, study_status

from .gains import STUDY

KEY = [*STUDY, "phase", "trial", "seed"]
MISSING = ["study", "missing", "command"]
ROWS, LAUNCHES = "results.parquet", "launches.json"  # what a report keeps of the runs that it is made from


@dataclass(frozen=True)
class Launch:
    """What filled one run directory."""

    name: str  # of the run directory
    suite: Suite
    busy: float | None  # share of the slots' time in which runs trained


@dataclass(frozen=True)
class Runs:
    """`rows`: one per run, the columns of `columns.COLUMNS` and `selected`, which marks the final runs that count.

    `missing`: one row per study that is not finished, with the command that completes it.
    """

    rows: pd.DataFrame
    missing: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=MISSING))
    launches: list[Launch] = field(default_factory=list)

    @property
    def suites(self) -> list[Suite]:
        return [launch.suite for launch in self.launches]


def load(sources: Iterable[Path]) -> Runs:
    """Reads and merges run directories and folders of reports. Which final runs count `selection.final_rows` decides.

    Raises BadInput for a folder that is neither, for folders without any result, and where two of them contradict each
    other (see `unique`).
    """
    sources = list(sources)
    rows: list[Row] = []
    missing: list[dict[str, str]] = []
    launches: list[Launch] = []
    for source in sources:
        done, lacks, by = read_report(source) if is_report(source) else read_run_dir(source)
        rows += done
        missing += lacks
        launches += by
    if not rows:
        names = ", ".join(map(str, sources))
        raise BadInput(f"run_dirs={names} hold no result yet: launch first, or wait for a trial to end.")
    table = pd.DataFrame(rows)
    table = table.reindex(columns=[*COLUMNS, *table.columns.difference([*COLUMNS], sort=False)])
    table["outer_split"] = table["outer_split"].astype("Int64")
    return Runs(unique(table), pd.DataFrame(missing, columns=MISSING), launches)


Found = tuple[list[Row], list[dict[str, str]], list[Launch]]  # rows, what is missing, launches


def read_run_dir(path: Path) -> Found:
    with RunDir(path).local_copy() as run:
        suite = run.suite()
        found = {study.name: run.rows(study.name) for study in suite.studies}
        share = busy_share(run.launch(), ((row["task"], row["seconds"]) for rows in found.values() for row in rows))
    counted = {id(row) for rows in found.values() for row in final_rows(rows)}
    marked = [{"suite": suite.name, **row, "selected": id(row) in counted} for rows in found.values() for row in rows]
    return marked, missing_runs(suite, found, str(path)), [Launch(path.absolute().name, suite, share)]


def is_report(path: Path) -> bool:
    """Whether this is the folder of a report, on a disk, and not of a run directory that a report was written into."""
    return not is_remote(path) and (path / ROWS).is_file() and not (path / "suite.json").is_file()


def read_report(folder: Path) -> Found:
    """What `keep` has left there."""
    try:
        # As `RunDir.rows` gives them: None where nothing was measured, and no column that is empty throughout.
        table = pd.read_parquet(folder / ROWS).rename(columns=RENAMED).dropna(axis="columns", how="all")
        launches = [
            Launch(one["name"], from_json(json.dumps(one["suite"])), one["busy"])
            for one in json.loads((folder / LAUNCHES).read_text(encoding="utf-8"))
        ]
        rows: list[Row] = table.astype(object).where(table.notna(), None).to_dict("records")
        of_suite: dict[str, dict[str, list[Row]]] = {launch.suite.name: {} for launch in launches}
        for row in rows:
            of_suite[row["suite"]].setdefault(study_name(row), []).append(row)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"run_dirs={str(folder)!r} is no whole report ({error}): name a run directory, or a report of this version."
        ) from error
    missing: list[dict[str, str]] = []
    for one in launches:
        missing += missing_runs(one.suite, of_suite[one.suite.name], f".../{one.name}")
    return rows, missing, launches


def save_runs(runs: Runs, folder: Path) -> None:
    """Leaves in the folder of a report what makes another: the rows, and the launches that they are of."""
    runs.rows.to_parquet(folder / ROWS, compression="zstd")
    launches = json.dumps([asdict(launch) for launch in runs.launches], indent=1)
    (folder / LAUNCHES).write_text(f"{launches}\n", encoding="utf-8")


def missing_runs(suite: Suite, rows: Mapping[str, list[Row]], run_dir: str) -> list[dict[str, str]]:
    """One line per study of the suite that is not finished; `rows` by study."""
    lines = []
    for study in suite.studies:
        found = study_status(suite, study, rows.get(study.name, []), {}, ())
        search, final = found.search_planned - found.search_done, found.final_planned - found.final_done
        if parts := [f"{n} {phase} runs" for n, phase in ((search, "search"), (final, "final")) if n > 0]:
            command = f"tune-kmixup resume {run_dir}"
            lines.append({"study": study.name, "missing": ", ".join(parts), "command": command})
    return lines


def unique(table: pd.DataFrame) -> pd.DataFrame:
    """Without rows that are there twice.

    Raises BadInput where rows of one run differ, and where a study has several selections: an earlier state of a launch
    beside a later one.
    """
    table = table.drop_duplicates([*KEY, "started", "val_error"], ignore_index=True)
    twice = table[table.duplicated(KEY, keep=False)]
    if len(twice):
        one = twice.iloc[0]
        raise BadInput(
            f"run_dirs hold {len(twice)} results that contradict each other, such as two of {study_name(one)} "
            f"{one['phase']} trial {one['trial']} seed {one['seed']}: report them one by one."
        )
    selected = table[table["selected"].astype(bool)].drop_duplicates([*STUDY, "trial"])
    several = selected[selected.duplicated(STUDY, keep=False)]
    if len(several):
        raise BadInput(
            f"run_dirs hold {study_name(several.iloc[0])} in two states, with other configurations selected: "
            "leave out the earlier."
        )
    return table


def study_name(row: Mapping[str, Any]) -> str:
    """The name of the study that a row is of."""
    split = row.get("outer_split")
    return f"{row['task']}{'' if pd.isna(split) else f'@{split}'}/{row['method']}"
