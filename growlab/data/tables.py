"""Tables with a column of documents: JSON lines, Parquet, a data set of the Hugging Face hub.

A document is one row's text as it is, white space included; a row without one is an error unless a study asks that
such rows are passed over, and then they are counted.
"""

import codecs
import json
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from growlab.data.columns import MISSING, top_of, value_at
from growlab.data.extras import optional
from growlab.data.folders import files_at
from growlab.data.pieces import joined_by_newlines
from growlab.data.text_files import not_utf8
from growlab.errors import DataError, SpecError
from growlab.escapes import first_line, shortened

_ROWS = 1024  # at once
_HUB_NAME = re.compile(r"\b[\w.-]{1,96}\b/\b[\w.-]{1,96}\b", re.ASCII)  # as huggingface_hub has it


# ---- JSON lines ----------------------------------------------------------------------------------------------


def read_jsonl(path: str, column: str, *, skips_nulls: bool = False) -> Iterator[str]:
    """Read the `column` of all lines of a file, or of all .jsonl files below a folder, joined by newlines.

    Blank lines are passed over, and with `skips_nulls` those without a text. Raises DataError, with file and line, and
    OSError.
    """
    return joined_by_newlines(_present(_documents_of_lines(path, column, skips_nulls)))


def count_nulls_of_jsonl(path: str, column: str) -> int:
    """Count the lines that `skips_nulls` passes over."""
    return sum(document is None for document in _documents_of_lines(path, column, True))


def _documents_of_lines(path: str, column: str, skips_nulls: bool) -> Iterator[str | None]:
    for file in files_at(path, ".jsonl", "jsonl"):
        yield from _lines(file, column, skips_nulls)


def _lines(file: Path, column: str, skips_nulls: bool) -> Iterator[str | None]:
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield _document(line, column, f"{file}: line {number}", skips_nulls)


def _document(line: bytes, column: str, where: str, skips_nulls: bool) -> str | None:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise not_utf8(where, error) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: is not JSON ({error}); each line must be one object") from None
    if not isinstance(row, dict):
        raise DataError(f'{where}: is not an object, got {shortened(row)}; write lines such as {{"text": "…"}}')
    value = value_at(row, column)
    if value is MISSING and not skips_nulls:
        raise DataError(_no_column(where, column, row))
    return _text(None if value is MISSING else value, column, where, skips_nulls)


# ---- Parquet -------------------------------------------------------------------------------------------------


def read_parquet(path: str, column: str, *, skips_nulls: bool = False) -> Iterator[str]:
    """Read the `column` of all rows of a file, or of all .parquet files below a folder, joined by newlines.

    With `skips_nulls` rows without a text are passed over. Raises DataError, with file and row, and OSError.
    """
    return joined_by_newlines(_present(_documents_of_rows(path, column, skips_nulls)))


def count_nulls_of_parquet(path: str, column: str) -> int:
    """Count the rows that `skips_nulls` passes over."""
    return sum(document is None for document in _documents_of_rows(path, column, True))


def _documents_of_rows(path: str, column: str, skips_nulls: bool) -> Iterator[str | None]:
    for file in files_at(path, ".parquet", "parquet"):
        for number, row in enumerate(parquet_rows(file, [column]), 1):
            value = value_at(row, column)
            where = f"{file}: row {number}"
            if value is MISSING and not skips_nulls:
                raise DataError(_no_column(where, column, row))
            yield _text(None if value is MISSING else value, column, where, skips_nulls)


