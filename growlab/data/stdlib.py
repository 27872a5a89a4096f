"""The text that is always there: the English prose in the documentation strings of the running Python.

About a megabyte, the same for every machine with the same Python, and different in the next release.
"""

import ast
import hashlib
import os
import platform
import re
import sysconfig
import textwrap
from collections.abc import Iterator
from pathlib import Path

from growlab.data.cache import keep, kept
from growlab.errors import DataError

_RECIPE = 1  # raise it with every change of this file that changes the text
_MIN_WORDS = 8
_MIN_LETTERS = 0.9  # of a paragraph's characters, white space counted as letters: code and tables have fewer

# Folders and files of the standard library that are data or tests, and those that some systems
# package apart from Python: the text must not depend on whether tkinter was installed.
_PASSED_OVER = {
    *("test", "tests", "idle_test", "site-packages", "dist-packages", "lib-dynload", "__pycache__"),
    *("pydoc_data", "encodings", "lib2to3", "idlelib"),
    *("tkinter", "turtle.py", "turtledemo", "distutils", "ensurepip", "curses", "dbm", "msilib"),
}


def read_stdlib() -> str:
    """Read the standard library's prose, from the cache or built in a few seconds. Raises DataError.

    The cache is keyed by Python's version and by name and size of every file that is read.
    """
    root = _root()
    name = _entry_name(root)
    if entry := kept(name):
        return entry.path.read_text(encoding="ascii")
    text = prose_below(root)
    if not text:
        raise DataError(f"{root}: this Python has no documentation to read; use data.source: text with a file of yours")
    keep(name, [text.encode("ascii")], {"python": platform.python_version(), "n_chars": len(text)})
    return text


def stdlib_is_kept() -> bool:
    """Whether the text is in the cache. Nothing is built."""
    return kept(_entry_name(_root())) is not None


def stdlib_has_prose() -> bool:
    """Whether there is a text to build: some systems install Python without its sources."""
    return any(True for _ in _prose(_root()))


def prose_below(root: Path) -> str:
    """Gather each paragraph of prose in the docstrings of the modules below `root`, once, a blank line between two.

    Printable ASCII and newlines only. Modules in the order of their relative paths, docstrings in
    the order of their lines.
    """
    return "\n\n".join(dict.fromkeys(_prose(root)))


def _root() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _entry_name(root: Path) -> str:
    return f"stdlib-{platform.python_version()}-{_listing(root)[:12]}-v{_RECIPE}.txt"


def _prose(root: Path) -> Iterator[str]:
    paragraphs = (paragraph for file in _modules(root) for doc in _docstrings(file) for paragraph in _paragraphs(doc))
    return filter(_is_prose, paragraphs)


def _modules(root: Path) -> list[Path]:
    files = []
    for parent, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _PASSED_OVER]
        files += [Path(parent, name) for name in names if name.endswith(".py") and name not in _PASSED_OVER]
    return sorted(filter(Path.is_file, files), key=lambda file: file.relative_to(root).as_posix())


def _listing(root: Path) -> str:
    """Hash name and size of all files that make the text, as hexadecimal sha256."""
    lines = [f"{file.relative_to(root).as_posix()} {file.stat().st_size}\n" for file in _modules(root)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _docstrings(module: Path) -> Iterator[str]:
    try:
        tree = ast.parse(module.read_bytes())
    except (SyntaxError, ValueError):  # a template, or a sample of broken code: it documents nothing
        return
    for node in _definitions(tree):
        yield ast.get_docstring(node) or ""


_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _definitions(node: ast.AST) -> Iterator[_Documented]:
    """Yield the node and all definitions below it by line.

    Only statements are entered: six times as fast as ast.walk.
    """
    if isinstance(node, _Documented):
        yield node
    for part in ("body", "handlers", "orelse", "finalbody"):
        for child in getattr(node, part, ()):
            yield from _definitions(child)


def _paragraphs(docstring: str) -> list[str]:
    lines = "\n".join(line.rstrip() for line in docstring.splitlines())
    return [textwrap.dedent(paragraph) for paragraph in re.split(r"\n{2,}", lines.strip("\n"))]


def _is_prose(paragraph: str) -> bool:
    letters = sum(char.isalpha() or char.isspace() for char in paragraph)
    return (
        all(char == "\n" or " " <= char <= "~" for char in paragraph)
        and len(paragraph.split()) >= _MIN_WORDS
        and letters >= _MIN_LETTERS * len(paragraph)
    )
