"""What a study may say of one number: reading and writing are inverse, and a slip names its key."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.domains import Choice, Fixed, Range, corners, read_domain, write_domain
from growlab.errors import SpecError

VALUES = {
    int: st.integers(-(10**9), 10**9),
    float: st.floats(-1e9, 1e9),
    str: st.text(max_size=5).filter(lambda text: text != "search"),
    bool: st.booleans(),
}


@st.composite
def kind_and_domain(draw):
    kind = draw(st.sampled_from(list(VALUES)))
    value = VALUES[kind]
    domains = [st.builds(Fixed, value=value), st.builds(Choice, values=st.lists(value, min_size=1).map(tuple))]
    if kind in (int, float):
        ends = st.tuples(value, value).map(sorted)
        domains.append(ends.map(lambda pair: Range(low=pair[0], high=pair[1], log=pair[0] > 0)))
    return kind, draw(st.one_of(domains))


@given(pair=kind_and_domain())
def test_reading_is_the_inverse_of_writing(pair):
    kind, domain = pair

    assert read_domain("key", write_domain(domain), kind, None) == domain


@pytest.mark.parametrize(
    ("raw", "kind", "domain"),
    [
        (3, int, Fixed(value=3)),
        (3, float, Fixed(value=3.0)),
        (3.0, int, Fixed(value=3)),
        ("1e-3", float, Fixed(value=0.001)),
        ([16, 32], int, Choice(values=(16, 32))),
        ({"low": 1, "high": 9}, float, Range(low=1.0, high=9.0)),
        ({"low": 1, "high": 9, "log": True}, int, Range(low=1, high=9, log=True)),
        ("search", float, Range(low=0.0, high=1.0)),
        ("no", str, Fixed(value="no")),
    ],
)
def test_a_domain_is_read_in_the_type_of_its_key(raw, kind, domain):
    read = read_domain("key", raw, kind, Range(low=0.0, high=1.0))

    assert read == domain
    assert [type(value) for value in corners(read)] == [kind] * len(corners(read))


@pytest.mark.parametrize(
    ("raw", "kind", "message"),
    [
        ("search", float, "train.key: 'search' has no default range here; write {low: …, high: …} or a list"),
        ([], float, "train.key: an empty list leaves nothing to choose from"),
        ("fast", float, "train.key must be a number, got 'fast'"),
        (float("nan"), float, "train.key must be a number, got nan"),
        ("inf", float, "train.key must be a number, got inf"),
        (None, float, "train.key must be a number, got None"),
        (True, float, "train.key must be a number, got True"),
        (2.5, int, "train.key must be a whole number, got 2.5"),
        (True, int, "train.key must be a whole number, got True"),
        (1, bool, "train.key must be true or false, got 1"),
        (1, str, "train.key must be a word, got 1"),
        ([1, "two"], int, "train.key must be a whole number, got 'two'"),
        ({"low": 1}, float, "train.key: a range needs low and high, got {'low': 1}"),
        ({"low": 1, "hihg": 2}, float, "train.key.hihg: unknown key. Did you mean 'high'?"),
        ({"low": "a", "high": 2}, float, "train.key.low must be a number, got 'a'"),
        ({"low": 3, "high": 2}, int, "train.key: low must not exceed high, got low 3 and high 2"),
        ({"low": 0, "high": 2, "log": True}, int, "needs low greater than 0, got 0"),
        ({"low": 1, "high": 2, "log": 1}, int, "train.key.log must be true or false, got 1"),
        ({"low": "a", "high": "b"}, str, "a range needs numbers, but train.key is a str; write a list of choices"),
    ],
)
def test_a_slip_names_its_key_and_what_was_got(raw, kind, message):
    with pytest.raises(SpecError, match=re.escape(message)):
        read_domain("train.key", raw, kind, None)


def test_corners_are_the_extreme_values():
    assert corners(Fixed(value=1)) == (1,)
    assert corners(Choice(values=(3, 1, 2))) == (3, 1, 2)
    assert corners(Range(low=1, high=9)) == (1, 9)
