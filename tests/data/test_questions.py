"""Questions and answers: what a file may hold, who is in which split, and what counts in the loss."""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from growlab.data import ByteLevelTokenizer, ByteTokenizer, CharTokenizer, ChatTokenizer, Corpus, load_corpus
from growlab.data.batches import IGNORED, n_predicted, training_batch, validation_batches
from growlab.data.corpus import require_windows
from growlab.data.qa import read_pairs
from growlab.data.tokenizers import load_tokenizer, tokenizer_from_mapping
from growlab.data.tokens import Tokenizer
from growlab.data.turns import TurnSplit, left_out_note
from growlab.errors import CannotEncode, DataError, SpecError
from growlab.layout import parse
from growlab.model.language_model import LanguageModel, build_model
from growlab.scalar import with_defaults
from growlab.specs import DataSpec
from growlab.training.evaluation import bits_per_byte, evaluate

CPU = torch.device("cpu")
PAIRS = [(f"What is {number} squared?", f"It is\n{number * number}: a square.") for number in range(40)]
TURKISH = "İğde, söğüt ve şeftali: üç ağaç… 🙂\n"


@pytest.fixture
def file(tmp_path: Path) -> Callable[[object], str]:
    """The path of a file of this JSON, or of this text."""

    def write(content: object) -> str:
        path = tmp_path / "pairs.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


@pytest.fixture
def corpus_of(file: Callable[[object], str]) -> Callable[..., Corpus]:
    def load(pairs: list[tuple[str, str]], **changes: object) -> Corpus:
        path = file([{"question": question, "answer": answer, "topic": "any"} for question, answer in pairs])
        return load_corpus(with_defaults(DataSpec, **({"source": "qa", "path": path, "val_fraction": 0.2} | changes)))

    return load


CorpusOf = Callable[..., Corpus]
FileOf = Callable[[object], str]


def asked(path: str, **changes: object) -> DataSpec:
    return with_defaults(DataSpec, source="qa", path=path, **changes)


def turns(split: TurnSplit) -> list[list[int]]:
    return [
        split.ids[start : start + length].tolist() for start, length in zip(split.starts, split.lengths, strict=True)
    ]


def questions(corpus: Corpus, split: TurnSplit) -> list[str]:
    return [corpus.tokenizer.decode(split.prompt(at)) for at in range(len(split))]


# ---- the file ------------------------------------------------------------------------------------------------


