"""Reads the columns of a CSV, TSV or Parquet file. What a CSV does not say about itself is found out, and said.

pandas alone would read many files wrongly without a word: it takes the first row as names, turns codes such as 007 into
numbers, renames repeated columns, fills short rows, and takes the class None for a missing value. So all cells are read
as text first.
"""

import csv
import io
import re
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tune_kmixup.core.checks import shown
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.text import first_line, plural
from tune_kmixup.data.validation import LARGEST
from tune_kmixup.data.visible import is_visible

DELIMITED, PARQUET = (".csv", ".tsv", ".txt", ".data", ".dat", ".tab"), (".parquet", ".pq")
COMPRESSED = (".gz", ".bz2", ".xz", ".zip", ".zst")
SEPARATORS = {"\t": "tab", ";": "semicolon", "|": "bar", ",": "comma", " ": "white space"}
SAMPLE_ROWS = 200  # on which separator, header and decimal comma are decided
TYPOS = 0.05  # largest share of the cells of a column of numbers that may be something else
MANY = 20  # different values; with no more, such cells make a column one of categories
ENCODINGS = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "cp1252": "Latin-1 (cp1252)", "latin-1": "Latin-1"}

# Spellings of a missing value, in lower case. In a column of numbers these of words are missing too; in one of
# categories they stay a category, which says no less.
MISSING = ("", "?", "na", "n/a", "#n/a", "nan", "-nan", "null", "<na>", "#na", "nat", "1.#qnan", "-1.#ind")
MISSING_NUMBER = (*MISSING, "-", "--", ".", "..", "*", "none", "unknown", "missing", "not available", "n.a.")

NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
COMMA_NUMBER = r"[-+]?(\d{1,3}(\.\d{3})+|\d*),\d+"  # 1.234,5 and 0,5
COMMA_THOUSANDS = r"[-+]?[1-9]\d{0,2}(\.\d{3})+"  # 1.234, where other numbers have a decimal comma
THOUSANDS = r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?"
WORD = r'"((?:[^"\\]|\\.)*)"|(\S+)'  # a cell between white space; R writes \" for a quotation mark in it
UNIT = r"^[$€£]\s*|\s*[%$€£]$"


@dataclass(frozen=True)
class Cells:
    """One column as a file has it.

    Attributes:
        name: its name.
        text: one string per row, without surrounding blanks; empty where the value is missing.
        numbers: one float64 per row, NaN where the value is missing or no number; None unless nearly all are numbers.
        odd: given values of such a column that are no numbers, or infinite.
        is_date: whether the file itself says that these are dates.
    """

    name: str
    text: NDArray[np.object_]
    numbers: NDArray[np.float64] | None
    odd: tuple[str, ...] = ()
    is_date: bool = False


@dataclass(frozen=True)
class TableFile:
    """The columns of a file.

    Attributes:
        columns: in the order of the file.
        rows: number of rows.
        notes: what was found out about the form of the file, in words.
        decimal_comma: whether its numbers have one.
    """

    columns: tuple[Cells, ...]
    rows: int
    notes: tuple[str, ...]
    decimal_comma: bool = False


def read_table_file(path: Path, numbers: Collection[str] = (), decimal_comma: bool | None = None) -> TableFile:
    """Reads a table.

    Args:
        path: CSV with any separator, or Parquet.
        numbers: names of columns that are of numbers, whatever they look like.
        decimal_comma: what a number such as 1,234 is where no other number of the file tells; None: it has a decimal
            comma, unless commas separate the columns.

    Raises:
        BadInput: if the file cannot be read as a table, in one line with the remedy.
    """
    if path.suffix.lower() in PARQUET:
        return read_parquet(path, numbers)
    text, encoding = decode(path)
    try:
        text, separator = separate(path, text)
        first, width = check_rows(path, text, separator)
        cells = parse(text, separator, width)
    except (csv.Error, pd.errors.ParserError) as error:
        reason = str(error).partition(" starting at row")[0]  # which pandas counts from 0, without blank lines
        raise BadInput(f"{path} cannot be read as CSV ({reason}): check its quotation marks.") from error
    names, has_header = column_names(first, cells, width)
    cells = cells.iloc[1:] if has_header else cells
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise BadInput(f"{path} has {len(repeated)} column names twice, such as {shown(repeated[0])}: rename them.")
    if cells.empty:
        raise BadInput(f"{path} has no rows below its first line: write a header row and one row per example.")
    decimal_comma = has_decimal_comma(cells, separator, decimal_comma)
    notes = [f"{encoding}, separated by {SEPARATORS.get(separator, separator)}", "first row: column names"]
    if not has_header:
        notes[1] = f"no header row, so the columns are called 1 to {width} (write a header row to name them)"
    if decimal_comma:
        notes.append("numbers have a decimal comma")
    columns = (read_cells(name, cells[column], decimal_comma, name in numbers) for column, name in enumerate(names))
    return TableFile(tuple(columns), len(cells), tuple(notes), decimal_comma)


