"""Turns of question and answer with a model that carries its states from one to the next."""

import itertools

import pytest
import torch

from growlab.data import ByteTokenizer, CharTokenizer, ChatTokenizer
from growlab.errors import CannotEncode
from growlab.layout import parse
from growlab.model.conversation import Conversation
from growlab.model.decoding import Decoder, Drawer, Sampling
from growlab.model.language_model import LanguageModel, build_model

TOKENIZER = ChatTokenizer(CharTokenizer.for_text("abcdefgh ?\n"))
GREEDY = Sampling(temperature=0.0)


def a_model(tokenizer: ChatTokenizer = TOKENIZER, layout: str = "d=16 attn[n_heads=2] mamba mlp") -> LanguageModel:
    """Untrained, and far from a uniform guess."""
    model = build_model(parse(layout), vocab_size=tokenizer.vocab_size, max_depth=4, dropout=0.5, seed=0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def a_conversation(window: int = 10_000, sampling: Sampling = GREEDY, seed: int = 0) -> Conversation:
    return Conversation(a_model(), TOKENIZER, window=window, sampling=sampling, seed=seed)


def said(conversation: Conversation, question: str, max_tokens: int = 12, stops: tuple[str, ...] = ()) -> str:
    return "".join(conversation.answer(question, max_tokens, stops))


def after(tokens: list[int], max_tokens: int = 12) -> str:
    """What the model says after tokens that it reads all at once."""
    decoder = Decoder(a_model().eval())
    decoder.read(tokens)
    drawer = Drawer(GREEDY, torch.Generator(), never=TOKENIZER.speakers)
    return TOKENIZER.decode(list(decoder.write(max_tokens, drawer, end=TOKENIZER.end)))


def test_a_turn_goes_on_from_all_turns_before_it() -> None:
    conversation, history = a_conversation(), []

    for question in ("abc", "dd?", "a"):
        history += TOKENIZER.question(question)
        answer = said(conversation, question)
        assert answer == after(history)
        history += TOKENIZER.answer(answer)
    assert said(a_conversation(), "a") != answer


def test_a_reset_is_a_fresh_session() -> None:
    conversation = a_conversation()
    first = [said(conversation, question) for question in ("abc", "dd?")]

    conversation.reset()

    assert [said(conversation, question) for question in ("abc", "dd?")] == first


def test_a_turn_that_was_cut_short_is_closed_before_the_next() -> None:
    whole = said(a_conversation(), "abc", max_tokens=12)
    by_length, by_stop, by_leaving = a_conversation(), a_conversation(), a_conversation()
    cut = whole[:4]

    said(by_length, "abc", max_tokens=4)
    said(by_stop, "abc", stops=(whole[4:6],))
    assert not by_length.ended
    assert not by_stop.ended
    pieces = by_leaving.answer("abc", 12)
    assert "".join(itertools.islice(pieces, 4)) == cut
    pieces.close()  # type: ignore[attr-defined]

    history = [*TOKENIZER.question("abc"), *TOKENIZER.answer(cut), *TOKENIZER.question("d")]
    assert said(by_length, "d") == said(by_leaving, "d") == after(history)
    assert isinstance(said(by_stop, "d"), str)


def test_the_oldest_turns_are_forgotten_when_half_of_the_window_is_full() -> None:
    question, size = "abc", 5 + 12 + 1
    conversation = a_conversation(window=2 * (2 * size + 5))
    history: list[list[int]] = []

    for _ in range(5):
        answer = said(conversation, question)
        kept = [token for turn in history[-2:] for token in turn]
        assert len(answer) == 12
        assert answer == after([*kept, *TOKENIZER.question(question)])
        history.append([*TOKENIZER.question(question), *TOKENIZER.answer(answer)])


def test_a_question_larger_than_the_window_is_asked_all_the_same() -> None:
    assert said(a_conversation(window=4), "abcdefgh") == after(TOKENIZER.question("abcdefgh"))


def test_a_question_of_unknown_characters_is_refused_and_not_remembered() -> None:
    conversation = a_conversation()

    with pytest.raises(CannotEncode, match="cannot encode 'z'"):
        conversation.answer("z", 12)

    assert said(conversation, "abc") == said(a_conversation(), "abc")


def test_a_seed_and_the_same_questions_are_the_same_answers() -> None:
    def answers(seed: int) -> list[str]:
        conversation = a_conversation(sampling=Sampling(), seed=seed)
        return [said(conversation, "abc") for _ in range(3)]

    assert answers(1) == answers(1)
    assert len({tuple(answers(seed)) for seed in range(4)}) == 4


def test_the_penalty_counts_what_is_said_in_this_turn_alone() -> None:
    sampling = Sampling(temperature=0.0, repetition_penalty=1e6)
    conversation = a_conversation(sampling=sampling)

    for _ in range(4):
        answer = said(conversation, "ab", max_tokens=8)
        assert len(set(answer)) == len(answer)
        assert not set(answer) & set("ab")


@pytest.mark.parametrize("text", [TOKENIZER.text, ByteTokenizer()])
def test_an_untrained_model_never_says_a_marker(text: CharTokenizer | ByteTokenizer) -> None:
    tokenizer = ChatTokenizer(text)
    model = a_model(tokenizer)
    hot = Sampling(temperature=2.0)
    drawn: set[int] = set()
    for seed in range(12):
        conversation = Conversation(model, tokenizer, window=64, sampling=hot, seed=seed)
        answers = [said(conversation, "abc", 40) for _ in range(2)]
        drawn |= {token for turn in conversation._turns for token in turn[5:-1]}
        assert all(tokenizer.encode(answer).max(initial=0) < text.vocab_size for answer in answers)

    assert len(drawn) > text.vocab_size / 3
    assert max(drawn) < text.vocab_size