def test_a_list_and_lines_of_the_same_pairs_are_the_same_pairs(file: FileOf) -> None:
    entries = [{"question": "Ağaç?", "topic": 3, "answer": " yes\n"}, {"question": "b", "answer": "no"}]

    as_list = [pair[:2] for pair in read_pairs(asked(file(entries))).pairs]
    as_lines = [pair[:2] for pair in read_pairs(asked(file("\ufeff" + "\r\n\n".join(map(json.dumps, entries))))).pairs]

    assert as_list == as_lines == [("Ağaç?", " yes\n"), ("b", "no")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], r"pairs\.json: has no question with an answer; write entries such as \{\"question\""),
        ("", r"pairs\.json: is empty; write entries"),
        ("[{", r"pairs\.json: is not JSON \(.*\); write a list, or lines, of"),
        ('{"question": "a", "answer": "b"}\n{"question"', r"pairs\.json: line 2: is not JSON"),
        ([{"question": "a", "answer": "b"}, "c"], r"pairs\.json: entry 2: is not an object, got 'c'; write it like"),
        ([{"question": "a", "reply": "b"}], r"entry 1: has no 'answer'; it has: question, reply; write it like"),
        ([{"question": "a", "answer": "b"}, {"question": 3, "answer": ""}], r"entry 2: 'question' is not text, got 3"),
        ([{"question": "a", "answer": ""}], r"entry 1: 'answer' is empty, got ''; fill it in or drop the entry"),
        ([{"question": "a\ud800", "answer": "b"}], r"entry 1: 'question' has half a surrogate pair at character 1"),
    ],
)
def test_a_malformed_entry_is_named(file: FileOf, content: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_pairs(asked(file(content)))


def test_what_is_no_text_file_is_named(tmp_path: Path, corpus_of: CorpusOf) -> None:
    (tmp_path / "latin.json").write_bytes(b'[{"question": "\xe4"}]')

    with pytest.raises(DataError, match=r"latin\.json: is not UTF-8 at byte 15"):
        read_pairs(asked(str(tmp_path / "latin.json")))
    with pytest.raises(DataError, match="is no regular file; give one JSON file"):
        read_pairs(asked(str(tmp_path)))
    with pytest.raises(SpecError, match=r"source 'qa' needs a path, got ''; set data\.path"):
        read_pairs(asked(""))
    with pytest.raises(DataError, match=r"nosuch\.json: cannot be read: No such file"):
        corpus_of(PAIRS, path=str(tmp_path / "nosuch.json"))


# ---- markers -------------------------------------------------------------------------------------------------


def tokenizers() -> list[Tokenizer]:
    said = "".join(question + answer for question, answer in PAIRS) + TURKISH + "".join(map(chr, range(0xE000, 0xE010)))
    return [CharTokenizer.for_text(said), ByteTokenizer(), ByteLevelTokenizer.learn([said], 300)]


@pytest.mark.parametrize("text", tokenizers(), ids=["char", "byte", "bpe"])
def test_a_text_comes_back_and_no_marker_with_it(text: Tokenizer, tmp_path: Path) -> None:
    tokenizer = ChatTokenizer(text)
    tokenizer.save(tmp_path / "tokenizer.json")
    said = "What is\n7 squared?: " + TURKISH

    ids = [*tokenizer.question(said), *tokenizer.answer(said)]

    assert tokenizer.decode(ids) == said + said
    assert tokenizer.to_bytes(ids) == (said + said).encode()
    assert tokenizer.n_bytes(ids) == 2 * len(said.encode())
    assert tokenizer.vocab_size == text.vocab_size + 3 == max(ids) + 1
    assert load_tokenizer(tmp_path / "tokenizer.json") == tokenizer


@pytest.mark.parametrize("text", tokenizers(), ids=["char", "byte", "bpe"])
def test_characters_that_others_use_as_markers_are_characters(text: Tokenizer) -> None:
    tokenizer = ChatTokenizer(text)
    typed = "".join(map(chr, range(0xE000, 0xE010)))

    ids = tokenizer.question(typed)

    assert [each for each in ids if each >= text.vocab_size] == [tokenizer.user, tokenizer.assistant]
    assert tokenizer.decode(ids) == typed


@given(text=st.text())
def test_nothing_that_is_typed_becomes_a_marker(text: str) -> None:
    tokenizer = ChatTokenizer(ByteTokenizer())

    assert (tokenizer.encode(text) < 256).all()
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_names_of_roles_are_words_like_others() -> None:
    tokenizer = ChatTokenizer(ByteTokenizer())

    for typed in ("User: ", "<|end|>", "<|assistant|>", "\x02assistant\x03"):
        assert tokenizer.decode(tokenizer.encode(typed)) == typed
        assert tokenizer.encode(typed).max() < 256


def test_markers_around_markers_or_bare_ids_are_no_tokenizer() -> None:
    for inner in ({"type": "ids", "vocab_size": 4}, {"type": "chat", "text": {"type": "byte"}}):
        with pytest.raises(DataError, match="is no tokenizer of this growlab"):
            tokenizer_from_mapping({"type": "chat", "text": inner})


# ---- splits --------------------------------------------------------------------------------------------------


def test_no_question_is_in_two_splits_however_it_is_written(corpus_of: CorpusOf) -> None:
    pairs = [*PAIRS, *((f" {question.upper()} ", "Another answer.") for question, _ in PAIRS), *PAIRS[:7]]
    corpus = corpus_of(pairs, test_fraction=0.25)

    asked = [{" ".join(each.casefold().split()) for each in questions(corpus, split)} for split in splits(corpus)]

    assert [len(each) for each in asked] == [24, 6, 10]
    assert len(asked[0] | asked[1] | asked[2]) == 40
    assert sum(len(split) for split in splits(corpus)) == len(pairs)


def splits(corpus: Corpus) -> list[TurnSplit]:
    return [corpus.train, corpus.val, corpus.test]


def test_the_split_depends_on_the_questions_and_not_on_their_order(corpus_of: CorpusOf) -> None:
    there, back = corpus_of(PAIRS), corpus_of(PAIRS[::-1])

    for one, other in zip(splits(there), splits(back), strict=True):
        assert questions(there, one) == questions(back, other)
    assert there.sha256 != back.sha256


def test_what_is_passed_over_does_not_make_another_corpus(corpus_of: CorpusOf, file: FileOf) -> None:
    corpus = corpus_of(PAIRS)
    path = file("\n".join(json.dumps({"answer": answer, "question": question}) for question, answer in PAIRS))

    assert load_corpus(with_defaults(DataSpec, source="qa", path=path, sha256=corpus.sha256)).sha256 == corpus.sha256


def test_another_corpus_than_the_recorded_is_refused(corpus_of: CorpusOf) -> None:
    with pytest.raises(DataError, match="is not the corpus that this trial recorded"):
        corpus_of(PAIRS, sha256="0" * 64)


@pytest.mark.parametrize(
    ("pairs", "changes", "seq_len", "message"),
    [
        (PAIRS[:1], {}, 64, r"pairs\.json: the train split has no question; lower data\.val_fraction"),
        (
            PAIRS,
            {},
            18,
            r"pairs\.json: entry \d+: its question has 20 tokens with its markers, train\.seq_len 18 leaves",
        ),
        (PAIRS[:5], {"val_fraction": 0.1, "test_fraction": 0.999}, 64, r"the train split has no question"),
    ],
)
def test_a_corpus_that_cannot_be_trained_on_is_refused(
    corpus_of: CorpusOf, pairs: list[tuple[str, str]], changes: dict[str, object], seq_len: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        require_windows(corpus_of(pairs, **changes), seq_len)


def test_bare_ids_make_no_questions(corpus_of: CorpusOf, tmp_path: Path) -> None:
    (tmp_path / "ids.json").write_text('{"type": "ids", "vocab_size": 9}')

    with pytest.raises(SpecError, match=r"source 'qa' gives text and data\.tokenizer 'ids' is for sources of ids"):
        corpus_of(PAIRS, tokenizer="ids", vocab_size=9)
    with pytest.raises(SpecError, match=r"ids\.json is a tokenizer of bare ids; give another"):
        corpus_of(PAIRS, tokenizer="file", tokenizer_path=str(tmp_path / "ids.json"))


def test_a_tokenizer_file_may_have_markers_already(corpus_of: CorpusOf, tmp_path: Path) -> None:
    ByteTokenizer().save(tmp_path / "bare.json")
    ChatTokenizer(ByteTokenizer()).save(tmp_path / "chat.json")

    for name in ("bare.json", "chat.json"):
        corpus = corpus_of(PAIRS, tokenizer="file", tokenizer_path=str(tmp_path / name))
        assert corpus.tokenizer == ChatTokenizer(ByteTokenizer())


def test_byte_pairs_are_learnt_from_the_train_split_alone(corpus_of: CorpusOf) -> None:
    pairs = [*PAIRS, *((f"{at}?", "xyzzy xyzzy xyzzy") for at in range(40))]
    whole = corpus_of(pairs, tokenizer="bpe", vocab_size=400)
    val = [(question, "xyzzy") for question in questions(whole, whole.val)]
    changed = [(question, dict(val).get(question, answer)) for question, answer in pairs]

    again = corpus_of(changed, tokenizer="bpe", vocab_size=400)

    assert again.sha256 != whole.sha256
    assert again.tokenizer_sha256 == whole.tokenizer_sha256
    assert again.tokenizer == whole.tokenizer


# ---- batches -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"tokenizer": "byte"}, {"tokenizer": "bpe", "vocab_size": 300}])
def test_only_answers_and_their_ends_are_targets(corpus_of: CorpusOf, changes: dict[str, object]) -> None:
    corpus = corpus_of(PAIRS, **changes)
    tokenizer = corpus.tokenizer

    for x_BT, y_BT in [training_batch(corpus.train, 150, 4, 1, 2), *validation_batches(corpus.val, 150, 4)]:
        for x_T, y_T in zip(x_BT.tolist(), y_BT.tolist(), strict=True):
            in_answer = False
            for x, y, following in zip(x_T, y_T, [*x_T[1:], None], strict=True):
                in_answer = (in_answer or x == tokenizer.assistant) and x != tokenizer.end
                assert (y != IGNORED) == in_answer
                assert y in (IGNORED, following) or following is None
            assert tokenizer.end in y_T
            assert not {tokenizer.user, tokenizer.assistant} & set(y_T)


def test_a_training_row_is_a_session_of_whole_turns_of_which_the_last_is_cut(corpus_of: CorpusOf) -> None:
    corpus = corpus_of(PAIRS)
    known = set(map(tuple, turns(corpus.train)))

    x_BT, _ = training_batch(corpus.train, 200, 16, seed=3, step=5)

    for row in x_BT.tolist():
        begins = [at for at, token in enumerate(row) if token == corpus.tokenizer.user]
        pieces = [tuple(row[begin:end]) for begin, end in zip(begins, [*begins[1:], len(row)], strict=True)]
        assert begins[0] == 0
        assert len(pieces) > 3
        assert set(pieces[:-1]) <= known
        assert any(each[: len(pieces[-1])] == pieces[-1] for each in known)


def test_training_rows_are_a_function_of_seed_and_step(corpus_of: CorpusOf) -> None:
    corpus, again = corpus_of(PAIRS), corpus_of(PAIRS)
    batches = {(seed, step): training_batch(corpus.train, 64, 4, seed, step) for seed in range(3) for step in range(9)}

    rows = {tuple(row) for x_BT, _ in batches.values() for row in x_BT.tolist()}

    assert len(rows) > 90
    for (seed, step), batch in batches.items():
        for one, other in zip(batch, training_batch(again.train, 64, 4, seed, step), strict=True):
            assert torch.equal(one, other)
            assert one.is_contiguous()
            assert one.shape == (4, 64)
            assert one.dtype == torch.int64


def test_the_rows_are_those_that_recorded_trials_had(corpus_of: CorpusOf) -> None:
    """Written down on the day this was made."""
    corpus = corpus_of(PAIRS)
    x_BT, y_BT = training_batch(corpus.train, 64, 4, seed=1, step=2)

    assert corpus.sha256[:12] == "05df19206b4e"
    assert hashlib.sha256(x_BT.numpy().tobytes() + y_BT.numpy().tobytes()).hexdigest()[:12] == "dea4d639fa68"


def test_every_trained_turn_is_drawn_about_as_often_as_another(corpus_of: CorpusOf) -> None:
    corpus = corpus_of(PAIRS[:10])
    beginnings = [tuple(turn[:20]) for turn in turns(corpus.train)]

    rows = [tuple(row) for step in range(40) for row in training_batch(corpus.train, 20, 50, 0, step)[0].tolist()]

    counts = np.array([rows.count(each) for each in beginnings])
    assert counts.sum() == 2_000
    assert np.abs(counts - 2_000 / len(counts)).max() < 5 * math.sqrt(2_000 / len(counts))


def test_a_validation_pass_has_every_turn_once_whole_and_alone(corpus_of: CorpusOf) -> None:
    corpus = corpus_of([*PAIRS, ("Long?", "A long answer. " * 30)] * 2, val_fraction=0.9)
    end = corpus.tokenizer.end

    for seq_len, batch_size in ((16, 2), (64, 7), (1000, 3)):
        batches = list(validation_batches(corpus.val, seq_len, batch_size))
        rows = [[*row, end] for x_BT, _ in batches for row in x_BT.tolist()]  # the longest one's end is a target only
        assert sorted(row[: row.index(end) + 1] for row in rows) == sorted(turns(corpus.val))
        assert sum(n_predicted(y_BT) for _, y_BT in batches) == corpus.val.are_answers.sum()
        assert all(x_BT.numel() <= batch_size * (seq_len + 1) or len(x_BT) == 1 for x_BT, _ in batches)


# ---- questions that are too long -----------------------------------------------------------------------------

LONG = [("Why? " * 20, "So."), ("How? " * 30, "Thus. " * 30)]  # 102 and 152 tokens with their markers


@pytest.fixture
def with_long(corpus_of: CorpusOf) -> Corpus:
    """Both long questions are in its train split."""
    corpus = corpus_of([*PAIRS, *LONG], val_fraction=0.01)
    assert {question for question, _ in LONG} <= set(questions(corpus, corpus.train))
    return corpus


def begun(corpus: Corpus, seq_len: int) -> set[str]:
    """The first nine characters of the questions that training rows begin with."""
    rows = [row for step in range(60) for row in training_batch(corpus.train, seq_len, 9, 0, step)[0].tolist()]
    return {corpus.tokenizer.decode(row[1:10]) for row in rows}


def test_a_question_that_fills_a_row_is_left_out_of_training_and_no_other(with_long: Corpus) -> None:
    require_windows(with_long, 101)

    assert {each[:8] for each in begun(with_long, 101)} == {"What is "}
    assert begun(with_long, 151) - begun(with_long, 101) == {"Why? Why?"}
    assert begun(with_long, 152) - begun(with_long, 151) == {"How? How?"}


def test_what_is_left_out_or_cut_is_counted_and_named(with_long: Corpus) -> None:
    n = len(with_long.train)

    assert left_out_note(with_long.train, 101) == (
        f"2 of {n} questions are left out of training, as they fill train.seq_len 101: entry 42 (152 tokens), "
        "entry 41 (102 tokens)"
    )
    assert left_out_note(with_long.train, 151).startswith(f"1 of {n} questions are left out")
    assert left_out_note(with_long.train, 331) == (
        f"1 of {n} answers are cut in training, as they reach beyond train.seq_len 331"
    )
    assert left_out_note(with_long.train, 332) == ""


def test_a_long_list_of_what_is_left_out_is_bounded(corpus_of: CorpusOf) -> None:
    corpus = corpus_of([(question * 9, answer) for question, answer in PAIRS] + PAIRS)

    note = left_out_note(corpus.train, 64)

    assert note.count("tokens)") == 5
    assert note.endswith(f"tokens) and {int(note.split()[0]) - 5} more")


def test_held_out_questions_are_whole_for_every_seq_len(corpus_of: CorpusOf) -> None:
    val = corpus_of([*PAIRS, *LONG], val_fraction=0.95).val

    passes = [sum(n_predicted(y_BT) for _, y_BT in validation_batches(val, seq_len, 4)) for seq_len in (8, 300)]

    assert val.n_prompts.max() > 101
    assert passes == [val.are_answers.sum()] * 2


# ---- the loss ------------------------------------------------------------------------------------------------


def a_model(corpus: Corpus) -> LanguageModel:
    layout = parse("d=16 attn[n_heads=2] conv mamba mlp")
    model = build_model(layout, vocab_size=corpus.tokenizer.vocab_size, max_depth=4, dropout=0.0, seed=0)
    for parameter in model.parameters():  # far from a uniform guess, so that the tokens' losses differ
        parameter.data *= 3
    return model.eval()


@torch.no_grad()
def test_the_loss_of_an_answer_does_not_see_how_much_padding_comes_after_it(corpus_of: CorpusOf) -> None:
    corpus = corpus_of(PAIRS)
    model = a_model(corpus)
    x_BT, y_BT = next(validation_batches(corpus.val, 64, 2))

    losses = []
    for n_pads, pad in ((0, 0), (1, corpus.tokenizer.end), (50, corpus.tokenizer.user), (9, 3)):
        pads_BP = torch.full((len(x_BT), n_pads), pad)
        losses.append(float(model.loss(torch.cat([x_BT, pads_BP], 1), torch.cat([y_BT, pads_BP * 0 + IGNORED], 1))))

    assert losses == pytest.approx([losses[0]] * 4, abs=1e-6)


@pytest.mark.parametrize("changes", [{}, {"tokenizer": "byte"}, {"tokenizer": "bpe", "vocab_size": 300}])
@torch.no_grad()
def test_bits_per_byte_are_those_of_the_answers_by_hand(corpus_of: CorpusOf, changes: dict[str, object]) -> None:
    pairs = [(question, answer + TURKISH[: at + 1]) for at, (question, answer) in enumerate(PAIRS[:30])]
    corpus = corpus_of(pairs, **changes)
    model, answers = a_model(corpus), dict(pairs)

    val_loss = evaluate(model, corpus.val, seq_len=40, batch_size=3, precision="fp32", device=CPU).loss

    bits, n_bytes, tokenizer = 0.0, 0, corpus.tokenizer
    exact = a_model(corpus).double()
    for question in questions(corpus, corpus.val):
        told, said = tokenizer.question(question), tokenizer.answer(answers[question])
        for at, token in enumerate(said):
            probs_V = torch.softmax(exact(torch.tensor([told + said[:at]]))[0, -1], dim=-1)
            bits -= math.log2(probs_V[token])
        n_bytes += len(answers[question].encode())
    assert bits_per_byte(val_loss, corpus.val_bytes_per_token) == pytest.approx(bits / n_bytes, rel=1e-5)


def test_an_empty_test_split_has_no_bytes(corpus_of: CorpusOf) -> None:
    assert corpus_of(PAIRS, test_fraction=0.0).test_bytes_per_token == 0.0


def test_a_question_that_no_character_is_known_of_is_refused(corpus_of: CorpusOf) -> None:
    with pytest.raises(CannotEncode, match="cannot encode 'ğ'"):
        corpus_of(PAIRS).tokenizer.question("ğ")


def test_a_last_training_asks_the_val_questions_too(corpus_of: Callable[..., Corpus]) -> None:
    before, last = corpus_of(PAIRS), corpus_of(PAIRS, train_on_val=True)

    assert set(last.train.wheres) == {*before.train.wheres, *before.val.wheres}
    assert last.val.wheres == before.val.wheres
    assert set(last.test.wheres).isdisjoint(last.train.wheres)
