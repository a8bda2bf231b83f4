"""Run directories -> one tidy table, and what is missing of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tune_kmixup.columns import COLUMNS
from tune_kmixup.results import RunDir
from tune_kmixup.selection import final_rows
from tune_kmixup.status import busy, study_status
from tune_kmixup.study import BadInput, Study, Suite

KEY = ["task", "outer_split", "method", "phase", "trial", "seed"]


@dataclass(frozen=True)
class Runs:
    """`rows`: one per run, the columns of `columns.COLUMNS` and `selected`, which marks the final runs that count.

    `missing`: one row per study that is not finished, with the command that completes it.
    """

    rows: pd.DataFrame
    missing: pd.DataFrame
    suites: dict[str, Suite]  # by run directory, as is the next
    busy: dict[str, float | None]  # share of the slots' time in which runs trained


def load(run_dirs: Iterable[Path]) -> Runs:
    """Reads and merges run directories. Which final runs count is decided by `selection.final_rows` alone.

    Raises BadInput for a directory that is none, for one without any result, and where two of them hold different
    results of the same run.
    """
    suites: dict[str, Suite] = {}
    shares: dict[str, float | None] = {}
    rows: list[dict[str, Any]] = []
    missing = []
    for path in run_dirs:
        begun = len(rows)
        with RunDir(path).at_hand() as run:
            suite = suites[str(path)] = run.suite()
            for study in suite.studies:
                found = run.rows(study.name)
                counted = {id(row) for row in final_rows(found)}
                rows += [{"suite": suite.name, **row, "selected": id(row) in counted} for row in found]
                missing += lacking(path, suite, study, found)
            shares[str(path)] = busy(run.launch(), ((row["task"], row["seconds"]) for row in rows[begun:]))
    if not rows:
        raise BadInput(f"run_dirs={', '.join(suites)} hold no result yet: launch first, or wait for a trial to end.")
    table = pd.DataFrame(rows)
    table = table.reindex(columns=[*COLUMNS, *table.columns.difference([*COLUMNS], sort=False)])
    table["outer_split"] = table["outer_split"].astype("Int64")
    return Runs(unique(table), pd.DataFrame(missing, columns=["study", "missing", "command"]), suites, shares)


def lacking(path: Path, suite: Suite, study: Study, rows: list[dict[str, object]]) -> list[dict[str, str]]:
    found = study_status(suite, study, rows, {}, ())
    search, final = found.search_planned - found.search_done, found.final_planned - found.final_done
    parts = [f"{n} {phase} runs" for n, phase in ((search, "search"), (final, "final")) if n > 0]
    command = f"tune-kmixup resume {path}"
    return [{"study": study.name, "missing": ", ".join(parts), "command": command}] if parts else []


def unique(table: pd.DataFrame) -> pd.DataFrame:
    """Without rows that are there twice. Raises BadInput where rows of one run differ."""
    table = table.drop_duplicates([*KEY, "started", "val_error"], ignore_index=True)
    twice = table[table.duplicated(KEY, keep=False)]
    if len(twice):
        one = twice.iloc[0]
        split = "" if pd.isna(one["outer_split"]) else f"@{one['outer_split']}"
        raise BadInput(
            f"run_dirs hold {len(twice)} results that contradict each other, such as two of {one['task']}{split} "
            f"{one['method']} {one['phase']} trial {one['trial']} seed {one['seed']}: report them one by one."
        )
    return table
