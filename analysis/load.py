"""Reads run directories and the folders of earlier reports into one table with a row per run."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pandas as pd
import pyarrow as pa
from pyarrow.parquet import ParquetFile

from tune_kmixup.core.config import Claims, SelectBy, StudyName, Suite, from_json
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.fields import Field, Items
from tune_kmixup.core.rows import COLUMNS, Column, Row, described
from tune_kmixup.core.selection import final_rows
from tune_kmixup.core.text import one_line
from tune_kmixup.store import files, schema
from tune_kmixup.store.run_dir import CorruptFile, RunDir
from tune_kmixup.store.status import busy_share, resume_command, study_status

from .gains import STUDY_KEY
from .one_experiment import check_configurations, check_one_experiment, check_one_format


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the table: one run, and what only its suite and the other runs of its study tell."""

    suite: Annotated[str, Column("name of the suite; added when a run directory is read", is_name=True)]
    row: Row
    selected: Annotated[bool, Column("whether this final run counts: it trained the configuration selected")]


SUITE, SELECTED = described(Entry).values()
TABLE_COLUMNS = {"suite": SUITE, **COLUMNS, "selected": SELECTED}

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
        rows: see `to_table`.
        missing: one row per launch and unfinished study: study, missing, command (which completes it; in words
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
        """δ, level and endpoint where all suites fixed the same, else the usual ones; and all tasks of claim 1."""
        fixed = {replace(suite.claims, families={}) for suite in self.suites}
        family = dict.fromkeys(task for suite in self.suites for task in suite.claims.families.get("1", ()))
        return replace(fixed.pop() if len(fixed) == 1 else Claims(), families={"1": tuple(family)})

    @property
    def select_by(self) -> SelectBy:
        """The score by which configurations were selected: the same in all suites, see `one_experiment`."""
        return self.suites[0].select_by if self.launches else "error"

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
    entries: list[Entry] = []
    launches: list[Found] = []  # each once
    suites: list[tuple[str, Suite]] = []
    directories: list[str] = []  # of each entry
    for source in sources:
        from_report = is_report(source)
        source_entries, source_launches = read_report(source) if from_report else read_run_dir(source)
        entries += source_entries
        directories += [str(source)] * len(source_entries)
        counts = Counter((entry.suite, name_of(entry.row)) for entry in source_entries)
        for launch, command in source_launches:
            suites.append((str(source), launch.suite))
            count = sum(counts[launch.suite.name, study.name] for study in launch.suite.studies)
            launches = with_launch(launches, Found(launch, command, (count, not from_report)))
    if not entries:
        names = ", ".join(map(str, sources))
        raise BadInput(f"run_dirs={names} hold no result yet: launch first, or wait for a trial to end.")
    rows = to_table(entries)
    check_one_format((launch.name, launch.suite) for launch, *_ in launches)
    check_one_experiment(suites)
    check_configurations(rows.assign(source=directories))
    rows = drop_copies(rows)
    by_study = rows_by_study(entries)
    missing = [record for launch, command, _ in launches for record in missing_runs(launch.suite, by_study, command)]
    return Runs(rows, pd.DataFrame(missing, columns=MISSING_COLUMNS), [launch for launch, *_ in launches])


class Found(NamedTuple):
    """A launch, how to complete it, and its place among copies: the one with most runs, rather not a report."""

    launch: Launch
    command: str
    rank: tuple[int, bool]


def with_launch(launches: list[Found], found: Found) -> list[Found]:
    """Adds a launch, or takes it in place of a copy of a lower rank. Copies have the same suite."""
    for place, known in enumerate(launches):
        if known.launch.suite == found.launch.suite:
            return [*launches[:place], max(known, found, key=lambda copy: copy.rank), *launches[place + 1 :]]
    return [*launches, found]


def rows_by_study(entries: Iterable[Entry]) -> dict[str, list[Row]]:
    """Name of a study -> its runs, each once, from whichever directory."""
    studies: dict[str, dict[tuple[Any, ...], Row]] = {}
    for row in (entry.row for entry in entries):
        studies.setdefault(name_of(row), {})[row.phase, row.trial, row.seed] = row
    return {name: list(rows.values()) for name, rows in studies.items()}


def to_table(entries: Sequence[Entry]) -> pd.DataFrame:
    """The table of runs on which all of `analysis` computes: one row per run.

    Returns:
        The columns `TABLE_COLUMNS`, then those of later versions, as text where these are of several kinds. Lists are
        tuples. What is empty is NaN in a column of numbers or text, NA in one of whole numbers, and None elsewhere.
    """
    rows = [entry.row for entry in entries]
    other = dict.fromkeys(name for row in rows for name in row.other if name not in TABLE_COLUMNS)
    return pd.DataFrame(
        {"suite": pd.Series([entry.suite for entry in entries], dtype="str")}
        | {
            name: typed([getattr(row, attribute) for row in rows], allowed)
            for name, (attribute, _, allowed) in COLUMNS.items()
        }
        | {name: of_one_kind([row.other.get(name) for row in rows]) for name in other}
        | {"selected": [entry.selected for entry in entries]}
    )


def typed(values: list[Any], allowed: Field | Items) -> pd.Series:
    """A column of the table. What is whole in all rows is a plain int64."""
    if isinstance(allowed, Items) or allowed.kind is bool:
        return pd.Series(values, dtype=object)
    whole = "Int64" if None in values else "int64"
    return pd.Series(values, dtype={int: whole, float: "float64", str: "str"}[allowed.kind])


def of_one_kind(values: list[Any]) -> list[Any]:
    """The values of a later version's column, as text if a column of a parquet file cannot hold them as they are."""
    kinds = {type(value) if isinstance(value, str | bool) else float for value in values if value is not None}
    return values if len(kinds) < 2 else [None if value is None else str(value) for value in values]


def arrow_type(allowed: Field | Items) -> pa.DataType:
    """The type of a column in a parquet file."""
    if isinstance(allowed, Field):
        return {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.large_string()}[allowed.kind]
    values = [(name, arrow_type(value)) for name, value in allowed.fields.items()]
    return pa.list_(pa.struct(values) if allowed.record else values[0][1])


SourceRuns = tuple[list[Entry], list[tuple[Launch, str]]]  # each launch with how to complete it


def read_run_dir(path: Path) -> SourceRuns:
    with RunDir(path).local_copy() as run:
        suite, last = run.suite(), run.heartbeat()
        studies = [results.rows for results in run.results(suite).values()]
        busy = busy_share(last, ((row.task, row.seconds) for rows in studies for row in rows))
    selected = {id(row) for rows in studies for row in final_rows(rows, suite.shortlist, suite.select_by)}
    entries = [Entry(suite.name, row, id(row) in selected) for rows in studies for row in rows]
    published = replace(suite, identity=suite.identity.without_paths())
    launch = Launch(one_line(path.absolute().name), published, busy)
    command = resume_command(run.display_path, last.options if last else ())
    return entries, [(launch, command)]


def is_report(path: Path) -> bool:
    """Whether this is the folder of a report on a local disk. A run directory may have a report written into it."""
    return not files.is_remote(path) and (path / ROWS_FILE).is_file() and not (path / "suite.json").is_file()


def read_report(folder: Path) -> SourceRuns:
    """Reads what `save_runs` wrote."""
    launches, entries = read_launches(folder), read_entries(folder)
    by_study: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        by_study.setdefault((entry.suite, name_of(entry.row)), []).append(entry)
    for (suite, name), of_study in by_study.items():
        try:
            check_study(name, of_study, [launch.suite for launch in launches if launch.suite.name == suite])
        except BadInput as error:
            raise not_a_report(folder / ROWS_FILE, f"{name}: {error}") from error
    return entries, [(launch, f"resume the run directory called {launch.name}") for launch in launches]


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


def read_entries(folder: Path) -> list[Entry]:
    """The runs of a report, each checked by itself."""
    path = folder / ROWS_FILE
    try:
        if not path.is_file():
            raise files.NotRegular(path)
        with ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
            columns = {name: plain_values(name, table[name]) for name in table.column_names}
    except Exception as error:  # broken bytes lead pyarrow to errors of many kinds
        raise not_a_report(path, error) from error
    entries = []
    for number, values in enumerate(zip(*columns.values(), strict=True)):
        content = dict(zip(columns, values, strict=True))
        suite, selected = content.pop("suite", None), content.pop("selected", None)
        try:
            SUITE.allowed.check("suite", suite)
            SELECTED.allowed.check("selected", selected)
            entries.append(Entry(suite, Row.from_json(content), selected))
        except BadInput as error:
            raise not_a_report(path, f"row {number}: {error}") from error
    return entries


def plain_values(name: str, column: pa.ChunkedArray) -> list[Any]:
    """The values of a column of a parquet file, as JSON has them. None is what is empty."""
    kind = arrow_type(COLUMNS[name].allowed) if name in COLUMNS else column.type
    if kind == pa.int64() and pa.types.is_floating(column.type):  # so earlier versions wrote it where some are empty
        column = column.cast(kind)
    values: list[Any] = column.to_pylist()
    if pa.types.is_list(column.type) and pa.types.is_struct(column.type.value_type):
        return [items and [list(item.values()) for item in items] for items in values]
    return values


def not_a_report(path: Path, reason: object) -> CorruptFile:
    return CorruptFile(path, reason, "write the report again from its run directories.", "is not of a complete report")


def check_study(name: str, entries: list[Entry], suites: Iterable[Suite]) -> None:
    """Checks the runs of a study in a report: one of the suites must expect them, and select what is marked.

    Raises:
        BadInput: if they fit none.
    """
    misfit = BadInput(f"no suite of {LAUNCHES_FILE} has this study")
    for suite in suites:
        for study in suite.studies:
            if study.name == name:
                try:
                    rows = [entry.row for entry in entries]
                    schema.StudyRows(suite, study).check_table(rows)
                    marked = {id(row) for row in final_rows(rows, suite.shortlist, suite.select_by)}
                    if any(entry.selected != (id(entry.row) in marked) for entry in entries):
                        raise BadInput("selected does not mark the final runs of the configuration selected")
                    return
                except BadInput as error:
                    misfit = error
    raise misfit


def save_runs(runs: Runs, folder: Path) -> None:
    """Writes the rows and the launches, from which `load` reads the same runs again."""
    known = pa.schema([(name, arrow_type(column.allowed)) for name, column in TABLE_COLUMNS.items()])
    other = pa.Schema.from_pandas(runs.rows.drop(columns=known.names), preserve_index=False)
    columns = pa.unify_schemas([known, other])
    floats = [field.name for field in columns if pa.types.is_floating(field.type)]
    launches = json.dumps([asdict(launch) for launch in runs.launches], separators=(",", ":"))
    # What is read again is replaced whole: the folder may be one that these runs come from.
    with files.atomic_write(folder / ROWS_FILE) as file:
        runs.rows.to_parquet(
            file,
            schema=columns,
            index=False,
            compression="zstd",
            compression_level=9,
            use_byte_stream_split=floats,  # a tenth smaller
            use_dictionary=[name for name in columns.names if name not in floats],
            write_page_checksum=True,
        )
    with files.atomic_write(folder / LAUNCHES_FILE) as file:
        file.write(f"{launches}\n".encode())


def missing_runs(suite: Suite, rows: Mapping[str, list[Row]], command: str) -> list[dict[str, str]]:
    """One record with `MISSING_COLUMNS` per unfinished study.

    Args:
        suite: what was run.
        rows: name of a study -> its runs.
        command: how to complete it.
    """
    records = []
    for study in suite.studies:
        status = study_status(suite, study, rows.get(study.name, []), {}, ())
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
    every, table = table, table.drop_duplicates([*RUN_KEY, "started", "val_error"], ignore_index=True)
    contradicting = table[table.duplicated(RUN_KEY, keep=False)]
    if len(contradicting):
        row = contradicting.iloc[0]
        study = study_name(*row[STUDY_KEY])
        raise BadInput(
            f"run_dirs hold {len(contradicting)} results that contradict each other, such as two of {study} "
            f"{row['phase']} trial {row['trial']} seed {row['seed']}: report them one by one."
        )
    check_selected(every)
    return table


def check_selected(table: pd.DataFrame) -> None:
    """Refuses two states of a study, by all copies: one selects what the other does not, or another configuration."""
    final = table[table["phase"] == "final"]
    copies = final.drop_duplicates([*RUN_KEY, "selected"])
    selected = final[final["selected"].astype(bool)].drop_duplicates([*STUDY_KEY, "trial"])
    several = pd.concat([copies[copies.duplicated(RUN_KEY)], selected[selected.duplicated(STUDY_KEY)]])
    if len(several):
        study = study_name(*several.iloc[0][STUDY_KEY])
        raise BadInput(
            f"run_dirs hold two states of {study} with different configurations selected: leave out the earlier one."
        )


def study_name(task: str, outer_split: Any, method: str) -> str:
    """The name of the study that a run belongs to; its outer split may be None or NA."""
    return str(StudyName(task, None if pd.isna(outer_split) else int(outer_split), method))


def name_of(row: Row) -> str:
    """The name of the study of a run."""
    return study_name(row.task, row.outer_split, row.method)


def study_names(rows: pd.DataFrame) -> list[str]:
    """The name of the study of each row."""
    return [study_name(*key) for key in rows[STUDY_KEY].itertuples(index=False, name=None)]
