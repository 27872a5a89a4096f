"""Data as people have it: messages, tables with names of their own, rows without a text, a validation file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from growlab.data import load_corpus
from growlab.data.qa import Pairs, read_pairs
from growlab.errors import DataError, SpecError
from growlab.scalar import with_defaults
from growlab.specs import DataSpec

ReadQa = Callable[..., Pairs]


@pytest.fixture
def read_qa(tmp_path: Path) -> ReadQa:
    def read(entries: list[Any], **keys: object) -> Pairs:
        path = tmp_path / "pairs.jsonl"
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        return read_pairs(with_defaults(DataSpec, source="qa", path=str(path), **keys))

    return read


# ---- questions and answers -----------------------------------------------------------------------------------


def test_keys_are_those_that_are_given_and_several_make_one_question(read_qa: ReadQa) -> None:
    rows = [
        {"instruction": "Translate", "input": "ağaç", "output": "tree"},
        {"instruction": "Greet", "input": "", "output": "hello"},
    ]

    pairs, notes = read_qa(rows, question="instruction+input", answer="output")
    nested, _ = read_qa([{"turn": {"q": "a", "a": ["b", "c"]}}], question="turn.q", answer="turn.a.1")

    assert [pair[:2] for pair in pairs] == [("Translate\nağaç", "tree"), ("Greet", "hello")]
    assert notes == ()
    assert nested[0][:2] == ("a", "c")


def test_each_message_of_a_user_with_its_answer_is_a_pair(read_qa: ReadQa) -> None:
    chat = [
        {"role": "system", "content": "be short"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "bye"},
        {"role": "assistant", "content": "see you"},
        {"role": "user", "content": "still there?"},
    ]
    shared = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]

    pairs, notes = read_qa([{"messages": chat}, {"messages": shared}], messages="messages")

    assert [pair[:2] for pair in pairs] == [("hi", "hello"), ("bye", "see you"), ("a", "b")]
    [note] = notes
    assert note.endswith("2 messages are in no pair: of a system, or without an answer after them")


def test_entries_without_a_text_are_refused_or_passed_over_and_counted(read_qa: ReadQa) -> None:
    entries = [{"question": "a", "answer": "b"}, {"question": "c", "answer": None}, {"question": ""}]

    pairs, notes = read_qa(entries, skip_nulls=True)

    assert [pair[:2] for pair in pairs] == [("a", "b")]
    assert notes[0].endswith("2 entries without a question or an answer are passed over")
    with pytest.raises(DataError, match=r"line 2: 'answer' is not text, got None; .*with data.skip_nulls: true"):
        read_qa(entries)


@pytest.mark.parametrize(
    ("entry", "keys", "message"),
    [
        (
            {"prompt": "a", "reply": "b"},
            {},
            r"has no 'question'; it has: prompt, reply; .*data.question and data.answer",
        ),
        ({"chat": []}, {"messages": "messages"}, r"has no 'messages'; it has: chat; set data.messages"),
        ({"messages": "hi"}, {"messages": "messages"}, r"'messages' is no list, got 'hi'"),
        ({"messages": ["hi"]}, {"messages": "messages"}, r"line 1, message 1: has no role and content, got 'hi'"),
    ],
)
def test_an_entry_of_another_shape_is_named(
    read_qa: ReadQa, entry: dict[str, Any], keys: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_qa([entry], **keys)


def test_a_parquet_table_of_instructions_is_read_by_its_columns(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "pairs.parquet"
    parquet.write_table(arrow.table({"ask": ["a", "b"], "say": ["c", None], "id": [1, 2]}), file)
    spec = with_defaults(DataSpec, source="qa", path=str(file), question="ask", answer="say", skip_nulls=True)

    pairs, notes = read_pairs(spec)

    assert [tuple(pair) for pair in pairs] == [("a", "c", "row 1")]
    assert len(notes) == 1


# ---- tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["jsonl", "parquet"])
def test_a_dotted_column_is_read_and_rows_without_are_counted(tmp_path: Path, source: str) -> None:
    rows = [{"doc": {"body": "first one"}}, {"doc": {"body": None}}, {"doc": None}, {"doc": {"body": "second one"}}]
    file = tmp_path / f"rows.{source}"
    if source == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.Table.from_pylist(rows), file)
    spec = with_defaults(DataSpec, source=source, path=str(file), column="doc.body", test_fraction=0.0)

    corpus = load_corpus(with_defaults(DataSpec, **{**vars(spec), "skip_nulls": True}))

    assert corpus.tokenizer.decode(np.concatenate([corpus.train, corpus.val])) == "first one\nsecond one"
    assert [note for note in corpus.notes if "2 rows without 'doc.body' are passed over" in note]
    with pytest.raises(DataError, match=r"column 'doc.body' is not text, got None; .*data.skip_nulls: true"):
        load_corpus(spec)


# ---- a file for validation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe"])
def test_val_is_the_file_of_its_own_and_train_keeps_the_rest(
    tmp_path: Path, spec_of: Callable[..., DataSpec], tokenizer: str
) -> None:
    (tmp_path / "val.txt").write_text("another café")
    vocab_size = 300 if tokenizer == "bpe" else 0
    spec = spec_of("abcdefghi " * 20, val_path=str(tmp_path / "val.txt"), tokenizer=tokenizer, vocab_size=vocab_size)

    corpus = load_corpus(spec)
    with_val = load_corpus(with_defaults(DataSpec, **{**vars(spec), "train_on_val": True}))

    decode = corpus.tokenizer.decode
    assert decode(corpus.val) == "another café"
    assert decode(corpus.train) == "abcdefghi " * 16  # a fifth is test
    assert decode(with_val.train) == "abcdefghi " * 16 + "another café"
    assert len(corpus.val_sha256) == 64


def test_a_val_file_is_the_recorded_one_and_not_what_is_trained_on(
    tmp_path: Path, spec_of: Callable[..., DataSpec]
) -> None:
    (tmp_path / "val.txt").write_text("abc " * 20)
    (tmp_path / "same.txt").write_text("abcdefghi " * 20)

    def refused(**changes: object) -> None:
        load_corpus(spec_of("abcdefghi " * 20, **changes))

    with pytest.raises(DataError, match=r"data.val_path: .*same.txt: is what is trained on, so it judges nothing"):
        refused(val_path=str(tmp_path / "same.txt"))
    with pytest.raises(DataError, match=r"val.txt: is not the text that this trial recorded: .*--set data.val_sha256="):
        refused(val_path=str(tmp_path / "val.txt"), val_sha256="0" * 64)
    with pytest.raises(DataError, match=r"data.val_path: .*nowhere.txt: cannot be read: .*; check data.val_path"):
        refused(val_path=str(tmp_path / "nowhere.txt"))
    with pytest.raises(SpecError, match=r"data.val_path: source 'recall' makes its own"):
        load_corpus(
            with_defaults(DataSpec, source="recall", tokenizer="ids", vocab_size=32, n_items=4, val_path="val.txt")
        )


def test_questions_and_token_files_have_one_too(tmp_path: Path) -> None:
    def pairs(name: str, first: int) -> str:
        entries = [{"question": f"{n}?", "answer": str(n)} for n in range(first, first + 10)]
        (tmp_path / name).write_text(json.dumps(entries))
        return str(tmp_path / name)

    np.arange(100, dtype="<u2").tofile(tmp_path / "train.bin")
    np.arange(40, dtype="<u2").tofile(tmp_path / "val.bin")

    of_pairs = load_corpus(with_defaults(DataSpec, source="qa", path=pairs("a", 0), val_path=pairs("b", 20)))
    of_ids = load_corpus(
        with_defaults(
            DataSpec,
            source="bin",
            path=str(tmp_path / "train.bin"),
            val_path=str(tmp_path / "val.bin"),
            tokenizer="ids",
            vocab_size=100,
        )
    )

    assert (len(of_pairs.train), len(of_pairs.val), len(of_pairs.test)) == (9, 10, 1)
    assert (of_ids.train.size, of_ids.val.size, of_ids.test.size) == (90, 40, 10)
