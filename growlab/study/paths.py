"""Where the files lie that a study names."""

from pathlib import Path

from growlab.errors import SpecError
from growlab.files import is_utf8, resolved
from growlab.home import from_home

HUB = "hf"  # the source whose path is a name, not a file


def is_path(source: object, key: str) -> bool:
    """Whether this key of the data section names a file or a folder."""
    return key == "tokenizer_path" or (key == "path" and source != HUB)


def absolute(folder: Path, path: str) -> str:
    """Resolve a path from `folder`, or from the user's home where it begins with ~/.

    Raises SpecError for one that no database can hold.
    """
    whole = str(resolved(folder / from_home(path)))
    if not is_utf8(whole):
        raise SpecError(f"path {whole!r} is not UTF-8, so no study can record it; give it another name")
    return whole
