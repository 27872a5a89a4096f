"""A console that cuts nothing and interprets nothing.

Layouts such as attn[n_heads=2] look like rich's markup, and a model may write anything at all: texts of
a trial are shown as they are, control characters (a terminal would obey them) as pictures.
"""

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


def folded(text: str, width: int, n_lines: int, console: "Console") -> str:
    """The text in so many lines at most of so many characters at most; an ellipsis ends what is cut."""
    lines = as_it_is(text).wrap(console, width, overflow="fold")
    shown = [line.plain.rstrip() for line in lines[:n_lines]]
    if len(lines) > n_lines:
        shown[-1] = shown[-1][: width - 1] + "…"
    return "\n".join(shown)


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
