"""What growlab suggests is what a person must type: never a password, never another database."""

from pathlib import Path

import pytest

from growlab.commands.options import with_shell_hint


@pytest.mark.parametrize(
    ("storage", "hint"),
    [
        ("sqlite:///growlab.db", ""),  # the default
        ("sqlite:///other.db", " --storage sqlite:///other.db"),
        ("sqlite+pysqlite:///x.db", " --storage sqlite:///x.db"),
        ("postgres://ada@host/db", " --storage postgresql://ada@host/db"),
        ("postgresql+psycopg://ada@host/db?passfile=/x", " --storage 'postgresql://ada@host/db?passfile=%2Fx'"),
        ("postgresql://ada:s3cret@host/db", ""),
        ("postgresql://ada@host/db?password=s3cret", ""),
    ],
)
def test_the_storage_is_named_unless_it_is_the_default_or_holds_a_password(storage: str, hint: str) -> None:
    assert with_shell_hint(storage) == hint


def test_a_storage_that_the_environment_names_need_not_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROWLAB_STORAGE", "sqlite:///other.db")

    assert with_shell_hint("sqlite:///other.db") == ""


def test_plugins_are_named_too() -> None:
    assert with_shell_hint("sqlite:///growlab.db", [Path("/a b.py")]) == " --plugin '/a b.py'"
