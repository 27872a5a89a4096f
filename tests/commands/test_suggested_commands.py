"""What growlab suggests is what a person must type: never a password, never another database."""

import sys
from pathlib import Path

import pytest

from growlab.commands.options import this_command, with_shell_hint


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


def test_the_artifacts_are_named_unless_the_environment_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    given = with_shell_hint("sqlite:///growlab.db", artifacts=Path("on disk"))
    monkeypatch.setenv("GROWLAB_ARTIFACTS", "on disk")
    known = with_shell_hint("sqlite:///growlab.db", artifacts=Path("on disk"))

    assert (given, known) == (" --artifacts 'on disk'", "")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["train", "a b.yaml", "--set", "train.lr=1"], "growlab train 'a b.yaml' --set train.lr=1 --resume"),
        (["train", "c.yaml", "--resume", "-o", "x"], "growlab train c.yaml --resume -o x"),
        (
            ["train", "c.yaml", "--storage=postgresql://ada:s3cret@host/db"],
            "growlab train c.yaml '--storage=postgresql://ada:***@host/db' --resume",
        ),
    ],
)
def test_this_command_is_repeated_for_a_shell(monkeypatch: pytest.MonkeyPatch, words: list[str], hint: str) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/growlab", *words])

    assert this_command("postgresql://ada:s3cret@host/db", "--resume") == hint
