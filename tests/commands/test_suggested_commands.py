"""What growlab suggests is what a person must type: never a password, never another database."""

import re
import shlex
import sys
from collections.abc import Callable
from typing import Any

import pytest
import typer

from growlab.commands import app
from growlab.commands.options import this_command
from growlab.suggest import command


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["train", "a b.yaml", "--set", "train.lr=1"], "growlab train 'a b.yaml' --set train.lr=1 --resume"),
        (["train", "c.yaml", "--resume", "-o", "x"], "growlab train c.yaml --resume -o x"),
        (["train", "--", "-c.yaml"], "growlab train --resume -- -c.yaml"),
        (
            ["train", "c.yaml", "--storage=postgresql://ada:s3cret@host/db"],
            "growlab train c.yaml '--storage=postgresql://ada:***@host/db' --resume",
        ),
    ],
)
def test_this_command_is_repeated_for_a_shell(monkeypatch: pytest.MonkeyPatch, words: list[str], hint: str) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/growlab", *words])

    assert this_command("postgresql://ada:s3cret@host/db", "--resume") == hint


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (command("export", "tiny", options=["-o", "my best model"]), ["export", "tiny", "-o", "my best model"]),
        (command("generate", "my best model"), ["generate", "my best model"]),
        (command("generate", "-best", options=["--seed", 1]), ["generate", "--seed", "1", "--", "-best"]),
        (command("study set", "tiny", "n_trials=9"), ["study", "set", "tiny", "n_trials=9"]),
    ],
)
def test_a_command_is_quoted_for_a_shell(line: str, words: list[str]) -> None:
    assert shlex.split(line) == ["growlab", *words]


# ---- pasted ----------------------------------------------------------------------------------------------------


def pasted(line: str) -> list[str]:
    """The words of a suggestion, as a shell reads them."""
    program, *words = shlex.split(line)
    assert program == "growlab"
    return words


def parses(words: list[str]) -> bool:
    """Whether the command line knows all of it; nothing is run."""
    context = typer.main.get_command(app).make_context("growlab", list(words))
    command: Any = context.command
    rest = context._protected_args + context.args
    while hasattr(command, "commands"):
        name, *rest = rest
        command = command.commands[name]
    command.make_context("growlab", rest)
    return True


SUGGESTION = re.compile(r"growlab (?:study|worker|report|export|generate|chat|train|db|demo)\b[^\n]*")


@pytest.mark.parametrize(
    "words",
    [
        ["study", "list", "--storage", "sqlite:///a b.db"],
        ["report", "tiny", "--storage", "sqlite:///a b.db"],
        ["export", "tiny", "-o", "-best"],
        ["study", "create", "tiny.yaml"],
        ["study", "create", "tiny.yaml", "--name", "other"],
        ["study", "set", "tiny", "n_trials=5"],
        ["study", "run", "tiny.yaml", "--set", "n_trials=9"],
        ["study", "run", "tiny", "--set", "n_trials=9"],
        ["db", "check", "--storage", "sqlite:///a b.db"],
    ],
)
def test_what_a_command_suggests_can_be_pasted(growlab: Callable, words: list[str]) -> None:
    growlab("study", "create", "tiny.yaml")

    lines = SUGGESTION.findall(growlab(*words).err)

    assert lines
    for line in lines:
        command = re.split(r"; | makes |, or |\. ", line.rstrip(",.;)"))[0]
        assert parses(pasted(command)), command


def test_a_suggestion_finds_the_database_that_it_is_about(growlab: Callable) -> None:
    place_ = ("--storage", "sqlite:///a b.db")
    created = growlab("study", "create", "tiny.yaml", *place_).err

    [worker] = re.findall(r"growlab worker .*", created)
    outcome = growlab(*pasted(worker.replace("worker", "study show")))

    assert outcome.code == 0, outcome.err
    assert "name: tiny" in outcome.out
