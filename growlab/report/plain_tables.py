"""Tables without lines, in which a page of one thing says what is known of it. Narrow terminals fold one column."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from growlab.report.terminal import as_it_is

if TYPE_CHECKING:
    from rich.table import Table

_MOST_FOLDED = 40  # characters of a line: one long unit must not move what stands beside it out of sight


def pairs(texts: Mapping[str, str]) -> "Table":
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in texts.items():
        grid.add_row(f"  {name}", as_it_is(text))
    return grid


def plain_table(*headers: str, folds: str = "") -> "Table":
    """An empty table. Narrow terminals fold the column `folds`, and leave the others whole as long as they can."""
    from rich.table import Table

    table = Table(box=None, header_style="dim", padding=(0, 0, 0, 2), pad_edge=True)
    for header in headers:
        most = _MOST_FOLDED if header == folds != headers[-1] else None
        table.add_column(header, overflow="fold", no_wrap=header != folds, max_width=most)
    return table
