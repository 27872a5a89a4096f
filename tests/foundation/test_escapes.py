"""What is shown of a stranger's text: no control character, no endless line."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growlab.errors import GrowlabError, UnknownName, did_you_mean
from growlab.escapes import has_controls, json_text, quoted, readable, visible

CONTROLS = "".join(map(chr, [*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0x202E, 0x2066, 0x200F, 0x2028]))


def test_control_characters_become_symbols_and_everything_else_stays():
    assert visible("a\x1b[2J\x07\x7f\x9b\u202eb\ud800") == "a␛[2J␇␡��b�"
    assert visible("τ κ\tü\n日本 [red]") == "τ κ\tü\n日本 [red]"


@settings(max_examples=40)
@given(text=st.text(st.sampled_from(CONTROLS + "aé\t\n"), max_size=20))
def test_nothing_shown_holds_a_control_character(text):
    for shown in (visible(text), readable(text), quoted(text), json_text({text: [text]})):
        assert not has_controls(shown)

    assert json.loads(json_text({"it": text})) == {"it": text}
    assert has_controls(text) == any(each in CONTROLS for each in text)


def test_a_long_value_is_quoted_by_its_beginning_and_its_end():
    assert quoted("attn") == "'attn'"
    assert quoted("x" * 100_000 + "end") == "'" + "x" * 58 + "…" + "x" * 16 + "end'"


def test_each_line_of_a_message_has_an_end():
    message = str(GrowlabError("first " + "x" * 100_000 + "; what to do\nsecond"))

    first, second = message.split("\n")
    assert len(first) == 2_000
    assert first.endswith("x; what to do")
    assert second == "second"


@pytest.mark.parametrize("known", [["attn"], ["x" * 100_000]])
def test_a_name_without_end_is_neither_repeated_nor_compared(known):
    message = str(UnknownName("block kind", "x" * 99_999, known))

    assert message.startswith("unknown block kind 'xxxx")
    assert len(message) < 2_500
    assert did_you_mean("x" * 99_999, known) == ""
