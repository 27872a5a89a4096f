"""A table of rows on a terminal: its columns, and drawing as many of them as there is room for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from growlab.report.terminal import as_it_is

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

Row = TypeVar("Row")

LEAST_LAYOUT = 20  # characters per line; a narrow terminal loses columns before layouts get narrower


@dataclass(frozen=True)
class TableColumn(Generic[Row]):
    """A column on a terminal."""

    header: str
    cell: Callable[[Row], str]
    justify: Literal["left", "right"] = "right"
    folds: bool = False  # into several lines; another column is as wide as its longest cell


def table_of(
    rows: Sequence[Row],
    columns: Sequence[TableColumn[Row]],
    *,
    folded_width: int = LEAST_LAYOUT,
    gap: int = 2,
    style_of: Callable[[Row], str | None] = lambda row: None,
) -> "Table":
    """A table whose columns that fold are at least `folded_width` characters wide, with `gap` blanks between two."""
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, gap - 1, 0, 0))
    cells = [[as_it_is(column.cell(row)) for row in rows] for column in columns]
    for column, texts in zip(columns, cells, strict=True):
        table.add_column(
            column.header,
            justify=column.justify,
            overflow="fold",
            no_wrap=not column.folds,
            # else rich would measure the longest word, and cut '35 min 00 s' at a blank
            min_width=folded_width
            if column.folds
            else max([cell_len(column.header), *(cell_len(text.plain) for text in texts)]),
        )
    for row, texts_of_row in zip(rows, zip(*cells, strict=True), strict=True):
        table.add_row(*texts_of_row, style=style_of(row))
    return table


def fitting(
    draw: Callable[[Sequence[str]], "Table"], first_to_go: Sequence[str], console: "Console", n_gone: int = 0
) -> tuple["Table", list[str]]:
    """The table that is not wider than the console, and the columns that it had to leave out.

    `draw` makes it without the columns of these headers; without the first `n_gone` of them at once.
    """
    hidden = list(first_to_go[:n_gone])
    table = draw(hidden)
    for header in first_to_go[n_gone:]:
        if room_beside(table, console) >= 0:
            break
        hidden.append(header)
        table = draw(hidden)
    return table, hidden


def too_wide(rows: Sequence[Row], columns: Sequence[TableColumn[Row]], width: int) -> Callable[[Sequence[str]], bool]:
    """Whether a table without the columns of these headers is wider for sure, however its other columns fold.

    Cells are measured once: to draw a table again and again until it fits takes long.
    """
    from rich.cells import cell_len

    widths = {
        column.header: max(map(cell_len, [column.header, *map(column.cell, rows)]))
        for column in columns
        if not column.folds
    }

    def without(hidden: Sequence[str]) -> bool:
        shown = [needed for header, needed in widths.items() if header not in hidden]
        return sum(shown) + len(shown) - 1 > width

    return without


def room_beside(table: "Table", console: "Console") -> int:
    """The number of characters by which the console is wider than a table of `table_of` must be; negative where it is
    narrower.

    What rich's Measurement would say, which looks at all cells twice: that took a fifth of a long report.
    """
    between = len(table.columns) - 1  # a blank that stands for a line
    padding = len(table.columns) * table.padding[1]
    return console.width - sum(map(_least_width, table.columns)) - padding - between


def _least_width(column: "Column") -> int:
    """What a column needs: of one that folds its longest word too, which rich would break but in an emergency."""
    from rich.cells import cell_len

    least = column.min_width or 0
    if column.no_wrap:
        return least
    texts = [column.header, *column.cells]
    return max([least, *(cell_len(word) for text in texts for word in str(text).split())])


def print_left_out(headers: Sequence[str], console: "Console", option: str) -> None:
    """Print for which columns there was no room, and the option that prints all of them; nothing where none is."""
    if headers:
        console.print(left_out_text(headers, option))


def left_out_text(headers: Sequence[str], option: str) -> "Text":
    """For which columns there was no room, and the option that shows them."""
    return as_it_is(f"no room for {', '.join(headers)}: widen the terminal, or use {option}", "dim")
