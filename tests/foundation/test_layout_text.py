"""The layout grammar: text and layout are inverse, and a text that cannot be read says where and how."""

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.errors import LayoutError
from growlab.layout import CHANNEL_KINDS, BlockSpec, Layout, format_blocks, parse, parse_blocks

names = st.from_regex(r"[a-z][a-z0-9_]{0,7}", fullmatch=True)
words = st.from_regex(r"[A-Za-z_][A-Za-z_.-]{0,7}", fullmatch=True)
values = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    words.filter(lambda word: word not in ("true", "false")),
)
blocks = st.builds(
    lambda kind, options: BlockSpec(kind, tuple(sorted(options.items()))),
    names,
    st.dictionaries(names, values, max_size=3),
)
# few different blocks, so that texts have repetitions to find
layouts = st.lists(blocks, min_size=1, max_size=3).flatmap(
    lambda some: st.builds(
        lambda d_model, chosen: Layout(d_model, tuple(chosen)),
        st.integers(1, 10**9 - 1),
        st.lists(st.sampled_from(some), min_size=1, max_size=14),
    )
)
# (text, the blocks it means), nested up to a few levels
nested = st.recursive(
    st.sampled_from(["attn", "mlp", "conv[kernel=4]"]).map(lambda text: (text, list(parse_blocks(text)))),
    lambda items: st.builds(
        lambda inner, times, gap: (
            f"({' '.join(text for text, _ in inner)}{gap}){gap}x{times}",
            [block for _, meant in inner for block in meant] * times,
        ),
        st.lists(items, min_size=1, max_size=3),
        st.integers(1, 3),
        st.sampled_from(["", " "]),
    ),
    max_leaves=8,
)
few_kinds = st.lists(st.sampled_from(["attn", "conv", "mlp"]).map(BlockSpec), min_size=1, max_size=14).map(tuple)


@given(layout=layouts)
def test_parse_is_the_inverse_of_printing(layout):
    assert parse(str(layout)) == layout


@given(blocks=few_kinds)
def test_a_repetition_begins_at_a_unit_wherever_one_of_equal_length_does(blocks):
    at = 0
    for word in top_level(format_blocks(blocks)):
        meant = parse_blocks(word)
        period = len(parse_blocks(word.rpartition("x")[0] + "x1")) if word.startswith("(") else 0
        if meant[0].kind in CHANNEL_KINDS:
            for later in (blocks[at + start :][: len(meant)] for start in range(1, period)):
                assert later[0].kind in CHANNEL_KINDS or later != later[:period] * (len(meant) // period)
        assert blocks[at : at + len(meant)] == meant
        at += len(meant)
    assert at == len(blocks)


def top_level(text):
    """The blocks and repetitions of a text, with what is in their parentheses."""
    depth, words = 0, [""]
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == " " and depth == 0:
            words.append("")
        else:
            words[-1] += letter
    return words


@given(item=nested)
def test_groups_nest(item):
    text, meant = item

    layout = parse(f"d=8 {text}")

    assert list(layout.blocks) == meant
    assert parse(str(layout)) == layout


@given(item=nested)
def test_equal_layouts_have_equal_hashes_however_they_were_written(item):
    text, meant = item

    assert parse(f"d=8 {text}").hash == parse("d=8 " + " ".join(map(str, meant))).hash


@pytest.mark.parametrize(
    ("text", "hash"),
    [
        ("d=192 (attn mlp)x3", "ec2223fcd2fb94cd"),
        ("d=128 conv mlp (attn mlp)x2", "b7c4111d32e1889f"),  # hashes are of a text that folds it otherwise
        ("d=8 conv mlp act(conv mlp (attn mlp)x2)", "45d292a618d06386"),
    ],
)
def test_the_hash_of_a_layout_stays_the_same_for_ever(text, hash):
    assert parse(text).hash == hash


def test_different_layouts_have_different_hashes():
    texts = ["d=8 attn", "d=9 attn", "d=8 attn attn", "d=8 attn[n=1]", "d=8 attn[n=1.0]", "d=8 attn[n=true]"]

    assert len({parse(text).hash for text in texts}) == len(texts)


@given(text=st.text(alphabet="d=192 ()[]x,.attnmlp-_é\n", max_size=40))
def test_any_text_is_read_or_refused_in_words(text):
    try:
        layout = parse(text)
    except LayoutError as error:
        assert repr(text)[1:-1] in str(error) or "block" in str(error)  # noqa: PT017
    else:
        assert parse(str(layout)) == layout


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("d=8 attn mlp attn mlp", "d=8 (attn mlp)x2"),
        ("  d=8\n attn[b=2, a=1.50]  mlp", "d=8 attn[a=1.5,b=2] mlp"),
        ("d=8 ((attn)x2 mlp)x2 ", "d=8 ((attn)x2 mlp)x2"),
        ("d=8 (attn)x1", "d=8 attn"),
        ("d=8 attn[on=true,word=yes]", "d=8 attn[on=true,word=yes]"),
        ("d=8 attn[]", "d=8 attn"),
        ("d=8 (attn) x 2", "d=8 (attn)x2"),
        ("d=8 attn (mlp)x2 attn (mlp)x2", "d=8 (attn (mlp)x2)x2"),
        ("d=128 conv (mlp attn)x2 mlp", "d=128 conv mlp (attn mlp)x2"),
        ("d=8 conv (attn mlp)x2 attn", "d=8 conv (attn mlp)x2 attn"),
        ("d=8 conv (mlp mlp attn)x2 mlp mlp", "d=8 conv (mlp)x2 (attn (mlp)x2)x2"),
        ("d=8 conv (mlp attn)x2", "d=8 conv (mlp attn)x2"),
        ("d=8 conv (mlp moe)x2", "d=8 conv (mlp moe)x2"),
    ],
)
def test_a_layout_prints_in_its_short_form(text, printed):
    assert str(parse(text)) == printed


