"""Every command in the documents exists, with every option that they give it."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from growlab.commands import app


def _commands(text: str) -> list[list[str]]:
    """The growlab commands of all code blocks; what follows &&, | and # is not looked at."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.removeprefix("$ ").strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(re.split(r"&&|\||  #", line)[0]) for line in lines if line.startswith("growlab ")]


@cache
def _help(*words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"})
    return done.stdout if done.exit_code == 0 else ""


def test_every_command_in_the_documents_exists_with_its_options(repository: Path) -> None:
    documents = [repository / "README.md", *sorted((repository / "docs").glob("*.md"))]
    commands = [words for path in documents for words in _commands(path.read_text())]

    assert len(commands) >= 5
    for words in commands:
        named = words[1:3] if words[1] in ("study", "trial", "db") else words[1:2]
        said = _help(*named)
        assert said, f"{shlex.join(words)}: no such command"
        for option in (word.split("=")[0] for word in words if word.startswith("-")):
            assert re.search(rf"(^|\s){re.escape(option)}\b", said), f"{shlex.join(words)}: no option {option}"


@pytest.mark.parametrize("target", ["install", "demo", "wheel", "test", "test-conditions", "lint", "bench"])
def test_make_has_the_targets_that_scripts_rely_on(repository: Path, target: str) -> None:
    assert re.search(rf"^{target}:", (repository / "Makefile").read_text(), flags=re.MULTILINE)
