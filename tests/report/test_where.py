"""What a condition means, and that each mistake in one is shown where it stands."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.errors import UsageError
from growlab.report.columns import known_columns
from growlab.report.leaderboard import Marks, leaderboard
from growlab.report.selection import kinds_in, matching
from growlab.report.where import AllOf, AnyOf, Comparison, Has, Not, number_of, parse


@pytest.fixture(scope="session")
def rows(trial_of, open_trial_of):
    layouts = ["d=8 attn[n_heads=2] mlp", "d=8 (mix(attn,ssm) mlp)x2", "d=8 front=patch[size=4] conv mlp", "d=8 mamba"]
    params = [{"train.lr": 0.01, "growth.operator": "stack"}, {"train.lr": 0.1}, {"train.lr": 0.2}, {}]
    trials = [
        trial_of(at, layout=layout, layout_end=layout, params=each, val_loss=1.5 + at / 10, n_params=1_000_000 * at)
        for at, (layout, each) in enumerate(zip(layouts, params, strict=True))
    ]
    return leaderboard([*trials, open_trial_of(4, layout=layouts[3])], marks=Marks(growths={1: 2}))


def found(rows, where):
    return [row.trial for row in matching(rows, where, known_columns(rows))]


@pytest.mark.parametrize(
    ("where", "trials"),
    [
        ("val_loss < 1.65", [0, 1]),
        ("val_loss <= 1.7 and params >= 1M", [1, 2]),
        ("params = 2e6 or trial == 0", [0, 2]),
        ("n_params != 1000k", [0, 2, 3]),
        ("has mamba", [3, 4]),
        ("has ssm", [1]),
        ("has patch", [2]),
        ("HAS attn AND NOT has ssm", [0]),
        ("not (has mlp or state = running)", [3]),
        ("has attn or has mamba and state = completed", [0, 1, 3]),  # and binds more
        ("lr > 0.05", [1, 2]),
        ("train.lr > .05 and train.lr < 1.5e-1", [1]),
        ("growth.operator = 'stack'", [0]),
        ("operator ~ STA", [0]),
        ("layout ~ 'n_heads=2'", [0]),
        ("growths > 0", [1]),
        ("bits/byte > -1", [0, 1, 2, 3]),  # what is not known satisfies no comparison
        ("not bits_per_byte > -1", [4]),
        ("engine != graph", [0, 1, 2, 3]),
    ],
)
def test_a_condition_finds_its_trials(rows, where, trials):
    assert found(rows, where) == trials


@pytest.mark.parametrize(
    ("where", "problem", "place"),
    [
        ("", "expected a column, 'has', 'not' or '(', got the end", 0),
        ("val_loss", "expected one of < <= = != >= > ~ behind 'val_loss', got the end", 8),
        ("val_loss 1.6", "expected one of < <= = != >= > ~ behind 'val_loss', got '1.6'", 9),
        ("val_loss <", "expected a value behind <, such as 1.6 or 'a text', got the end", 10),
        ("val_loss < and has attn", "expected a value behind <, such as 1.6 or 'a text', got 'and'", 11),
        ("val_loss < 1.6 has attn", "expected 'and', 'or' or the end, got 'has'", 15),
        ("(val_loss < 1.6", "expected ')', 'and' or 'or', got the end", 15),
        ("val_loss < 1.6)", "expected 'and', 'or' or the end, got ')'", 14),
        ("has", "expected a kind of block behind 'has', such as mamba, got the end", 3),
        ("val_loss =< 2", "=< is no sign of this language; write <=", 9),
        ("has attn && has mlp", "&& is no sign of this language; write and", 9),
        ("layout = 'attn", "this quotation mark has no end", 9),
        ("val_loss < 1.6 [", "cannot read '['", 15),
        ("vall_oss < 2", "unknown column 'vall_oss'; known: .*Did you mean 'val_loss'", 0),
        ("has attn and has mambo", "no layout here has 'mambo'; there are: .*Did you mean 'mamba'", 17),
        ("val_loss < small", "val_loss is a number, 'small' is none", 11),
        ("layout < 3", "layout is no number, as in d=8 .*; compare it with =, != or ~", 0),
        ("val_loss ~ 1", "val_loss is a number; ~ looks for a part of a text", 0),
        ("not " * 50 + "has attn", "more than 40 parentheses and 'not' in one another", 160),
    ],
)
def test_a_mistake_is_shown_at_its_place(rows, where, problem, place):
    with pytest.raises(UsageError, match=problem.replace("(", r"\(").replace(")", r"\)").replace("[", r"\[")) as said:
        found(rows, where)

    _, line, mark = str(said.value).split("\n")
    assert line == f"  {where}"
    assert mark == " " * (place + 2) + "^"


def test_what_is_parsed_is_a_tree():
    assert parse("has a or not b < 2k and c ~ 'x y'") == AnyOf(
        (
            Has("a", 4),
            AllOf((Not(parse(" " * 13 + "b < 2k")), parse(" " * 24 + "c ~ 'x y'"))),
        )
    )
    assert isinstance(parse("a=1"), Comparison)


NUMBERS = {"1.6": 1.6, "-2": -2, "3e-4": 3e-4, ".5": 0.5, "250k": 250e3, "2M": 2e6, "1.5G": 1.5e9, "7T": 7e12}


@pytest.mark.parametrize(("text", "number"), NUMBERS.items())
def test_numbers_have_the_letters_that_tables_show(text, number):
    assert number_of(text) == number


@pytest.mark.parametrize("text", ["", "k", "1x", "nan", "inf", "1e999", "0x10", "1_000", "stack"])
def test_anything_else_is_no_number(text):
    assert number_of(text) is None


@given(st.text(max_size=40) | st.text("()'<=~ andorth1.k", max_size=40))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(UsageError):
        parse(text)


def test_a_text_without_end_is_refused():
    with pytest.raises(UsageError, match="--where has 3,000 characters, at most 2,000"):
        parse("a" * 3_000)


def test_the_kinds_of_a_layout_are_its_words_and_no_option():
    layout = "d=64 front=patch[size=4] (mix[fuse=gate](attn[n_heads=4],ssm) mlp[activation=gelu])x12 head=hebbian_head"

    assert kinds_in(layout) == {"patch", "mix", "attn", "ssm", "mlp", "hebbian_head"}
