"""JSON lines, Parquet and the hub: one column of documents, and what is wrong with a row."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from growlab.data import load_corpus
from growlab.errors import DataError, SpecError
from growlab.packages import install_command
from growlab.scalar import with_defaults
from growlab.specs import DataSpec

Read = Callable[..., str]
DOCUMENTS = ["İlk belge.\n", "", "  third é\r\n 😀"]
AS_ONE = "İlk belge.\n\n\n  third é\r\n 😀"


@pytest.fixture(scope="module")
def offline_hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its cache. The package `datasets` reads its settings once, when it is imported: no test comes before this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(home := tmp_path_factory.mktemp("hub")))
        patch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        pytest.importorskip("datasets")
        return home


def write_jsonl(file: Path, column: str, values: list[object]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps({"id": 1, column: value}) + "\n" for value in values))
    return file


def write_parquet(file: Path, column: str, values: list[object], **options: object) -> Path:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"id": list(range(len(values))), column: values}), file, **options)
    return file


WRITERS = {"jsonl": write_jsonl, "parquet": write_parquet}


# ---- both kinds of files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", WRITERS)
@pytest.mark.parametrize("column", ["text", "içerik"])
def test_the_documents_of_a_column_are_joined_by_newlines(tmp_path: Path, read: Read, source: str, column: str) -> None:
    file = WRITERS[source](tmp_path / "a.data", column, DOCUMENTS)

    assert read(source, file, column=column) == AS_ONE


@pytest.mark.parametrize("source", WRITERS)
def test_a_folder_is_its_files_by_relative_path(tmp_path: Path, read: Read, source: str) -> None:
    for name in ("b", "a"):
        WRITERS[source](tmp_path / f"{name}.{source}", "text", [name, name])

    assert read(source, tmp_path) == "a\na\nb\nb"


@pytest.mark.parametrize("source", WRITERS)
def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path, read: Read, source: str) -> None:
    file = WRITERS[source](tmp_path / "a.data", "body", ["x"])

    with pytest.raises(
        DataError, match=r"/a\.data(: line 1)?: has no column 'text'; it has: id, body; set data\.column"
    ):
        read(source, file)


@pytest.mark.parametrize("source", WRITERS)
@pytest.mark.parametrize(("value", "shown"), [(None, "None"), (3, "3")])
def test_a_row_that_is_not_text_is_named(tmp_path: Path, read: Read, source: str, value: object, shown: str) -> None:
    file = WRITERS[source](tmp_path / "a.data", "text", [value])

    with pytest.raises(DataError, match=rf"/a\.data: (line|row) 1: column 'text' is not text, got {shown}; repair"):
        read(source, file)


@pytest.mark.parametrize("source", WRITERS)
def test_a_table_without_a_character_is_empty(tmp_path: Path, source: str) -> None:
    file = WRITERS[source](tmp_path / "a.data", "text", [""])

    with pytest.raises(DataError, match=r"/a\.data: is empty; give a file with text in it"):
        load_corpus(with_defaults(DataSpec, source=source, path=str(file)))


def test_a_corpus_is_the_same_from_any_of_them(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_bytes(b"one\ntwo\nthree")
    files = {"text": text} | {
        name: write(tmp_path / name, "text", ["one", "two", "three"]) for name, write in WRITERS.items()
    }

    loaded = [load_corpus(with_defaults(DataSpec, source=source, path=str(file))) for source, file in files.items()]

    assert len({corpus.sha256 for corpus in loaded}) == 1
    assert len({corpus.train.tobytes() for corpus in loaded}) == 1


# ---- JSON lines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"text": "a"}\n{"text": ', r"line 2: is not JSON \(Expecting value.*\); each line must be one object"),
        (b"\xff\xfe{\x00", r"line 1: is not UTF-8 at byte 0 \(0xff\) but looks like UTF-16; convert it with: iconv"),
        (b'["a"]', r"line 1: is not an object, got \['a'\]; write lines such as {\"text\": \"…\"}"),
        (b'\n{"text": "ab\\ud83d"}', r"line 2: has half a surrogate pair at character 2; repair or drop the row"),
        (b"[" * 10_000, r"line 1: is not JSON \(.*recursion"),
    ],
)
def test_a_line_that_is_no_document_is_named(tmp_path: Path, read: Read, content: bytes, message: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(content)

    with pytest.raises(DataError, match=rf"/a\.jsonl: {message}"):
        read("jsonl", file)


def test_blank_lines_and_windows_newlines_between_objects_mean_nothing(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf\n{"text": "a"}\r\n  \n{"text": "b"}\r\n\n')

    assert read("jsonl", tmp_path / "a.jsonl") == "a\nb"


# ---- Parquet -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"PAR1 not really PAR1", b"a,b\n1,2\n"])
def test_a_file_that_is_not_parquet_is_named(tmp_path: Path, read: Read, content: bytes) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_bytes(content)

    with pytest.raises(DataError, match=r"/a\.parquet: cannot be read as Parquet \(.*\); take another copy"):
        read("parquet", tmp_path)


def test_a_file_that_was_cut_off_is_named(tmp_path: Path, read: Read) -> None:
    file = write_parquet(tmp_path / "a.parquet", "text", DOCUMENTS)
    file.write_bytes(file.read_bytes()[:-20])

    with pytest.raises(DataError, match=r"/a\.parquet: cannot be read as Parquet \(.*\); take another copy"):
        read("parquet", file)


def test_a_damaged_page_is_named(tmp_path: Path, read: Read) -> None:
    """The footer is whole, so that reading begins; pyarrow's error is an OSError without a file name."""
    file = write_parquet(tmp_path / "a.parquet", "text", [str(number) * 50 for number in range(2_000)])
    content = bytearray(file.read_bytes())
    begin = pytest.importorskip("pyarrow.parquet").ParquetFile(file).metadata.row_group(0).column(1).data_page_offset
    content[begin : begin + 40] = b"\xff" * 40
    file.write_bytes(content)

    with pytest.raises(DataError, match=r"/a\.parquet: cannot be read as Parquet \(.*\); take another copy"):
        read("parquet", file)


