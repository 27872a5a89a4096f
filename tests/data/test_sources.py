import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from growlab.data import SOURCES, fingerprint, list_sources, register_source, sha256_of
from growlab.data.sources import read_text
from growlab.errors import DataError, UnknownName


def test_a_text_file_is_read_as_it_is_but_for_windows_newlines(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("  één\r\ntwo\r\rthree\n\n".encode())

    assert read_text(str(file)) == "  één\ntwo\r\rthree\n\n"


def test_a_folder_is_its_txt_files_by_relative_path_joined_by_a_newline(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name, text in {"b/a.txt": "3", "b.txt": "2", "a.txt": "1", "b/z.txt": "4", "notes.md": "no"}.items():
        (tmp_path / name).write_text(text)

    assert read_text(str(tmp_path)) == "1\n2\n3\n4"


def test_a_text_needs_a_path() -> None:
    with pytest.raises(DataError, match=r"source 'text' needs a path, got ''; set data\.path"):
        read_text("")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/gone\.txt: cannot be read: No such file or directory; check data\.path"):
        read_text(str(tmp_path / "gone.txt"))


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()

    with pytest.raises(DataError, match=r"/empty\.txt: is empty; give a file with text in it"):
        read_text(str(tmp_path / "empty.txt"))


def test_a_file_that_is_not_utf8_is_named_with_the_byte_and_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin1"))

    with pytest.raises(DataError, match=r"/latin\.txt: is not UTF-8 at byte 3; convert it, such as: iconv"):
        read_text(str(tmp_path))


def test_a_folder_without_txt_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "corpus.md").write_text("text")

    with pytest.raises(DataError, match=r": has no \.txt file in it or below it; .* name your files \*\.txt"):
        read_text(str(tmp_path))


@pytest.mark.parametrize("closed", ["folder/locked.txt", "folder"])
def test_what_this_user_may_not_read_is_named_and_never_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "open.txt").write_text("open")
    (tmp_path / "folder" / "locked.txt").write_text("locked")
    (tmp_path / closed).chmod(0o000)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # another user may not come here by the absolute path

    with without_privileges(), pytest.raises(DataError, match=f"{closed}: may not be read by this user"):
        read_text(".")

    (tmp_path / closed).chmod(0o700)


def test_a_fingerprint_counts_characters_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xe2\x82\xac!\r\n")

    assert fingerprint("text", str(tmp_path / "a.txt")) == (sha256_of("€!\n"), 3, 5)


def test_the_sha256_of_a_text_is_that_of_its_utf8() -> None:
    assert sha256_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_unknown_source_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(UnknownName, match=r"unknown data source 'txt'; known: stdlib, text\. Did you mean 'text'"):
        fingerprint("txt", "")


def test_a_registered_function_is_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SOURCES, "_entries", dict(SOURCES._entries))

    @register_source("count", "the numbers up to `path`")
    def count(path: str) -> str:
        return " ".join(map(str, range(int(path))))

    assert ("count", "the numbers up to `path`") in list_sources()
    assert fingerprint("count", "3").sha256 == sha256_of("0 1 2")


def test_the_door_of_the_room_does_not_load_torch() -> None:
    code = "import growlab.data, sys; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may read everything: as root, go on as the user nobody."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(65534)
    except OSError:
        pytest.skip("this container does not let root become another user")
    try:
        yield
    finally:
        os.seteuid(0)
