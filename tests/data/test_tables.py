"""Users' tables as they are found: each is read right, or refused in one line with the remedy."""

import gzip
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.source import Source
from tune_kmixup.data.tables import Table, read_table

ROWS = 40
Cell = Callable[[int], object]


def size(i: int) -> object:
    return f"{(i * 7) % 31 / 8:.3f}"


def colour(i: int) -> object:
    return ("red", "green", "blue")[i * i % 7 % 3]


def kind(i: int) -> object:
    return "ab"[(i // 2) % 2]


def table_text(*columns: Cell, header: str = "", rows: int = ROWS, sep: str = ",") -> str:
    lines = [sep.join(str(column(i)) for column in columns) for i in range(rows)]
    return "\n".join([header, *lines] if header else lines) + "\n"


@dataclass(frozen=True)
class Case:
    """A file, how it is named, and what is expected of it.

    Attributes:
        content: of the file.
        columns: column -> role, for those that are expected.
        options: fields of Source.
        classes: names of the classes.
        notes: text that a note holds.
        warning: text that a warning holds; empty if there is none.
        first: expected raw values of the first row; None to compare nothing.
        refused: text of the refusal; empty if it is read.
        name: of the file.
    """

    content: str | bytes
    columns: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=lambda: {"label": "kind"})
    classes: tuple[str, ...] = ("a", "b")
    notes: str = ""
    warning: str = ""
    first: tuple[float, ...] | None = None
    refused: str = ""
    name: str = "mine.csv"


def zipped(members: Mapping[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return content.getvalue()


PLAIN = table_text(size, colour, kind, header="size,colour,kind")
ROLES = {"size": "number", "colour": "category", "kind": "label"}


def with_column(name: str, cell: Cell, role: str, **others: Any) -> Case:
    """A good table with one more column, which gets this role."""
    text = table_text(size, colour, cell, kind, header=f"size,colour,{name},kind")
    return Case(text, {**ROLES, name: role}, **others)


def with_label(cell: Cell, *classes: str, **others: Any) -> Case:
    return Case(table_text(size, colour, cell, header="size,colour,kind"), ROLES, classes=classes, **others)


def headed(header: str, *columns: Cell, **others: Any) -> Case:
    return Case(table_text(*columns, header=header), **others)


CASES = {
    # The form of the file
    "plain": Case(PLAIN, ROLES, notes="UTF-8, separated by comma", first=(0.0, 2.0)),
    "semicolon": Case(PLAIN.replace(",", ";"), ROLES, notes="semicolon", first=(0.0, 2.0)),
    "tab": Case(PLAIN.replace(",", "\t"), ROLES, notes="tab", name="mine.tsv"),
    "bar": Case(PLAIN.replace(",", "|"), ROLES, notes="bar"),
    "white space": Case(PLAIN.replace(",", "   "), ROLES, notes="white space", name="mine.dat"),
    "Excel names its separator": Case("sep=;\n" + PLAIN.replace(",", ";"), ROLES, notes="semicolon"),
    "Windows line ends": Case(PLAIN.replace("\n", "\r\n"), ROLES),
    "line ends of old Macs": Case(PLAIN.replace("\n", "\r"), ROLES),
    "comments": Case("# by hand\n" + PLAIN, refused="row 1 has 1 cell, the others have 3"),
    "blank lines": Case(PLAIN.replace("\n", "\n\n"), ROLES),
    "no last line end": Case(PLAIN.rstrip(), ROLES),
    "blanks around cells": Case(PLAIN.replace(",", " , "), ROLES),
    "decimal comma": Case(
        table_text(lambda i: str(size(i)).replace(".", ","), colour, kind, header="size;colour;kind", sep=";"),
        {**ROLES, "size": "number"},
        notes="decimal comma",
        first=(0.0, 2.0),
    ),
    "decimal comma and thousands": Case(
        table_text(lambda i: f"1.{100 + i},5", colour, kind, header="size;colour;kind", sep=";"),
        ROLES,
        notes="decimal comma",
        first=(1100.5, 2.0),
    ),
    "decimal comma beside thousands alone": Case(
        table_text(lambda i: f"{i % 9},5", lambda i: f"{i % 9 + 1}.234", kind, header="size;price;kind", sep=";"),
        {"price": "number"},
        notes="decimal comma",
        first=(0.5, 1234),
    ),
    "a line end in a name": headed('size,"co\nlour",kind', size, colour, kind, columns={"co lour": "category"}),
    "Excel names another separator": Case("sep=:\n" + PLAIN.replace(",", ":"), ROLES, notes="separated by :"),
    "decimal comma in quotes": headed(
        "size,colour,kind", lambda i: f'"{i % 9},5"', colour, kind, columns=ROLES, notes="decimal comma", first=(0.5, 2)
    ),
    "thousands": headed(
        "size,colour,kind", lambda i: f'"1,{100 + i}.5"', colour, kind, columns=ROLES, first=(1100.5, 2)
    ),
    "decimal comma without header": Case(
        table_text(lambda i: f"{i % 9},5", lambda i: f"{i % 7},25", kind, sep=";"),
        {"1": "number", "2": "number"},
        {"label": "3"},
        notes="no header row",
        first=(0.5, 0.25),
    ),
    "BOM": Case(PLAIN.encode("utf-8-sig"), ROLES),
    "UTF-16": Case(PLAIN.encode("utf-16"), ROLES, notes="UTF-16"),
    "Latin-1": Case(
        PLAIN.replace("blue", "grün").encode("latin-1"), ROLES, notes="Latin-1", first=(0.0, 2.0)
    ),
    "zip": Case(zipped({"mine.csv": PLAIN}), ROLES, name="mine.zip"),
    "zip of tar": Case(zipped({"./__mine.csv": PLAIN}), ROLES, name="mine.zip"),
    "zip of macOS": Case(
        zipped({"__MACOSX/._mine.csv": "x", "data/": "", "data/mine.csv": PLAIN, "data/.DS_Store": "x"}),
        ROLES,
        name="mine.zip",
    ),
    "zip of several files": Case(
        zipped({"test.csv": PLAIN, "train.csv": PLAIN}),
        name="mine.zip",
        refused=r"mine.zip holds 2 files (test.csv, train.csv): unpack it, and name one file",
    ),
    "zip of nothing": Case(zipped({}), name="mine.zip", refused="mine.zip holds no file: put a table into it"),
    "gzip": Case(gzip.compress(PLAIN.encode()), ROLES, name="mine.csv.gz"),
    "quoted separators": headed("size,colour,kind", size, lambda i: f'"x, {colour(i)}"', kind, columns=ROLES),
    "quoted line ends": headed("size,colour,kind", size, lambda i: f'"x\n{colour(i)}"', kind, columns=ROLES),
    "no header": Case(
        table_text(size, colour, kind), {"1": "number", "2": "category"}, {"label": "3"}, notes="called 1 to 3"
    ),
    "no header, blanks at the end": Case(
        table_text(size, lambda i: f"{kind(i)} "), {"1": "number", "2": "label"}, {"label": "2"}, notes="called 1 to 2"
    ),
    "no header, text alone": Case(
        table_text(colour, kind), {"1": "category", "2": "label"}, {"label": "2"}, notes="called 1 to 2"
    ),
    "numbers as header": headed("0,1,2", size, colour, kind, columns={"0": "number"}, options={"label": "2"}),
    "years as header": headed("kind,2019,2020", kind, size, lambda i: i % 13, columns={"2019": "number"}),
    "row names of R": headed("size,colour,kind", lambda i: f"{i + 1}", size, colour, kind, columns=ROLES),
    "write.table of R": Case(
        '"size" "colour" "kind"\n' + table_text(lambda i: f'"{i + 1}"', size, colour, kind).replace(",", " "), ROLES
    ),
    "write.table of R, without row names": Case(
        '"size" "colour" "kind"\n' + table_text(size, lambda i: f'"{colour(i)}"', kind).replace(",", " "), ROLES
    ),
    "write.table of R, with quotation marks in a cell": Case(
        '"size" "colour" "kind"\n'
        + table_text(lambda i: f'"{i + 1}"', size, lambda i: f'"{colour(i)} 5\\" pipe"', kind).replace(",", " "),
        ROLES,
    ),
    "write.table of R, separated by commas": headed(
        '"size","colour","kind"', lambda i: f'"{i + 1}"', size, lambda i: f'"{colour(i)} wine"', kind, columns=ROLES
    ),
    "write.table of a part of the rows, of R": Case(
        '"size" "colour" "kind"\n' + table_text(lambda i: f'"{i * 3 + 7}"', size, colour, kind).replace(",", " "),
        ROLES | {"Unnamed: 0": "left out"},
    ),
    "quoted decimal commas beside decimal points": headed(  # 0,788 is no thousand
        "height,size,kind", lambda i: f'"0,7{i:02d}"', size, kind, columns={"height": "left out", "size": "number"}
    ),
    "row names of R, and a last column that begins empty": Case(
        table_text(
            lambda i: f"{i + 1}", kind, size, lambda i: size(i) if i > 250 else "", header="kind,size,rare", rows=400
        ),
        {"Unnamed: 0": "left out", "kind": "label", "size": "number", "rare": "number"},
    ),
    "decimal commas without quotation marks": headed(
        "size,kind", lambda i: f"{i % 7},{i * 13 % 100:02d}", kind,
        refused="row 1 has 2 cells, the others have 3: correct the header row, and quote cells that hold a comma",
    ),
    "texts with a comma, without quotation marks": headed(
        "size,name,kind", size, lambda i: f"Smith {i}, John", kind, refused="row 1 has 3 cells, the others have 4"
    ),
    "texts with a comma, of which the first is quoted": headed(
        "name,price,kind", lambda i: f'"Smith {i}, John"', lambda i: f"{i},5", kind,
        refused="row 1 has 3 cells, the others have 4",
    ),
    "blanks around quoted cells": Case(
        table_text(size, lambda i: f'"{colour(i)}" ', lambda i: f' "{kind(i)}" ', header='"size" , "colour" , "kind" '),
        ROLES,
    ),
    "columns between tabs and blanks": Case(
        table_text(size, colour, kind, header="size,colour,kind").replace(",", "\t").replace("green", "green\t"), ROLES
    ),
    "two stray quotation marks": headed(
        "size,colour,kind", size, lambda i: f'{chr(34) if i in (10, 25) else ""}{colour(i)}', kind,
        refused="cannot be read as CSV in row 12 (',' expected after '\"'): check its quotation marks",
    ),
    "two stray quotation marks between tabs": Case(
        table_text(size, lambda i: f'{chr(34) if i in (10, 25) else ""}{colour(i)}', kind, header="size,colour,kind")
        .replace(",", "\t"),
        name="mine.tsv",
        refused="check its quotation marks",
    ),
    "dates and times, and a long row": Case(
        table_text(lambda i: f"2024-01-0{i % 9 + 1} 12:{i:02d}:00", size, kind, header="time,size,kind") + "1,2,3,4\n",
        refused="row 42 has 4 cells, others have 3",
    ),
    "dates and times, each row ends in a separator": headed(
        "time,size,kind", lambda i: f"2024-01-0{i % 9 + 1} 12:{i:02d}:00", size, kind, lambda i: "",
        columns={"size": "number", "kind": "label"},
    ),
    "separator at the end of each row": headed("size,colour,kind", size, colour, kind, lambda i: "", columns=ROLES),
    "empty file": Case("", refused="is empty: write a header row"),
    "header alone": Case("size,colour,kind\n", refused="has no rows below its first line"),
    "binary": Case(b"\x89PNG\0\0\r\n" + bytes(300), refused="is no text: save it as CSV or Parquet"),
    "long row": Case(PLAIN + "1,red,a,4\n", refused="row 42 has 4 cells, others have 3: correct the row, and quote"),
    "short row": Case(PLAIN + "1,red\n", refused="row 42 has 2 cells, others have 3: correct the row"),
    "open quotation mark": Case(PLAIN + '1,"red,a\n', refused="in row 42 (unexpected end of data): check its"),
    "open quotation mark in the last cell": Case(
        PLAIN + '1,red,"a', refused="in row 42 (unexpected end of data): check its quotation marks"
    ),
    "column names twice": headed("size,size,kind", size, colour, kind, refused="twice, such as 'size': rename"),
    # Columns
    "index": with_column("nr", lambda i: i + 1, "left out"),
    "shuffled index": with_column("nr", lambda i: i * 7 % ROWS, "left out"),
    "index of pandas": headed("Unnamed: 0,size,kind", lambda i: i * 3, size, kind, columns={"Unnamed: 0": "left out"}),
    "unnamed index": headed(",size,kind", lambda i: i * 3, size, kind, columns={"Unnamed: 0": "left out"}),
    "text identifiers": with_column("customerID", lambda i: f"{i * 7919 % 9999}-X", "left out"),
    "number identifiers": with_column("id", lambda i: 8_000_000 + i * 7919 % 9999, "left out"),
    "groups as feature": with_column("patient_id", lambda i: i // 4, "left out", warning="name it with --group"),
    "no identifier": with_column("humid", lambda i: i * 7919 % 9999, "number"),
    "constant": with_column("unit", lambda i: "cm", "left out"),
    "constant or missing": with_column("vip", lambda i: "yes" if i % 3 else "", "category"),
    "empty column": with_column("unit", lambda i: "", "left out"),
    "dates": with_column("since", lambda i: f"2024-01-{i % 28 + 1:02d}", "left out"),
    "days first": with_column("since", lambda i: f"{i % 28 + 1:02d}.01.2024", "left out"),
    "months in words": with_column("since", lambda i: f"{i % 28 + 1}-Jan-2024", "left out"),
    "times": with_column("since", lambda i: f"2024-01-0{i % 9 + 1} 12:{i:02d}:00", "left out"),
    "timestamps": with_column("timestamp", lambda i: 1_700_000_000_000 + i * 86_000, "left out"),
    "days as numbers": with_column("date", lambda i: 20240101 + i % 28, "left out"),
    "ranges are no dates": with_column("age", lambda i: ("18-25", "26-40", "41-65")[i % 3], "category"),
    "free text": with_column("review", lambda i: f"it was day {i} and fine", "left out"),
    "text of many values": with_column("ticket", lambda i: f"A{i}", "left out"),
    "postal codes": with_column("zip", lambda i: ("01234", "98765", "12345")[i % 3], "category"),
    "bool": with_column("vip", lambda i: str(i % 3 == 0), "category"),
    "missing numbers": with_column(
        "age", lambda i: ("", "NA", "?", "-", "none", "Unknown", "N/A", i, i + 0.5, i)[i % 10], "number"
    ),
    "a missing number first": headed("size,age,kind", size, lambda i: "?" if i == 0 else i * i, kind),
    "currency": with_column("price", lambda i: f"$1.{i:02d}", "number"),
    "per cent": with_column("rate", lambda i: f"{i / 4} %", "number"),
    "none is a category": with_column("garage", lambda i: ("none", "one", "two")[i % 3], "category"),
    "typing errors": Case(
        table_text(size, lambda i: "12o" if i == 3 else i * i, kind, header="size,age,kind"),
        {"age": "number"},
        warning="column age of numbers has 1 cell of something else, such as '12o'",
    ),
    "infinite": with_column(
        "rate", lambda i: "inf" if i == 3 else i * i, "number", warning="such as 'inf': they count as missing"
    ),
    "huge": with_column("rate", lambda i: "9" * 200 if i == 3 else i * i, "number", warning="they count as missing"),
    "huge whole numbers": with_column("rate", lambda i: 9007199254740993 + i * i, "number"),
    "--categorical": with_column(
        "level", lambda i: i % 5, "category", options={"label": "kind", "categorical": ("level",)}
    ),
    "--drop": with_column("level", lambda i: i % 5, "left out", options={"label": "kind", "drop": ("level",)}),
    "a copy of the label": with_column("flag", lambda i: (i // 2) % 2, "number", warning="flag alone tells the class"),
    "nothing to learn from": headed(
        "id,kind", lambda i: i, kind, refused="has no column to learn from, only 'id (index: it numbers the rows)'"
    ),
    # Labels
    "labels from 1": with_label(lambda i: i % 3 + 1, "1", "2", "3"),
    "labels ±1": with_label(lambda i: i % 2 * 2 - 1, "-1", "1"),
    "labels of 10 after 9": with_label(lambda i: 9 + i % 2, "9", "10"),
    "float labels": with_label(lambda i: f"{i % 2}.0", "0", "1"),
    "bool labels": with_label(lambda i: i % 2 == 0, "False", "True"),
    "labels + and -": with_label(lambda i: "+-"[i % 2], "+", "-"),
    "labels with None": with_label(lambda i: ("None", "Apnea")[i % 2], "Apnea", "None"),
    "labels with zeros": with_label(lambda i: ("01", "1")[i % 2], "01", "1"),
    "labels that differ in case": with_label(
        lambda i: ("yes", "Yes", "no")[i % 3], "Yes", "no", "yes", warning="'Yes' and 'yes' differ in case"
    ),
    "missing labels": with_label(
        lambda i: ("a", "b", "")[i % 3], "a", "b", notes="13 rows without a label are left out"
    ),
    "the label is called label": headed("size,label", size, kind, options={}),
    "regression": with_label(lambda i: f"{i / 7:.3f}", refused="which is regression and not supported"),
    "whole numbers to predict": with_label(lambda i: i % 25, refused="25 different numbers, which is regression"),
    "labels of names": with_label(lambda i: f"x{i}", refused="has 40 different values in 40 rows: name a label of"),
    "one class, and one called NA": with_label(
        lambda i: ("EU", "NA")[i % 2], refused="is 'EU' where it is not missing, as in 20 rows (NA, null and ? count as"
    ),
    "one class": with_label(lambda i: "a", refused="is 'a' in every row: name another label, or add another class"),
    "no label": Case(PLAIN, options={}, refused="name the one with the classes with --label: 'size', 'colour', 'kind'"),
    "another label": Case(PLAIN, options={"label": "kin"}, refused="label='kin' is unknown: did you mean kind?"),
    "label and group": Case(PLAIN, options={"label": "kind", "group": "kind"}, refused="is named by --label too"),
    "few rows": Case(table_text(size, kind, header="size,kind", rows=9), refused="has 9 rows with a kind: 20 are"),
    # Groups and official parts
    "few persons": with_column("subject", lambda i: i // 4, "number", warning="name it with --group, else"),
    "few persons by name": with_column("Patient", lambda i: f"P{i // 4}", "category", warning="name it with --group"),
    "numbers of few persons": with_column("patient_nr", lambda i: i // 2, "number", warning="with --group, else"),
    "numbers of persons in German": with_column("Patientennummer", lambda i: i * 7, "left out"),
    "a number of persons": with_column("Customers", lambda i: i * i, "number"),
    "official parts without --split": with_column(
        "set", lambda i: ("Train", "test", "train")[i % 3], "category", warning="name it with --split, or --drop it"
    ),
    "groups": with_column("who", lambda i: f"p{i // 4}", "group", options={"label": "kind", "group": "who"}),
    "groups as numbers of two forms": with_column(
        "who", lambda i: f"{i % 10}{'.0' if i % 20 > 9 else ''}", "group", options={"label": "kind", "group": "who"}
    ),
    "infinity alone": with_column("ratio", lambda i: "inf" if i % 3 else "", "left out"),
    "missing groups": with_column(
        "who", lambda i: "" if i < 3 else f"p{i // 4}", "", options={"label": "kind", "group": "who"},
        refused="group='who' is empty in 3 rows: fill it in",
    ),
    "official parts": with_column(
        "set", lambda i: ("train", "Train", "val", "test")[i // 10], "split", options={"label": "kind", "split": "set"}
    ),
    "official test rows": with_column(
        "set", lambda i: "test" if i > 30 else "train", "split", options={"label": "kind", "split": "set"}
    ),
    "another part": with_column(
        "set", lambda i: "tset" if i > 30 else "train", "", options={"label": "kind", "split": "set"},
        refused="split='set' holds 'tset': it takes train, validation and test",
    ),
    "no test rows": with_column(
        "set", lambda i: "val" if i > 30 else "train", "", options={"label": "kind", "split": "set"},
        refused="split='set' has no test rows: add some, or leave out --split",
    ),
    "a class without training rows": Case(
        table_text(size, lambda i: ("train", "test")[i > 30], lambda i: "bac"[(i < 36) + i % 2], header="s,set,kind"),
        options={"label": "kind", "split": "set"},
        refused="split='set' has no training row of class 'b': add one",
    ),
    "groups in two parts": Case(
        table_text(size, lambda i: "test" if i > 30 else "train", lambda i: i % 9, kind, header="s,set,who,kind"),
        options={"label": "kind", "split": "set", "group": "who"},
        refused="group='who' has 9 groups in two parts of set",
    ),
}  # fmt: skip


def read(case: Case, folder: Path) -> Table:
    path = folder / case.name
    path.write_bytes(case.content.encode() if isinstance(case.content, str) else case.content)
    return read_table(Source(str(path), **case.options))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_table_is_read_right_or_refused_with_the_remedy(case: Case, tmp_path: Path) -> None:
    if case.refused:
        with pytest.raises(BadInput) as error:
            read(case, tmp_path)
        assert case.refused in str(error.value) and len(str(error.value).splitlines()) == 1
        return
    table = read(case, tmp_path)
    roles = {column.name: column.role for column in table.columns}
    assert {name: roles[name] for name in case.columns} == dict(case.columns)
    assert tuple(table.arrays["classes"].tolist()) == case.classes
    assert case.notes in "; ".join(table.notes)
    assert case.warning in "\n".join(table.warnings) and bool(case.warning) == bool(table.warnings), table.warnings
    x = table.arrays["x" if "x" in table.arrays else "x_train"]
    assert x.dtype == np.float64 and x.shape[1] == sum(role in ("number", "category") for role in roles.values())
    if case.first is not None:
        assert tuple(x[0]) == case.first


def shipped(package: str, path: str) -> Path:
    return Path(next(iter(import_module(package).__path__)), path)


# Real files: package, path, label, rows, classes, numbers, categories, columns that are left out.
REAL: list[tuple[str, str, str, int, int, int, int, set[str]]] = [
    ("sklearn", "datasets/data/iris.csv", "virginica", 150, 3, 4, 0, set()),
    ("sklearn", "datasets/data/digits.csv.gz", "65", 1797, 10, 61, 0, {"1", "33", "40"}),
    ("statsmodels", "genmod/tests/results/stata_lbw_glm.csv", "low", 189, 2, 8, 1, {"id"}),
    ("statsmodels", "genmod/tests/results/epil.csv", "trt", 236, 2, 7, 0, {"Unnamed: 0", "subject"}),
    ("statsmodels", "datasets/fair/fair_pt.csv", "sex", 601, 2, 8, 0, {"identifier", "constant"}),
    ("statsmodels", "datasets/anes96/anes96.csv", "'PID'", 944, 7, 9, 0, set()),
    ("statsmodels", "datasets/modechoice/modechoice.csv", "mode", 840, 4, 7, 0, {"individual"}),
    ("statsmodels", "datasets/randhie/randhie.csv", "hlthp", 20190, 2, 9, 0, set()),
    ("statsmodels", "datasets/grunfeld/grunfeld.csv", "firm", 220, 11, 4, 0, set()),
    ("statsmodels", "genmod/tests/results/gee_ordinal_1.csv", "2", 787, 4, 6, 0, set()),
]


@pytest.mark.parametrize(("package", "path", "label", "rows", "classes", "numbers", "categories", "left_out"), REAL)
def test_a_real_file(
    package: str, path: str, label: str, rows: int, classes: int, numbers: int, categories: int, left_out: set[str]
) -> None:
    source = Source(str(shipped(package, path)), label)
    table = read_table(source)
    roles = [column.role for column in table.columns]
    assert {column.name for column in table.columns if column.role == "left out"} == left_out
    assert (len(table.arrays["y"]), len(table.arrays["classes"])) == (rows, classes)
    assert (roles.count("number"), roles.count("category")) == (numbers, categories)


@pytest.mark.parametrize("name", ["my data.csv", "é#1%20.csv"])
def test_odd_file_names(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    assert read(Case(table_text(size, kind, header="s,kind"), name=name), folder).arrays["x"].shape == (ROWS, 1)


def test_decimals_of_parquet_are_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"price": [Decimal(i) / 8 for i in range(ROWS)], "label": [kind(i) for i in range(ROWS)]})
    frame.to_parquet(tmp_path / "mine.parquet")
    assert read_table(Source(str(tmp_path / "mine.parquet"))).arrays["x"][1] == 0.125


def test_the_index_of_a_parquet_file_of_pandas_is_a_column(tmp_path: Path) -> None:
    """If it has a name: `set_index("patient")`. One without is what is left of rows that were dropped."""
    frame = pd.read_csv(io.StringIO(PLAIN)).assign(patient=np.arange(ROWS) // 4)
    frame.set_index("patient").to_parquet(tmp_path / "named.parquet")
    table = read_table(Source(str(tmp_path / "named.parquet"), label="kind", group="patient"))
    assert table.arrays["group"].tolist() == (np.arange(ROWS) // 4).tolist()
    frame.set_index("patient", drop=False).to_parquet(tmp_path / "twice.parquet")
    assert len(read_table(Source(str(tmp_path / "twice.parquet"), label="kind")).columns) == 4
    frame.drop(columns="patient").set_index(np.arange(ROWS) // 2).to_parquet(tmp_path / "left.parquet")
    table = read_table(Source(str(tmp_path / "left.parquet"), label="kind"))
    assert [column.name for column in table.columns] == ["size", "colour", "kind"]


def test_the_fewest_rows_are_not_suspected_to_tell_the_class(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(table_text(size, lambda i: i * i, kind, header="size,age,kind", rows=20))
    assert not read_table(Source(str(tmp_path / "mine.csv"), label="kind")).warnings


def test_a_cell_that_is_too_long_is_refused(tmp_path: Path) -> None:
    case = Case(table_text(size, lambda i: "v" * 200_000, kind, header="s,v,label"))
    with pytest.raises(BadInput, match="field larger than field limit"):
        read(case, tmp_path)


def test_a_column_without_a_name_is_no_split(tmp_path: Path) -> None:
    """R writes row names so."""
    text = '"size","kind"\n' + "".join(f'"r{i}",{i * 7919 % 101},{kind(i)}\n' for i in range(ROWS))
    assert {column.role for column in read(Case(text), tmp_path).columns} == {"left out", "number", "label"}


def test_long_numbers_of_groups_stay_apart(tmp_path: Path) -> None:
    lines = [f"{size(i)},{1234567890123400 + i % 10},{kind(i)}" for i in range(ROWS)]
    table = read(Case("\n".join(["size,who,kind", *lines]), options={"label": "kind", "group": "who"}), tmp_path)
    assert table.arrays["group"].tolist() == [i % 10 for i in range(ROWS)]


def test_a_group_is_its_number(tmp_path: Path) -> None:
    """7 and 7.0 are one patient, who must not be on both sides of a split."""
    lines = [f"{size(i)},{i % 10}{'.0' if i >= ROWS / 2 else ''},{kind(i)}" for i in range(ROWS)]
    table = read(Case("\n".join(["size,who,kind", *lines]), options={"label": "kind", "group": "who"}), tmp_path)
    assert table.arrays["group"].tolist() == [i % 10 for i in range(ROWS)]
