"""The leaderboard for a person (table) or a program (TSV, CSV, JSON: plain numbers, all their digits)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from growlab.errors import UnknownName
from growlab.escapes import json_text, visible
from growlab.report.leaderboard import LeaderboardRow, lacking
from growlab.report.plain import plain
from growlab.report.table import print_table

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("table", "tsv", "csv", "json")

# Name to pandas type: names and order are what scripts rely on. Whole numbers must not pass through
# a float: a trial's FLOPs exceed 2**53, and in the end 2**63.
COLUMNS = {
    "rank": "Int64",
    "trial": "Int64",
    "layout": "str",
    "depth_start": "Int64",
    "depth_end": "Int64",
    "n_params": "Int64",
    "val_loss": "float64",
    "best_val_loss": "float64",
    "bits_per_byte": "float64",
    "flops": "object",
    "tokens": "Int64",
    "elapsed_s": "float64",
    "state": "str",
    "engine": "str",
    "accuracy": "float64",
    "overfits_since": "Int64",
}


def render(rows: Sequence[LeaderboardRow], format: str, stream: TextIO, *, title: str = "") -> None:
    """Write the rows to `stream`; `title` is a line above a table.

    What is not known is empty in TSV and CSV and null in JSON. Control characters are symbols in TSV and CSV, which
    a terminal may be shown, and escapes in JSON. Raises UnknownName for another format.
    """
    match format:
        case "table":
            print_table(rows, stream, title)
        case "tsv":
            stream.write(visible(frame_of(rows).to_csv(sep="\t", index=False, lineterminator="\n")))
        case "csv":
            stream.write(visible(frame_of(rows).to_csv(index=False, lineterminator="\n")))
        case "json":
            write_json([{name: getattr(row, name) for name in columns_of(rows)} for row in rows], stream)
        case _:
            raise UnknownName("format", format, FORMATS)


def columns_of(rows: Sequence[LeaderboardRow]) -> dict[str, str]:
    """COLUMNS, without those that only some studies have."""
    absent = lacking(rows)
    return {name: kind for name, kind in COLUMNS.items() if name not in absent}


def frame_of(rows: Sequence[LeaderboardRow]) -> "pd.DataFrame":
    """One row per trial, in the same order, in the columns of columns_of."""
    import pandas as pd

    return pd.DataFrame(
        {name: pd.Series([getattr(row, name) for row in rows], dtype=kind) for name, kind in columns_of(rows).items()}
    )


def write_json(value: object, stream: TextIO) -> None:
    """Indented, with a newline at the end; what is not a finite number is null."""
    stream.write(json_text(plain(value), indent=2) + "\n")