def test_many_rows_in_many_groups_come_in_order(tmp_path: Path, read: Read) -> None:
    documents = [str(number) for number in range(3_000)]
    file = write_parquet(tmp_path / "a.parquet", "text", documents, row_group_size=700)

    assert read("parquet", file).split("\n") == documents


@pytest.mark.parametrize("stored", ["large", "view", "dictionary"])
def test_text_is_text_however_it_is_stored(tmp_path: Path, read: Read, stored: str) -> None:
    arrow = pytest.importorskip("pyarrow")
    values = {
        "large": lambda: arrow.array(["a", "b", "a"], arrow.large_string()),
        "view": lambda: arrow.array(["a", "b", "a"], arrow.string_view()),
        "dictionary": lambda: arrow.array(["a", "b", "a"]).dictionary_encode(),
    }[stored]()

    assert read("parquet", write_parquet(tmp_path / "a.parquet", "text", values)) == "a\nb\na"


@pytest.mark.parametrize("value", [["a"], {"text": "a"}, b"a"])
def test_what_is_nested_or_binary_is_no_text(tmp_path: Path, read: Read, value: object) -> None:
    file = write_parquet(tmp_path / "a.parquet", "text", [value])

    with pytest.raises(
        DataError, match=r"/a\.parquet: row 1: column 'text' is not text, got .*; repair or drop the row"
    ):
        read("parquet", file)


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path, read: Read) -> None:
    arrow = pytest.importorskip("pyarrow")
    wrong = arrow.Array.from_buffers(
        arrow.string(), 2, [None, arrow.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), arrow.py_buffer(b"a\xff")]
    )
    file = write_parquet(tmp_path / "a.parquet", "text", wrong)

    with pytest.raises(DataError, match=r"/a\.parquet: column 'text' is not UTF-8 after row 0; write it again"):
        read("parquet", file)


@pytest.mark.parametrize(("source", "package"), [("parquet", "pyarrow"), ("hf", "datasets")])
def test_a_package_that_is_not_installed_is_named_with_its_command(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch, source: str, package: str
) -> None:
    (tmp_path / "a.parquet").touch()
    monkeypatch.setitem(sys.modules, package, None)

    command = re.escape(install_command(package))
    with pytest.raises(DataError, match=rf"source '{source}' needs the package '{package}' \(.*\); run: {command}$"):
        read(source, tmp_path)


