"""Long words are folded where they can be read on."""

import pytest

from growlab.report.terminal import folded


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("d=64 conv mlp", 20, ["d=64 conv mlp"]),
        ("d=64 conv mlp[expand=4.0]", 20, ["d=64 conv", "mlp[expand=4.0]"]),
        ("d=64 attn[n_heads=2,qk_norm=true] mlp", 20, ["d=64 attn[n_heads=2,", "qk_norm=true] mlp"]),
        ("d=64 attn[n=2]", 4, ["d=64", "attn", "[", "n=2]"]),
        ("a\x1b b", 3, ["a␛", "b"]),
    ],
)
def test_lines_end_at_blanks_and_in_long_words_behind_commas_and_brackets(text, width, lines):
    assert folded(text, width, 4).split("\n") == lines


def test_what_has_no_room_in_the_lines_is_an_ellipsis():
    assert folded("one two three", 5, 2) == "one\ntwo…"
