"""Reads run directories and the folders of earlier reports into one table with a row per run."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from tune_kmixup.core.config import Claims, Suite, from_json
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.rows import COLUMNS, RENAMED, Row
from tune_kmixup.core.selection import final_rows
from tune_kmixup.core.text import one_line
from tune_kmixup.store import files, schema
from tune_kmixup.store.run_dir import CorruptFile, RunDir
from tune_kmixup.store.status import busy_share, resume_command, study_status

from .gains import STUDY_KEY
from .one_experiment import check_configurations, check_one_experiment, check_one_format

RUN_KEY = [*STUDY_KEY, "phase", "trial", "seed"]  # the columns that identify a run
MISSING_COLUMNS = ["study", "missing", "command"]
ROWS_FILE, LAUNCHES_FILE = "results.parquet", "launches.json"  # from these two a report can be written again


@dataclass(frozen=True)
class Launch:
    """The launch that filled one run directory.

    Attributes:
        name: name of the run directory.
        suite: what was run.
        busy: share of the slots' time in which runs trained; None where it is not known.
    """

    name: str
    suite: Suite
    busy: float | None


@dataclass(frozen=True)
class Runs:
    """The runs of one or several launches.

    Attributes:
        rows: one row per run, with the columns of `core.rows.COLUMNS` and `selected`, which marks the final runs of the
            selected configuration.
        missing: one row per unfinished study: study, missing, command (which completes it; in words
            where the run directory is not known).
        launches: where the rows come from.
    """

    rows: pd.DataFrame
    missing: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=MISSING_COLUMNS))
    launches: list[Launch] = field(default_factory=list)

    @property
    def final(self) -> pd.DataFrame:
        """The final runs of the selected configurations."""
        return self.rows[self.rows["selected"].astype(bool)]

    @property
    def claims(self) -> Claims:
        """δ, level and endpoint where all suites fixed the same, else the usual ones. Without families."""
        fixed = {replace(suite.claims, families={}) for suite in self.suites}
        return fixed.pop() if len(fixed) == 1 else Claims()

    @property
    def suites(self) -> list[Suite]:
        return [launch.suite for launch in self.launches]


def load(sources: Iterable[Path]) -> Runs:
    """Reads and merges run directories and folders of reports.

    Args:
        sources: run directories and folders of reports, in any mixture.

    Returns:
        Their runs, each once. `core.selection.final_rows` decides which final runs are marked as selected.

    Raises:
        BadInput: a folder is neither, none holds a result, or two do not belong together (see `one_experiment` and
            `drop_copies`).
    """
    sources = list(sources)
    rows: list[Row] = []
    missing: list[dict[str, str]] = []
    launches: list[Launch] = []
    suites: list[tuple[str, Suite]] = []
    directories: list[str] = []  # of each row
    for source in sources:
        source_rows, source_missing, source_launches = (
            read_report(source) if is_report(source) else read_run_dir(source)
        )
        rows += source_rows
        directories += [str(source)] * len(source_rows)
        suites += [(str(source), launch.suite) for launch in source_launches]
        missing += source_missing
        launches += source_launches
    if not rows:
        names = ", ".join(map(str, sources))
        raise BadInput(f"run_dirs={names} hold no result yet: launch first, or wait for a trial to end.")
    table = pd.DataFrame(rows)
    table = table.reindex(columns=[*COLUMNS, *table.columns.difference([*COLUMNS], sort=False)])
    table["outer_split"] = table["outer_split"].astype("Int64")
    check_one_format((launch.name, launch.suite) for launch in launches)
    check_one_experiment(suites)
    check_configurations(table.assign(source=directories))
    return Runs(drop_copies(table), pd.DataFrame(missing, columns=MISSING_COLUMNS), launches)


SourceRuns = tuple[list[Row], list[dict[str, str]], list[Launch]]  # rows, missing, launches


def read_run_dir(path: Path) -> SourceRuns:
    with RunDir(path).local_copy() as run:
        suite, last = run.suite(), run.launch()
        rows_by_study = {name: results.rows for name, results in run.results(suite).items()}
        seconds = ((row["task"], row["seconds"]) for rows in rows_by_study.values() for row in rows)
        busy = busy_share(last, seconds)
    selected = {id(row) for rows in rows_by_study.values() for row in final_rows(rows, suite.shortlist)}
    marked = [
        {"suite": suite.name, **row, "selected": id(row) in selected} for rows in rows_by_study.values() for row in rows
    ]
    published = replace(suite, identity=suite.identity.without_paths())
    launch = Launch(one_line(path.absolute().name), published, busy)
    command = resume_command(run.display_path, last.get("options", []))
    return marked, missing_runs(suite, rows_by_study, command), [launch]


def is_report(path: Path) -> bool:
    """Whether this is the folder of a report on a local disk. A run directory may have a report written into it."""
    return not files.is_remote(path) and (path / ROWS_FILE).is_file() and not (path / "suite.json").is_file()


def read_report(folder: Path) -> SourceRuns:
    """Reads what `save_runs` wrote."""
    launches, rows = read_launches(folder), read_rows(folder)
    by_study: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_study.setdefault((str(row.get("suite")), study_name(row)), []).append(row)
    for (suite, name), study_rows in by_study.items():
        try:
            check_study(name, study_rows, [launch.suite for launch in launches if launch.suite.name == suite])
        except BadInput as error:
            raise not_a_report(folder / ROWS_FILE, f"{name}: {error}") from error
    missing: list[dict[str, str]] = []
    for launch in launches:
        suite_rows = {name: rows for (suite, name), rows in by_study.items() if suite == launch.suite.name}
        missing += missing_runs(launch.suite, suite_rows, f"resume the run directory called {launch.name}")
    return rows, missing, launches


def read_launches(folder: Path) -> list[Launch]:
    try:
        entries, launches = schema.parse(files.read(folder / LAUNCHES_FILE)), []
        if not isinstance(entries, list):
            raise BadInput("it holds no launches")
        for entry in entries:
            schema.check_record(entry, schema.LAUNCH)
            launches.append(Launch(entry["name"], from_json(json.dumps(entry["suite"])), entry.get("busy")))
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        reason = error if isinstance(error, ValueError | OSError) else repr(error)
        raise not_a_report(folder / LAUNCHES_FILE, reason) from error
    return launches


def read_rows(folder: Path) -> list[Row]:
    """The rows of a report, each checked by itself, as `RunDir.rows` gives them: None where nothing was measured."""
    path = folder / ROWS_FILE
    try:
        if not path.is_file():
            raise files.NotRegular(path)
        table = pd.read_parquet(path, page_checksum_verification=True).rename(columns=RENAMED)
        table = table.dropna(axis="columns", how="all")
        rows: list[Row] = table.astype(object).where(table.notna(), None).to_dict("records")
    except Exception as error:  # broken bytes lead pyarrow to errors of many kinds
        raise not_a_report(path, error) from error
    whole = [name for name, (kind, _) in COLUMNS.items() if kind == "int"]
    for number, row in enumerate(rows):
        # Where some are missing, pandas reads a column of whole numbers as floats.
        row |= {name: int(row[name]) for name in whole if isinstance(row.get(name), float) and row[name].is_integer()}
        try:
            schema.check_row(row)
            schema.Field(bool).check("selected", row.get("selected"))
        except BadInput as error:
            raise not_a_report(path, f"row {number}: {error}") from error
    return rows


def not_a_report(path: Path, reason: object) -> CorruptFile:
    return CorruptFile(path, reason, "write the report again from its run directories.", "is not of a complete report")


def check_study(name: str, rows: list[Row], suites: Iterable[Suite]) -> None:
    """Checks the rows of a study in a report: one of the suites must expect them, and select what is marked.

    Raises:
        BadInput: if they fit none.
    """
    misfit = BadInput(f"no suite of {LAUNCHES_FILE} has this study")
    for suite in suites:
        for study in suite.studies:
            if study.name == name:
                try:
                    schema.StudyRows(suite, study).check_table(rows)
                    marked = {id(row) for row in final_rows(rows, suite.shortlist)}
                    if any(row["selected"] != (id(row) in marked) for row in rows):
                        raise BadInput("selected does not mark the final runs of the configuration selected")
                    return
                except BadInput as error:
                    misfit = error
    raise misfit


def save_runs(runs: Runs, folder: Path) -> None:
    """Writes the rows and the launches, from which `load` reads the same runs again."""
    runs.rows.to_parquet(folder / ROWS_FILE, compression="zstd", write_page_checksum=True)
    launches = json.dumps([asdict(launch) for launch in runs.launches], indent=1)
    (folder / LAUNCHES_FILE).write_text(f"{launches}\n", encoding="utf-8")


def missing_runs(suite: Suite, rows_by_study: Mapping[str, list[Row]], command: str) -> list[dict[str, str]]:
    """One record with `MISSING_COLUMNS` per unfinished study.

    Args:
        suite: what was run.
        rows_by_study: name of a study -> its rows.
        command: how to complete it.
    """
    records = []
    for study in suite.studies:
        status = study_status(suite, study, rows_by_study.get(study.name, []), {}, ())
        search, final = status.search_planned - status.search_done, status.final_planned - status.final_done
        if counts := [f"{n} {phase} runs" for n, phase in ((search, "search"), (final, "final")) if n > 0]:
            records.append({"study": study.name, "missing": ", ".join(counts), "command": command})
    return records


def drop_copies(table: pd.DataFrame) -> pd.DataFrame:
    """Drops copies of the same run.

    Raises:
        BadInput: rows of one run differ, or a study has several selected configurations, as an earlier and a later
            state of one launch have.
    """
    table = table.drop_duplicates([*RUN_KEY, "started", "val_error"], ignore_index=True)
    contradicting = table[table.duplicated(RUN_KEY, keep=False)]
    if len(contradicting):
        row = contradicting.iloc[0]
        raise BadInput(
            f"run_dirs hold {len(contradicting)} results that contradict each other, such as two of {study_name(row)} "
            f"{row['phase']} trial {row['trial']} seed {row['seed']}: report them one by one."
        )
    selected = table[table["selected"].astype(bool)].drop_duplicates([*STUDY_KEY, "trial"])
    several = selected[selected.duplicated(STUDY_KEY, keep=False)]
    if len(several):
        raise BadInput(
            f"run_dirs hold two states of {study_name(several.iloc[0])} with different configurations selected: "
            "leave out the earlier one."
        )
    return table


def study_name(row: Mapping[str, Any]) -> str:
    """The name of the study that a row belongs to."""
    split = row.get("outer_split")
    return f"{row['task']}{'' if pd.isna(split) else f'@{split}'}/{row['method']}"
