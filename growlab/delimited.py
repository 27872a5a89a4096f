"""Tables for programs, as text: TSV and CSV, which any spreadsheet and any script reads."""

import csv
import io
from collections.abc import Iterable


def delimited(names: Iterable[str], rows: Iterable[Iterable[object]], delimiter: str = ",") -> str:
    """Write a line of names, then one for each row. Numbers have all their digits, None is empty."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue()