def parquet_rows(file: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file with the columns that hold these. Raises DataError and OSError."""
    arrow = optional("pyarrow", needed_by="source 'parquet'")
    parquet = optional("pyarrow.parquet", needed_by="source 'parquet'")
    number = 0
    with file.open("rb") as stream:  # opened here, as pyarrow's errors for a missing file name none
        try:
            table = parquet.ParquetFile(stream)
            names = table.schema_arrow.names
            tops = {column: top_of(column, names) for column in columns}
            if missing := [column for column, top in tops.items() if not top]:
                raise DataError(_no_column(str(file), missing[0], names))
            for batch in table.iter_batches(_ROWS, columns=list(dict.fromkeys(tops.values()))):
                for row in batch.to_pylist():
                    number += 1
                    yield row
        except (arrow.ArrowException, OSError) as error:  # OSError: a damaged page, and it names no file
            raise DataError(f"{file}: cannot be read as Parquet ({_reason(error)}); take another copy") from None
        except UnicodeDecodeError:
            raise DataError(_not_utf8_column(str(file), columns[0], number)) from None


# ---- the hub -------------------------------------------------------------------------------------------------


def read_hub(path: str, column: str, *, skips_nulls: bool = False) -> Iterator[str]:
    """Read the `column` of the train split of owner/name[:configuration][@revision], joined by newlines.

    The package `datasets` downloads it once and keeps it, memory-mapped, in its own cache. With `skips_nulls` rows
    without a text are passed over. Raises DataError, and SpecError for a path that is no such name.
    """
    return joined_by_newlines(_present(_documents_of_hub(path, column, skips_nulls)))


def count_nulls_of_hub(path: str, column: str) -> int:
    """Count the rows that `skips_nulls` passes over."""
    return sum(document is None for document in _documents_of_hub(path, column, True))


def _documents_of_hub(path: str, column: str, skips_nulls: bool) -> Iterator[str | None]:
    asked = re.fullmatch(r"(?:hf:)?(?P<name>[^:@]+)(?::(?P<config>[^@]+))?(?:@(?P<revision>.+))?", path)
    if not asked:
        raise SpecError(
            f"source 'hf' needs the name of a data set, got {path!r}; "
            "write data.source: hf:owner/name, hf:owner/name:configuration or hf:owner/name@revision"
        )
    datasets = optional("datasets", needed_by="source 'hf'")
    if not _HUB_NAME.fullmatch(asked["name"]) or "--" in asked["name"] or ".." in asked["name"]:
        raise DataError(  # `datasets` would take ../../x or a bare name for a folder of this machine
            f"hf:{path}: cannot be loaded (the hub calls a data set owner/name, of letters, digits, '-', '_' and '.'); "
            "check data.path, or read files of your own with data.source: parquet or jsonl"
        )
    try:
        with _one_line_errors():
            table = datasets.load_dataset(asked["name"], asked["config"], split="train", revision=asked["revision"])
    except ConnectionError as error:
        raise DataError(
            f"hf:{path}: cannot be reached ({_reason(error)}) and is not in the cache; "
            "go online once, set HF_HOME to a cache that has it, or bring the files and use data.source: parquet"
        ) from None
    except Exception as error:  # the package's own, pyarrow's and those of two network libraries
        why = _reason(error.__cause__ or error)  # 'An error occurred while …' says less than what occurred
        raise DataError(f"hf:{path}: cannot be loaded ({why}); check data.path") from None
    top = top_of(column, table.column_names)
    if not top:
        raise DataError(_no_column(f"hf:{path}", column, table.column_names))
    yield from _hub_rows(table.select_columns([top]), top, column, f"hf:{path}", skips_nulls)


def _hub_rows(table: Any, top: str, column: str, where: str, skips_nulls: bool) -> Iterator[str | None]:
    rows = (value for batch in table.iter(_ROWS) for value in batch[top])
    number = 0
    try:
        for number, held in enumerate(rows, 1):
            value = value_at({top: held}, column)
            if value is MISSING and not skips_nulls:
                raise DataError(_no_column(f"{where}: row {number}", column, [top]))
            yield _text(None if value is MISSING else value, column, f"{where}: row {number}", skips_nulls)
    except UnicodeDecodeError:
        raise DataError(_not_utf8_column(where, column, number)) from None


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Silence the hub's dozen lines about each new try, and what `datasets` says of an error that it raises too."""
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "datasets")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# ---- what all of them say ------------------------------------------------------------------------------------


def _present(documents: Iterable[str | None]) -> Iterator[str]:
    return (document for document in documents if document is not None)


def _text(value: object, column: str, where: str, skips_nulls: bool) -> str | None:
    """The text of a row; None for one without, where these are passed over."""
    if value is None and skips_nulls:
        return None
    if not isinstance(value, str):
        remedy = ", or pass over such rows with data.skip_nulls: true" if value is None else ""
        raise DataError(
            f"{where}: column {column!r} is not text, got {shortened(value)}; repair or drop the row{remedy}"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: has half a surrogate pair at character {error.start}; repair or drop the row"
        ) from None
    return value


def _no_column(where: str, column: str, known: Iterable[str]) -> str:
    return f"{where}: has no column {column!r}; it has: {', '.join(map(str, known)) or 'none'}; set data.column"


def _not_utf8_column(where: str, column: str, n_before: int) -> str:
    return f"{where}: column {column!r} is not UTF-8 after row {n_before}; write it again"


def _reason(error: BaseException) -> str:
    """What an error says in its first line, without a full stop; the type of one that says nothing."""
    return first_line(str(error)).rstrip(".") or type(error).__name__
