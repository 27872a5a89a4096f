"""Who hears what a person may want to know. A room prints nothing itself."""

from collections.abc import Callable

Tell = Callable[[str], None]  # gets a note, a warning or a fact: a line without its newline
