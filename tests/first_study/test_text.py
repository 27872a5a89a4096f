from pathlib import Path

import pytest

from growlab.errors import DataError, UsageError
from growlab.first_study import text as text_room
from growlab.first_study.text import look_at

LINE = "a line that is long enough to be a copy, number {:04}\n"


def test_a_folder_is_described_by_its_files_lines_and_copies(tmp_path: Path) -> None:
    once = "".join(map(LINE.format, range(300)))
    (tmp_path / "a.txt").write_text(once, encoding="utf-8")
    (tmp_path / "b.txt").write_text(f"{once}öä\n", encoding="utf-8")
    (tmp_path / "c.md").write_text("not read", encoding="utf-8")

    facts = look_at(str(tmp_path))

    assert (facts.n_files, facts.n_lines, facts.line_median) == (2, 602, 52)
    assert (facts.encoding, facts.is_whole) == ("UTF-8", True)
    assert {"ö", "ä"} <= set(facts.alphabet)
    assert facts.copied == pytest.approx(0.5, abs=0.02)
    assert "1 file is not read: c.md" in facts.unread


def test_of_a_large_text_the_beginning_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("".join(map(LINE.format, range(20_000))), encoding="utf-8")
    monkeypatch.setattr(text_room, "MOST_READ", 100_000)

    facts = look_at(str(tmp_path / "a.txt"))

    assert not facts.is_whole
    assert facts.n_chars < facts.n_bytes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; give a file"),
        (b"some words\n" * 20, "has 220 characters, and nothing can be learnt from fewer than 10,000"),
        (b"\x7fELF\x00\x01\x02" * 2_000, "so it is binary"),
        (b"gr\xfc\xdfe " * 5_000, "is not UTF-8 at byte 2"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" * 1_000, "is a PDF; take its text out with: pdftotext"),
        (b"PK\x03\x04\x14\x00\x06\x00" * 2_000, "is a zip archive, as .docx"),
    ],
)
def test_what_is_no_text_to_learn_from_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)

    with pytest.raises(DataError, match=message):
        look_at(str(tmp_path / "a.txt"))


def test_a_missing_text_and_a_folder_without_any_say_so(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("words " * 5_000, encoding="utf-8")

    with pytest.raises(UsageError, match="no such file or folder; give a text file"):
        look_at(str(tmp_path / "nowhere"))
    (tmp_path / "rows.jsonl").write_text("{}")
    with pytest.raises(
        UsageError, match=r"is a table, not a text; .*growlab study run chat --set data.path=.*rows.jsonl"
    ):
        look_at(str(tmp_path / "rows.jsonl"))
    (tmp_path / "rows.jsonl").unlink()
    with pytest.raises(DataError, match=r"below it; name your files \*\.txt \(not read: notes\.md\)"):
        look_at(str(tmp_path))
