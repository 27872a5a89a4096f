"""The leaderboard for a person (table), rows of any sort for a program (TSV, CSV, JSON: plain numbers, all digits)."""

from collections.abc import Mapping, Sequence
from typing import TextIO

from growlab.delimited import delimited
from growlab.errors import UnknownName
from growlab.escapes import json_text, visible
from growlab.preparation.fronts import Front
from growlab.report.columns import Column, LeaderboardRow, columns_for_programs
from growlab.report.front import front_as_mapping
from growlab.report.json_values import json_value
from growlab.report.table import print_table

FORMATS = ("table", "tsv", "csv", "json")
_DELIMITERS = {"tsv": "\t", "csv": ","}


def render(
    rows: Sequence[LeaderboardRow],
    format: str,
    stream: TextIO,
    *,
    title: str = "",
    front: Front | None = None,
    columns: Sequence[Column] = (),
) -> None:
    """Write the rows to `stream`; `title` is a line above a table. The `front` is told below it, and in JSON.

    `columns` are those that a person wants, in that order; of none given, those that fit the rows.

    What is not known is empty in TSV and CSV and null in JSON. Control characters are symbols in TSV and CSV, which
    a terminal may be shown, and escapes in JSON. Raises UnknownName for another format.
    """
    if format == "table":
        print_table(rows, stream, title, front.lines if front else (), columns)
    elif front and format == "json":
        write_json(front_as_mapping(front, rows), stream)
    else:
        columns = columns or columns_for_programs(rows)
        names, getters = [column.name for column in columns], [column.getter for column in columns]
        mappings = [dict(zip(names, [get(row) for get in getters], strict=True)) for row in rows]
        write_mappings(names, mappings, format, stream)


def write_rows(rows: Sequence[object], names: Sequence[str], format: str, stream: TextIO) -> None:
    """Write these fields of rows for a program. Raises UnknownName for another format than TSV, CSV and JSON."""
    write_mappings(names, [{name: getattr(row, name) for name in names} for row in rows], format, stream)


def write_mappings(names: Sequence[str], rows: Sequence[Mapping[str, object]], format: str, stream: TextIO) -> None:
    """Write rows with these keys, in their order, for a program. Raises UnknownName likewise."""
    match format:
        case "tsv" | "csv":
            stream.write(visible(delimited(names, (list(row.values()) for row in rows), _DELIMITERS[format])))
        case "json":
            write_json(rows, stream)
        case _:
            raise UnknownName("format", format, FORMATS)


def write_json(value: object, stream: TextIO) -> None:
    """Write the value indented, with a newline at the end; what is not a finite number is null."""
    stream.write(json_text(json_value(value), indent=2) + "\n")


def write_json_by_line(mapping: Mapping[str, object], key: str, stream: TextIO) -> None:
    """Write a mapping in the types of JSON as `write_json` does, but with a line for each element of the list at `key`.

    So ten thousand of them are read by eye, by grep and by line, and written in no time.
    """
    parts = []
    for name, value in mapping.items():
        if name == key and isinstance(value, Sequence) and value:
            lines = ",\n    ".join(map(json_text, value))
            text = f"[\n    {lines}\n  ]"
        else:
            text = json_text(value, indent=2).replace("\n", "\n  ")
        parts.append(f"  {json_text(name)}: {text}")
    stream.write("{\n" + ",\n".join(parts) + "\n}\n")