@pytest.mark.parametrize(
    "text",
    [
        "d=128 conv mlp (attn mlp)x2",
        "d=8 (attn mlp)x5 hopfield mlp (mix(attn,ssm) mlp)x2",
        "d=8 mlp (act(conv mlp (attn mlp)x2) mlp)x2 conv",
    ],
)
def test_what_was_written_by_units_reads_back_as_it_was_written(text):
    assert str(parse(text)) == text


def test_options_are_numbers_truths_or_words():
    [block] = parse_blocks("k[a=1,b=1.0,c=1e-3,d=true,e=relu,f=nan,g=inf]")

    assert dict(block.options) == {"a": 1, "b": 1.0, "c": 0.001, "d": True, "e": "relu", "f": "nan", "g": "inf"}
    assert [type(value) for _, value in block.options] == [int, float, float, bool, str, str, str]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no blocks; write it like 'd=192"),
        ("attn mlp", "has no width 'd=…'; write it like"),
        ("d=192", "has no blocks"),
        ("d=0 attn", "d must be at least 1, got 0"),
        ("d=8 attn d=9", "'d=9' must come once and first"),
        ("attn d=8", "'d=8' must come once and first"),
        ("d=8 Attn", "cannot read 'Attn' at character 5"),
        ("d=8 attn[kernel=4", "cannot read '[kernel=4' at character 9"),
        ("d=8 (attn mlp", "a '(' is not closed"),
        ("d=8 (attn mlp)", "cannot read ')' at character 14"),
        ("d=8 attn)x3", "a ')' has no '('"),
        ("d=8 ()x3", "a group needs blocks"),
        ("d=8 (attn)x0", "a repetition of at least x1"),
        ("d=8 ((attn)x4096)x4096", "has more than 4096 blocks"),
        ("d=8 " + "router(" * 9 + "conv" + ")" * 9, "more than 8 blocks hold one another"),
        ("d=8 attn[kernel]", "block 'attn[kernel]': 'kernel' is not an option; write it like 'kernel=4'"),
        ("d=8 attn[=4]", "'=4' is not an option"),
        ("d=8 attn[a=1,a=2]", "block 'attn[a=1,a=2]' sets 'a' twice"),
    ],
)
def test_a_text_that_cannot_be_read_says_why(text, message):
    with pytest.raises(LayoutError, match=re.escape(message)):
        parse(text)


def test_a_number_of_absurd_length_is_refused_in_words():
    with pytest.raises(LayoutError, match="cannot read"):
        parse(f"d={'9' * 5000} attn")


def test_blocks_stand_without_a_width():
    assert format_blocks(parse_blocks("conv mlp")) == "conv mlp"
    with pytest.raises(LayoutError, match="must not name a width, got d=8"):
        parse_blocks("d=8 conv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("d=8 " + "attn " * 4097, "has more than 4096 blocks"),
        ("d=8 " + "(attn)x1 " * 4097, "has more than 4096 blocks"),
        ("d=8 " + "mix(attn,ssm) " * 1366, "has more than 4096 blocks"),
        ("d=8 " + "attn " * 20_000, "has 100,004 characters, at most 100,000"),
        ("d=8 " + "(" * 5_000 + "attn" + ")x2" * 5_000, "has more than 4096 blocks"),
        ("d=8 attn[" + "x" * 9_000 + "]", r"block 'attn\[x*…x*\]': 'x*…x*' is not an option"),
    ],
)
def test_a_text_without_end_is_refused_and_not_repeated(text, message):
    with pytest.raises(LayoutError, match=message) as refusal:
        parse(text)

    assert len(str(refusal.value)) < 500


def test_as_many_blocks_as_there_may_be_are_read():
    assert parse("d=8 " + "(attn)x1 " * 4096).depth == 4096


def test_a_layout_that_was_hashed_is_pickled_without_its_hash() -> None:
    """A hash of a text is another one in another process."""
    layout = parse("d=64 (mix(attn,ssm) mlp)x2")
    hash(layout)

    again = pickle.loads(pickle.dumps(layout))

    assert again == layout
    assert hash(again) == hash(layout)
    assert "_hash" not in vars(pickle.loads(pickle.dumps(layout)))
    assert "_hash" not in vars(pickle.loads(pickle.dumps(layout)).blocks[0])
