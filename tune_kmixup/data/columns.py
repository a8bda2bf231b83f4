"""What becomes of each column of a table: a number, a category, or nothing, and why."""

import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tune_kmixup.core.text import plural
from tune_kmixup.data.parts import TEST, TRAIN, part_of
from tune_kmixup.data.preprocess import MAX_LEVELS
from tune_kmixup.data.table_files import MANY, TYPOS, Cells

Role = Literal["number", "category", "left out", "label", "group", "split"]

ID_NAME = re.compile(r"(?:^|[\W_])(?:[iI][dD]|(?i:uuid|guid|identifier))(?:[\W_]|$)|[a-z](?:Id|ID)$")
PEOPLE = "subject|patient|participant|individual|person|proband|user|customer|client|speaker|writer"
PERSON = re.compile(rf"({PEOPLE})((en)?[\W_]*(no|nr|nummer|code|key)\.?)?", re.IGNORECASE)
TIME_NAME = re.compile(r"date|time|stamp", re.IGNORECASE)
TIME = r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?\s*([ap]\.?m\.?)?"
MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
DAY = (
    r"(\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})"
    rf"|\d{{1,2}}[ -]{MONTH}[ ,-]*\d{{2,4}}|{MONTH}[ -]\d{{1,2}},?[ -]\d{{2,4}})"
)
DATE = rf"(?i:{DAY}([T ,].*)?|{TIME})"
EPOCH = (631152000, 4102444800)  # seconds of 1990 and 2100


@dataclass(frozen=True)
class Column:
    """What becomes of a column.

    Attributes:
        name: its name.
        role: number, category, left out, or what the command line makes of it.
        note: range of a number, values of a category, or why it is left out, in words.
        warning: what may be wrong, with the remedy; empty if nothing.
        levels: the values of a category in the order of their numbers, the empty one among them if some are missing.
    """

    name: str
    role: Role
    note: str
    warning: str = ""
    levels: tuple[str, ...] = ()


def judge(cells: Cells, as_category: bool) -> Column:
    """What becomes of a column that is neither label, group nor split.

    Args:
        cells: the column.
        as_category: whether the command line says that it is a category.
    """
    name, present = cells.name, cells.text[cells.text != ""]
    levels = pd.unique(present)
    missing = len(cells.text) - len(present)
    if len(levels) + (missing > 0) < 2:
        return Column(name, "left out", f"constant: {levels[0]}" if len(levels) else "empty")
    if cells.numbers is not None and np.isnan(cells.numbers).all():
        return Column(name, "left out", "no number is finite")
    if as_category:
        return category(name, levels, missing)
    if is_time(cells, levels):
        return Column(name, "left out", "date or time")
    if is_index(cells, levels):
        return Column(name, "left out", "index: it numbers the rows")
    person = PERSON.fullmatch(name) is not None
    if ID_NAME.search(name) or (person and len(levels) > MANY):
        return identifier(name, levels, present)
    column = as_input(cells, levels, missing)
    if person and len(levels) < len(present) and column.role != "left out":
        told = f"if rows of one {name} belong together, name it with --group"
        return replace(column, warning=f"column {name} becomes an input: {told}, else with --drop or --categorical.")
    if len(levels) <= MANY and {TRAIN, TEST} <= (parts := set(map(part_of, levels))) and None not in parts:
        return replace(column, warning=f"column {name} becomes an input: name it with --split, or --drop it.")
    return column


def as_input(cells: Cells, levels: NDArray[np.object_], missing: int) -> Column:
    """A column as a number or a category; left out if it is of text that differs from row to row."""
    if cells.numbers is not None:
        return number(cells)
    name, present = cells.name, cells.text[cells.text != ""]
    if len(levels) > MANY and len(levels) > len(present) / 2:
        words = pd.Series(levels).str.count(r"\s+").mean() + 1
        return Column(name, "left out", f"{'free text' if words >= 3 else 'text'}: {len(levels):,} different values")
    return category(name, levels, missing)


def number(cells: Cells) -> Column:
    assert cells.numbers is not None
    good = cells.numbers[~np.isnan(cells.numbers)]
    absent = len(cells.numbers) - len(good)
    note = f"{good.min():.6g} to {good.max():.6g}{f'; {absent:,} missing' if absent else ''}"
    warning = ""
    if cells.odd:
        warning = (
            f"column {cells.name} of numbers has {plural(len(cells.odd), 'cell')} of something else, such as "
            f"{cells.odd[0]!r}: they count as missing. Correct them, or name the column with --categorical."
        )
    return Column(cells.name, "number", note, warning)


def category(name: str, levels: NDArray[np.object_], missing: int) -> Column:
    values = ", ".join(sorted(levels)[:3]) + (", ..." if len(levels) > 3 else "")
    absent = f"; {missing:,} missing" if missing else ""
    pooled = f"; all but the {MAX_LEVELS - 1} most common are pooled" if len(levels) > MAX_LEVELS else ""
    every = tuple(sorted({*levels, ""} if missing else levels))
    return Column(name, "category", f"{len(levels)} values: {values}{absent}{pooled}", levels=every)


def identifier(name: str, levels: NDArray[np.object_], present: NDArray[np.object_]) -> Column:
    warning = ""
    if len(levels) < len(present):
        warning = (
            f"column {name} is left out as an identifier, and its values repeat: if rows of the same {name} belong "
            f"together, name it with --group, else with --categorical or --drop."
        )
    return Column(name, "left out", f"identifier: {len(levels):,} different values", warning)


def is_time(cells: Cells, levels: NDArray[np.object_]) -> bool:
    """Whether these are dates, times, or seconds since 1970 in a column called so."""
    if cells.is_date:
        return True
    if cells.numbers is None:
        return bool(pd.Series(levels).str.fullmatch(DATE).mean() > 1 - TYPOS)
    if not TIME_NAME.search(cells.name):
        return False
    numbers = cells.numbers[~np.isnan(cells.numbers)]
    epochs = [(EPOCH[0] * unit, EPOCH[1] * unit) for unit in (1, 10**3, 10**6, 10**9)]
    ranges = [*epochs, (19000101, 21001231)]  # the last one: 20240131
    return any(bool(np.all((numbers >= low) & (numbers <= high))) for low, high in ranges)


def is_index(cells: Cells, levels: NDArray[np.object_]) -> bool:
    """Whether a column numbers the rows: different whole numbers from 0 or 1 with hardly a gap, in any order."""
    numbers, rows = cells.numbers, len(cells.text)
    if numbers is None or len(levels) < rows or np.isnan(numbers).any() or (numbers % 1).any():
        return False
    unnamed = cells.name.startswith("Unnamed: ") or cells.name.lower() == "index"
    return unnamed or (rows >= MANY and numbers.min() in (0, 1) and numbers.max() <= 1.1 * rows)
