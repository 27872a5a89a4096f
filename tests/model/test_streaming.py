"""Text as it is decoded: whole characters, and nothing of a stop string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.data import ByteLevelTokenizer, ByteTokenizer, CharTokenizer, ChatTokenizer
from growlab.data.tokens import Tokenizer
from growlab.errors import UsageError
from growlab.model.streaming import before_stop, require_stops, whole_characters

TEXT = "größer 10 €: 🙂\n"
words = st.text("abc", min_size=1, max_size=4)


@pytest.mark.parametrize("tokenizer", [CharTokenizer.for_text(TEXT), ByteTokenizer(), ChatTokenizer(ByteTokenizer())])
def test_tokens_that_are_not_whole_characters_wait(tokenizer: Tokenizer) -> None:
    assert list(whole_characters(tokenizer, tokenizer.encode(TEXT).tolist())) == list(TEXT)


def test_byte_pairs_give_their_whole_characters_and_hold_the_rest() -> None:
    tokenizer = ByteLevelTokenizer.learn([TEXT * 3], 270)

    pieces = list(whole_characters(tokenizer, tokenizer.encode(TEXT).tolist()))

    assert "".join(pieces) == TEXT
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces)


def test_bytes_that_are_no_character_are_shown_as_such() -> None:
    assert "".join(whole_characters(ByteTokenizer(), [97, 0xE2, 98, 0xE2, 0x82])) == "a\ufffdb\ufffd"


@given(pieces=st.lists(st.text("abc", max_size=3), max_size=12), stops=st.lists(words, max_size=3))
def test_the_text_ends_before_the_stop_string_that_is_complete_first_however_it_comes(
    pieces: list[str], stops: list[str]
) -> None:
    whole = "".join(pieces)
    found = [(at + len(stop), at) for stop in stops if (at := whole.find(stop)) != -1]

    shown = list(before_stop(pieces, stops))

    assert "".join(shown) == whole[: min(found)[1] if found else None]
    assert "" not in shown


@given(pieces=st.lists(st.text("abc", min_size=1, max_size=3), max_size=12), stops=st.lists(words, max_size=3))
def test_nothing_waits_that_cannot_become_a_stop_string(pieces: list[str], stops: list[str]) -> None:
    """What has come without ending the text is shown, but for a beginning of a stop string."""
    read: list[str] = []

    def noted() -> object:
        for piece in pieces:
            read.append(piece)
            yield piece

    shown = ""
    for piece in before_stop(noted(), stops):  # type: ignore[arg-type]
        shown += piece
        held = "".join(read)[len(shown) :]
        assert not held or len(read) == len(pieces) or any(stop.startswith(held) or stop in held for stop in stops)


def test_a_stop_string_over_several_pieces_is_not_shown_and_ends_the_reading() -> None:
    pieces = iter(["Hi, ", "U", "ser", ": more", " unread"])

    assert list(before_stop(pieces, ["User:", "never"])) == ["Hi, "]
    assert list(pieces) == [" unread"]


def test_what_only_looked_like_a_stop_string_is_shown_after_all() -> None:
    assert list(before_stop(["a", "U", "se", "d"], ["User:"])) == ["a", "Used"]
    assert list(before_stop(["a", "U", "se"], ["User:"])) == ["a", "Use"]


def test_without_stop_strings_every_piece_is_shown_at_once() -> None:
    assert list(before_stop(["a", "b"], [])) == ["a", "b"]


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(UsageError, match="a stop string needs at least one character, got ''; leave --stop out"):
        require_stops(["a", ""])
