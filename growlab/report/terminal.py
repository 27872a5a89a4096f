"""A console that cuts nothing and interprets nothing.

Layouts such as attn[n_heads=2] look like rich's markup, and a model may write anything at all: texts of
a trial are shown as they are, control characters (a terminal would obey them) as pictures.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from growlab.escapes import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

PIPE_WIDTH = 10_000  # rich would cut a pipe at 80 columns


def console_for(stream: TextIO) -> "Console":
    """As wide as the terminal; wide enough for everything where there is none."""
    from rich.console import Console

    width = None if stream.isatty() else PIPE_WIDTH
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def as_it_is(text: str, style: str = "") -> "Text":
    """A text of which nothing is interpreted, neither by rich nor by the terminal."""
    from rich.text import Text

    return Text(visible(text), style=style)


def fitting(
    draw: Callable[[Sequence[str]], "Table"], first_to_go: Sequence[str], console: "Console"
) -> tuple["Table", list[str]]:
    """The table that is not wider than the console, and the columns that it had to leave out.

    `draw` makes it without the columns of these headers.
    """
    from rich.measure import Measurement

    unbounded = console.options.update(width=PIPE_WIDTH)  # else what is measured is what was cut
    hidden = list[str]()
    table = draw(hidden)
    for header in first_to_go:
        if Measurement.get(console, unbounded, table).minimum <= console.width:
            break
        hidden.append(header)
        table = draw(hidden)
    return table, hidden
