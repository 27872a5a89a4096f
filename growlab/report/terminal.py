"""A console that cuts nothing and interprets nothing.

Layouts such as attn[n_heads=2] look like rich's markup, and a model may write anything at all: texts of
a trial are shown as they are, control characters (a terminal would obey them) as pictures.
"""

import re
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, TextIO

from growlab.escapes import visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.text import Text

PIPE_WIDTH = 10_000  # rich would cut a pipe at 80 columns


def console_for(stream: TextIO) -> "Console":
    """A console as wide as the terminal; wide enough for everything where there is none."""
    from rich.console import Console

    width = None if stream.isatty() else PIPE_WIDTH
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def wrapped(before: str, text: str, width: int) -> str:
    """`before` and the text, in lines no wider than `width` that end at spaces; a longer word is a line of its own.

    The lines after the first begin below the text.
    """
    return "\n".join(
        textwrap.wrap(
            text,
            width,
            initial_indent=before,
            subsequent_indent=" " * len(before),
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def as_it_is(text: str, style: str = "") -> "Text":
    """A text of which nothing is interpreted, neither by rich nor by the terminal."""
    from rich.text import Text

    return Text(visible(text), style=style)


_PIECES = re.compile(r"[^,\[(]*[,\[(]+|[^,\[(]+")  # of a word without a blank, where a line may end


def folded(text: str, width: int, n_lines: int) -> str:
    """The text in so many lines at most of so many characters at most; an ellipsis ends what is cut.

    Lines end at blanks; a word that is longer than a line ends behind a comma or what opens a bracket.
    """
    lines = _lines(visible(text), width)
    shown = lines[:n_lines]
    if len(lines) > n_lines:
        shown[-1] = shown[-1][: width - 1] + "…"
    return "\n".join(shown)


def _lines(text: str, width: int) -> list[str]:
    from rich.cells import cell_len, chop_cells

    lines = [""]
    for word in text.split():
        pieces = [word] if cell_len(word) <= width else _PIECES.findall(word)
        for at, piece in enumerate(pieces):
            gap = " " if at == 0 and lines[-1] else ""
            if cell_len(lines[-1] + gap + piece) <= width:
                lines[-1] += gap + piece
            else:
                lines += chop_cells(piece, width)
    return [line for line in lines if line]


class Trimmed:
    """A drawing of rich without the blanks that it fills lines up with: to the longest value of a column, say."""

    def __init__(self, drawn: "RenderableType") -> None:
        self._drawn = drawn

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.segment import Segment

        for line in console.render_lines(self._drawn, options, pad=False):
            while line and not line[-1].text.strip():
                line.pop()
            yield from line[:-1]
            yield from (Segment(last.text.rstrip(), last.style) for last in line[-1:])
            yield Segment.line()


def print_wrapped(before: str, text: str) -> None:
    """Print text wrapped at words, with a hanging indent, as wide as the terminal; a line as it is into a pipe."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH
    print(wrapped(before, visible(text), width))
