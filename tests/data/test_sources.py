import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from growlab.data import SOURCES, list_sources, load_corpus, register_source
from growlab.errors import DataError, SpecError, UnknownName
from growlab.scalar import with_defaults
from growlab.specs import DataSpec

Read = Callable[..., str]
SpecOf = Callable[..., DataSpec]
Sha256Of = Callable[[str], str]
AsNobody = Callable[[], AbstractContextManager[None]]


def test_a_text_file_is_read_as_it_is_but_for_windows_newlines(tmp_path: Path, read: Read) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("  één\r\ntwo\r\rthree\n\n".encode())

    assert read("text", file) == "  één\ntwo\r\rthree\n\n"


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_where_a_file_is_cut_into_pieces_means_nothing(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("growlab.data.text_files.SIZE", size)
    monkeypatch.setattr("growlab.data.pieces.SIZE", size)
    file = tmp_path / "a.txt"
    file.write_bytes("a€\r\n\r\r\n😀é\r".encode())

    assert read("text", file) == "a€\n\r\n😀é\r"


@pytest.mark.parametrize("size", [1, 2, 100])
def test_the_byte_order_mark_of_a_windows_file_is_no_text(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("growlab.data.text_files.SIZE", size)
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_bytes("\ufeffé\r\n\ufeff".encode())

    assert read("text", tmp_path) == "é\n\ufeff\né\n\ufeff"


def test_a_file_of_a_byte_order_mark_is_empty(spec_of: SpecOf) -> None:
    with pytest.raises(DataError, match=r"/corpus\.txt: is empty"):
        load_corpus(spec_of("\ufeff"))


def test_a_folder_is_its_txt_files_by_relative_path_joined_by_a_newline(tmp_path: Path, read: Read) -> None:
    (tmp_path / "b" / "deep.txt").mkdir(parents=True)  # a folder, whatever its name
    texts = {"b/a.txt": "3", "b.txt": "2", "a.txt": "1", "b/deep.txt/b.txt": "4", "b/z.txt": "5", "notes.md": "no"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)

    assert read("text", tmp_path) == "1\n2\n3\n4\n5"
    assert SOURCES["text"].unread(str(tmp_path)).startswith(f"{tmp_path}: 1 file is not read: notes.md; only names")


def test_in_a_folder_linked_files_are_read_and_linked_folders_not_entered(tmp_path: Path, read: Read) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "corpus" / "link.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "corpus" / "circle").symlink_to(tmp_path)

    assert read("text", tmp_path / "corpus") == "text"


def test_a_link_to_nothing_is_named(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.txt").symlink_to(tmp_path / "gone")

    with pytest.raises(DataError, match=r"/a\.txt: cannot be read: No such file or directory"):
        read("text", tmp_path)


@pytest.mark.parametrize("source", ["text", "jsonl", "parquet"])
def test_a_file_needs_a_path(read: Read, source: str) -> None:
    with pytest.raises(SpecError, match=rf"source '{source}' needs a path, got ''; set data\.path to a "):
        read(source)


@pytest.mark.parametrize("source", ["text", "jsonl", "parquet"])
def test_a_missing_file_is_named(tmp_path: Path, read: Read, source: str) -> None:
    with pytest.raises(DataError, match=r"/gone\.txt: cannot be read: No such file or directory; check data\.path"):
        read(source, tmp_path / "gone.txt")


def test_an_empty_file_is_named(tmp_path: Path, spec_of: SpecOf) -> None:
    with pytest.raises(DataError, match=r"/corpus\.txt: is empty; give a file with text in it"):
        load_corpus(spec_of(""))


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_file_that_is_not_utf8_is_named_with_the_byte_and_a_remedy(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("growlab.data.text_files.SIZE", size)
    (tmp_path / "latin.txt").write_bytes("€caf\xe9".encode() + b"\xe2\x82!")

    with pytest.raises(DataError, match=r"/latin\.txt: is not UTF-8 at byte 8 \(0xe2\); its encoding cannot be known"):
        read("text", tmp_path)


@pytest.mark.parametrize(
    ("encoding", "text", "found"),
    [
        ("utf-16", "ab", "is not UTF-8 at byte 0 (0xff) but looks like UTF-16; convert it with: iconv -f UTF-16 -t"),
        ("utf-16-be", "\ufeffab", "is not UTF-8 at byte 0 (0xfe) but looks like UTF-16; convert it with: iconv"),
        ("utf-32", "ab", "is not UTF-8 at byte 0 (0xff) but looks like UTF-32; convert it with: iconv -f UTF-32 -t"),
        ("utf-16-le", "a text", "has a NUL at byte 1 and looks like UTF-16LE without its mark; convert it with: iconv"),
        ("utf-16-be", "a text", "has a NUL at byte 0 and looks like UTF-16BE without its mark; convert it with: iconv"),
        ("utf-32-le", "a text", "has a NUL at byte 1 and looks like UTF-32LE without its mark"),
        ("utf-32-be", "a text", "has a NUL at byte 0 and looks like UTF-32BE without its mark"),
        ("utf-16-le", "één tekst", "is not UTF-8 at byte 0 (0xe9) but looks like UTF-16LE; convert it with: iconv -f"),
        ("cp1254", "şeftali", "is not UTF-8 at byte 0 (0xfe); its encoding cannot be known from its bytes, but if it"),
        ("utf-8", "one\0" + "a" * 99, "has a NUL at byte 3, so it is binary, or in an encoding that cannot be known"),
    ],
)
def test_an_encoding_is_named_where_the_bytes_tell_it_and_no_other(
    tmp_path: Path, read: Read, encoding: str, text: str, found: str
) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))

    with pytest.raises(DataError) as caught:
        read("text", tmp_path)

    assert str(caught.value).startswith(f"{tmp_path}/a.txt: {found}")
    assert "latin" not in str(caught.value)


def test_a_file_that_ends_inside_a_character_is_not_utf8(tmp_path: Path, read: Read) -> None:
    (tmp_path / "cut.txt").write_bytes("ab€".encode()[:-1])

    with pytest.raises(DataError, match=r"/cut\.txt: is not UTF-8 at byte 2"):
        read("text", tmp_path)


@pytest.mark.parametrize(("source", "suffix"), [("text", ".txt"), ("jsonl", ".jsonl"), ("parquet", ".parquet")])
def test_a_folder_without_such_files_is_named(tmp_path: Path, read: Read, source: str, suffix: str) -> None:
    (tmp_path / "corpus.md").write_text("text")

    with pytest.raises(DataError, match=rf": has no {suffix} file in it or below it; .* name your files \*{suffix}"):
        read(source, tmp_path)


@pytest.mark.parametrize("source", ["stdlib", "tiny-shakespeare"])
def test_a_corpus_without_a_place_takes_no_path(read: Read, source: str) -> None:
    with pytest.raises(SpecError, match=rf"'{source}' takes no path, got 'x\.txt'; leave data\.path empty"):
        read(source, "x.txt")


@pytest.mark.parametrize("closed", ["folder/locked.txt", "folder"])
def test_what_this_user_may_not_read_is_named_and_never_passed_over(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch, as_nobody: AsNobody, closed: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "open.txt").write_text("open")
    (tmp_path / "folder" / "locked.txt").write_text("locked")
    (tmp_path / closed).chmod(0o000)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # another user may not come here by the absolute path

    with as_nobody(), pytest.raises(DataError, match=f"{closed}: may not be read by this user"):
        read("text", ".")

    (tmp_path / closed).chmod(0o700)


def test_an_unknown_source_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(UnknownName, match=r"unknown data source 'txt'; known: .*, text, .*\. Did you mean 'text'"):
        load_corpus(with_defaults(DataSpec, source="txt"))


def test_a_registered_function_is_a_source(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SOURCES, "_entries", dict(SOURCES._entries))

    @register_source("count", "the numbers up to `path`")
    def count(spec: DataSpec) -> str:
        return " ".join(map(str, range(int(spec.path))))

    assert ("count", "the numbers up to `path`") in list_sources()
    assert read("count", "3") == "0 1 2"


def test_a_source_may_give_its_text_in_pieces(sha256_of: Sha256Of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SOURCES, "_entries", dict(SOURCES._entries))

    @register_source("words", "twenty times `path`")
    def words(spec: DataSpec) -> Iterator[str]:
        yield from [spec.path, ""] * 20

    corpus = load_corpus(with_defaults(DataSpec, source="words", path="né "))

    assert corpus.sha256 == sha256_of("né " * 20)
    assert corpus.tokenizer.decode(corpus.train) == ("né " * 20)[: corpus.train.size]


@pytest.mark.parametrize(
    ("give", "said"),
    [
        (lambda: None, "source 'odd' gave None instead of text; let it return a str, or an iterable of them"),
        (lambda: b"bytes", "source 'odd' gave bytes instead of text; let it return a str"),
        (lambda: ["text", b"bytes"], "source 'odd' gave bytes instead of text; let it return a str"),
        (lambda: {}["no such row"], "source 'odd' failed: KeyError: 'no such row'; growlab --debug … shows where"),
        (sys.exit, "source 'odd' failed: SystemExit; growlab"),
        (lambda: (1 / 0 for _ in "1"), "source 'odd' failed: ZeroDivisionError: division by zero; growlab"),
        (lambda: ["é" * 2**18, "ab\ud800"], "here: has half a surrogate pair at character 262146; repair or drop it"),
        (lambda: Path("/nowhere").read_text(), "/nowhere: cannot be read: No such file or directory"),
    ],
)
def test_a_source_that_fails_or_gives_no_text_is_named(
    monkeypatch: pytest.MonkeyPatch, give: Callable[[], object], said: str
) -> None:
    monkeypatch.setattr(SOURCES, "_entries", dict(SOURCES._entries))
    register_source("odd", "what nobody expects")(lambda spec: give())

    with pytest.raises(DataError) as caught:
        load_corpus(with_defaults(DataSpec, source="odd", path="here"))

    assert str(caught.value).startswith(said)


def test_a_text_that_changes_while_it_is_read_is_refused_and_not_kept(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setattr(SOURCES, "_entries", dict(SOURCES._entries))
    readings = iter(["the first text", "the other text"])

    @register_source("fickle", "never the same")
    def fickle(spec: DataSpec) -> str:
        return next(readings)

    with pytest.raises(DataError, match=r"^source 'fickle': was changed while it was read; wait until"):
        load_corpus(with_defaults(DataSpec, source="fickle", tokenizer="byte"))

    assert list(cache.rglob("*")) == [cache / "data"]


def test_the_door_of_the_room_does_not_load_torch() -> None:
    code = "import growlab.data, sys; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