def decode(path: Path) -> tuple[str, str]:
    """The text of a file, decompressed, and the name of its encoding."""
    try:
        content = only_member(path) if path.suffix.lower() == ".zip" else decompressed(path)
    except BadInput:
        raise
    except Exception as error:  # each compression has errors of its own
        raise BadInput(f"{path} cannot be read ({error}): check the path, or write the file again.") from error
    wide = content[:2] in (b"\xff\xfe", b"\xfe\xff") or content[1:200:2].count(0) > 50
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            text = content.decode(encoding)
        except UnicodeError:
            continue
        if "\0" in text:
            break
        return text.replace("\r\n", "\n").replace("\r", "\n"), ENCODINGS[encoding]
    raise BadInput(f"{path} is no text: save it as CSV or Parquet.")


def decompressed(path: Path) -> bytes:
    with fsspec.open(str(path), "rb", compression="infer") as file:
        content: bytes = file.read()
        return content


def only_member(path: Path) -> bytes:
    """The content of the file in a .zip. Folders, and what macOS and others add to them, do not count."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        names = [name for name in names if is_visible(PurePosixPath(name))]
        if not names:
            raise BadInput(f"{path} holds no file: put a table into it.")
        if len(names) > 1:
            listed = f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
            raise BadInput(f"{path} holds {len(names)} files ({listed}): unpack it, and name one file.")
        return archive.read(names[0])


def separate(path: Path, text: str) -> tuple[str, str]:
    """The text from the header on, and its separator: that which gives most rows the same number of cells, above one.

    csv.Sniffer takes the comma of `a;b` and `1,5;2,5` for the separator.
    """
    if named := re.match(r"sep=(.)\n", text):  # Excel's own first line
        return text[named.end() :], named[1]
    lines = [line for line in text[: 2**20].split("\n")[: SAMPLE_ROWS + 1] if line.strip()]
    if not lines:
        raise BadInput(f"{path} is empty: write a header row and one row per example.")
    tabbed = all("\t" in line for line in lines) and any('"' in line for line in lines)
    best, agreeing = ",", 0.0  # a tie goes to the first: 1,5;2,5 has a decimal comma
    for separator in SEPARATORS:
        first, *below = (len(row) for row in split_rows(lines, separator))
        if below and 1 < first == below[0] - 1:  # R writes no name above row names
            first = below[0]
        counts = Counter(count for count in (first, *below) if count > 1)
        share = max(counts.values(), default=0) / len(lines)
        if share > agreeing and (separator != " " or (share == 1 and not tabbed)):  # texts hold blanks
            best, agreeing = separator, share
    return text, best


def split_rows(lines: Any, separator: str, strict: bool = False) -> Any:
    """The rows of cells, read by the standard library. `strict` raises csv.Error for text after a quoted cell."""
    if separator == " ":
        return ([quoted or bare for quoted, bare in re.findall(WORD, line)] for line in lines)
    return csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=strict)


def check_rows(path: Path, text: str, separator: str) -> tuple[list[str], int]:
    """The first row, and the number of cells of all others.

    Raises:
        BadInput: if rows have different numbers of cells; pandas fills short ones.
    """
    lines = io.StringIO(re.sub(rf'"[ \t]+(?=[{re.escape(separator)}\n]|$)', '"', text) if '"' in text else text)
    first: list[str] = []
    counts: Counter[int] = Counter()
    where: dict[int, int] = {}
    for number, row in enumerate(quoted_rows(path, lines, separator), 1):
        if not row or (len(row) == 1 and not row[0].strip()):
            continue
        if not first:
            first = [" ".join(cell.split()) for cell in row]
        else:
            counts[len(row)] += 1
            where.setdefault(len(row), number)
    width = counts.most_common(1)[0][0] if counts else len(first)
    if others := [count for count in counts if count != width]:
        problem = f"{path} row {where[others[0]]} has {plural(others[0], 'cell')}, others have {width}"
        mark = SEPARATORS.get(separator, separator)
        raise BadInput(f"{problem}: correct the row, and quote cells that hold a {mark}.")
    if not (len(first) == width or (len(first) == width - 1 and may_be_short(text, separator))):
        problem = f"{path} row 1 has {plural(len(first), 'cell')}, the others have {width}"
        mark = SEPARATORS.get(separator, separator)
        raise BadInput(f"{problem}: correct the header row, and quote cells that hold a {mark}.")
    return first, width


def quoted_rows(path: Path, lines: Any, separator: str) -> Iterator[list[str]]:
    """The rows of cells. Raises BadInput where quotation marks are wrong: they could swallow many rows."""
    number = 0
    try:
        for number, row in enumerate(split_rows(lines, separator, strict=True), 1):  # noqa: B007  # used below
            yield row
    except csv.Error as error:
        raise BadInput(
            f"{path} cannot be read as CSV in row {number + 1} ({error}): check its quotation marks."
        ) from error


def may_be_short(text: str, separator: str) -> bool:
    """Whether a header may have one cell less than the rows: these end with a separator, or begin with names.

    R writes no name above row names, which are different in each row, and quoted or counted by default. Otherwise an
    unquoted comma within a cell, as in 1,5, would move all cells after it into the next column.
    """
    rows = [row for row in split_rows(io.StringIO(text), separator) if any(cell.strip() for cell in row)][1:]
    if not any(row[-1].strip() for row in rows):
        return True
    names = [row[0] for row in rows]
    counted = len(names) > 1 and names == [str(number) for number in range(1, len(names) + 1)]
    quoted = re.match(r'\s*"[^\n]*\n\s*"', text) is not None
    return len(set(names)) == len(names) and (separator != "," or counted or quoted)


def parse(text: str, separator: str, width: int) -> pd.DataFrame:
    """All rows as text: columns 0 to width - 1, the header among the rows."""
    if separator == " ":
        rows = [row + [""] * (width - len(row)) for row in split_rows(io.StringIO(text), separator) if row]
        return pd.DataFrame(rows, columns=range(width), dtype=str)
    table: pd.DataFrame = pd.read_csv(
        io.StringIO(text),
        sep=separator,
        header=None,
        names=list(range(width)),
        index_col=False,
        dtype=str,
        na_filter=False,
        skipinitialspace=True,
    )
    return table.fillna("")


def column_names(first: list[str], cells: pd.DataFrame, width: int) -> tuple[list[str], bool]:
    """The names of the columns, and whether the first row holds them.

    It does not if it looks like the rows below: numbers where they have numbers, or values that they have too.
    """
    below = cells.iloc[1 : SAMPLE_ROWS + 1].apply(lambda column: column.str.strip())
    if len(first) == width - 1:  # R writes no name above row names; others end each row with a separator
        last = cells[width - 1].iloc[1:].str.strip()  # of all rows, as in `may_be_short`
        return (["Unnamed: 0", *first] if (last != "").any() else [*first, ""]), True
    like_names = like_values = 0
    for name, (_, column) in zip(first, below.items(), strict=True):
        present = column[~column.str.lower().isin(MISSING_NUMBER)]
        if name.lower() in MISSING_NUMBER or present.empty:
            continue
        numeric = present.str.fullmatch(NUMBER).mean() > 0.5
        if numeric and not re.fullmatch(NUMBER, name):
            like_names += 1
        elif numeric or name in set(present):
            like_values += 1
        elif present.nunique() < len(present) / 2:
            like_names += 1
    counted = first in ([str(i) for i in range(width)], [str(i + 1) for i in range(width)])
    if like_values and not like_names and not counted:
        return [str(number + 1) for number in range(width)], False
    return [name or f"Unnamed: {number}" for number, name in enumerate(first)], True


def has_decimal_comma(cells: pd.DataFrame, separator: str, otherwise: bool | None) -> bool:
    """Whether numbers such as 1,5 are more common than those such as 1.5; for `otherwise` see `read_table_file`."""
    sample = cells.iloc[:SAMPLE_ROWS].stack().str.strip()
    commas = sample.str.fullmatch(COMMA_NUMBER)
    if separator == "," or otherwise is not None:  # there, quoted 1,234 is a thousand and more
        whole = sample.str.replace(r"^([-+]?)0", r"\g<1>1", regex=True)  # 0,788 tells nothing either
        commas &= ~whole.str.fullmatch(THOUSANDS)
    dots = sample.str.fullmatch(r"[-+]?\d*\.\d+") & ~sample.str.fullmatch(COMMA_THOUSANDS)
    if otherwise is not None and commas.sum() == dots.sum():
        separates = separator == "," and cells.shape[1] > 1
        return otherwise and not (separates and not sample.str.fullmatch(COMMA_NUMBER).any())
    return bool(commas.sum() > dots.sum())


def read_cells(name: str, column: pd.Series, decimal_comma: bool, of_numbers: bool) -> Cells:
    text = column.str.strip()
    lower, plain = text.str.lower(), text.str.replace(UNIT, "", regex=True)
    if decimal_comma:
        form = f"{COMMA_NUMBER}|{COMMA_THOUSANDS}"
        plain = plain.mask(plain.str.fullmatch(form), plain.str.replace(".", "").str.replace(",", "."))
    else:
        plain = plain.mask(plain.str.fullmatch(THOUSANDS), plain.str.replace(",", ""))
    numbers = pd.to_numeric(plain, errors="coerce").to_numpy(np.float64)
    present = text.mask(lower.isin(MISSING), "").to_numpy(object)
    if text.str.fullmatch(r"0\d+").any() and not of_numbers:  # postal codes and the like lose their zeros as numbers
        return Cells(name, present, None)
    return number_cells(name, present, numbers, ~lower.isin(MISSING_NUMBER).to_numpy(), of_numbers)


def number_cells(
    name: str, text: NDArray[np.object_], numbers: NDArray[np.float64], given: NDArray[np.bool_], of_numbers: bool
) -> Cells:
    """A column of numbers if nearly all given values are, else one of text, which is refused for one of numbers."""
    words = text[given & np.isnan(numbers)]
    few = len(words) <= TYPOS * given.sum()
    if of_numbers and not few:
        raise BadInput(f"column {name} is of numbers, and holds {shown(words[0])}: correct it, or empty the cell.")
    if not of_numbers and (not few or not given.any() or (len(words) and len(pd.unique(text)) <= MANY)):
        return Cells(name, text, None)
    finite = np.where(np.abs(numbers) <= LARGEST, numbers, np.nan)
    return Cells(name, text, finite, odd=tuple(text[given & np.isnan(finite)]))


def read_parquet(path: Path, numbers: Collection[str]) -> TableFile:
    """The columns of a Parquet file, whose types are kept: text stays text, even if it is of digits."""
    try:
        table = pd.read_parquet(path)
        # pandas keeps it beside the columns
        index = [name for name in table.index.names if name is not None and name not in table.columns]
        table = table.reset_index(level=index).reset_index(drop=True)
    except Exception as error:  # pyarrow raises errors of many types
        raise BadInput(f"{path} cannot be read as Parquet ({first_line(error)}): write it again.") from error
    return typed_table(str(path), table, numbers)


def typed_table(location: str, table: pd.DataFrame, numbers: Collection[str]) -> TableFile:
    """The columns of a DataFrame, whose types are kept. Errors name `location`; for `numbers` see `read_table_file`."""
    if table.empty:
        raise BadInput(f"{location} has no rows: write one row per example.")
    if repeated := table.columns[table.columns.duplicated()].tolist():
        raise BadInput(f"{location} has column {shown(repeated[0])} twice: rename one.")
    columns = (typed_cells(str(name), table[name], str(name) in numbers) for name in table)
    return TableFile(tuple(columns), len(table), ("Parquet",))


def typed_cells(name: str, column: pd.Series, of_numbers: bool) -> Cells:
    missing = column.isna()
    if column.dtype == object and column.map(type).eq(bytes).any():  # they may be no text, such as an image
        column = column.map(
            lambda value: value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
        )
    text = column.astype(str).str.strip().mask(missing, "").to_numpy(object)
    kind = pd.api.types
    if column.dtype == object and column[~missing].map(type).eq(Decimal).all():
        column = column.astype(float)
    if kind.is_datetime64_any_dtype(column) or kind.is_timedelta64_dtype(column):
        return Cells(name, text, None, is_date=True)
    if kind.is_numeric_dtype(column) and not kind.is_bool_dtype(column):
        values = column.to_numpy(np.float64, na_value=np.nan)
        return number_cells(name, text, values, ~missing.to_numpy(), of_numbers)
    if of_numbers:  # of nothing, or of Python objects
        return number_cells(name, text, pd.to_numeric(text, errors="coerce"), text != "", of_numbers)
    return Cells(name, text, None)
