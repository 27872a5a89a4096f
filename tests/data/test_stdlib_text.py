import string
import sysconfig
from pathlib import Path

import pytest

from growlab.data.stdlib import prose_below, read_stdlib
from growlab.errors import DataError

LONG = "which is long enough to be a paragraph of prose"
MODULE = f'''"""The module, {LONG}.

Too short.

    x = [y[0] for y in z if y != 1 and (2 + 3 == 5) or {{}}]

    An indented paragraph, {LONG}.
"""
import sys

class Thing:
    """The class, {LONG}."""

    def method(self):
        """The method, {LONG}."""

if sys:
    def chosen():
        """The first branch, {LONG}."""
else:
    async def chosen():
        """The second branch, {LONG}, né à Paris."""
try:
    pass
except ValueError:
    def rescue():
        """The handler, {LONG}."""
'''


def test_the_text_is_english_prose_of_about_a_megabyte(built_stdlib: tuple[str, Path]) -> None:
    text, _ = built_stdlib

    assert 500_000 < len(text) < 2_000_000
    assert set(text) <= {"\n", *map(chr, range(32, 127))}
    assert sum(char in string.ascii_letters + " \n" for char in text) > 0.9 * len(text)
    assert text.count(" the ") > 5_000
    assert ">>>" not in text


def test_the_text_says_nothing_twice_and_leaves_a_blank_line_between_paragraphs(
    built_stdlib: tuple[str, Path],
) -> None:
    paragraphs = built_stdlib[0].split("\n\n")

    assert len(set(paragraphs)) == len(paragraphs) > 1_000
    assert min(len(paragraph.split()) for paragraph in paragraphs) == 8


@pytest.mark.slow
def test_the_text_is_the_same_when_it_is_built_again(built_stdlib: tuple[str, Path]) -> None:
    assert prose_below(Path(sysconfig.get_path("stdlib"))) == built_stdlib[0]


def test_prose_comes_in_the_order_of_the_source(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(MODULE)

    assert prose_below(tmp_path).split("\n\n") == [
        f"The module, {LONG}.",
        f"An indented paragraph, {LONG}.",
        f"The class, {LONG}.",
        f"The method, {LONG}.",
        f"The first branch, {LONG}.",
        f"The handler, {LONG}.",
    ]


def test_modules_come_by_path_once_and_without_tests_or_installed_packages(tmp_path: Path) -> None:
    modules = {"b/a.py": "3", "b.py": "2", "a.py": "1", "c.py": "1", "b/test/t.py": "no", "site-packages/p.py": "no"}
    for name, said in modules.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f'"""Module {said}, {LONG}."""')

    assert [paragraph[7] for paragraph in prose_below(tmp_path).split("\n\n")] == ["1", "2", "3"]


def test_a_file_that_is_not_python_documents_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(f'"""Broken, {LONG}."""\nprint "so"')

    assert prose_below(tmp_path) == ""


def test_the_text_is_kept_and_a_damaged_copy_is_built_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python_in(tmp_path / "lib", monkeypatch).write_text(MODULE)
    text = read_stdlib()
    [kept] = cache.glob("data/stdlib-*.txt")
    written_at = kept.stat().st_mtime_ns

    assert read_stdlib() == text
    assert kept.stat().st_mtime_ns == written_at

    kept.write_text(kept.read_text().replace("The", "Teh"))

    assert read_stdlib() == text == kept.read_text()


def test_another_python_has_a_text_of_its_own(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python_in(tmp_path / "one", monkeypatch).write_text(MODULE)
    read_stdlib()
    python_in(tmp_path / "two", monkeypatch).write_text(f'"""Another, {LONG}."""')

    assert read_stdlib() == f"Another, {LONG}."
    assert len(list(cache.glob("data/stdlib-*.txt"))) == 2


def test_a_python_without_documentation_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python_in(tmp_path / "lib", monkeypatch)

    with pytest.raises(DataError, match=r"/lib: this Python has no documentation to read; use data\.source: text"):
        read_stdlib()


def python_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `folder` the standard library; the path of a module to write there."""
    folder.mkdir()
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(folder))
    return folder / "module.py"
