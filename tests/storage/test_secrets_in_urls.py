"""A secret may stand anywhere in a storage URL: what is said of the URL, or by whoever it leads to, never holds it."""

import traceback
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from growlab.errors import StorageError
from growlab.storage import Store
from growlab.storage.address import read_address

SECRET = "s3cr3tWord"
PLACES = (
    "{}",
    "u:{}",
    "u:{}@127.0.0.1:1/d",
    "host=127.0.0.1 port=1 user=u password={}",
    "postgresql:/u:{}@127.0.0.1:1/d",
    "postgresql://u:{}",
    "postgresql://u:{}/d",
    "postgresql://u:{}@127.0.0.1:1/d",
    "postgresql://:{}@127.0.0.1:1/d",
    "postgresql://u:hun@{}?x@127.0.0.1:1/d",
    "postgresql://u:hun@{}@127.0.0.1:1/d",
    "postgresql://u:hun@127.0.0.1:{}/d",
    "postgresql://u/{}@127.0.0.1:1/d",
    "postgresql://u%3A{}@127.0.0.1:1/d",
    "postgresql://127.0.0.1:1/d?password={}&user=u",
    "postgresql://u@127.0.0.1:1/d?PASSWORD={}",
    "postgresql://u@127.0.0.1:1/d?Password={}",
    "postgresql://u@127.0.0.1:1/d?passwd={}",
    "postgresql://u@127.0.0.1:1/d?passfile={}",
    "postgresql://u@127.0.0.1:1/d?sslpassword={}",
    "postgresql://u@127.0.0.1:1/d?sslmode={}",
    "postgresql://u@127.0.0.1:1/d?sslmode=disable&sslmode={}",
    "postgresql://u@127.0.0.1:1/d?connect_timeout={}",
    "postgresql://u@127.0.0.1:1/d?application_name={}",
    "postgresql://u@127.0.0.1:1/d?options=-c%20search_path%3D{}",
    "postgresql://u@127.0.0.1:1/d?port={}",
    "postgresql://u@127.0.0.1:1/d?plugin={}",
    "postgresql://u@127.0.0.1:1/d?conninfo=password%3D{}",
    "postgresql://u@127.0.0.1:1/d?{}=1",
    "postgresql://u@127.0.0.1:1/d?{}",
    "mysql://u:{}@127.0.0.1/d",
    "{}://u@127.0.0.1/d",
    "postgresql+{}://u@127.0.0.1/d",
    "sqlite://u:{}@/x.db",
    "sqlite://u:{}",
    "sqlite:///postgresql://u:{}@127.0.0.1/d",
    "sqlite:///u:{}@127.0.0.1/d",
    "sqlite:///host=h password={}",
    "sqlite:///x.db?{}=1",
    "sqlite:///x.db?key={}",
)
AROUND = ("", "@", ":", "/", "?", "#", "%", "&", "=", " ", "'", '"', "\\", "[", "]", "+", ",", "5", "é", "\x1b")


@pytest.fixture(autouse=True)
def _nowhere(tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("nowhere"))


def outcome(url):
    """Everything that is said of a URL: what may be shown, or the error as --debug would print it."""
    try:
        address = read_address(url)
    except StorageError as error:
        return "".join(traceback.format_exception(error))
    if address.path is None and (address.url.host, address.url.port) != ("127.0.0.1", 1):
        return address.shown  # nobody is asked who might answer
    with pytest.raises(StorageError) as refusal:
        Store.open(url)
    return "\n".join([address.shown, address.label, *traceback.format_exception(refusal.value)])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    place=st.sampled_from(PLACES),
    before=st.sampled_from(AROUND),
    after=st.sampled_from(AROUND),
    encoded=st.booleans(),
)
@example(place="postgresql://u:{}h/d", before="", after="@", encoded=True)
def test_nothing_said_of_a_url_holds_its_secret(place, before, after, encoded):
    secret = before + SECRET + after

    said = outcome(place.format(quote(secret, safe="") if encoded else secret))

    assert SECRET not in said


@pytest.mark.parametrize("place", PLACES)
def test_no_place_shows_a_secret(place):
    assert SECRET not in outcome(place.format(SECRET))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://ada@db.example:5433/growlab", "postgresql://ada@db.example:5433/growlab"),
        ("postgresql://ada:x@[::1]:5433/growlab", "postgresql://ada:***@[::1]:5433/growlab"),
        ("postgresql://u%3Ax@host/growlab", "postgresql://***@host/growlab"),
        ("postgresql://host/a%3Ab", "postgresql://host/***"),
        (
            "postgresql://host/d?sslmode=require&host=/var/run&port=5433",
            "postgresql://host/d?host=%2Fvar%2Frun&port=5433&sslmode=require",
        ),
        ("postgresql://host/d?sslmode=x&user=ada", "postgresql://host/d?sslmode=***&user=***"),
    ],
)
def test_each_part_is_shown_where_it_is_spelt_as_such_a_part_is(url, shown):
    address = read_address(url)

    assert address.shown == shown
    assert bool(address.hidden) == ("***" in shown)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://u@h/d?PASSWORD=x", "has an option that PostgreSQL does not know; write 'password'"),
        ("postgresql://u@h/d?colour=x", "does not know; known: application_name, channel_binding, client_encoding"),
        ("postgresql://u:/d", "must be a URL such as .*; it is not shown, as it may hold a password"),
        ("postgresql://h:99999/d", "port must be from 1 to 65535"),
        ("postgresql://a%2Fb/d", r"host has characters that no host has; .*: \?host=/FOLDER"),
        ("postgresql://a@h/d?user=b@c", "more than one '@'"),
        ("sqlite://u:x@/x.db", "SQLite has no user, password or host, only a file"),
        ("postgresql://h/d?host=a&host=b&port=1,2,3", "mix .multihost. formats together"),
    ],
)
def test_a_refusal_says_what_to_write_without_the_url(url, message):
    with pytest.raises(StorageError, match=message) as refusal:
        Store.open(url)

    assert url not in str(refusal.value)


def test_a_driver_s_words_lose_what_the_url_hides():
    address = read_address("postgresql://u%3Ax@h/d?options=-c%20search_path%3Dhidden&password=is")

    words = address.without_hidden('role "u:x" has no "search_path": "hidden"; this is its name, istanbul')

    assert words == 'role "***" has no "***": "***"; this *** its name, istanbul'
