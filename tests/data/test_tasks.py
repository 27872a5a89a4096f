"""Synthetic tasks: what a sequence holds, which tokens count, and that none comes twice."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from growlab.data import Corpus, load_corpus, require_windows
from growlab.data.batches import IGNORED, n_predicted, training_batch, validation_batches
from growlab.data.tasks import N_HELD_OUT, Copying, Draws, Needle, Recall, Stream, Task, TaskSplit
from growlab.errors import DataError, SpecError
from growlab.scalar import with_defaults
from growlab.specs import DataSpec

TASKS: dict[str, Callable[[int, int], Task]] = {"recall": Recall, "copying": Copying, "needle": Needle}


def load(source: str, *, vocab_size: int = 32, n_items: int = 3, **changes: object) -> Corpus:
    data = with_defaults(
        DataSpec, source=source, vocab_size=vocab_size, n_items=n_items, **({"tokenizer": "ids"} | changes)
    )
    return load_corpus(data)


def drawn(task: Task, length: int, n: int = 50) -> tuple[list[list[int]], list[list[int]]]:
    """Sequences, and the places of the answers in each."""
    ids_BL, answers_BL = task.sequences(Draws(Stream.TRAIN, 0, 0), n, length)
    return ids_BL.tolist(), [np.flatnonzero(row).tolist() for row in answers_BL]


# ---- what a sequence holds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "vocab_size"), [(12, 7), (13, 8), (40, 64)])
def test_in_recall_each_key_is_asked_once_and_followed_by_its_value(length: int, vocab_size: int) -> None:
    n_keys = (vocab_size - 1) // 2

    for ids, answers in zip(*drawn(Recall(vocab_size, 3), length), strict=True):
        value_of = dict(zip(ids[0:6:2], ids[1:6:2], strict=True))
        assert len(value_of) == len(answers) == 3
        assert {ids[at - 1]: ids[at] for at in answers} == value_of
        assert all(1 <= key <= n_keys < value < vocab_size for key, value in value_of.items())
        assert all(at >= 7 for at in answers)
        assert ids[6:].count(0) == length - 12


def test_in_recall_questions_come_in_any_order_and_at_any_place() -> None:
    sequences, answers = drawn(Recall(9, 2), 16, n=500)

    assert {at for places in answers for at in places} == {5, 7, 9, 11, 13, 15}
    assert {tuple(ids.index(ids[at - 1]) for at in places) for ids, places in zip(sequences, answers, strict=True)} == {
        (0, 2),
        (2, 0),
    }


@pytest.mark.parametrize("length", [7, 30])
def test_copying_repeats_the_symbols_in_their_order_after_the_bar(length: int) -> None:
    for ids, answers in zip(*drawn(Copying(10, 3), length), strict=True):
        bar = ids.index(1)
        assert answers == [bar + 1, bar + 2, bar + 3] == list(range(length - 3, length))
        assert [each for each in ids[:bar] if each] == ids[bar + 1 :]
        assert all(2 <= each < 10 for each in ids[bar + 1 :])


@pytest.mark.parametrize(("length", "n_items"), [(6, 1), (12, 3), (50, 3)])
def test_in_the_haystack_one_of_the_needles_is_asked_for(length: int, n_items: int) -> None:
    asked = set()
    for ids, answers in zip(*drawn(Needle(12, n_items), length), strict=True):
        marks = [at for at, each in enumerate(ids) if each == 0]
        value_of = {ids[at + 1]: ids[at + 2] for at in marks}
        assert len(value_of) == n_items
        assert answers == [length - 1]
        assert ids[-3] == 1
        assert value_of[ids[-2]] == ids[-1]
        assert all(2 <= key < 7 <= value < 12 for key, value in value_of.items())
        assert ids.count(1) == 1
        asked.add([ids[at + 1] for at in marks].index(ids[-2]))

    assert asked == set(range(n_items))


def test_a_needle_is_anywhere_with_the_same_chance() -> None:
    sequences, _ = drawn(Needle(12, 1), 13, n=8_000)

    counts = np.bincount([ids.index(0) for ids in sequences])

    assert counts.size == 8
    assert np.abs(counts - 1_000).max() < 5 * math.sqrt(1_000)


@given(name=st.sampled_from(sorted(TASKS)), n_items=st.integers(1, 6), more=st.integers(0, 40), room=st.integers(0, 9))
def test_every_sequence_has_the_same_number_of_answers_and_fits(name: str, n_items: int, more: int, room: int) -> None:
    task = TASKS[name](smallest(name, n_items) + room, n_items)
    ids_BL, answers_BL = task.sequences(Draws(Stream.VAL, 1, 2), 7, task.shortest + more)

    assert ids_BL.shape == answers_BL.shape == (7, task.shortest + more)
    assert ids_BL.min() >= 0
    assert ids_BL.max() < task.vocab_size
    assert set(answers_BL.sum(axis=1).tolist()) == {1 if name == "needle" else n_items}
    assert not answers_BL[:, 0].any()


@pytest.mark.parametrize("source", TASKS)
def test_what_comes_before_an_answer_does_not_tell_it_to_one_who_cannot_recall(source: str) -> None:
    """Over many sequences the value after the same question is any value, as often as another."""
    ids_BL, answers_BL = TASKS[source](32, 2).sequences(Draws(Stream.TRAIN, 0, 0), 3_000, 16)
    first = answers_BL.argmax(axis=1)[:, None]
    answers, before = (np.take_along_axis(ids_BL, first + at, axis=1)[:, 0] for at in (0, -1))

    counts = np.bincount(answers[before == np.bincount(before).argmax()])

    seen = counts[counts > 0]
    assert seen.size == (30 if source == "copying" else 16 if source == "recall" else 15)
    assert np.abs(seen - seen.mean()).max() < 5 * math.sqrt(seen.mean())


def smallest(name: str, n_items: int) -> int:
    return TASKS[name](1_000, n_items).smallest_vocab


# ---- as a corpus ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", TASKS)
def test_only_answers_are_targets(source: str) -> None:
    corpus = load(source)

    x_BT, y_BT = training_batch(corpus.train, 24, 5, seed=1, step=2)

    assert x_BT.shape == y_BT.shape == (5, 24)
    assert x_BT.dtype == y_BT.dtype == torch.int64
    assert x_BT.is_contiguous()
    assert y_BT.is_contiguous()
    assert n_predicted(y_BT) == 5 * (1 if source == "needle" else 3)
    known = y_BT[:, :-1] != IGNORED
    assert torch.equal(y_BT[:, :-1][known], x_BT[:, 1:][known])


@pytest.mark.parametrize("source", TASKS)
def test_training_sequences_are_a_function_of_seed_and_step_and_none_comes_twice(source: str) -> None:
    corpus = load(source, vocab_size=64)
    batches = {
        (seed, step): training_batch(corpus.train, 24, 8, seed, step)[0] for seed in range(4) for step in range(25)
    }

    rows = [tuple(row.tolist()) for x_BT in batches.values() for row in x_BT]

    assert len(set(rows)) == len(rows) == 800
    assert torch.equal(training_batch(corpus.train, 24, 8, 3, 7)[0], batches[3, 7])


def test_the_stream_is_the_one_that_recorded_trials_had() -> None:
    """Written down on the day this was made."""
    digests = {name: load(name).sha256[:12] for name in TASKS}

    assert digests == {"recall": "6c71a6d54856", "copying": "ec24b795e9de", "needle": "7119900affc2"}


@pytest.mark.parametrize("source", TASKS)
def test_held_out_sequences_are_fixed_and_no_others(source: str) -> None:
    corpus = load(source, vocab_size=64)

    def rows(split: TaskSplit, batch_size: int) -> list[tuple[int, ...]]:
        batches = validation_batches(split, 24, batch_size)
        return [tuple(row) for x_BT, _ in batches for row in x_BT.tolist()]

    val, test = rows(corpus.val, 100), rows(corpus.test, 256)
    train = {tuple(row) for row in training_batch(corpus.train, 24, N_HELD_OUT, 0, 0)[0].tolist()}
    assert val == rows(load(source, vocab_size=64).val, 7)
    assert len(set(val)) == len(set(test)) == N_HELD_OUT
    assert not set(val) & set(test)
    assert not train & (set(val) | set(test))


def test_the_tokens_of_a_task_are_numbers() -> None:
    corpus = load("recall")

    assert corpus.tokenizer.vocab_size == 32
    assert corpus.tokenizer.decode([3, 1, 2]) == " 3 1 2"
    assert corpus.tokenizer.encode("3 1\n2").tolist() == [3, 1, 2]
    assert len(corpus.val[:16]) == 12
    assert math.isnan(corpus.val_bytes_per_token)
    for wrong in ("32", "-1", "a", "²"):
        with pytest.raises(DataError, match=rf"cannot encode '{wrong}': .* give numbers from 0 to 31"):
            corpus.tokenizer.encode(f"3 {wrong}")


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        ("recall", {"vocab_size": 2**20}, r"a synthetic task takes data\.vocab_size of at most 131072, got 1048576"),
        ("copying", {"n_items": 10**9}, r"data\.n_items 1000000000 of this task needs sequences of 2000000001 tokens"),
        ("recall", {"n_items": 0}, r"a synthetic task needs data\.n_items of at least 1, got 0"),
        ("recall", {"n_items": 16}, r"data\.n_items 16 of this task needs data\.vocab_size of at least 33, got 32"),
        ("copying", {"vocab_size": 3}, r"needs data\.vocab_size of at least 4, got 3"),
        ("needle", {"n_items": 16}, r"needs data\.vocab_size of at least 34, got 32"),
        ("needle", {"path": "x"}, r"source 'needle' makes token ids from a seed; set .* no data\.path \(got .* 'x'\)"),
        ("recall", {"tokenizer": "char", "vocab_size": 0}, r"set data\.tokenizer: ids, data\.vocab_size and data\.n_i"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(source: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load(source, **changes)


def test_another_recipe_than_the_recorded_is_refused() -> None:
    with pytest.raises(DataError, match=r"^source 'recall': is not the corpus that this trial recorded"):
        load("recall", sha256="0" * 64)


def test_a_sequence_too_short_for_its_items_is_named() -> None:
    corpus = load("recall", n_items=8)

    require_windows(corpus, 31)
    with pytest.raises(SpecError, match=r"data\.n_items 8 of this task needs train\.seq_len of at least 31, got 30"):
        require_windows(corpus, 30)


def test_a_task_has_no_val_split_to_train_on() -> None:
    with pytest.raises(SpecError, match="train_on_val: source 'recall' makes as many training sequences"):
        load("recall", train_on_val=True)