def test_the_hub_needs_a_name(read: Read) -> None:
    with pytest.raises(
        SpecError, match=r"source 'hf' needs the name of a data set, got ''; write data\.source: hf:own"
    ):
        read("hf", "")


# ---- the hub -------------------------------------------------------------------------------------------------


@pytest.fixture
def local_hub(offline_hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`datasets` reads a folder of this name where there is one."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "owner" / "name" / "train.jsonl", "text", DOCUMENTS)
    write_jsonl(tmp_path / "owner" / "name" / "test.jsonl", "text", ["never read"])
    return tmp_path / "owner" / "name"


@pytest.mark.parametrize("path", ["owner/name", "hf:owner/name", "owner/name:default", "owner/name@main"])
def test_the_train_split_of_a_data_set_is_a_text(local_hub: Path, read: Read, path: str) -> None:
    assert read("hf", path) == AS_ONE


def test_a_data_set_without_the_column_is_named(local_hub: Path, read: Read) -> None:
    with pytest.raises(DataError, match=r"hf:owner/name: has no column 'body'; it has: id, text; set data\.column"):
        read("hf", "owner/name", column="body")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"id": 1, "text": "a"}\n{"id": 1, "text": null}\n',
            r"row 2: column 'text' is not text, got None; repair or drop .*with data\.skip_nulls: true",
        ),
        (b'{"id": 1, "text": "\xe9"}\n', r"column 'text' is not UTF-8 after row 0; write it again"),
        (b'{"id": 1, "text": "a"}\n{"te', r"cannot be loaded \(JSON parse error: .*\); check data\.path"),
        (b"", r"cannot be loaded \(.*\); check data\.path"),
    ],
)
def test_a_data_set_that_is_damaged_is_one_line(
    local_hub: Path, read: Read, capfd: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    (local_hub / "train.jsonl").write_bytes(content)

    with pytest.raises(DataError, match=f"^hf:owner/name: {message}$"):
        read("hf", "owner/name")

    assert capfd.readouterr().err == ""


def test_a_data_set_without_a_train_split_is_named(local_hub: Path, read: Read) -> None:
    (local_hub / "train.jsonl").unlink()

    with pytest.raises(DataError, match=r"^hf:owner/name: cannot be loaded \(Unknown split \"train\"\..*\); check"):
        read("hf", "owner/name")


def test_a_damaged_cache_of_the_hub_is_one_line(offline_hub: Path, local_hub: Path, read: Read) -> None:
    before = set(offline_hub.rglob("*.arrow"))
    read("hf", "owner/name")
    for table in set(offline_hub.rglob("*.arrow")) - before:
        table.write_bytes(table.read_bytes()[:100])

    with pytest.raises(DataError, match=r"^hf:owner/name: cannot be loaded \(.*\); check data\.path$"):
        read("hf", "owner/name")


def test_offline_a_data_set_that_is_not_cached_is_one_line(
    offline_hub: Path, read: Read, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        DataError, match=r"^hf:owner/gone: cannot be reached \(.*\) and is not in the cache; go online once.*$"
    ) as caught:
        read("hf", "owner/gone")

    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("owner/name:other", r"hf:owner/name:other: cannot be loaded \(.*'other' not found.*\); check data\.path"),
        ("a/b/c", r"hf:a/b/c: cannot be loaded \(.*\); check data\.path"),
    ],
)
def test_a_name_that_means_nothing_is_one_line(local_hub: Path, read: Read, path: str, message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}"):
        read("hf", path)


@pytest.mark.parametrize(
    "name", ["../../x", "/abs/x", "name", "./name", "a/..", "a/b--c", "-a/b", "a/é", "x" * 97 + "/b"]
)
def test_a_folder_of_this_machine_is_not_read_for_what_is_no_name_of_the_hub(
    local_hub: Path, read: Read, tmp_path: Path, name: str
) -> None:
    for folder in ("name", "a"):
        write_jsonl(tmp_path / folder / "train.jsonl", "text", DOCUMENTS)

    with pytest.raises(DataError, match=r"^hf:.*: cannot be loaded \(the hub calls a data set owner/name, of letters"):
        read("hf", name)
